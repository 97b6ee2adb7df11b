"""A store in which all happened that may happen, made once by several tests."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from test_restatement import HOUR, corrected, heaviest
from worlds import HOURS, START_US, prices, world

from indexer.levels.rules import decide
from indexer.store.archive import Archive, write_payloads
from indexer.store.assets import ensure_benchmarks
from indexer.store.bars import write_benchmark_bars, write_metrics
from indexer.store.quality import write_quality, write_rejects
from indexer.store.rebalancings import read_constituents
from indexer.store.rows import (
    BenchmarkColumns,
    BenchmarkRow,
    MetricSeries,
    OverrideRow,
    PayloadRow,
    QualityRow,
    RejectRow,
)
from indexer.store.runs import finish_run
from indexer.times import HOUR_US


def eventful(folder):
    """A store with all that may happen: late supplies, both kinds of corrections, a rebuild, live hours, a payload."""
    one = world(folder)
    one.fill(until=HOURS - 50)
    one.update()
    one.now += timedelta(hours=50)
    corrected(one, heaviest(one, HOUR), HOUR, 0.004)
    one.update()
    corrected(one, heaviest(one, HOUR + 30), HOUR + 30, 0.02)
    one.supply("token-1", 9e6)
    one.update()
    held = read_constituents(one.store, "small", START_US + (HOURS - 51) * HOUR_US)
    one.supply(min(held, key=lambda row: row.weight).asset, 1.0, day=98, block=7)  # the lightest leaves in April
    for hour in range(HOURS - 50, HOURS, 10):
        for slug, closes in prices().items():
            one.bars(slug, closes[hour : hour + 10], first=hour, full=True)
        one.update()
    run = one.run()
    ids = ensure_benchmarks(one.store, [BenchmarkRow("QQQ", "a fund", "etf", "XNYS")])
    two = np.array([1.0, 2.0])
    times = np.array([START_US, START_US + HOUR_US])
    texts = (["close"] * 2, ["test"] * 2)
    write_benchmark_bars(one.store, run, BenchmarkColumns(np.full(2, ids["QQQ"]), times, two, two, two, *texts, "1d"))
    kept = Archive(folder / "archive").put(b"an answer")
    write_payloads(one.store, run, [PayloadRow(kept.sha256, "venue", "https://v/x", one.now, kept.raw_bytes)])
    write_metrics(one.store, run, [MetricSeries("market", "fear_greed_0_100", "test", times, two)])
    write_rejects(one.store, run, [RejectRow("prices.csv", "cd" * 32, 7, "close is negative", "2024-01-01,AAA,-1")])
    write_quality(one.store, run, [QualityRow("gap", "token-1/1h", one.now, one.now, '{"text": "no bars"}')])
    finish_run(one.store, run, now=one.now)
    row = OverrideRow(
        "membership", "token-7", one.now, one.now + timedelta(days=3), "found to be a copy", "A", one.now, "small"
    )
    decide(one.store, row, registry=one.registry, now=one.tick())
    one.update()
    return one
