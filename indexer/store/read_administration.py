"""Reads what the administrator said and decided: announcements, overrides, challenges, seals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlmodel import SQLModel

from indexer.errors import NotFoundError
from indexer.store.db import Store
from indexer.store.records_administration import AnnouncementRow, ChallengeRow, OverrideRow, SealRow
from indexer.times import from_us


def read_announcements(
    store: Store,
    *,
    index_id: str | None = None,
    kind: str | None = None,
    after_id: int | None = None,
    limit: int | None = None,
) -> list[AnnouncementRow]:
    """Announcements, newest first: of one index (with those about all), of one kind, or only after a number."""
    table = SQLModel.metadata.tables["announcement"]
    query = select(*_columns(table, AnnouncementRow)).order_by(table.c.id.desc()).limit(limit)
    if index_id is not None:
        query = query.where((table.c.index_id == index_id) | table.c.index_id.is_(None))
    if kind is not None:
        query = query.where(table.c.kind == kind)
    if after_id is not None:
        query = query.where(table.c.id > after_id)
    with store.reading() as connection:
        return [AnnouncementRow(**row) for row in connection.execute(query).mappings()]


def read_overrides(store: Store, *, as_of_us: int | None = None) -> list[OverrideRow]:
    """Every override, oldest first; with `as_of_us` those that were approved and in force then."""
    table = SQLModel.metadata.tables["override"]
    query = select(*_columns(table, OverrideRow)).order_by(table.c.id)
    if as_of_us is not None:
        at = from_us(as_of_us)
        open_then = table.c.withdrawn_at.is_(None) | (table.c.withdrawn_at > at)
        query = query.where((table.c.approved_at <= at) & open_then)
    with store.reading() as connection:
        return [OverrideRow(**row) for row in connection.execute(query).mappings()]


def read_override(store: Store, number: int) -> OverrideRow:
    """One override by its number. Raises NotFoundError."""
    found = next((row for row in read_overrides(store) if row.id == number), None)
    if found is None:
        raise NotFoundError(f"there is no override {number}; list them with `deai override list`")
    return found


def read_challenges(store: Store, *, index_id: str | None = None) -> list[ChallengeRow]:
    """Every challenge, newest first; of one index when given."""
    table = SQLModel.metadata.tables["challenge"]
    query = select(*_columns(table, ChallengeRow)).order_by(table.c.id.desc())
    if index_id is not None:
        query = query.where(table.c.index_id == index_id)
    with store.reading() as connection:
        return [ChallengeRow(**row) for row in connection.execute(query).mappings()]


def read_seals(store: Store) -> list[SealRow]:
    """Every seal in the order of its chain."""
    table = SQLModel.metadata.tables["seal"]
    query = select(*_columns(table, SealRow)).order_by(table.c.id)
    with store.reading() as connection:
        found = [dict(row) for row in connection.execute(query).mappings()]
    blobs = ("digest", "marks", "keys", "prev_hash", "hash")
    return [SealRow(**{**row, **{name: bytes(row[name]) for name in blobs}}) for row in found]


def read_digests(store: Store, tables: Sequence[str]) -> dict[tuple[int, str], bytes]:
    """The digest of what each run wrote into some tables, by run and table."""
    table = SQLModel.metadata.tables["seal"]
    query = select(table.c.run_id, table.c.about, table.c.digest).where(table.c.about.in_(tables))
    with store.reading() as connection:
        return {(int(run), str(about)): bytes(digest) for run, about, digest in connection.execute(query)}


def _columns(table: Any, row: type[Any]) -> list[Any]:
    return [table.c[name] for name in row.__dataclass_fields__]
