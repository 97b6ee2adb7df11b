"""What the administrator says and decides: announcements, overrides, and dated events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import col, select

from indexer.errors import InputError, NotFoundError
from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.rows import AnnouncementRow, EventRow, OverrideRow, as_row, as_values
from indexer.store.tables import Announcement, Event, Override
from indexer.times import from_us


def read_announcements(
    store: Store,
    *,
    index_id: str | None = None,
    kind: str | None = None,
    after_id: int | None = None,
    limit: int | None = None,
) -> list[AnnouncementRow]:
    """Announcements, newest first: of one index (with those about all) or kind, or only after a number."""
    query = select(Announcement).order_by(col(Announcement.id).desc()).limit(limit)
    if index_id is not None:
        query = query.where((col(Announcement.index_id) == index_id) | col(Announcement.index_id).is_(None))
    if kind is not None:
        query = query.where(Announcement.kind == kind)
    if after_id is not None:
        query = query.where(col(Announcement.id) > after_id)
    with store.session() as session:
        return [as_row(AnnouncementRow, announcement) for announcement in session.exec(query)]


def write_announcements(store: Store, run_id: int, rows: Sequence[AnnouncementRow]) -> None:
    """Keeps announcements, which are never changed; one with a key that is there already is not said again."""
    with store.writing_session() as session:
        upsert(session, Announcement, [as_values(row, run_id=run_id) for row in rows], key=["key"])


def read_overrides(store: Store, *, as_of_us: int | None = None) -> list[OverrideRow]:
    """Every override, oldest first; with `as_of_us` those that were approved and in force then."""
    query = select(Override).order_by(col(Override.id))
    if as_of_us is not None:
        at = from_us(as_of_us)
        withdrawn = col(Override.withdrawn_at)
        query = query.where(col(Override.approved_at) <= at, withdrawn.is_(None) | (withdrawn > at))
    with store.session() as session:
        return [as_row(OverrideRow, override) for override in session.exec(query)]


def read_override(store: Store, number: int) -> OverrideRow:
    """One override by its number. Raises NotFoundError."""
    with store.session() as session:
        override = session.get(Override, number)
        if override is None:
            raise _unknown(number)
        return as_row(OverrideRow, override)


def write_override(store: Store, row: OverrideRow) -> int:
    """Keeps a proposed override and gives its id."""
    override = Override(**as_values(row))
    with store.writing_session() as session:
        session.add(override)
        session.flush()
        return int(override.id or 0)


def withdraw_override(store: Store, number: int, *, by: str, at: datetime) -> None:
    """Ends an override before its expiry; it stays readable.

    Raises NotFoundError for its id, InputError when it was withdrawn before.
    """
    with store.writing_session() as session:
        override = session.get(Override, number)
        if override is None:
            raise _unknown(number)
        if override.withdrawn_at is not None:
            raise InputError(f"override {number} was decided on before; it stays as it is, make a new one")
        override.withdrawn_by, override.withdrawn_at = by, at


def read_events(store: Store) -> list[EventRow]:
    """Dated events, oldest first."""
    with store.session() as session:
        return [as_row(EventRow, event) for event in session.exec(select(Event).order_by(col(Event.time)))]


def _unknown(number: int) -> NotFoundError:
    return NotFoundError(f"there is no override {number}; list them with `deai override list`")
