"""The store: one database, opened by URL; sessions, transactions, migrations and bulk reads.

The files beside this one read and write by noun and take a `Store`; nothing else talks to the database. SQLite (WAL)
is the default, PostgreSQL by `postgresql+psycopg://…`. One writer at a time on both: BEGIN IMMEDIATE on SQLite,
an advisory lock on PostgreSQL; so what a writer compared is still true when it inserts.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, overload

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    column,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    table,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlmodel import Session, col
from sqlmodel.sql.expression import Select as SelectOfTuple
from sqlmodel.sql.expression import SelectOfScalar

from indexer.errors import BusyError, ConfigError, DeaiError, StoreError
from indexer.store.arrow import Gate, gate_of
from indexer.store.tables import DataVersion

if TYPE_CHECKING:
    import pyarrow as pa
    from alembic.config import Config

__all__ = ["Session", "Store", "file_of", "open_store"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BUSY_TIMEOUT_MS = 30_000
RESTORE = "`deai restore FILE` takes a backup's place"
WRITER_LOCK = 0x64656169  # "deai": the advisory lock of the one writer on PostgreSQL
PRAGMAS = ("synchronous=NORMAL", "foreign_keys=ON", "cache_size=-4096", "temp_store=MEMORY")


class Store:
    """An open database. Make it with `open_store`; safe to share between threads, one per process is enough."""

    def __init__(
        self, url: str, engine: Engine, path: Path | None, *, head_file: Path | None = None, frozen: bool = False
    ) -> None:
        self.as_of_us: int | None = None  # readers give what was known then; None: all there is
        self.frozen = frozen  # an embedded store that nobody can write to
        self.url = url
        self.engine = engine
        self.path = path
        beside = () if path is None else (path.with_name(f"{path.name}.head"),)
        self.head_files: tuple[Path, ...] = beside if head_file is None else (*beside, head_file)
        self._gate: Gate | None = gate_of(str(path)) if path else None
        if self._gate:
            self._gate.guards(engine)

    def as_known(self, as_of_us: int | None) -> Store:
        """The same store as it was known at an instant: what its readers give where they are not told another."""
        view = copy(self)
        view.as_of_us = as_of_us
        return view

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.path is not None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session for reading: `session.exec(select(Level))`; all its statements see one state of the store."""
        with self.reading() as connection, Session(connection, expire_on_commit=False) as session:
            yield session

    @overload
    def all(self, query: SelectOfScalar[T]) -> list[T]: ...

    @overload
    def all(self, query: SelectOfTuple[*Ts]) -> list[tuple[*Ts]]: ...

    def all(self, query: Any) -> list[Any]:
        """The rows of a SELECT: models, values, or tuples of them."""
        with self.session() as session:
            return list(session.exec(query))

    def first(self, query: SelectOfScalar[T]) -> T | None:
        """The first model or value of a SELECT, None without any."""
        with self.session() as session:
            return session.exec(query.limit(1)).first()

    @contextmanager
    def writing_session(self, *, log: bool = False) -> Iterator[Session]:
        """A session of the one writer: all of it is kept, or nothing. `log` as of `writing`."""
        with self.writing(log=log) as connection, Session(connection, expire_on_commit=False) as session:
            yield session
            session.flush()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection whose statements all see one state of the store."""
        with self._share(), translated(self.url), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def writing(self, *, log: bool = False) -> Iterator[Connection]:
        """A transaction of the one writer, for bulk: all of it is kept, or nothing.

        What it changed is a new version of the data when the next run is closed, unless it is of a `log`: of runs, of
        leases, of links into the archive, which no kept answer is made of.
        """
        with self._share(), translated(self.url), self.engine.connect() as connection:
            connection.execution_options(deai_writes=True)
            with connection.begin():
                self._be_the_writer(connection)
                before = self._changes(connection)
                yield connection
                if not log and self._changes(connection) != before:
                    connection.execute(update(DataVersion).where(~col(DataVersion.pending)).values(pending=True))

    @contextmanager
    def rebuilding(self) -> Iterator[Connection]:
        """A writing transaction in which tables may be rebuilt: SQLite checks no foreign keys. For migrations."""
        with self._share(), translated(self.url), self.engine.connect() as connection:
            connection.execution_options(deai_writes=True)
            if self.is_sqlite:
                driver: Any = connection.connection.driver_connection
                driver.execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    self._be_the_writer(connection)
                    yield connection
            finally:
                connection.invalidate()

    def migrate(self) -> None:
        """Brings the tables to this program's version, in one transaction, once, whoever else tries."""
        upgrade(self)

    def arrow_tables(self, queries: Sequence[Select[Any]]) -> list[pa.Table]:
        """One Arrow table for each SELECT, read by ADBC side by side, all of one state of the store.

        On SQLite it waits until this process's sessions are closed (see arrow.py), so it is for bulk, not for
        single rows; and it types a column by its first rows, so select no column that may start with nulls.
        """
        from indexer.store.arrow import read_tables

        with self._own(), translated(self.url):
            return read_tables(self.url, self.path, queries, frozen=self.frozen)

    def check_whole(self) -> None:
        """Returns when every page of the file can be read (a server checks its own); else raises StoreError."""
        if self.is_sqlite:
            with self.reading() as connection:
                problem = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if problem != "ok":
                raise StoreError(
                    f"{self.path} is damaged ({str(problem).splitlines()[-1]}): nothing was written. {RESTORE}"
                )

    def close(self) -> None:
        """Closes every connection. A closed store opens again on use."""
        self.engine.dispose()

    def _be_the_writer(self, connection: Connection) -> None:
        if not self.is_sqlite:  # there BEGIN IMMEDIATE has done it
            connection.execute(select(func.pg_advisory_xact_lock(WRITER_LOCK)))

    def _changes(self, connection: Connection) -> int:
        """A number that is another one after a change of rows in the transaction."""
        if not self.is_sqlite:
            return int(connection.execute(select(func.pg_current_xact_id_if_assigned().is_not(None))).scalar_one())
        driver: Any = connection.connection.driver_connection
        return int(driver.total_changes)

    def _share(self) -> AbstractContextManager[None]:
        return self._gate.share() if self._gate else nullcontext()

    def _own(self) -> AbstractContextManager[None]:
        return self._gate.own() if self._gate else nullcontext()


