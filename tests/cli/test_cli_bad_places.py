"""Starting where it cannot work: one sentence, the right exit code, no traceback; what can be read is read."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.store.db import open_store


def deai(folder: Path, *arguments: str, before: tuple[str, ...] = (), **settings: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command with a data directory."""
    env = os.environ | {"DEAI_DATA_DIR": str(folder), "DEAI_SOURCES": "none", "DEAI_ONCHAIN": "false", **settings}
    command = [*before, sys.executable, "-c", "from indexer.cli import main; main()", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=env, cwd=folder.parent)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    store = open_store(f"sqlite:///{made / 'deai.sqlite'}")
    store.migrate()
    with store.writing() as connection:
        for number in range(200):
            connection.exec_driver_sql(
                "insert into run(kind, key, started_at, outcome, detail) values ('x', ?, 1767225600000000, 'done', ?)",
                (f"k{number}", "x" * 2000),
            )
    store.close()
    return made


def test_a_port_that_is_taken_is_told_and_not_something_not_found(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, said = deai(folder, "serve", "--port", str(taken.getsockname()[1]))
    assert (code, said.count("\n")) == (6, 1) and "is taken" in said and "by --port" in said


def test_a_damaged_or_cut_file_is_told_before_anything_is_written(folder: Path) -> None:
    path = folder / "deai.sqlite"
    whole = path.read_bytes()
    middle = len(whole) // 2 // 16384 * 16384
    for damaged in (
        whole[:middle] + os.urandom(16384) + whole[middle + 16384 :],
        whole[: len(whole) // 3],
        b"x" * 9000,
    ):
        path.write_bytes(damaged)
        code, _, said = deai(folder, "update", "--offline")
        assert code == 6 and "is damaged" in said and "deai restore" in said, said
        assert path.read_bytes() == damaged


def test_rules_that_nobody_writes_are_refused_in_a_sentence(folder: Path) -> None:
    rules = folder / "rules.toml"
    for text in ("x = " + "[" * 20_000 + "]" * 20_000, "x = 1" + "0" * 100_000, "#" * 5_000_000):
        rules.write_text(text)
        code, _, said = deai(folder, "methodology", "check", str(rules))
        assert code == 2 and len(said) < 400, said[:400]


def test_an_address_of_a_database_keeps_its_secret(folder: Path) -> None:
    code, _, said = deai(folder, "status", DEAI_DATABASE_URL="postgresql://user:s3cret@host:notaport/db")
    assert code == 2 and "s3cret" not in said and "is not a database URL" in said


def test_a_store_that_may_not_be_written_is_read(folder: Path) -> None:
    """A read-only mount for root, whom no mode of a file stops; the modes for everybody else."""
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        before = ("unshare", "-m", "sh", "-c", mount, str(folder))
        if shutil.which("unshare") is None or subprocess.run([*before, "true"], check=False).returncode:
            pytest.skip("root without the right to mount cannot make a read-only directory")
    else:
        folder.chmod(0o555)
    code, _, said = deai(folder, "status", "--json", before=before)
    assert (code, said) == (3, said) and "unable to open" not in said
    code, _, said = deai(folder, "update", "--offline", before=before)
    assert code == 6 and "is read-only: it can be read and served" in said
    folder.chmod(0o755)
    assert sqlite3.connect(folder / "deai.sqlite").execute("select count(*) from run").fetchone() == (200,)
