"""A restated history reaches back as far as the stored one, also where the source's own does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fault_more_providers import MoreProviders, equities
from fault_reply import Query, Reply, reply
from played import at, played, run_of

from indexer.live.benchmarks import refresh, with_older
from indexer.live.context import live_of
from indexer.registry import load_registry
from indexer.sources.records import BenchmarkBars
from indexer.store.bars import read_benchmark_bars

TIMES = np.arange(10, dtype=np.int64)
KNOWN = (TIMES, np.full(10, 1000.0), np.full(10, np.nan))


def bars(first: int, close: float) -> BenchmarkBars:
    rows = TIMES[first:]
    count = len(rows)
    return BenchmarkBars("NVDA", rows, np.full(count, close), np.full(count, np.nan), np.ones(count), "split_adjusted")


def test_a_split_restates_what_the_source_gives_no_more():
    restated = with_older(bars(4, 100.0), KNOWN)
    assert restated.time_us.tolist() == TIMES.tolist()
    assert restated.close.tolist() == [100.0] * 10
    assert np.isnan(restated.volume[:4]).all(), "in which terms the old volume was is not known"


def test_a_dividend_or_a_correction_leaves_older_closes_alone():
    assert with_older(bars(4, 1001.0), KNOWN).time_us.tolist() == TIMES[4:].tolist()
    assert len(with_older(bars(0, 100.0), KNOWN).time_us) == 10


def test_no_step_stays_in_days_or_hours_after_a_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    factor = 1.0

    def yahoo(self: MoreProviders, path: str, q: Query) -> Reply:
        """All history in terms of today; hours of the last 60 days alone."""
        now, hourly = self.now_us() // 1_000_000, q["interval"] == "1h"
        first = max(int(q["period1"]), now - 60 * 86_400 if hourly else 0)
        bars = [
            (opened + 3_600 * hour, close * factor)
            for opened, close, *_ in equities()[path.rsplit("/", maxsplit=1)[-1]]
            for hour in range(7 if hourly else 1)
            if first <= opened + 3_600 * hour < int(q["period2"]) and opened + 6.5 * 3_600 <= now
        ]
        stamps, closes = (list(column) for column in zip(*bars, strict=True)) if bars else ([], [])
        meta = {"symbol": "NVDA", "instrumentType": "EQUITY", "exchangeTimezoneName": "America/New_York"}
        indicators = {"quote": [{"close": closes}], "adjclose": [{"adjclose": closes}]}
        return reply(
            {"chart": {"result": [{"meta": meta, "timestamp": stamps, "indicators": indicators}], "error": None}}
        )

    monkeypatch.setattr(MoreProviders, "_yahoo", yahoo)
    with played(tmp_path, start=at("2025-01-28T22:15:00Z"), sources=("yahoo",)) as world:
        store, upstream = world.open(), world.upstream()
        live = live_of(store, world.settings, registry=load_registry(), upstream=upstream, clock=world.clock)
        for number, when in enumerate(("2025-01-28T22:15", "2025-03-20T22:15", "2025-03-21T22:15", "2025-04-20T00:15")):
            world.now, factor = at(f"{when}:00Z"), 0.1 if number > 1 else 1.0
            refresh(live, world.now.replace(minute=0), run_of(live, "benchmarks", number), only=("NVDA",))
        upstream.close()
        for interval, least in (("1d", 300), ("1h", 600)):
            _, closes, _ = read_benchmark_bars(store, "NVDA", interval=interval)
            assert len(closes) > least
            assert np.abs(np.diff(np.log(closes))).max() < 0.3, f"a step of ln 10 in {interval}"
            assert closes.max() < 20, "all in terms of after the split"
