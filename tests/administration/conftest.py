"""The engine's test markets are used here too; the real history is imported once for all tests that write to a copy."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from indexer.config import Settings
from indexer.store.db import open_store
from indexer.workflow.work import import_and_update

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
FILES = ("tokens_hourly.csv.gz", "tokens_daily.csv.gz", "supply_history.csv")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with the real prices and supplies; not to be written to."""
    missing = [name for name in FILES if not (DATA / name).exists()]
    if missing:
        pytest.skip(f"the real market data is not here ({DATA}: no {', '.join(missing)}), so it is not tested")
    folder = tmp_path_factory.mktemp("real")
    settings = Settings(data_dir=folder)
    store = open_store(settings.store_url)
    store.migrate()
    import_and_update(store, settings, paths=[DATA / name for name in FILES], clock=lambda: NOW)
    store.close()
    return folder


@pytest.fixture
def real(imported: Path, tmp_path: Path):
    """A copy of the real store that a test may write to, and its settings."""
    shutil.copytree(imported, tmp_path, dirs_exist_ok=True)
    settings = Settings(data_dir=tmp_path)
    store = open_store(settings.store_url)
    yield store, settings
    store.close()


@pytest.fixture
def in_march(tmp_path):
    """A small world shortly before the rebalance of April."""
    from worlds import TO_APRIL, live

    one = live(tmp_path, TO_APRIL - 30)  # 30 hours before the date: the reference date has passed
    yield one
    one.store.close()
