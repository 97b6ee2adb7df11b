"""A restated history reaches back as far as the stored one, also where the source's own does not."""

from __future__ import annotations

import numpy as np

from indexer.live.benchmarks import with_older
from indexer.sources.records import BenchmarkBars

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
