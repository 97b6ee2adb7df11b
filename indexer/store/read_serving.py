"""Reads what only serving needs: pages of levels forward in time, first instants, the data version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import text

from indexer.arrays import F64, I8, I64
from indexer.store.db import Store

COLUMNS = {"time": np.int64, "level": np.float64, "status": np.int8, "carried_weight": np.float64}
# Room for corrections in one page: revisions of an instant come together and only the last counts.
REVISION_ROOM = 64


@dataclass(frozen=True, slots=True)
class LevelPage:
    """Levels (K,) oldest first, and the instant at which the next page begins (None: there is none)."""

    times_us: I64
    levels: F64
    status: I8
    carried_weight: F64
    next_us: int | None

    def __len__(self) -> int:
        return len(self.times_us)


def read_level_page(
    store: Store,
    index_id: str,
    *,
    start_us: int | None,
    end_us: int | None,
    step_us: int,
    as_of_us: int | None,
    limit: int,
) -> LevelPage:
    """At most `limit` levels from `start_us` on, the latest revision of each (published by `as_of_us`)."""
    clauses, params = ["index_id = :index_id", "time % :step = 0"], {"index_id": index_id, "step": step_us}
    for clause, name, value in (
        ("time >= :start", "start", start_us),
        ("time < :end", "end", end_us),
        ("published_at <= :known", "known", as_of_us),
    ):
        if value is not None:
            clauses.append(clause)
            params |= {name: value}
    rows = limit + REVISION_ROOM
    sql = f"SELECT {', '.join(COLUMNS)} FROM level WHERE {' AND '.join(clauses)} ORDER BY time, revision LIMIT {rows}"
    with store.reading() as connection:
        result: Any = connection.execute(text(sql), params)
        found = result.cursor.fetchall()  # the driver's own tuples: a row object for each costs more than the read
    return _page(list(zip(*found, strict=True)) or [()] * len(COLUMNS), limit=limit, full=len(found) == rows)


def _page(found: list[tuple[float, ...]], *, limit: int, full: bool) -> LevelPage:
    columns = {name: np.array(values, dtype) for values, (name, dtype) in zip(found, COLUMNS.items(), strict=True)}
    times = columns["time"]
    keep = np.flatnonzero(np.r_[times[1:] != times[:-1], True]) if len(times) else np.zeros(0, np.int64)
    following: int | None = None
    if full:
        keep, following = keep[:-1], int(times[-1])  # its later revisions may be beyond what was read
    if len(keep) > limit:
        keep, following = keep[:limit], int(times[keep[limit]])
    picked = {name: column[keep] for name, column in columns.items()}
    return LevelPage(picked["time"], picked["level"], picked["status"], picked["carried_weight"], following)


def read_first_level_us(store: Store, index_id: str) -> int | None:
    """The instant of an index's first level, or None while it has none."""
    with store.reading() as connection:
        sql = text("SELECT min(time) FROM level WHERE index_id = :id")
        first = connection.execute(sql, {"id": index_id}).scalar()
    return None if first is None else int(first)


def read_coverage(store: Store) -> dict[str, tuple[int, int, int]]:
    """First and last instant and number of daily closes, by benchmark symbol; those without closes are absent."""
    sql = text(
        "SELECT b.symbol, min(r.time), max(r.time), count(DISTINCT r.time) FROM benchmark b "
        "JOIN benchmark_bar r ON r.benchmark_id = b.id WHERE r.interval = '1d' GROUP BY b.symbol"
    )
    with store.reading() as connection:
        found = connection.execute(sql).all()
    return {symbol: (int(first), int(last), int(count)) for symbol, first, last, count in found}


def read_version(store: Store) -> str:
    """A token that changes whenever data does: every write belongs to a run, and runs are dated."""
    sql = text("SELECT count(*), count(finished_at), max(id), max(started_at), max(finished_at) FROM run")
    with store.reading() as connection:
        row = connection.execute(sql).one()
    return "-".join(str(value or 0) for value in row)
