"""Tables of what was done and what was lacking: runs, rejects, quality, payloads, events, the lease.

A part of `tables.py`, which gives them on under its own name.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

import indexer.store.naming  # noqa: F401 - before any table is made
from indexer.store.columns import Instant


class Run(SQLModel, table=True):
    """One piece of work, done at most once: `key` is what makes it idempotent (e.g. import:<sha256>)."""

    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(index=True)
    key: str = Field(unique=True)
    due_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    started_at: datetime = Field(sa_column=Column(Instant, nullable=False, index=True))
    finished_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    outcome: str = Field(default="running", description="running, done, failed, interrupted")
    detail: str = Field(default="{}", sa_column=Column(Text, nullable=False))


class Event(SQLModel, table=True):
    """Something dated that the charts and studies refer to (a corporate action, a shock, a decision)."""

    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(unique=True)
    kind: str
    time: datetime = Field(sa_column=Column(Instant, nullable=False))
    title: str
    source: str
    detail: str = Field(default="{}", sa_column=Column(Text, nullable=False))


class Reject(SQLModel, table=True):
    """A row that was not taken, with file, line, reason and the row itself. Never deleted."""

    __table_args__ = (UniqueConstraint("file_sha256", "line", "reason"),)
    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id", index=True)
    file: str
    file_sha256: str
    line: int
    reason: str
    row: str = Field(sa_column=Column(Text, nullable=False))


class QualityEntry(SQLModel, table=True):
    """Something the data lacked or disagreed about, from when to when. Open while `closed_at` is empty."""

    __tablename__ = "quality_entry"
    __table_args__ = (UniqueConstraint("kind", "subject", "opened_at"),)
    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(index=True, description="gap, stale, disagreement, reject, source_down, …")
    subject: str = Field(description="asset, venue, source or index it is about")
    opened_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    detail: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    run_id: int = Field(foreign_key="run.id")


class Payload(SQLModel, table=True):
    """A raw answer kept in the archive, by hash, linked to the run it fed."""

    __table_args__ = (UniqueConstraint("sha256", "run_id"),)
    id: int | None = Field(default=None, primary_key=True)
    sha256: str
    run_id: int = Field(foreign_key="run.id", index=True)
    source: str
    url: str = Field(description="with keys redacted")
    fetched_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    bytes: int


class Lease(SQLModel, table=True):
    """Who may do the scheduled work now. One row a name; taken over when it has expired."""

    name: str = Field(primary_key=True)
    holder: str
    expires_at: datetime = Field(sa_column=Column(Instant, nullable=False))
