"""Writes the ledger of runs and the leases: what was done, by whom it may be done now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from indexer.store.db import Store
from indexer.times import to_us

DONE = "done"
RUNNING = "running"


def start_run(store: Store, *, kind: str, key: str, now: datetime, due_at: datetime | None = None) -> int | None:
    """The id of the run for `key`, or None when that key is already done.

    A run that crashed, failed or was interrupted is taken up again under its id; `started_at` moves to `now`,
    because what it writes from here on is known from now on (never earlier: an as-of read must not look ahead).
    """
    with store.writing() as connection:
        row = connection.execute(text("SELECT id, outcome FROM run WHERE key = :key"), {"key": key}).first()
        if row is None:
            return _insert(connection, kind, key, now, due_at)
        if row.outcome == DONE:
            return None
        connection.execute(
            text("UPDATE run SET outcome = :outcome, started_at = :now, finished_at = NULL WHERE id = :id"),
            {"outcome": RUNNING, "now": to_us(now), "id": row.id},
        )
        return int(row.id)


def finish_run(
    store: Store, run_id: int, *, now: datetime, outcome: str = DONE, detail: Mapping[str, Any] | None = None
) -> None:
    """Closes a run: outcome done (its key is never run again), failed or interrupted (it will be).

    A run that is done stays as it was closed: of two processes that worked on it the first one's word counts.
    """
    with store.writing() as connection:
        connection.execute(
            text(
                "UPDATE run SET finished_at = :now, outcome = :outcome, detail = :detail "
                "WHERE id = :id AND outcome != 'done'"
            ),
            {"now": to_us(now), "outcome": outcome, "detail": json.dumps(dict(detail or {})), "id": run_id},
        )


def take_lease(store: Store, name: str, holder: str, now: datetime, ttl_s: float) -> bool:
    """Whether `holder` has the lease now: it was free, expired, or already its own (then it is prolonged)."""
    until = to_us(now + timedelta(seconds=ttl_s))
    with store.writing() as connection:
        taken = connection.execute(
            text(
                "INSERT INTO lease (name, holder, expires_at) VALUES (:name, :holder, :until) "
                "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at "
                "WHERE lease.holder = excluded.holder OR lease.expires_at <= :now"
            ),
            {"name": name, "holder": holder, "until": until, "now": to_us(now)},
        )
        return taken.rowcount == 1


def release_lease(store: Store, name: str, holder: str) -> None:
    """Gives the lease back if `holder` has it; another holder's lease is left alone."""
    with store.writing() as connection:
        connection.execute(
            text("DELETE FROM lease WHERE name = :name AND holder = :holder"), {"name": name, "holder": holder}
        )


def _insert(connection: Connection, kind: str, key: str, now: datetime, due_at: datetime | None) -> int:
    row = connection.execute(
        text(
            "INSERT INTO run (kind, key, due_at, started_at, outcome, detail) "
            "VALUES (:kind, :key, :due, :now, :outcome, '{}') RETURNING id"
        ),
        {
            "kind": kind,
            "key": key,
            "due": None if due_at is None else to_us(due_at),
            "now": to_us(now),
            "outcome": RUNNING,
        },
    )
    return int(row.scalar_one())
