"""Migrations: there and back on both databases, killed in the middle, and started by several processes at once."""

from __future__ import annotations

import signal
import subprocess
import sys

from sqlalchemy import inspect

from indexer.store import migrate
from indexer.store.db import open_store

MIGRATE = "import sys; from indexer.store.db import open_store; s = open_store(sys.argv[1]); s.migrate(); s.close()"

KILLED = """
import os, signal, sys
from sqlalchemy import event
from indexer.store.db import open_store

store, seen = open_store(sys.argv[1]), [0]

@event.listens_for(store.engine, "before_cursor_execute")
def count(connection, cursor, statement, *rest):
    seen[0] += statement.lstrip().upper().startswith("CREATE TABLE")
    if seen[0] == 9:
        os.kill(os.getpid(), signal.SIGKILL)

store.migrate()
"""


def _tables(url: str) -> set[str]:
    store = open_store(url)
    names = set(inspect(store.engine).get_table_names())
    store.close()
    return names


def test_up_down_up_and_no_difference_from_the_tables(empty_url: str) -> None:
    store = open_store(empty_url)
    migrate.upgrade(store)
    migrate.check(store)
    made = _tables(empty_url)
    assert {"bar", "level", "rate", "run", "reject", "rebalancing_item"} <= made
    migrate.downgrade(store, "base")
    assert _tables(empty_url) <= {"alembic_version"}
    migrate.upgrade(store)
    migrate.check(store)
    assert _tables(empty_url) == made
    store.close()


def test_migrating_again_does_nothing(empty_url: str) -> None:
    store = open_store(empty_url)
    store.migrate()
    store.migrate()
    migrate.check(store)
    store.close()


def test_a_migration_killed_in_the_middle_leaves_nothing_and_can_be_repeated(empty_url: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, empty_url], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert _tables(empty_url) == set()
    store = open_store(empty_url)
    store.migrate()
    migrate.check(store)
    store.close()


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, empty_url], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0], errors
    store = open_store(empty_url)
    migrate.check(store)
    store.close()
