"""Levels of indices: written as revisions, read as one row for each instant, or with all that was ever published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, func, select
from sqlmodel import col
from sqlmodel import select as select_models

from indexer.arrays import F64, I8, I64
from indexer.store.bulk import BulkTable, Column, append, refuse_bad
from indexer.store.columnar import Columns, array_of, driver_rows, fields, last_of_each, pick, read_columns
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.rows import LevelColumns, LevelRows, Written, as_row
from indexer.store.runs import known_by
from indexer.store.tables import Level, MethodologyVersion, Run
from indexer.times import iso

LEVELS = BulkTable(
    model=Level,
    series=None,
    fixed=("index_id",),
    compared=("level", "status", "carried_weight", "perpetual_weight", "methodology_id", "inputs_hash"),
    refers={"methodology_id": MethodologyVersion, "run_id": Run},
)
SERVED = {
    "time": np.int64,
    "level": np.float64,
    "status": np.int8,
    "carried_weight": np.float64,
    "perpetual_weight": np.float64,
    "constituents": np.int64,
}
HASHES = ("inputs_hash", "prev_hash", "hash")
REVISION_ROOM = 64  # room for corrections in one page: revisions of an instant come together, only the last counts


def write_levels(
    store: Store,
    run_id: int,
    *,
    index_id: str,
    methodology_id: I64 | int,
    times_us: I64,
    levels: F64,
    status: I8,
    carried_weight: F64,
    constituents: I64 | None = None,
    perpetual_weight: F64 | None = None,
    inputs_hash: list[bytes],
    prev_hash: list[bytes],
    hash: list[bytes],
    published_at_us: I64 | int,
) -> Written:
    """How many levels were new, revised, unchanged; all columns (K,) or one value for all, hashes 32 bytes each.

    A level is revised when its value, status, carried weight, methodology or inputs differ; hashes and the
    instant of publication follow. Levels must be finite and positive (InputError).
    """
    refuse_bad(levels, "level", "level")
    count = len(times_us)
    columns: dict[str, Column] = {
        "time": times_us,
        "level": levels,
        "status": status.astype(np.int64),
        "carried_weight": carried_weight,
        "perpetual_weight": np.zeros(count) if perpetual_weight is None else perpetual_weight,
        "constituents": np.zeros(count, dtype=np.int64) if constituents is None else constituents,
        "methodology_id": np.broadcast_to(methodology_id, count),
        "published_at": np.broadcast_to(published_at_us, count),
        "inputs_hash": inputs_hash,
        "prev_hash": prev_hash,
        "hash": hash,
    }
    return append(store, LEVELS, columns, index_id=index_id, run_id=run_id)


def read_levels(
    store: Store,
    index_id: str,
    *,
    start_us: int | None = None,
    end_us: int | None = None,
    step_us: int | None = None,
    as_of_us: int | None = None,
    limit: int | None = None,
) -> LevelRows:
    """Levels of one index, start <= time < end, the latest revision of each (published by `as_of_us`).

    `step_us` keeps the times that are whole multiples of it. `limit` keeps the newest ones; the order is oldest
    first. Raises NotFoundError for an unknown index.
    """
    as_of_us = store.as_of_us if as_of_us is None else as_of_us
    names = (*SERVED, "revision", "methodology_id", "published_at", *HASHES)
    wanted = _wanted(index_id, start_us=start_us, end_us=end_us, step_us=step_us, as_of_us=as_of_us)
    query = select(*fields(Level, *names)).where(*wanted)
    time, revision = fields(Level, "time", "revision")
    if limit is not None:  # from the instant on that the newest `limit` start with, found from the end of the key
        instants = select(time).where(*wanted).distinct().order_by(time.desc()).limit(limit).subquery()
        query = query.where(time >= select(func.min(instants.c.time)).scalar_subquery())
    rows = read_columns(store, query.order_by(time, revision))
    if not len(rows["time"]):
        read_index(store, index_id)  # there is one, or the error says which there are
    rows = pick(rows, last_of_each(rows["time"]))
    hashes = {name: rows[name].tolist() for name in HASHES}
    return LevelRows(
        **_served(rows),
        revision=rows["revision"],
        methodology_id=rows["methodology_id"],
        published_at_us=rows["published_at"],
        **hashes,
    )


def read_level_values(store: Store, index_id: str, *, at_us: I64 | None = None) -> tuple[I64, F64, I64]:
    """Times, levels and statuses of an index, oldest first, the last revision of each instant; `at_us`: of these."""
    wanted = _wanted(index_id, start_us=None, end_us=None, step_us=None, as_of_us=store.as_of_us)
    query = select(*fields(Level, "time", "level", "status")).where(*wanted)
    query = query if at_us is None else query.where(col(Level.time).in_(at_us.tolist()))
    rows = read_columns(store, query.order_by(*fields(Level, "time", "revision")), few=at_us is not None)
    rows = pick(rows, last_of_each(rows["time"]))
    return rows["time"], rows["level"], rows["status"]


@dataclass(frozen=True, slots=True)
class LevelPage(LevelColumns):
    """Levels without their evidence, oldest first, and where the next page begins (None: there is none)."""

    next_us: int | None


def page_of(rows: LevelRows) -> LevelPage:
    """The same levels without their evidence, as the last page."""
    return as_row(LevelPage, rows, next_us=None)


def read_level_page(
    store: Store,
    index_id: str,
    *,
    start_us: int | None,
    end_us: int | None,
    step_us: int | None,
    as_of_us: int | None,
    limit: int,
) -> LevelPage:
    """At most `limit` levels from `start_us` on, the latest revision of each (published by `as_of_us`)."""
    as_of_us = store.as_of_us if as_of_us is None else as_of_us
    wanted = _wanted(index_id, start_us=start_us, end_us=end_us, step_us=step_us, as_of_us=as_of_us)
    most = limit + REVISION_ROOM
    query = select(*fields(Level, *SERVED)).where(*wanted).order_by(*fields(Level, "time", "revision")).limit(most)
    with store.reading() as connection:
        stored = driver_rows(connection, query)
    lists: list[Any] = list(zip(*stored, strict=True)) or [()] * len(SERVED)
    rows = {name: array_of(values, np.dtype(kind)) for values, (name, kind) in zip(lists, SERVED.items(), strict=True)}
    times = rows["time"]
    keep = np.flatnonzero(last_of_each(times))
    following: int | None = None
    if len(stored) == most:
        keep, following = keep[:-1], int(times[-1])  # its later revisions may be beyond what was read
    if len(keep) > limit:
        keep, following = keep[:limit], int(times[keep[limit]])
    return LevelPage(**_served(pick(rows, keep)), next_us=following)


def _wanted(
    index_id: str, *, start_us: int | None, end_us: int | None, step_us: int | None, as_of_us: int | None
) -> list[ColumnElement[bool]]:
    """The conditions of a window, a step and an instant of knowledge; None asks for nothing."""
    time = col(Level.time)
    conditions = [col(Level.index_id) == index_id]
    if start_us is not None:
        conditions.append(time >= start_us)
    if end_us is not None:
        conditions.append(time < end_us)
    if step_us is not None:
        conditions.append(time % step_us == 0)
    if as_of_us is not None:
        conditions.append(col(Level.published_at) <= as_of_us)
    return conditions


def _served(rows: Columns) -> dict[str, Any]:
    names = ("carried_weight", "perpetual_weight", "constituents")
    status = rows["status"].astype(np.int8)
    return {"times_us": rows["time"], "levels": rows["level"], "status": status, **{name: rows[name] for name in names}}


def read_latest_level(store: Store, index_id: str) -> LevelRows | None:
    """The newest level as one row of columns, or None when the index has none yet."""
    rows = read_levels(store, index_id, limit=1)
    return rows if len(rows) else None


def count_levels(store: Store, index_id: str) -> int:
    """How many instants the index has a level for."""
    return store.all(select_models(func.count()).where(Level.index_id == index_id, Level.revision == 1))[0]


def has_levels(store: Store) -> bool:
    """Whether any index has a level."""
    return store.first(select_models(Level.time)) is not None


def published_span(store: Store, index_id: str, *, as_of_us: int | None = None) -> tuple[int, int] | None:
    """First and last instant with a level (us), None without levels. Two look-ups by key, however many there are."""
    mine = col(Level.index_id) == index_id, *known_by(Level, as_of_us)
    ends = [select(end(col(Level.time))).where(*mine).scalar_subquery() for end in (func.min, func.max)]
    with store.reading() as connection:
        first, last = connection.execute(select(*ends)).one()
    return None if first is None else (int(first), int(last))


def newest_instants(store: Store, index_id: str) -> list[int]:
    """The last two instants with a level (us), ascending."""
    query = select_models(Level.time).where(Level.index_id == index_id).distinct()
    return store.all(query.order_by(col(Level.time).desc()).limit(2))[::-1]


def first_published_us(store: Store, index_id: str) -> int | None:
    """When the first row of the index's hash chain was published (us), None without levels."""
    query = select(col(Level.published_at)).where(col(Level.index_id) == index_id)
    with store.reading() as connection:
        return connection.execute(query.order_by(*fields(Level, "run_id", "time", "revision")).limit(1)).scalar()


