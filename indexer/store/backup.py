"""A backup of an embedded store with its archive in one file, taken while others work, and its way back.

First the head of the seals, then the database by SQLite's own backup, then the answers: so the head is never ahead of
the database, and what a row of the database names was in the archive before it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from indexer.errors import InputError, StoreError
from indexer.store.db import Store
from indexer.store.drafts import draft

DATABASE, HEAD, KEYS, ALERTS, ARCHIVE = "deai.sqlite", "deai.sqlite.head", "keys.json", "alerts.toml", "archive"
OCCUPIED = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", HEAD, KEYS, ALERTS, ARCHIVE)
BY_SERVER = "a PostgreSQL store is backed up by `pg_dump`, and the folder {folder}/archive beside it by any copy"


def write_backup(store: Store, folder: Path, path: Path) -> int:
    """Writes the backup (tar) of a store and its data directory, whole or not at all; its size in bytes.

    Without the owner's token, which the next start makes. Raises InputError for a store of a server and where a file
    of that name is.
    """
    if store.path is None:
        raise InputError(BY_SERVER.format(folder=folder))
    if path.exists():
        raise InputError(f"{path} is there already and stays as it is: give the backup another name")
    near = path.resolve().parent
    with (
        draft(path, mode=0o600, error=StoreError) as part,
        tempfile.TemporaryDirectory(dir=near, prefix=".backup-") as copies,
        tarfile.open(part, "w") as out,
    ):
        head = store.path.with_name(f"{store.path.name}.head")
        if head.exists():
            out.add(head, HEAD)
        _copy(store, Path(copies) / DATABASE)
        out.add(Path(copies) / DATABASE, DATABASE)
        for file in _files(folder):
            with contextlib.suppress(FileNotFoundError):  # packed meanwhile, or there is none
                out.add(file, str(file.relative_to(folder)), recursive=False)
    return path.stat().st_size


def restore_backup(path: Path, folder: Path) -> None:
    """Puts a backup into a data directory without a store. Raises InputError where there is one, or no backup.

    Nothing is put over what is there: the log beside another database would be taken for this one's.
    """
    present = [name for name in OCCUPIED if _occupied(folder / name)]
    if present:
        raise InputError(
            f"{', '.join(present)} is there already in {folder}: move it away, or set DEAI_DATA_DIR to an empty place"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".restore-") as draft:
            with tarfile.open(path) as backup:
                backup.extractall(draft, filter="data")
            if not (Path(draft) / DATABASE).is_file():
                raise InputError(f"{path} is no backup: there is no {DATABASE} in it; give a file of `deai backup`")
            with closing(sqlite3.connect(Path(draft) / DATABASE)) as database:
                if database.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
                    raise InputError(f"the database in {path} is damaged; take another backup")
            for name in (HEAD, KEYS, ALERTS, ARCHIVE, DATABASE):  # the database last: before it there is no store
                if (Path(draft) / name).exists():
                    (Path(draft) / name).rename(folder / name)
    except (OSError, tarfile.TarError, sqlite3.Error) as error:
        raise InputError(f"{path} is no backup that can be restored here: {error}") from None


def _occupied(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _copy(store: Store, target: Path) -> None:
    """A consistent copy while others write."""
    with store.reading() as connection, closing(sqlite3.connect(target)) as copy:
        driver: Any = connection.connection.driver_connection
        driver.backup(copy)


def _files(folder: Path) -> Iterator[Path]:
    """The keys, the alerts, and the archive: loose answers before the containers that they may move to meanwhile."""
    yield from (folder / KEYS, folder / ALERTS)
    loose = sorted((folder / ARCHIVE).glob("??/*.gz"))
    yield from loose
    yield from sorted(file for file in (folder / ARCHIVE).rglob("*") if file.is_file() and file not in set(loose))
