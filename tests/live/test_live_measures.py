"""Benchmarks and market stress, read live from the played providers."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from fault_server import Fault
from played import EVERYTHING, NOON, Played, at, run_of

from indexer.errors import SourceUnavailable
from indexer.live.benchmarks import refresh
from indexer.live.context import Live
from indexer.live.measures import read_stress
from indexer.store.bars import read_benchmark_bars, read_benchmark_closes, read_metrics
from indexer.store.quality import read_open_quality
from indexer.store.runs import finish_run, start_run
from indexer.times import to_us


def test_benchmarks_come_from_two_sources_and_fred_fills_what_yahoo_lacks(world: Played, live: Live) -> None:
    world.now = at("2025-01-28T00:15:00Z")
    world.faults.append(Fault("yahoo", "429"))
    made = refresh(live, at("2025-01-28T00:00:00Z"), run_of(live, "benchmarks"))
    assert made["failed_sources"] == ["yahoo"]
    times, _, _ = read_benchmark_closes(live.store, "^NDX", interval="1d")
    assert len(times) > 500
    assert times[-1] == to_us(at("2025-01-27T21:00:00Z")), "the session's close in New York"
    assert not len(read_benchmark_closes(live.store, "QQQ", interval="1d")[0])
    assert [row.subject for row in read_open_quality(live.store, ("source_down",))] == ["yahoo"]
    world.faults.clear()
    world.now += timedelta(hours=6)
    refresh(live, at("2025-01-28T06:00:00Z"), run_of(live, "benchmarks", 1))
    assert len(read_benchmark_bars(live.store, "QQQ")[0]) > 500
    assert not read_open_quality(live.store, ("source_down",))
    differs = {row.subject for row in read_open_quality(live.store, ("disagreement",))}
    assert "yahoo/^NDX" in differs, "the played FRED tells another index than the played Yahoo"
    rates = read_metrics(live.store, subject="us")
    assert [one.name for one in rates] == ["fed_funds_percent", "treasury_10y_percent"]


def test_a_changed_adjusted_history_is_asked_for_whole(world: Played, live: Live) -> None:
    from fault_more_providers import equities

    due = at("2025-01-28T00:00:00Z")
    refresh(live, due, run_of(live, "benchmarks"))
    times, close, adjusted = read_benchmark_closes(live.store, "NVDA", interval="1d")
    known = equities()
    before = known["NVDA"]
    try:
        known["NVDA"] = [(t, c, a * 0.99, v) for t, c, a, v in before]  # a dividend was paid
        refresh(live, due + timedelta(hours=6), run_of(live, "benchmarks", 1))
    finally:
        known["NVDA"] = before
    after = read_benchmark_closes(live.store, "NVDA", interval="1d")
    np.testing.assert_array_equal(after[0], times)
    np.testing.assert_array_equal(after[1], close)
    np.testing.assert_allclose(after[2], adjusted * 0.99, rtol=1e-12)


def test_benchmarks_again_write_nothing(live: Live) -> None:
    due = at("2025-01-28T00:00:00Z")
    assert refresh(live, due, run_of(live, "benchmarks"))["written"] > 5_000
    assert refresh(live, due, run_of(live, "benchmarks"))["written"] == 0


# --- stress


def test_stress_is_written_by_asset_source_and_hour(world: Played, live: Live) -> None:
    read_stress(live, at("2025-01-28T12:00:00Z"), run_of(live, "stress"))
    names = {(one.name, one.source) for one in read_metrics(live.store, subject="fet")}
    assert names == {
        ("funding_rate", "binance-derivatives"),
        ("funding_rate", "bybit-derivatives"),
        ("funding_rate", "okx-derivatives"),
        ("open_interest_usd", "binance-derivatives"),
        ("open_interest_usd", "okx-derivatives"),
        ("open_interest_base", "bybit-derivatives"),
        ("liquidations_long_usd", "okx-derivatives"),
        ("liquidations_short_usd", "okx-derivatives"),
        ("liquidations_long_share", "okx-derivatives"),
    }
    one = read_metrics(live.store, subject="fet", name="liquidations_long_usd")[0]
    assert one.time_us[-1] == to_us(at("2025-01-28T12:00:00Z"))
    assert one.value[-1] == pytest.approx(4 * 3 * 400 * 0.1), "four orders of three contracts of a tenth, at 400"
    market = {m.name: m for m in read_metrics(live.store, subject="market")}
    assert market["liquidations_long_usd"].value[-1] == pytest.approx(3 * one.value[-1])
    assert market["liquidations_long_share"].value.tolist()[-1] == 1.0
    assert len(market["fear_greed_0_100"].time_us) == 8


def test_an_hour_of_stress_read_again_stays_as_it_was(live: Live) -> None:
    due, run = at("2025-01-28T12:00:00Z"), run_of(live, "stress")
    first = read_stress(live, due, run)
    assert first["values"] > 300
    assert read_stress(live, due, run)["values"] == 0


def test_a_source_of_stress_that_was_down_gives_those_hours_when_it_is_back(world: Played, live: Live) -> None:
    def hour(number: int) -> None:
        due = at("2025-01-27T12:00:00Z") + timedelta(hours=number)
        world.now = due + timedelta(minutes=5)
        run = start_run(live.store, kind="stress", key=f"stress:{number}", now=world.now, due_at=due)
        assert run is not None
        finish_run(live.store, run, now=world.now, detail=read_stress(live, due, run))

    hour(0)
    world.faults.append(Fault("okx-derivatives", "drop"))
    for number in range(2, 24, 2):
        hour(number)
    world.faults.clear()
    hour(24)
    for name in ("funding_rate", "open_interest_usd"):
        found = {one.source: one.time_us for one in read_metrics(live.store, subject="fet", name=name)}
        np.testing.assert_array_equal(found["okx-derivatives"], found["binance-derivatives"])


def test_stress_without_any_source_fails_and_says_why(world: Played, live: Live) -> None:
    world.faults += [Fault(name, "500") for name in EVERYTHING]
    with pytest.raises(SourceUnavailable, match=r"no source gave any measure of stress\. binance-derivatives: "):
        read_stress(live, NOON, run_of(live, "stress"))
    assert len(read_open_quality(live.store, ("source_down",))) == 4
