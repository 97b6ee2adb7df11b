"""A full disk, a lock that is not given up, a process killed while it writes: nothing lost, nothing doubled."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from seeds import bars, seed
from sqlalchemy import event

from indexer.errors import BusyError, StoreError
from indexer.store import db
from indexer.store.bars import read_bars, write_bars
from indexer.store.db import Store, open_store
from indexer.store.rows import Written

LIMITED = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from seeds import bars
from indexer.errors import StoreError
from indexer.store.bars import write_bars
from indexer.store.db import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
try:
    write_bars(store, 1, bars(1, [1.5] * 100_000))
except StoreError as error:
    print(error)
    sys.exit(7)
"""

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from seeds import bars
from indexer.store import bulk
from indexer.store.bars import write_bars
from indexer.store.db import open_store
bulk.CHUNK_ROWS = 1000
store = open_store(sys.argv[1])
insert, calls = bulk._insert, []
def dying(*args, rows):
    insert(*args, rows=rows)
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
bulk._insert = dying
write_bars(store, 1, bars(1, [1.5] * 5000))
"""

HERE = str(Path(__file__).parent)


def _run(script: str, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, url, HERE]
    return subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)


def test_a_full_disk_is_a_store_error_and_keeps_nothing_of_the_chunk(sqlite_store: Store) -> None:
    made = seed(sqlite_store)
    write_bars(sqlite_store, made.run_id, bars(made.listings[0], [1.5] * 10))
    sqlite_store.close()
    failed = _run(LIMITED, sqlite_store.url)
    assert failed.returncode == 7, failed.stderr
    assert "could not be written (" in failed.stdout
    assert "free some space and run again" in failed.stdout
    assert len(read_bars(sqlite_store).close) == 10
    assert write_bars(sqlite_store, made.run_id, bars(made.listings[0], [1.5] * 100_000)) == Written(
        new=99_990, unchanged=10
    )


def test_a_database_at_its_page_limit_is_a_store_error(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'small.db'}")
    store.migrate()
    made = seed(store)
    event.listen(store.engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count=120"))
    store.close()
    with pytest.raises(StoreError, match=r"could not be written \(database or disk is full\)"):
        write_bars(store, made.run_id, bars(made.listings[0], [1.5] * 50_000))
    assert len(read_bars(store).close) == 0
    store.close()


def test_a_process_killed_between_chunks_loses_only_the_open_one(store: Store) -> None:
    made = seed(store)
    killed = _run(KILLED, store.url)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(read_bars(store).close) == 2000
    again = write_bars(store, made.run_id, bars(made.listings[0], [1.5] * 5000))
    assert again == Written(new=3000, unchanged=2000)
    assert len(read_bars(store).close) == 5000


def test_a_lock_that_is_not_given_up_is_a_busy_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 50)
    store = open_store(f"sqlite:///{tmp_path / 'busy.db'}")
    store.migrate()
    holder = sqlite3.connect(tmp_path / "busy.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError, match=r"Another process has been writing to .* try again") as caught:
        seed(store)
    assert caught.value.retryable
    holder.execute("ROLLBACK")
    holder.close()
    seed(store)
    store.close()
