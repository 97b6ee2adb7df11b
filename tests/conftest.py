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

TESTS = Path(__file__).parent
# Whole commands, servers, played days and histories: what takes seconds stays out of `make test-fast`.
SLOW_FOLDERS = {"administration", "api", "backtest", "benchmarks", "cli", "client", "docs", "live", "verify"}
SLOW_FIXTURES = {"history", "history_files"}
# Files of few tests that take longest: begun first, so that no process ends alone with one of them.
LONGEST = (
    "test_generated_clients.py", "test_page_browser.py", "test_openapi_honesty.py", "test_criteria.py",
    "test_live_days.py", "test_first_run.py", "test_long_life.py", "test_live_kill.py", "test_reproduce.py",
    "test_scripted_day.py", "test_derived_jobs.py", "test_benchmarks_in_miniature.py", "test_kill.py",
    "test_import_real_data.py",
)  # fmt: skip

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


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Slow folders are not even imported where slow tests are left out."""
    slow = collection_path.parent == TESTS and collection_path.name in SLOW_FOLDERS
    return True if slow and "not (slow" in config.option.markexpr else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what takes seconds as slow; a file, or all that read the real history, is the work of one process."""
    for item in items:
        history = bool(SLOW_FIXTURES & set(getattr(item, "fixturenames", ())))
        if history or item.path.relative_to(TESTS).parts[0] in SLOW_FOLDERS:
            item.add_marker("slow")
        item.add_marker(pytest.mark.xdist_group("history" if history else str(item.path.relative_to(TESTS))))
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


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
