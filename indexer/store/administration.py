"""What the administrator says and decides: announcements, overrides, challenges, and dated events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import col, select

from indexer.errors import InputError, NotFoundError
from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.rows import AnnouncementRow, ChallengeRow, EventRow, OverrideRow, as_row, as_values
from indexer.store.tables import Announcement, Challenge, Event, Override
from indexer.times import from_us


def read_announcements(
    store: Store,
    *,
    index_id: str | None = None,
    kind: str | None = None,
    run_id: int | None = None,
    after_id: int | None = None,
    limit: int | None = None,
) -> list[AnnouncementRow]:
    """Announcements, newest first: of one index (with those about all), kind or run, or only after a number."""
    query = select(Announcement).order_by(col(Announcement.id).desc()).limit(limit)
    if index_id is not None:
        query = query.where((col(Announcement.index_id) == index_id) | col(Announcement.index_id).is_(None))
    if kind is not None:
        query = query.where(Announcement.kind == kind)
    if run_id is not None:
        query = query.where(Announcement.run_id == run_id)
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
            raise _unknown("override", number)
        return as_row(OverrideRow, override)


def write_override(store: Store, row: OverrideRow) -> int:
    """Keeps a proposed override and gives its id."""
    return _insert(store, Override(**as_values(row)))


def copy_overrides(store: Store, into: Store) -> None:
    """Writes the overrides of one store into another that has none, under the same numbers."""
    with store.session() as session:
        overrides = session.exec(select(Override).order_by(col(Override.id))).all()
    with into.writing_session() as session:
        session.add_all(Override(**override.model_dump()) for override in overrides)


def approve_override(store: Store, number: int, *, by: str, at: datetime) -> None:
    """Marks an override approved. Raises NotFoundError for its id, InputError when it was decided on before."""
    with store.writing_session() as session:
        override = session.get(Override, number)
        if override is None:
            raise _unknown("override", number)
        if override.approved_at is not None or override.withdrawn_at is not None:
            raise _decided("override", number, was="decided on")
        override.approved_by, override.approved_at = by, at


def withdraw_override(store: Store, number: int, *, by: str, at: datetime) -> None:
    """Ends an override before its expiry; it stays readable. Raises as `approve_override`."""
    with store.writing_session() as session:
        override = session.get(Override, number)
        if override is None:
            raise _unknown("override", number)
        if override.withdrawn_at is not None:
            raise _decided("override", number, was="decided on")
        override.withdrawn_by, override.withdrawn_at = by, at


def read_challenges(store: Store, *, index_id: str | None = None) -> list[ChallengeRow]:
    """Every challenge, newest first; of one index when given."""
    query = select(Challenge).order_by(col(Challenge.id).desc())
    if index_id is not None:
        query = query.where(Challenge.index_id == index_id)
    with store.session() as session:
        return [as_row(ChallengeRow, challenge) for challenge in session.exec(query)]


def write_challenge(store: Store, row: ChallengeRow) -> int:
    """Keeps a challenge with its frozen inputs and gives its id."""
    return _insert(store, Challenge(**as_values(row)))


def close_challenge(store: Store, number: int, *, outcome: str, at: datetime) -> None:
    """Closes a challenge with its outcome. Raises NotFoundError for its id, InputError when it is closed already."""
    with store.writing_session() as session:
        challenge = session.get(Challenge, number)
        if challenge is None:
            raise _unknown("challenge", number)
        if challenge.closed_at is not None:
            raise _decided("challenge", number, was="closed")
        challenge.closed_at, challenge.outcome = at, outcome


def read_events(store: Store, *, start_us: int | None = None, end_us: int | None = None) -> list[EventRow]:
    """Dated events, start <= time < end, oldest first."""
    query = select(Event).order_by(col(Event.time))
    if start_us is not None:
        query = query.where(Event.time >= from_us(start_us))
    if end_us is not None:
        query = query.where(Event.time < from_us(end_us))
    with store.session() as session:
        return [as_row(EventRow, event) for event in session.exec(query)]


def _insert(store: Store, model: Override | Challenge) -> int:
    with store.writing_session() as session:
        session.add(model)
        session.flush()
        return int(model.id or 0)


def _unknown(what: str, number: int) -> NotFoundError:
    return NotFoundError(f"there is no {what} {number}; list them with `deai {what} list`")


def _decided(what: str, number: int, *, was: str) -> InputError:
    return InputError(f"{what} {number} was {was} before; it stays as it is, make a new one")
