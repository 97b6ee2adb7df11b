"""Fixings stand above bars: whatever bars come later, and whoever recomputes, a fixing stays the rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from played import VENUES, at, live_through, played

from indexer.levels.official import FIXED
from indexer.reference.rates import RateSeries, joined
from indexer.store.assets import ensure_listings
from indexer.store.bars import write_bars
from indexer.store.rates import read_rates
from indexer.store.rows import BarColumns, ListingRow
from indexer.store.runs import finish_run, start_run
from indexer.times import HOUR_US, to_us
from indexer.verify.store import verify_all
from indexer.workflow.work import registry_of, run_update


def rates(asset: int, hours: list[int], values: list[float], *, status: int, method: str, venue: str) -> RateSeries:
    ids, numbers = np.full(len(hours), asset), np.full(len(hours), status, dtype=np.int8)
    times, texts = np.array(hours, dtype=np.int64) * HOUR_US, [f'{{"{venue}":"used"}}'] * len(hours)
    return RateSeries(ids, times, np.array(values), numbers, 0 * numbers, [method] * len(hours), texts)


def test_a_fixing_takes_the_place_of_the_bars_rate_at_its_instant() -> None:
    bar, fixed = ({"status": 2, "method": "bar-vwm/1", "venue": "x"}, {"status": 0, "method": FIXED[0], "venue": "y"})
    bars = [rates(1, [1, 2, 3], [10.0, 20.0, 30.0], **bar), rates(3, [1], [7.0], **bar)]
    made = joined([rates(1, [2, 4], [21.0, 41.0], **fixed), rates(2, [5], [50.0], **fixed), *bars])
    assert made.asset_id.tolist() == [1, 1, 1, 1, 2, 3]
    assert made.rate.tolist() == [10.0, 21.0, 30.0, 41.0, 50.0, 7.0]
    assert made.status.tolist() == [2, 0, 2, 0, 0, 2]
    assert [text[2] for text in made.verdicts] == ["x", "y", "x", "y", "y", "x"]
    assert made.method[4:] == [FIXED[0], "bar-vwm/1"]


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
        fixings = read_rates(store, methods=FIXED, evidence=True)
        (asset,) = [one for one in set(fixings.asset_id.tolist()) if 1.0 < fixings.rate[fixings.of(one)][0] < 1.5]
        assert len(fixings.rate[fixings.of(asset)]) == 5
        results = {one.index_id: one for one in verify_all(store, registry_of(world.settings), only=["trio"])}
        assert results["trio"].ok, results["trio"].problem