def open_store(url: str, *, head_file: Path | None = None) -> Store:
    """The store at a URL: `sqlite:///path/to/file.db` (its directory is made) or `postgresql+psycopg://…`.

    `head_file` is where the head of its seals is kept too, beside an embedded store's own (see seals.py).

    Connects on first use. Raises ConfigError for another kind of URL, StoreError when the directory cannot be made.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the second for a port that is no number
        shown = re.sub(r"//[^@]*@", "//***@", url)
        raise ConfigError(
            f'"{shown}" is not a database URL: give sqlite:///data/deai.db or postgresql+psycopg://user@host/name'
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return Store(
            url,
            create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True),
            None,
            head_file=head_file,
        )
    if backend != "sqlite":
        raise ConfigError(
            f'The store speaks SQLite and PostgreSQL, not "{backend}": give sqlite:///… or postgresql://…'
        )
    if parsed.database in (None, "", ":memory:"):
        raise ConfigError("The store needs a file: give sqlite:///data/deai.db (a database in memory cannot be shared)")
    path = Path(str(parsed.database)).resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"Cannot make the directory {path.parent} for the store: {error.strerror}") from error
    if path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return Store(url, _frozen(path), path, head_file=head_file, frozen=True)
    engine = create_engine(parsed.set(database=str(path)), connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Store(url, engine, path, head_file=head_file)


def _frozen(path: Path) -> Engine:
    """A database where nothing may be written, read as it stands: SQLite would want files beside it."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise StoreError(
            f"{path} is read-only and has changes beside it ({log.name}) that only a writer can take over: "
            "open it once where it can be written, or copy both files to such a place"
        )
    query = {"mode": "ro", "immutable": "1", "uri": "true"}
    return create_engine(make_url("sqlite://").set(database=f"file:{path}", query=query))


