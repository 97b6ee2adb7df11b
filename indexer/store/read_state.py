"""Small questions about where the store stands: what facts it holds, what was due last, what was published last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from indexer.store.columnar import columns
from indexer.store.db import Store, scalar
from indexer.times import from_us, to_us

COMPUTING = ("update",)  # runs that add no facts


def facts_mark(store: Store) -> str:
    """A text that changes whenever a run that may have added facts (an import, a fetch) was closed."""
    sql = text("SELECT count(*), max(id), max(finished_at) FROM run WHERE kind != :kind AND finished_at IS NOT NULL")
    with store.reading() as connection:
        return ":".join(str(value) for value in connection.execute(sql, {"kind": COMPUTING[0]}).one())


def last_due(store: Store, kind: str) -> datetime | None:
    """The newest instant that a job of this kind was done for, None when it never was."""
    sql = "SELECT max(due_at) FROM run WHERE kind = :kind AND outcome = 'done'"
    with store.reading() as connection:
        found = scalar(connection, sql, {"kind": kind})
    return None if found is None else from_us(found)


def last_hash(store: Store, index_id: str) -> bytes | None:
    """The hash of the level published last, revisions included; None before the first."""
    sql = "SELECT hash FROM level WHERE index_id = :index_id ORDER BY run_id DESC, time DESC, revision DESC LIMIT 1"
    with store.reading() as connection:
        found = scalar(connection, sql, {"index_id": index_id})
    return None if found is None else bytes(found)


def published_span(store: Store, index_id: str, *, as_of_us: int | None = None) -> tuple[int, int, int] | None:
    """First and last instant with a level and when the first one was published (us), None without levels."""
    known = "" if as_of_us is None else " AND run_id IN (SELECT id FROM run WHERE started_at <= :known)"
    params = {"id": index_id} | ({} if as_of_us is None else {"known": as_of_us})
    sql = f"SELECT min(time), max(time), min(published_at) FROM level WHERE index_id = :id{known}"
    with store.reading() as connection:
        first, last, published = connection.execute(text(sql), params).one()
    return None if first is None else (int(first), int(last), int(published))


def index_state(store: Store, index_id: str) -> str | None:
    """The state of an index, None before it is registered."""
    with store.reading() as connection:
        found = scalar(connection, "SELECT state FROM index_info WHERE id = :id", {"id": index_id})
    return None if found is None else str(found)


def fact_runs(store: Store) -> list[int]:
    """When each run started (us) that may have added facts or has corrected official rates, ascending."""
    sql = text(
        "SELECT started_at FROM run WHERE kind != :kind OR id IN (SELECT run_id FROM rate WHERE revision > 1) "
        "ORDER BY started_at"
    )
    with store.reading() as connection:
        return [int(row[0]) for row in connection.execute(sql, {"kind": COMPUTING[0]})]


def runs_before(store: Store, instant: datetime | None) -> set[int]:
    """The ids of the runs that started before an instant; none when there is no instant."""
    if instant is None:
        return set()
    with store.reading() as connection:
        found = connection.execute(text("SELECT id FROM run WHERE started_at < :at"), {"at": to_us(instant)})
        return {int(row[0]) for row in found}


def deciding_runs(store: Store, index_id: str) -> dict[int, tuple[int, str]]:
    """By id of a rebalancing: when the run that decided it started (us), and the run's detail (JSON)."""
    sql = text(
        "SELECT b.id, r.started_at, r.detail FROM rebalancing b JOIN run r ON r.id = b.run_id WHERE b.index_id = :id"
    )
    with store.reading() as connection:
        return {int(one): (int(at), str(said)) for one, at, said in connection.execute(sql, {"id": index_id})}


def restating_runs(store: Store, index_id: str) -> list[int]:
    """When each run started (us) that restated levels of an index."""
    sql = text(
        "SELECT DISTINCT r.started_at FROM level l JOIN run r ON r.id = l.run_id "
        "WHERE l.index_id = :id AND l.revision > 1 ORDER BY r.started_at"
    )
    with store.reading() as connection:
        return [int(row[0]) for row in connection.execute(sql, {"id": index_id})]


def last_update(store: Store) -> tuple[int, int] | None:
    """The id and start (us) of the newest finished update, None before the first."""
    sql = "SELECT id, started_at FROM run WHERE kind = :kind AND outcome = 'done' ORDER BY started_at DESC, id DESC"
    with store.reading() as connection:
        found = connection.execute(text(sql + " LIMIT 1"), {"kind": COMPUTING[0]}).first()
    return None if found is None else (int(found[0]), int(found[1]))


def has_levels(store: Store) -> bool:
    """Whether any index has a level."""
    with store.reading() as connection:
        return scalar(connection, "SELECT 1 FROM level LIMIT 1") is not None


@dataclass(frozen=True, slots=True)
class PublishedRows:
    """Every level row of an index ever published, revisions included, in the order of publication. All (K,)."""

    times_us: NDArray[np.int64]
    revision: NDArray[np.int64]
    levels: NDArray[np.float64]
    status: NDArray[np.int8]
    inputs_hash: list[bytes]
    prev_hash: list[bytes]
    hash: list[bytes]


def published_rows(store: Store, index_id: str) -> PublishedRows:
    """The rows the hash chain runs over: by run, then time, then revision."""
    hashes = ("inputs_hash", "prev_hash", "hash")
    kinds = {
        "time": "int64",
        "revision": "int64",
        "level": "float64",
        "status": "int8",
        **dict.fromkeys(hashes, "object"),
    }
    found = columns(
        store,
        kinds,
        source="level WHERE index_id = :index_id",
        params={"index_id": index_id},
        order="run_id, time, revision",
    )
    inputs, before, own = (found[name].tolist() for name in hashes)
    return PublishedRows(
        found["time"],
        found["revision"],
        found["level"],
        found["status"],
        inputs_hash=inputs,
        prev_hash=before,
        hash=own,
    )
