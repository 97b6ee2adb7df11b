"""One store with the real history, computed once for all tests that read it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from indexer.config import Settings
from indexer.store.db import open_store
from indexer.workflow import import_and_update

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
FILES = ("tokens_hourly.csv.gz", "tokens_daily.csv.gz", "supply_history.csv", "equities_daily.csv.gz")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def data() -> Path:
    missing = [name for name in FILES if not (DATA / name).exists()]
    if missing:
        pytest.skip(f"the real market data is not here ({DATA}: no {', '.join(missing)}), so its history is not tested")
    return DATA


@pytest.fixture(scope="session")
def settings(tmp_path_factory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("history"))


@pytest.fixture(scope="session")
def history(data, settings):
    """A store in which the real files were imported and every shipped index computed."""
    store = open_store(settings.store_url)
    store.migrate()
    report = import_and_update(store, settings, paths=[data / name for name in FILES], clock=lambda: NOW)
    yield store, report
    store.close()
