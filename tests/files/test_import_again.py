"""Importing twice writes nothing; a killed import is completed by importing again; two at once do no harm."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from import_samples import HEADER, HOURLY, NOW, read_rejects

from indexer.files import importing
from indexer.files.importing import FileReport, import_files
from indexer.registry import Registry
from indexer.store.bars import read_bars
from indexer.store.db import Store
from indexer.store.runs import read_runs, start_run

Take = Callable[..., FileReport]
GOOD = "2025-01-01T00:00:00Z,FET,1.2,0.9,1.0,10"
ROWS = 5000

IMPORT = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from indexer.files import importing, text
from indexer.registry import load_registry
from indexer.store.db import open_store

text.blocks.__kwdefaults__["size"] = 50_000
store, point, after = open_store(sys.argv[1]), sys.argv[3], int(sys.argv[4])
if point:
    work, calls = getattr(importing, point), []
    def dying(*args, **kwargs):
        if len(calls) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(1)
        return work(*args, **kwargs)
    setattr(importing, point, dying)
now = datetime(2026, 11, 24, tzinfo=UTC)
importing.import_files(store, [Path(sys.argv[2])], registry=load_registry(), clock=lambda: now)
store.close()
"""


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of 5,000 hourly bars, with a bad row and a repeated one."""
    stamps = np.datetime64("2024-01-01T00") + np.arange(ROWS)
    lines = [f"{stamp}:00:00Z,FET,,,{1 + i / ROWS},1" for i, stamp in enumerate(stamps)]
    (tmp_path / "big.csv").write_text("\n".join([HEADER, *lines, lines[-1], "2025-06-01T00:00:00Z,FET,,,nan,1", ""]))
    (tmp_path / "big.toml").write_text(HOURLY)
    return tmp_path / "big.csv"


def _command(store: Store, path: Path, point: str = "", after: int = 0) -> list[str]:
    return [sys.executable, "-c", IMPORT, store.url, str(path), point, str(after)]


def test_the_same_file_again_writes_nothing(take: Take, store: Store) -> None:
    assert take(GOOD, "bad,FET,1,1,1,1").new == 1
    before = read_runs(store)
    again = take(GOOD, "bad,FET,1,1,1,1")
    assert (again.note, again.rows, again.new) == ("already imported", 0, 0)
    assert read_runs(store) == before
    assert len(read_rejects(store)) == 1


def test_the_same_rows_in_another_file_are_found_unchanged(take: Take, store: Store) -> None:
    take(GOOD)
    report = take(GOOD, "2025-01-01T01:00:00Z,FET,1.2,0.9,1.1,10", name="longer.csv")
    assert (report.new, report.unchanged, report.revised) == (1, 1, 0)


def test_a_corrected_file_makes_a_revision(take: Take, store: Store) -> None:
    take(GOOD)
    report = take(GOOD.replace("1.0", "1.1"))
    assert (report.new, report.revised) == (0, 1)
    assert read_bars(store).close.tolist() == [1.1]


def test_another_manifest_or_registry_is_another_import(
    take: Take, store: Store, registry: Registry, tmp_path: Path
) -> None:
    take(GOOD, "2025-01-01T00:00:00Z,NEWTOKEN,1,1,1,1")
    assert take(GOOD, "2025-01-01T00:00:00Z,NEWTOKEN,1,1,1,1", manifest=HOURLY + "# again\n").note == ""
    fet = registry.by_slug["fet"]
    new = replace(fet, slug="new", chain="base", symbols=(replace(fet.symbols[0], symbol="NEWTOKEN"),), line="new")
    wider = replace(registry, assets=(*registry.assets, new))
    (report,) = import_files(store, [tmp_path / "prices.csv"], registry=wider, clock=lambda: NOW).files
    assert (report.new, report.unchanged, report.rejected) == (1, 1, 0)


def test_an_interrupted_import_says_so_and_is_completed(
    store: Store, registry: Registry, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(importing, "write_bars", stop)
        import_files(store, [big], registry=registry, clock=lambda: NOW)
    assert [run.outcome for run in read_runs(store)] == ["interrupted"]
    (report,) = import_files(store, [big], registry=registry, clock=lambda: NOW).files
    assert (report.new, report.duplicates, report.rejected) == (ROWS, 1, 1)
    assert {run.outcome for run in read_runs(store)} == {"done"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "death",
    [
        ("write_registry", 0, "none"),
        ("start_run", 0, "none"),
        ("ensure_listings", 0, "none"),
        ("write_bars", 0, "none"),
        ("write_bars", 2, "some"),
        ("_keep_rejects", 0, "some"),
        ("finish_run", 0, "all"),
    ],
)
def test_killed_anywhere_and_run_again_nothing_is_lost_or_doubled(
    store: Store, registry: Registry, big: Path, death: tuple[str, int, str]
) -> None:
    """`death`: before which call, after how many of them, and which bars are there then."""
    point, after, which = death
    store.close()
    killed = subprocess.run(_command(store, big, point, after), check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    there = len(read_bars(store).close)
    assert which == ("none" if there == 0 else "all" if there == ROWS else "some")
    (report,) = import_files(store, [big], registry=registry, clock=lambda: NOW).files
    assert (report.new, report.unchanged, report.revised, report.rejected) == (ROWS - there, there, 0, 1)
    assert len(read_bars(store).close) == ROWS
    assert len(read_rejects(store)) == 1
    assert [run.outcome for run in read_runs(store)] == ["done"]


@pytest.mark.slow
def test_two_processes_that_import_the_same_file_at_once(store: Store, big: Path) -> None:
    running = [subprocess.Popen(_command(store, big)) for _ in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]
    found = read_bars(store)
    assert len(found.close) == ROWS
    with store.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*), max(revision) FROM bar").one() == (ROWS, 1)
    assert len(read_rejects(store)) == 1
    assert len(read_runs(store)) == 1


def test_a_store_that_fails_in_the_middle_leaves_a_failed_run(
    store: Store, registry: Registry, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.errors import StoreError

    def full(*args: object, **kwargs: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch, pytest.raises(StoreError, match="the disk is full"):
        patch.setattr(importing, "write_rejects", full)
        import_files(store, [big], registry=registry, clock=lambda: NOW)
    (run,) = read_runs(store)
    assert (run.outcome, run.detail) == ("failed", {"error": "the disk is full"})
    assert import_files(store, [big], registry=registry, clock=lambda: NOW).files[0].unchanged == ROWS
    assert start_run(store, kind="import", key=run.key, now=NOW) is None
