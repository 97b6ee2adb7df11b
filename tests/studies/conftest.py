"""One store with the real history and hourly futures, computed once for all studies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from indexer.config import Settings
from indexer.store.db import Store, open_store
from indexer.workflow import import_and_update

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
FILES = (
    "tokens_hourly.csv.gz",
    "tokens_daily.csv.gz",
    "supply_history.csv",
    "equities_daily.csv.gz",
    "equities_hourly.csv.gz",
)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def data() -> Path:
    missing = [name for name in FILES if not (DATA / name).exists()]
    if missing:
        pytest.skip(f"the real market data is not here ({DATA}: no {', '.join(missing)}), so no study is tested on it")
    return DATA


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="session")
def store(data: Path, settings: Settings) -> Iterator[Store]:
    """The real files imported and every shipped index computed; no test writes to it."""
    opened = open_store(settings.store_url)
    opened.migrate()
    import_and_update(opened, settings, paths=[data / name for name in FILES], clock=lambda: NOW)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def client(store: Store, settings: Settings) -> TestClient:
    """The API over the real history."""
    return TestClient(create_app(store, settings=settings, clock=lambda: NOW))
