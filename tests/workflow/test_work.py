"""Pieces of work that the command line and the server share, on an empty store: what they say and refuse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from indexer.config import Settings
from indexer.errors import InputError, NotEnoughDataError, NotFoundError
from indexer.store.db import Store, open_store
from indexer.store.runs import read_runs
from indexer.workflow.work import import_and_update, pro_forma, rebuild, run_update

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, sources=("none",))


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = open_store(settings.store_url)
    store.migrate()
    yield store
    store.close()


def test_an_update_without_prices_says_of_each_index_why_it_has_not_started(store: Store, settings: Settings) -> None:
    report = run_update(store, settings, clock=lambda: NOW)
    assert report.indices == ()
    assert "the market has no instants; import prices first" in report.not_started["deai"]
    again = run_update(store, settings, clock=lambda: NOW)
    assert again.unchanged


def test_a_rebuild_without_a_public_reason_does_nothing(store: Store, settings: Settings) -> None:
    with pytest.raises(InputError, match="say why in --reason"):
        rebuild(store, settings, reason="  because ", clock=lambda: NOW)
    assert read_runs(store) == []


def test_a_pro_forma_needs_an_index_with_levels(store: Store, settings: Settings) -> None:
    with pytest.raises(NotFoundError, match='No index "daei"'):
        pro_forma(store, settings, index_id="daei", clock=lambda: NOW)
    with pytest.raises(NotEnoughDataError, match="has no levels yet; import prices"):
        pro_forma(store, settings, index_id="deai", clock=lambda: NOW)


def test_an_import_alone_computes_nothing(store: Store, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("timestamp,symbol,close,volume\n2025-01-01T01:00:00Z,FET,1.0,10\n", encoding="utf-8")
    options = {"quote": "USD", "venue": "kraken", "interval": "1h", "stamp": "bar_close"}
    outcome = import_and_update(store, settings, paths=[file], options=options, compute=False, clock=lambda: NOW)
    assert [report.rejected for report in outcome.files] == [0]
    assert outcome.update is None
    assert [run.kind for run in read_runs(store)] == ["import"]
