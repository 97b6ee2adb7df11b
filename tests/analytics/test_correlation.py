"""Fisher intervals and the sentinel that must notice a stamp one interval off."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from indexer.analytics.series import (
    average_correlation,
    correlation,
    correlation_change,
    fisher_interval,
    lag_scan,
)


def test_a_stamp_shifted_by_one_trips_the_sentinel():
    rng = np.random.default_rng(0)
    x = rng.normal(size=250)
    y = 1.5 * x + rng.normal(size=250)
    assert not lag_scan(x, y).shifted
    late, early = lag_scan(x[1:], y[:-1]), lag_scan(x[:-1], y[1:])
    assert late.shifted and early.shifted
    assert "the previous benchmark interval" in late.message or "the next benchmark interval" in late.message
    assert "check bar_open, bar_close or instant" in early.message
    assert late.message.split("interval")[0] != early.message.split("interval")[0]


def test_two_unrelated_series_do_not_alarm():
    rng = np.random.default_rng(1)
    alarms = sum(lag_scan(rng.normal(size=250), rng.normal(size=250)).shifted for _ in range(200))
    assert alarms <= 30  # two neighbours at two standard errors: about 9 %


def test_correlation_edges():
    assert correlation([1, 2], [1, 2]) is None
    assert correlation([1, 1, 1], [1, 2, 3]) is None
    assert correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1.0)
    assert fisher_interval(0.5, 3) == (None, None) == fisher_interval(None, 50)
    assert fisher_interval(1.0, 10) == (1.0, 1.0)
    assert correlation_change(0.5, 3, r2=0.1, n2=50) == (None, None)
    z, p = correlation_change(0.2, 100, r2=0.6, n2=100)
    assert z == pytest.approx((np.arctanh(0.6) - np.arctanh(0.2)) / np.sqrt(2 / 97)) and p < 0.001


def test_the_average_is_of_pairs_over_the_rows_each_shares():
    rng = np.random.default_rng(2)
    table = rng.normal(1e3, 1, size=(80, 5))
    table[rng.random(table.shape) < 0.2] = np.nan
    table[:, 4] = 7.0
    matrix = pandas.DataFrame(table).corr(min_periods=3).to_numpy()
    pairs = matrix[np.triu_indices(5, 1)]
    assert average_correlation(table) == pytest.approx(np.nanmean(pairs), rel=1e-9) and np.isnan(pairs).sum() == 4
    both = np.isfinite(table[:, 0]) & np.isfinite(table[:, 1])
    want = np.corrcoef(table[both, 0], table[both, 1])[0, 1]
    assert average_correlation(table[:, :2]) == pytest.approx(want, rel=1e-9)
    assert average_correlation(table[:2]) is None and average_correlation(table[:, [0, 4]]) is None
