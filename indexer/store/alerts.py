"""Alerts in the store: where each rule stands, and the outbox of what is to be sent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, update
from sqlmodel import col, select

from indexer.store.db import Store
from indexer.store.tables import AlertMessage, AlertState


def read_alert_states(store: Store) -> dict[tuple[str, str], AlertState]:
    """Where every rule stands, by rule and subject."""
    with store.session() as session:
        return {(state.rule, state.subject): state for state in session.exec(select(AlertState))}


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
    with store.session() as session:
        return list(session.exec(query))


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
