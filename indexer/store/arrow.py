"""Bulk reads by ADBC: the rows of SELECTs as Arrow tables, without a Python object per value.

On SQLite this uses ADBC's own SQLite library, so it owns the gate meanwhile (gate.py says why) and can read with
several connections at once, all pinned to one state of the store.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url

from indexer.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

    from indexer.store.db import Store

Statement = tuple[str, Mapping[str, object]]

MAX_READERS = 4
BATCH_ROWS = 65_536
BUSY_TIMEOUT_MS = 30_000


def readers(store: Store) -> int:
    """How many statements `read_tables` runs at once on this store and machine."""
    return min(MAX_READERS, os.cpu_count() or 1) if store.is_sqlite else 1


def read_tables(store: Store, statements: Sequence[Statement]) -> list[pa.Table]:
    """One Arrow table per SELECT, all of the same state of the store. `:name` marks parameters."""
    if store.is_sqlite:
        return _from_sqlite(store, statements)
    from adbc_driver_postgresql import dbapi

    uri = make_url(store.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return [_fetch(cursor, statement, mark="$") for statement in statements]


def _from_sqlite(store: Store, statements: Sequence[Statement]) -> list[pa.Table]:
    from adbc_driver_sqlite import dbapi

    with ExitStack() as stack:
        guard = stack.enter_context(dbapi.connect(str(store.path), autocommit=True))
        cursors = []
        if len(statements) > 1:
            _run(guard, "BEGIN IMMEDIATE")  # no one commits while the readers take their place
        for _ in statements:
            connection = stack.enter_context(dbapi.connect(str(store.path)))
            _run(connection, "SELECT 1 FROM run LIMIT 1")
            cursor = stack.enter_context(connection.cursor())
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)})
            cursors.append(cursor)
        if len(statements) > 1:
            _run(guard, "ROLLBACK")
        if len(statements) == 1:
            return [_fetch(cursors[0], statements[0], mark="?")]
        with ThreadPoolExecutor(len(statements)) as pool:
            return list(pool.map(lambda job: _fetch(job[0], job[1], mark="?"), zip(cursors, statements, strict=True)))


def _run(connection: Any, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.fetchall()
        cursor.execute(sql)
        cursor.fetchall()


def _fetch(cursor: Any, statement: Statement, *, mark: str) -> pa.Table:
    sql, values = _numbered(*statement, mark=mark)
    cursor.execute(sql, values or None)
    try:
        return cursor.fetch_arrow_table()
    except OSError as error:  # what the database says in the middle of a stream
        raise StoreError(
            f"The store broke off a bulk read: {error}. Read again; if it stays, check the disk."
        ) from error


def _numbered(sql: str, params: Mapping[str, object], *, mark: str) -> tuple[str, list[object]]:
    """`:name` parameters in the driver's own form, ?1 or $1."""
    values: list[object] = []
    for number, name in enumerate(sorted(params, key=lambda name: -len(name)), start=1):
        sql = sql.replace(f":{name}", f"{mark}{number}")
        values.append(params[name])
    return sql, values
