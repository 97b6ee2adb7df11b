"""Fixings stand above bars: whatever bars come later, and whoever recomputes, a fixing stays the rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from played import VENUES, at, live_through, played

from indexer.levels.official import FIXED, over_bars, stored_fixings
from indexer.reference.rates import AssetRates
from indexer.store.assets import ensure_listings
from indexer.store.bars import write_bars
from indexer.store.rates import read_rates
from indexer.store.rows import BarColumns, ListingRow
from indexer.store.runs import finish_run, start_run
from indexer.times import HOUR_US, to_us
from indexer.verify.store import verify_all
from indexer.workflow.work import registry_of, run_update


def rates(asset: int, hours: list[int], values: list[float]) -> AssetRates:
    times = np.array(hours, dtype=np.int64) * HOUR_US
    status = np.full(len(hours), 2, dtype=np.int8)
    return AssetRates(asset, times, np.array(values), status, ['{"x":"used"}'] * len(hours), "bar-vwm/1", 0 * status)


def fixed(asset: int, hours: list[int], values: list[float]) -> AssetRates:
    times = np.array(hours, dtype=np.int64) * HOUR_US
    status = np.zeros(len(hours), dtype=np.int8)
    return AssetRates(asset, times, np.array(values), status, ['{"y":"used"}'] * len(hours), FIXED[0], 0 * status)


def test_a_fixing_takes_the_place_of_the_bars_rate_at_its_instant() -> None:
    bars = [rates(1, [1, 2, 3], [10.0, 20.0, 30.0]), rates(3, [1], [7.0])]
    made = over_bars(bars, {1: fixed(1, [2, 4], [21.0, 41.0]), 2: fixed(2, [5], [50.0])})
    assert [one.asset_id for one in made] == [1, 2, 3]
    assert made[0].rate.tolist() == [10.0, 21.0, 30.0, 41.0]
    assert made[0].status.tolist() == [2, 0, 2, 0]
    assert made[0].verdicts == ['{"x":"used"}', '{"y":"used"}', '{"x":"used"}', '{"y":"used"}']
    assert (made[1].rate.tolist(), made[1].method) == ([50.0], FIXED[0])
    assert made[2] is bars[1]


def test_bars_that_come_later_change_no_fixing(tmp_path: Path) -> None:
    with played(tmp_path, start=at("2025-01-26T22:05:00Z"), sources=(*VENUES, "coingecko"), history_days=4) as world:
        store = world.open()
        scheduler = world.scheduler(store)
        live_through(world, scheduler, until=at("2025-01-27T02:40:00Z"))
        scheduler.stop()
        before = read_rates(store, evidence=True)
        run = start_run(store, kind="import", key="a file", now=world.now)
        assert run is not None
        listing = ListingRow("fet", "elsewhere", "file", "FET", "1h", "bar_open")
        (number,) = ensure_listings(store, [listing])
        hours = np.arange(to_us(at("2025-01-26T22:00:00Z")), to_us(at("2025-01-27T02:00:00Z")) + 1, HOUR_US)
        wild, much = np.full(len(hours), 9.0), np.full(len(hours), 1e12)
        write_bars(
            store, run, BarColumns(np.full(len(hours), number), hours, wild, wild, wild, wild, much, wild * much)
        )
        finish_run(store, run, now=world.now)
        report = run_update(store, world.settings, clock=world.clock)
        assert not report.unchanged
        after = read_rates(store, evidence=True)
        np.testing.assert_array_equal(after.rate, before.rate)
        assert after.method == before.method
        (asset,) = [one for one, part in stored_fixings(store).items() if 1.0 < part.rate[0] < 1.5]
        assert len(stored_fixings(store)[asset].time_us) == 5
        results = {one.index_id: one for one in verify_all(store, registry_of(world.settings), only=["trio"])}
        assert results["trio"].ok, results["trio"].problem
