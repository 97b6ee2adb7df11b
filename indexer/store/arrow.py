"""Bulk reads by ADBC: the rows of SELECTs as Arrow tables, without a Python object per value.

On SQLite ADBC brings a second SQLite library with its own idea of the process's locks: two libraries that hold the
same file open at the same time truncate and unlock each other's shared memory (sqlite.org/howtocorrupt, "multiple
copies of SQLite"; seen here: "database disk image is malformed" within a second). So row connections share a gate, and
a bulk read takes it alone, with every row connection of this process closed; then it reads with several connections at
once, all pinned to one state of the store. Open the file by nothing but a `Store` in this process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy import Engine, Select, make_url
from sqlalchemy.dialects import postgresql, sqlite

from indexer.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

MAX_READERS = 4
BATCH_ROWS = 65_536
BUSY_TIMEOUT_MS = 30_000


def read_tables(url: str, path: Path | None, queries: Sequence[Select[Any]], *, frozen: bool = False) -> list[pa.Table]:
    """One Arrow table per SELECT, all of the same state of the store.

    `path` is the file of an embedded store, None for one that is reached by its URL.
    """
    if path is not None:
        address = f"file:{path}?mode=ro&immutable=1" if frozen else str(path)
        return _from_sqlite(address, [sql_text(query, embedded=True) for query in queries], frozen=frozen)
    from adbc_driver_postgresql import dbapi

    uri = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return [_fetch(cursor, sql_text(query, embedded=False)) for query in queries]


def sql_text(query: Select[Any], *, embedded: bool) -> str:
    """A SELECT as ADBC takes it: text with its values inside, quoted by SQLAlchemy."""
    make: Any = sqlite.dialect if embedded else postgresql.dialect
    dialect = make(paramstyle="named")
    return str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _from_sqlite(address: str, statements: Sequence[str], *, frozen: bool) -> list[pa.Table]:
    """Shares the statements out among a few connections, each to whichever is free next.

    Where nobody can write (`frozen`) nobody needs to be held off meanwhile.
    """
    from adbc_driver_sqlite import dbapi

    count = min(MAX_READERS, os.cpu_count() or 1, len(statements))
    with ExitStack() as stack:
        guard = stack.enter_context(dbapi.connect(address, autocommit=True))
        if count > 1 and not frozen:
            _run(guard, "BEGIN IMMEDIATE")  # no one commits while the readers take their place
        free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(count):
            connection = stack.enter_context(dbapi.connect(address))
            _run(connection, "SELECT 1 FROM run LIMIT 1")
            cursor = stack.enter_context(connection.cursor())
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)})
            free.put(cursor)
        if count > 1 and not frozen:
            _run(guard, "ROLLBACK")

        def fetch(sql: str) -> pa.Table:
            cursor = free.get()
            try:
                return _fetch(cursor, sql)
            finally:
                free.put(cursor)

        if count == 1:
            return [fetch(sql) for sql in statements]
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(fetch, statements))


def _run(connection: Any, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.fetchall()
        cursor.execute(sql)
        cursor.fetchall()


def _fetch(cursor: Any, sql: str) -> pa.Table:
    cursor.execute(sql)
    try:
        return cursor.fetch_arrow_table()
    except OSError as error:  # what the database says in the middle of a stream
        raise StoreError(
            f"The store broke off a bulk read: {error}. Read again; if it stays, check the disk."
        ) from error


class Gate:
    """Many sharers or one owner, in turn: who waits when an owner leaves goes before the next owner.

    Sharing again in the same thread is free.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._sharers = 0
        self._sharers_waiting = 0
        self._passes = 0  # sharers let in before the next owner
        self._owners_waiting = 0
        self._owned = False
        self._mine = threading.local()
        self._engines: WeakSet[Engine] = WeakSet()

    def guards(self, engine: Engine) -> None:
        """Takes an engine among those whose connections an owner finds closed."""
        self._engines.add(engine)

    @contextmanager
    def share(self) -> Iterator[None]:
        """Holds the gate together with other sharers, for the length of a connection."""
        depth = getattr(self._mine, "depth", 0)
        if depth == 0:
            self._enter()
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            if depth == 0:
                with self._turn:
                    self._sharers -= 1
                    self._turn.notify_all()

    @contextmanager
    def own(self) -> Iterator[None]:
        """Holds the gate alone. Raises StoreError in a thread that shares it, which would wait for itself."""
        if getattr(self._mine, "depth", 0):
            raise StoreError("A bulk read inside an open session would wait for itself; close the session first.")
        with self._turn:
            self._owners_waiting += 1
            self._turn.wait_for(lambda: not self._owned and not self._sharers and not self._passes)
            self._owners_waiting -= 1
            self._owned = True
        try:
            for engine in list(self._engines):
                engine.dispose()
            yield
        finally:
            with self._turn:
                self._owned = False
                self._passes = self._sharers_waiting
                self._turn.notify_all()

    def _enter(self) -> None:
        with self._turn:
            self._sharers_waiting += 1
            self._turn.wait_for(lambda: not self._owned and (not self._owners_waiting or self._passes > 0))
            self._sharers_waiting -= 1
            self._passes = max(0, self._passes - 1)
            self._sharers += 1


@cache
def gate_of(path: str) -> Gate:
    """The one gate of a file in this process: the locks it stands for are the process's too."""
    return Gate()