def file_of(url: str) -> Path:
    """The file that a `sqlite:` URL names."""
    return Path(make_url(url).database or "")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own begins too late for a writer
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA page_size=16384")  # of a new file: fewer, larger pages read and write in bulk faster
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode=WAL")
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("deai_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turns what the drivers raise into StoreError or BusyError, with what to do about it."""
    try:
        yield
    except DeaiError:
        raise
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _ours(error, url) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("adbc_driver_manager", "psycopg"):
            raise _ours(error, url) from error
        raise


def _ours(error: Exception, url: str) -> DeaiError:
    where = make_url(url).render_as_string(hide_password=True)
    cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    cause = cause.strip().splitlines()[0] if cause.strip() else type(error).__name__
    if "is locked" in cause or "database is busy" in cause:
        return BusyError(f"Another process has been writing to {where} for {BUSY_TIMEOUT_MS // 1000} s; try again.")
    if "readonly database" in cause or "read-only transaction" in cause:
        return StoreError(
            f"{where} is read-only: it can be read and served; to write, use a place that can be written."
        )
    if "malformed" in cause or "not a database" in cause:
        return StoreError(f"{where} is damaged ({cause}): nothing was written. {RESTORE}")
    if "no such table" in cause or ("relation" in cause and "does not exist" in cause):
        return StoreError(f"{where} has no tables yet ({cause}); run the migration first.")
    if "full" in cause or "disk I/O" in cause or "No space" in cause or "extend file" in cause:
        return StoreError(
            f"{where} could not be written ({cause}): free some space and run again; nothing is half done."
        )
    return StoreError(f"{where} refused: {cause}. Nothing of this step was kept.")


MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(store: Store, revision: str = "head") -> None:
    """Upgrades to a revision; nothing to do is done at once. Raises StoreError when the database refuses.

    All of it happens in one transaction under the writer's lock: a killed migration leaves the store as it was, and of
    two processes that start together one migrates and the other finds it done.
    """
    found = current(store)
    if revision == "head" and found == head():
        return  # without importing Alembic, which costs a start a third of a second
    _check_known(store, found)
    from alembic import command

    _in_transaction(store, lambda config: command.upgrade(config, revision))


def revisions() -> list[str]:
    """Every revision, oldest first: they are numbered, and each file is named by its own."""
    return sorted(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def head() -> str:
    """The newest revision."""
    return revisions()[-1]


def _check_known(store: Store, found: str | None) -> None:
    """Returns when a store can be brought up to date from a revision; else raises StoreError with what to do."""
    if found is None:
        return
    where, anew = (
        make_url(store.url).render_as_string(hide_password=True),
        "import its files into an empty data directory",
    )
    if found not in revisions():
        raise StoreError(
            f"{where} is at revision {found}, which this program (up to {head()}) does not know: a newer one wrote it. "
            f"Use that version, or {anew}; nothing was changed."
        )
    with store.reading() as connection:
        columns = {str(row["name"]) for row in inspect(connection).get_columns("seal")}
    if "keys" not in columns:
        raise StoreError(
            f"{where} is of a state before the first release: no way leads here. Do {anew}; nothing was changed."
        )


def current(store: Store) -> str | None:
    """The revision the store is at, None when it was never migrated."""
    if store.path is not None and not store.path.exists():
        return None
    with store.reading() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(select(column("version_num")).select_from(table("alembic_version"))).scalar()


def downgrade(store: Store, revision: str) -> None:
    """Downgrades to a revision; `base` removes every table."""
    from alembic import command

    _in_transaction(store, lambda config: command.downgrade(config, revision))


def _in_transaction(store: Store, work: Callable[[Config], None]) -> None:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with store.rebuilding() as connection:
        config.attributes["connection"] = connection
        work(config)
