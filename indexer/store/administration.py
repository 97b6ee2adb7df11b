"""What the administrator says and decides, dated events, and what is sent to those who asked: alerts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, update
from sqlmodel import col, select

from indexer.errors import InputError, NotFoundError
from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.rows import AnnouncementRow, OverrideRow, as_row, as_values
from indexer.store.tables import AlertMessage, AlertState, Announcement, Event, Override
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
    return [as_row(AnnouncementRow, announcement) for announcement in store.all(query)]


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
    return [as_row(OverrideRow, override) for override in store.all(query)]


def read_override(store: Store, number: int) -> OverrideRow:
    """One override by its number. Raises NotFoundError."""
    for row in read_overrides(store):
        if row.id == number:
            return row
    raise _unknown(number)


def write_override(store: Store, row: OverrideRow) -> int:
    """Keeps a proposed override and gives its id."""
    override = Override(**as_values(row))
    with store.writing_session() as session:
        session.add(override)
        session.flush()
        return override.id


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


def read_events(store: Store) -> list[Event]:
    """Dated events, oldest first."""
    return store.all(select(Event).order_by(col(Event.time)))


def _unknown(number: int) -> NotFoundError:
    return NotFoundError(f"there is no override {number}; list them with `deai override list`")


def read_alert_states(store: Store) -> dict[tuple[str, str], AlertState]:
    """Where every rule stands, by rule and subject."""
    return {(state.rule, state.subject): state for state in store.all(select(AlertState))}


def write_alert_state(
    store: Store, *, before: AlertState | None, after: AlertState, messages: Sequence[AlertMessage]
) -> bool:
    """Keeps where a rule stands with what there is to send, both or nothing.

    False where it does not stand as `before` any more: another process was first.
    """
    with store.writing_session(log=True) as session:
        stored = session.get(AlertState, (after.rule, after.subject))
        if (stored and (stored.side, stored.seen)) != (before and (before.side, before.seen)):
            return False
        session.merge(after)
        session.add_all(messages)
    return True


def forget_alert_states(store: Store, rules: Collection[str]) -> None:
    """Forgets where these rules stood: there are no such any more."""
    with store.writing_session(log=True) as session:
        session.exec(delete(AlertState).where(col(AlertState.rule).in_(rules)))


def read_alert_messages(store: Store, *, limit: int, due_by: datetime | None = None) -> list[AlertMessage]:
    """The newest messages, or with `due_by` those due by then, longest due first."""
    query = select(AlertMessage).order_by(col(AlertMessage.created_at).desc(), col(AlertMessage.target)).limit(limit)
    if due_by is not None:
        due = col(AlertMessage.due_at)
        query = select(AlertMessage).where(due <= due_by).order_by(due).limit(limit)
    return store.all(query)


def revive_alert_messages(store: Store, target: str, *, now: datetime) -> int:
    """Makes what is dead of a target due again, from the first try on; how many there were."""
    own = (col(AlertMessage.target) == target, col(AlertMessage.outcome) == "dead")
    query = update(AlertMessage).where(*own).values(outcome="waiting", tries=0, due_at=now)
    with store.writing(log=True) as connection:
        return connection.execute(query).rowcount


def change_alert_message(store: Store, message: AlertMessage, *, after_tries: int, **changes: Any) -> bool:
    """Whether the changes were kept; not where it has been tried another number of times: somebody else had it."""
    own = (col(AlertMessage.webhook_id) == message.webhook_id, col(AlertMessage.target) == message.target)
    query = update(AlertMessage).where(*own, col(AlertMessage.tries) == after_tries).values(**changes)
    with store.writing(log=True) as connection:
        return connection.execute(query).rowcount == 1
