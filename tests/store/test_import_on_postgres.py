"""An import into PostgreSQL gives the same rows as into SQLite."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from indexer.files.importing import import_files
from indexer.registry import load_registry
from indexer.store.archive import Archive
from indexer.store.bars import read_bars, read_benchmark_bars
from indexer.store.db import Store, open_store
from indexer.store.quality import read_reject_groups
from indexer.store.supplies import read_supplies
from indexer.verify.replay import Replayed, replay

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
FILES = ("tokens_daily.csv.gz", "equities_hourly.csv.gz", "supply_history.csv")


@pytest.mark.parametrize("store", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_the_real_files_come_out_the_same(store: Store, sqlite_store: Store, tmp_path: Path) -> None:
    if not (DATA / FILES[0]).is_file():
        pytest.skip("the real market data (../shared/data) is not here")
    registry, archive = load_registry(), Archive(tmp_path / "archive")
    reports = [
        import_files(one, [DATA / name for name in FILES], registry=registry, clock=lambda: NOW, archive=archive)
        for one in {id(store): store, id(sqlite_store): sqlite_store}.values()
    ]
    rejected = [sum(file.rejected for file in report.files) for report in reports]
    assert rejected[0] == rejected[-1] > 0
    first, second = (read_bars(one) for one in (store, sqlite_store))
    for name in ("time_us", "close", "volume_base", "volume_usd"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    groups = [
        [(one.file, one.rows, one.reason, one.line, one.row) for one in read_reject_groups(of)]
        for of in (store, sqlite_store)
    ]
    assert groups[0] == groups[1]
    assert sum(rows for _, rows, *_ in groups[0]) == rejected[0]
    assert read_supplies(store) == read_supplies(sqlite_store)
    for symbol in ("QQQ", "NQ=F"):
        ours, theirs = (read_benchmark_bars(one, symbol, interval="1h") for one in (store, sqlite_store))
        np.testing.assert_array_equal(ours[1], theirs[1])
    found = derived(store, archive, tmp_path / "once.sqlite")
    assert (found.problems, found.derived) == ((), {"import": 3}), "from the archive comes what PostgreSQL holds"
    with store.writing() as connection:
        connection.execute(text("UPDATE bar SET close = close * 2 WHERE time = (SELECT max(time) FROM bar)"))
    assert "close is stored as" in derived(store, archive, tmp_path / "twice.sqlite").problems[0]


def derived(store: Store, archive: Archive, path: Path) -> Replayed:
    empty = open_store(f"sqlite:///{path}")
    empty.migrate()
    try:
        return replay(store, empty, registry=load_registry(), archive=archive, updates=False)
    finally:
        empty.close()