def unpublished(store: Store, index_id: str, *, as_of_us: int | None) -> str:
    """That an index had no level yet by an instant, and when its first one was published; '' when it had."""
    published = None if as_of_us is None else first_published_us(store, index_id)
    if published is None or as_of_us is None or as_of_us >= published:
        return ""
    return f'Index "{index_id}" had no level by {iso(as_of_us)}: its first one was published at {iso(published)}'


def last_hash(store: Store, index_id: str) -> bytes | None:
    """The hash of the level published last, revisions included; None before the first."""
    order = (column.desc() for column in fields(Level, "run_id", "time", "revision"))
    query = select(*fields(Level, "hash")).where(col(Level.index_id) == index_id).order_by(*order).limit(1)
    with store.reading() as connection:
        digest = connection.execute(query).scalar()
    return None if digest is None else bytes(digest)


def published_rows(store: Store, index_id: str) -> Columns:
    """Every row of an index ever published, in the order of its hash chain: by run, then time, then revision.

    `known` is the start of the run that published it (us), hashes are 32 bytes each.
    """
    names = (*SERVED, "revision", "methodology_id", "run_id", *HASHES)
    query = select(*fields(Level, *names), col(Run.started_at).label("known"))
    query = query.join_from(Level, Run, col(Level.run_id) == col(Run.id)).where(col(Level.index_id) == index_id)
    return read_columns(store, query.order_by(*fields(Level, "run_id", "time", "revision")))


def read_level_revisions(
    store: Store, index_id: str, *, at_us: int, as_of_us: int | None = None
) -> list[tuple[Level, Run]]:
    """Every revision of the last level at or before an instant with the run that published it, newest first."""
    known = known_by(Level, as_of_us)
    newest = select(func.max(col(Level.time))).where(col(Level.index_id) == index_id, col(Level.time) <= at_us, *known)
    query = select_models(Level, Run).join(Run, col(Run.id) == col(Level.run_id))
    query = query.where(Level.index_id == index_id, col(Level.time) == newest.scalar_subquery(), *known)
    return store.all(query.order_by(col(Level.revision).desc()))
