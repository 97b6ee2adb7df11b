"""For all tests: properties without a clock, and the real history, imported and computed once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from indexer.config import Settings
from indexer.store.db import Store, open_store
from indexer.workflow.work import ImportAndUpdate, import_and_update

# How fast a property holds depends on the machine; whether it holds does not.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Whole commands, servers, played days and histories: what takes seconds stays out of `make test-fast`.
SLOW_FOLDERS = {"administration", "api", "backtest", "benchmarks", "cli", "client", "docs", "live", "verify"}
SLOW_FIXTURES = {"history", "history_files"}

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
FILES = (
    "tokens_hourly.csv.gz",
    "tokens_daily.csv.gz",
    "supply_history.csv",
    "equities_daily.csv.gz",
    "equities_hourly.csv.gz",
    "onchain_daily.csv.gz",
)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what takes seconds as slow."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in SLOW_FOLDERS or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def history_files() -> list[Path]:
    """The real market files, or a loud skip where they are not."""
    missing = [name for name in FILES if not (DATA / name).exists()]
    if missing:
        pytest.skip(f"the real market data is not here ({DATA}: no {', '.join(missing)}), so nothing is tested on it")
    return [DATA / name for name in FILES]


@pytest.fixture(scope="session")
def history_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("history"))


@pytest.fixture(scope="session")
def history_now() -> datetime:
    """The instant at which the real files were imported."""
    return NOW


@pytest.fixture(scope="session")
def history(history_files: list[Path], history_settings: Settings) -> Iterator[tuple[Store, ImportAndUpdate]]:
    """A store with every real file imported and every shipped index computed; tests leave it as it is."""
    store = open_store(history_settings.store_url)
    store.migrate()
    report = import_and_update(store, history_settings, paths=history_files, clock=lambda: NOW)
    yield store, report
    store.close()
