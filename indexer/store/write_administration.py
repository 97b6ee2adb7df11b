"""Writes what the administrator says and decides. Announcements and seals are only ever added to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import text
from sqlmodel import SQLModel

from indexer.errors import InputError, NotFoundError
from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.records_administration import AnnouncementRow, ChallengeRow, OverrideRow, SealRow
from indexer.times import to_us


def write_announcements(store: Store, run_id: int, rows: Sequence[AnnouncementRow]) -> None:
    """Keeps announcements; one with a key that is there already is not said again."""
    with store.writing() as connection:
        values = [{**{k: v for k, v in asdict(row).items() if k != "id"}, "run_id": run_id} for row in rows]
        upsert(connection, "announcement", values, key=["key"])


def write_override(store: Store, row: OverrideRow) -> int:
    """Keeps a proposed override and gives its id."""
    return _insert(store, "override", {k: v for k, v in asdict(row).items() if k != "id"})


def approve_override(store: Store, number: int, *, by: str, at: datetime) -> None:
    """Marks an override approved. Raises NotFoundError for its id, InputError when it was decided on before."""
    _decide(store, number, "approved", by=by, at=at, only="approved_at IS NULL AND withdrawn_at IS NULL")


def withdraw_override(store: Store, number: int, *, by: str, at: datetime) -> None:
    """Ends an override before its expiry; it stays readable. Raises as `approve_override`."""
    _decide(store, number, "withdrawn", by=by, at=at, only="withdrawn_at IS NULL")


def write_challenge(store: Store, row: ChallengeRow) -> int:
    """Keeps a challenge with its frozen inputs and gives its id."""
    return _insert(store, "challenge", {k: v for k, v in asdict(row).items() if k != "id"})


def close_challenge(store: Store, number: int, *, outcome: str, at: datetime) -> None:
    """Closes a challenge with its outcome. Raises NotFoundError for its id, InputError when it is closed already."""
    with store.writing() as connection:
        done = connection.execute(
            text("UPDATE challenge SET closed_at = :at, outcome = :outcome WHERE id = :id AND closed_at IS NULL"),
            {"at": to_us(at), "outcome": outcome, "id": number},
        )
        if done.rowcount != 1:
            known = connection.execute(text("SELECT 1 FROM challenge WHERE id = :id"), {"id": number}).first()
            raise _refusal("challenge", number, known=known is not None, was="closed")


def write_seals(store: Store, rows: Sequence[SealRow]) -> None:
    """Adds seals; a run's table is sealed once."""
    with store.writing() as connection:
        values = [{k: v for k, v in asdict(row).items() if k != "id"} for row in rows]
        upsert(connection, "seal", values, key=["run_id", "about"])


def set_index_state(store: Store, index_id: str, state: str) -> None:
    """Changes an index's state; who may do so and why is decided before (`administration.lifecycle`)."""
    with store.writing() as connection:
        connection.execute(
            text("UPDATE index_info SET state = :state WHERE id = :id"), {"state": state, "id": index_id}
        )


def _decide(store: Store, number: int, what: str, *, by: str, at: datetime, only: str) -> None:
    with store.writing() as connection:
        done = connection.execute(
            text(f"UPDATE override SET {what}_by = :by, {what}_at = :at WHERE id = :id AND {only}"),
            {"by": by, "at": to_us(at), "id": number},
        )
        if done.rowcount != 1:
            known = connection.execute(text("SELECT 1 FROM override WHERE id = :id"), {"id": number}).first()
            raise _refusal("override", number, known=known is not None, was="decided on")


def _refusal(what: str, number: int, *, known: bool, was: str) -> InputError | NotFoundError:
    if known:
        return InputError(f"{what} {number} was {was} before; it stays as it is, make a new one")
    return NotFoundError(f"there is no {what} {number}; list them with `deai {what} list`")


def _insert(store: Store, table: str, row: dict[str, object]) -> int:
    with store.writing() as connection:
        source = SQLModel.metadata.tables[table]
        return int(connection.execute(source.insert().returning(source.c.id), [row]).scalar_one())
