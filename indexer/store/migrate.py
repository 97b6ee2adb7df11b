"""Brings a store's tables up to date by Alembic, from inside the program: no ini file, no shell.

All of an upgrade happens in one transaction under the writer's lock (SQLite: BEGIN IMMEDIATE, PostgreSQL: an
advisory lock). So a killed migration leaves the store as it was, and of two processes that start together one
migrates and the other finds it done.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection, column, inspect, select, table

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")


class Database(Protocol):
    """What is asked of a store: where its file is, a connection to look, and one in which tables may be rebuilt."""

    path: Path | None

    def reading(self) -> AbstractContextManager[Connection]: ...

    def rebuilding(self) -> AbstractContextManager[Connection]: ...


def upgrade(store: Database, revision: str = "head") -> None:
    """Upgrades to a revision; nothing to do is done at once. Raises StoreError when the database refuses."""
    if revision == "head" and current(store) == head():
        return  # without importing Alembic, which costs a start a third of a second
    from alembic import command

    _in_transaction(store, lambda config: command.upgrade(config, revision))


def head() -> str:
    """The newest revision: versions are numbered, and each file is named by its own."""
    return max(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def current(store: Database) -> str | None:
    """The revision the store is at, None when it was never migrated."""
    if store.path is not None and not store.path.exists():
        return None
    with store.reading() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(select(column("version_num")).select_from(table("alembic_version"))).scalar()


def downgrade(store: Database, revision: str) -> None:
    """Downgrades to a revision; `base` removes every table."""
    from alembic import command

    _in_transaction(store, lambda config: command.downgrade(config, revision))


def _in_transaction(store: Database, work: Callable[[Config], None]) -> None:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with store.rebuilding() as connection:
        config.attributes["connection"] = connection
        work(config)
