"""The first fill of a fresh store: provisional until nothing is owed, then official as if nothing had ever failed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from fault_server import Fault
from played import Played, at, played
from sqlmodel import col, select

from api.app import create_app
from indexer.cli.serving import news_of
from indexer.config import load_settings
from indexer.engine.market import Status
from indexer.errors import ConfigError
from indexer.live.standing import begin_first_fill, standing_of
from indexer.store.db import Store
from indexer.store.levels import read_levels
from indexer.store.rates import read_rates
from indexer.store.runs import (
    FIRST_FILL,
    first_fill_is_open,
    forget_provisional_rates,
    read_runs,
    start_run,
    write_progress,
)
from indexer.store.tables import Seal

START = at("2025-01-28T12:05:00Z")
FIXED = at("2025-01-28T12:00:00Z")
PROVISIONAL = int(Status.PROVISIONAL)


def tick(world: Played, store: Store) -> None:
    scheduler = world.scheduler(store)
    scheduler.tick()
    scheduler.stop()


def test_levels_are_provisional_until_all_came_and_then_as_if_nothing_had_failed(tmp_path: Path) -> None:
    levels, rates = {}, {}
    for name in ("calm", "rough"):
        folder = tmp_path / name
        folder.mkdir()
        with played(folder, start=START, sources=("binance", "coinbase", "kraken"), history_days=4) as world:
            store = world.open()
            assert begin_first_fill(store, now=world.now)
            if name == "rough":
                world.faults.append(Fault("binance", "drop"))
            tick(world, store)
            open_still = name == "rough"
            assert first_fill_is_open(store, now=world.now) is open_still
            assert (set(read_levels(store, "trio").status.tolist()) == {PROVISIONAL}) is open_still
            assert bool(sealed_levels(store)) is not open_still, "what does not last is not sealed"
            world.faults.clear()
            world.now += timedelta(hours=1)
            tick(world, store)
            assert not first_fill_is_open(store, now=world.now)
            made = read_levels(store, "trio")
            assert set(made.revision.tolist()) == {1}, "no trace of what was before"
            assert PROVISIONAL not in made.status.tolist()
            assert sealed_levels(store)
            assert not forget_provisional_rates(store), "nothing provisional is out: the restatement policy holds again"
            before = made.times_us < FIXED.timestamp() * 1e6
            levels[name] = (
                made.times_us[before],
                made.levels[before],
                [made.inputs_hash[n] for n in np.flatnonzero(before)],
            )
            official = read_rates(store)
            old = official.time_us < FIXED.timestamp() * 1e6
            rates[name] = (official.asset_id[old], official.time_us[old], official.rate[old], official.status[old])
    for calm, rough in zip(levels["calm"], levels["rough"], strict=True):
        np.testing.assert_array_equal(calm, rough)
    for calm, rough in zip(rates["calm"], rates["rough"], strict=True):
        np.testing.assert_array_equal(calm, rough)


def sealed_levels(store: Store) -> list[int]:
    """The runs that wrote levels and are sealed."""
    with store.session() as session:
        return list(session.exec(select(Seal.run_id).where(col(Seal.about).startswith("level"))))


def test_after_a_day_levels_are_official_whatever_is_owed(tmp_path: Path) -> None:
    with played(tmp_path, start=START, sources=("binance", "coinbase"), history_days=4) as world:
        world.faults.append(Fault("binance", "drop"))
        store = world.open()
        begin_first_fill(store, now=world.now)
        tick(world, store)
        assert set(read_levels(store, "trio").status.tolist()) == {PROVISIONAL}
        world.now += timedelta(hours=24)
        tick(world, store)
        assert PROVISIONAL not in read_levels(store, "trio").status.tolist()


def test_a_store_that_has_levels_is_not_filled_for_the_first_time(tmp_path: Path) -> None:
    with played(tmp_path, start=START, sources=("binance", "coinbase"), history_days=4) as world:
        store = world.open()
        tick(world, store)
        assert not begin_first_fill(store, now=world.now)
        assert read_runs(store, kind=FIRST_FILL) == []


def test_all_who_look_are_told_the_same(tmp_path: Path) -> None:
    with played(tmp_path, start=START, sources=("binance", "coinbase")) as world:
        store = world.open()
        assert standing_of(store, now=world.now).sentence == ""
        begin_first_fill(store, now=world.now)
        run = start_run(store, kind="history", key="history:x", now=world.now, due_at=world.now)
        assert run is not None
        seen = {
            "stage": "daily bars", "done": 41, "of": 100, "bars": 7, "first_levels_s": 15, "left_s": 400,
            "answering": ["binance"], "failing": {"okx": "source_unavailable: okx did not answer in time"},
        }  # fmt: skip
        write_progress(store, run, seen)
        standing = standing_of(store, now=world.now)
        assert standing.sentence == "history 41 %, first levels in about 30 s"
        with TestClient(create_app(store, settings=world.settings, clock=world.clock)) as client:
            answer = client.get("/v1/status").json()
        assert answer["sentence"] == standing.sentence
        assert (answer["share"], answer["provisional"], answer["failing"]) == (0.41, True, seen["failing"])
        levels = replace(standing, first_levels_s=None)
        assert news_of(standing, levels).startswith("the first levels are there; they are provisional")
        assert news_of(levels, replace(levels, provisional=False)).endswith("levels become official now")
        assert news_of(None, standing) == news_of(levels, levels) == ""


def test_the_old_setting_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEAI_HISTORY_DAYS", "90")
    with pytest.raises(ConfigError, match="DEAI_HISTORY_DAYS is not a setting any more: set DEAI_HISTORY_SINCE"):
        load_settings()
