"""Reads indices: their state, levels, rebalancings, constituents and memberships."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from indexer.errors import NotFoundError, did_you_mean
from indexer.store.columnar import columns
from indexer.store.db import Store
from indexer.store.read_assets import rows
from indexer.store.records import LevelRows

LEVEL_KINDS = {
    "time": "int64",
    "revision": "int64",
    "level": "float64",
    "status": "int8",
    "carried_weight": "float64",
    "methodology_id": "int64",
    "published_at": "int64",
    "inputs_hash": "object",
    "prev_hash": "object",
    "hash": "object",
}


@dataclass(frozen=True, slots=True)
class IndexRow:
    """An index as registered, with the version and hash of its present methodology."""

    id: str
    name: str
    description: str
    simulated: bool
    state: str
    methodology_id: int
    version: str
    hash: str


def read_indices(store: Store) -> list[IndexRow]:
    """Every index, by id."""
    methodologies = {row["id"]: row for row in rows(store, "methodology_version", order=["id"])}
    return [
        IndexRow(
            **row,
            version=methodologies[row["methodology_id"]]["version"],
            hash=methodologies[row["methodology_id"]]["hash"],
        )
        for row in rows(store, "index_info", order=["id"])
    ]


def read_index(store: Store, index_id: str) -> IndexRow:
    """One index. Raises NotFoundError naming the closest id and the known ones."""
    known = {row.id: row for row in read_indices(store)}
    if index_id not in known:
        has = ", ".join(known) or "none yet; run `deai update`"
        raise NotFoundError(f'No index "{index_id}".{did_you_mean(index_id, known)} Known: {has}.')
    return known[index_id]


def read_levels(
    store: Store,
    index_id: str,
    *,
    start_us: int | None = None,
    end_us: int | None = None,
    step_us: int | None = None,
    as_of_us: int | None = None,
    limit: int | None = None,
    newest_last: bool = True,
) -> LevelRows:
    """Levels of one index, start <= time < end, the latest revision of each (published by `as_of_us`).

    `step_us` keeps the times that are whole multiples of it. `limit` keeps the newest ones; the order is oldest
    first, or newest first with `newest_last=False`. Raises NotFoundError for an unknown index.
    """
    read_index(store, index_id)
    clauses, params = ["index_id = :index_id"], {"index_id": index_id}
    for clause, name, value in (
        ("time >= :start", "start", start_us),
        ("time < :end", "end", end_us),
        ("time % :step = 0", "step", step_us),
        ("published_at <= :known", "known", as_of_us),
    ):
        if value is not None:
            clauses.append(clause)
            params |= {name: value}  # type: ignore[dict-item]
    source = f"level WHERE {' AND '.join(clauses)}"
    if limit is not None:
        source = _newest(source, limit)
    found = columns(store, LEVEL_KINDS, source=source, params=params, order="time DESC, revision DESC")
    return _rows(found, newest_last=newest_last)


def read_latest_level(store: Store, index_id: str, *, as_of_us: int | None = None) -> LevelRows | None:
    """The newest level as one row of columns, or None when the index has none yet."""
    found = read_levels(store, index_id, as_of_us=as_of_us, limit=1)
    return found if len(found) else None


def _newest(source: str, limit: int) -> str:
    """Only from the instant on that the newest `limit` instants start with; found from the end of the key."""
    instants = f"SELECT DISTINCT time FROM {source} ORDER BY time DESC LIMIT {int(limit)}"
    return f"{source} AND time >= (SELECT min(time) FROM ({instants}) AS newest)"


def _rows(found: dict[str, NDArray[Any]], *, newest_last: bool) -> LevelRows:
    times = found["time"]
    index = np.flatnonzero(np.r_[True, times[1:] != times[:-1]]) if len(times) else np.zeros(0, dtype=np.int64)
    index = index[::-1] if newest_last else index
    picked = {name: column[index] for name, column in found.items()}
    return LevelRows(
        times_us=picked["time"],
        levels=picked["level"],
        status=picked["status"],
        carried_weight=picked["carried_weight"],
        revision=picked["revision"],
        methodology_id=picked["methodology_id"],
        published_at_us=picked["published_at"],
        inputs_hash=picked["inputs_hash"].tolist(),
        prev_hash=picked["prev_hash"].tolist(),
        hash=picked["hash"].tolist(),
    )


def count_levels(store: Store, index_id: str) -> int:
    """How many instants the index has a level for."""
    sql = text("SELECT count(DISTINCT time) FROM level WHERE index_id = :id")
    with store.reading() as connection:
        return int(connection.execute(sql, {"id": index_id}).scalar_one())
