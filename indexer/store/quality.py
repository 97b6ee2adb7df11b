"""What the data lacked: the data-quality log, and the rows of files that were not taken."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, true
from sqlmodel import col, select

from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.rows import QualityRow, RejectRow, as_row, as_values
from indexer.store.tables import QualityEntry, Reject, Run


def read_quality(
    store: Store, *, kind: str | None = None, open_only: bool = False, since: datetime | None = None
) -> list[QualityRow]:
    """Entries of the data-quality log, oldest first; of one kind, still open, or still open at an instant."""
    return _entries(store, kinds=() if kind is None else (kind,), open_only=open_only, since=since)


def read_open_quality(store: Store, kinds: Collection[str] = ()) -> list[QualityRow]:
    """Entries still open, oldest first; of some kinds when given."""
    return _entries(store, kinds=kinds, open_only=True)


def _entries(
    store: Store, *, kinds: Collection[str], open_only: bool, since: datetime | None = None
) -> list[QualityRow]:
    query = select(QualityEntry).order_by(col(QualityEntry.opened_at), col(QualityEntry.id))
    closed = col(QualityEntry.closed_at)
    if kinds:
        query = query.where(col(QualityEntry.kind).in_(sorted(kinds)))
    if open_only:
        query = query.where(closed.is_(None))
    if since is not None:
        query = query.where(closed.is_(None) | (closed > since))
    return [as_row(QualityRow, entry) for entry in store.all(query)]


def write_quality(store: Store, run_id: int, entries: Sequence[QualityRow]) -> None:
    """Opens quality entries, or closes those already open (same kind, subject and opening)."""
    rows = [as_values(entry, run_id=run_id) for entry in entries]
    key = ["kind", "subject", "opened_at"]
    with store.writing_session() as session:
        upsert(session, QualityEntry, rows, key=key, update=["closed_at", "detail"])


def write_rejects(store: Store, run_id: int, rejects: Sequence[RejectRow]) -> None:
    """Keeps rows that were not taken; the same row of the same file for the same reason is kept once."""
    rows = [as_values(reject, run_id=run_id) for reject in rejects]
    with store.writing_session() as session:
        upsert(session, Reject, rows, key=["file_sha256", "line", "reason"])


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
    groups = (
        select(func.min(Reject.id).label("id"), func.count().label("rows"))
        .where(true() if file is None else col(Reject.file) == file)
        .group_by(col(Reject.run_id), col(Reject.file), col(Reject.reason))
        .subquery()
    )
    query = (
        select(Reject, Run.started_at, groups.c.rows)
        .join(Run)
        .join(groups, groups.c.id == Reject.id)
        .order_by(col(Run.id).desc(), col(Reject.file), groups.c.rows.desc(), col(Reject.line))
        .limit(limit)
    )
    found = store.all(query)
    return [as_row(RejectGroup, reject, imported_at=started, rows=rows) for reject, started, rows in found]
