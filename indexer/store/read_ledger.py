"""Reads the ledgers: runs, rejects, quality entries and events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, true
from sqlmodel import SQLModel

from indexer.store.db import Store
from indexer.store.read_assets import rows
from indexer.store.records import EventRow, QualityRow, RejectRow


@dataclass(frozen=True, slots=True)
class RunRow:
    """One piece of work; `finished_at` is None while it runs or after it crashed."""

    id: int
    kind: str
    key: str
    due_at: datetime | None
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    detail: dict[str, Any]


def read_runs(store: Store, *, kind: str | None = None, limit: int | None = None) -> list[RunRow]:
    """Runs, newest first; of one kind when given."""
    table = SQLModel.metadata.tables["run"]
    query = select(table).order_by(table.c.id.desc())
    if kind is not None:
        query = query.where(table.c.kind == kind)
    with store.reading() as connection:
        found = connection.execute(query.limit(limit)).mappings()
        return [RunRow(**{**row, "detail": json.loads(row["detail"])}) for row in found]


def read_unfinished_runs(store: Store, *, kind: str | None = None) -> list[RunRow]:
    """Runs that are not done, newest first: running now, crashed, interrupted or failed."""
    return [run for run in read_runs(store, kind=kind) if run.outcome != "done"]


def read_events(store: Store, *, start_us: int | None = None, end_us: int | None = None) -> list[EventRow]:
    """Dated events, start <= time < end, oldest first."""
    table = SQLModel.metadata.tables["event"]
    query = select(*(table.c[name] for name in EventRow.__dataclass_fields__)).order_by(table.c.time)
    with store.reading() as connection:
        events = [EventRow(**row) for row in connection.execute(query).mappings()]
    return [event for event in events if _within(event.time, start_us, end_us)]


def read_rejects(store: Store, *, run_id: int | None = None, limit: int | None = None) -> list[RejectRow]:
    """Rows that were not taken, by file and line; of one run when given."""
    table = SQLModel.metadata.tables["reject"]
    names = tuple(RejectRow.__dataclass_fields__)
    query = select(*(table.c[name] for name in names)).order_by(table.c.file, table.c.line, table.c.id)
    if run_id is not None:
        query = query.where(table.c.run_id == run_id)
    with store.reading() as connection:
        return [RejectRow(**row) for row in connection.execute(query.limit(limit)).mappings()]


@dataclass(frozen=True, slots=True)
class RejectGroup:
    """Rows of one import that were not taken for the same reason: how many, and the first with its line."""

    imported_at: datetime
    file: str
    rows: int
    reason: str
    line: int
    row: str


def read_reject_groups(store: Store, *, file: str | None = None, limit: int = 50) -> list[RejectGroup]:
    """Rows that were not taken, by import and reason: newest import first, most rows first; of one file when given."""
    reject, run = SQLModel.metadata.tables["reject"], SQLModel.metadata.tables["run"]
    groups = (
        select(func.min(reject.c.id).label("id"), func.count().label("rows"))
        .where(true() if file is None else reject.c.file == file)
        .group_by(reject.c.run_id, reject.c.file, reject.c.reason)
        .subquery()
    )
    query = (
        select(
            run.c.started_at.label("imported_at"),
            groups.c.rows,
            *(reject.c[n] for n in ("file", "reason", "line", "row")),
        )
        .join_from(groups, reject, reject.c.id == groups.c.id)
        .join(run, run.c.id == reject.c.run_id)
        .order_by(run.c.id.desc(), reject.c.file, groups.c.rows.desc(), reject.c.line)
        .limit(limit)
    )
    with store.reading() as connection:
        return [RejectGroup(**row) for row in connection.execute(query).mappings()]


def count_rejects(store: Store) -> int:
    """How many rows were not taken, ever."""
    with store.reading() as connection:
        return int(connection.execute(text("SELECT count(*) FROM reject")).scalar_one())


def read_quality(store: Store, *, kind: str | None = None, open_only: bool = False) -> list[QualityRow]:
    """Quality entries, oldest first; of one kind, or only those still open."""
    found = [
        QualityRow(**{name: row[name] for name in QualityRow.__dataclass_fields__})
        for row in rows(store, "quality_entry", order=["opened_at", "id"])
    ]
    return [row for row in found if kind in (None, row.kind) and not (open_only and row.closed_at is not None)]


def _within(instant: datetime, start_us: int | None, end_us: int | None) -> bool:
    from indexer.times import to_us

    us = to_us(instant)
    return (start_us is None or us >= start_us) and (end_us is None or us < end_us)
