"""Defects measured in other packages, each shown not to be ours."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.analytics.align import PERIODS_PER_YEAR, Clock, align_at
from indexer.analytics.beta import compute_beta
from indexer.analytics.beta_variants import dimson_beta
from indexer.analytics.event_study import EventWindows, event_study
from indexer.analytics.rolling import rolling_beta
from indexer.times import DAY_US


def test_unpaired_variance_of_pandas():
    """A gap in y beside an outlier of x: the variance must use the rows the covariance uses."""
    import pandas as pd

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.normal(size=40)
    x[20], y[20] = 10.0, np.nan
    keep = np.isfinite(y)
    want = np.polyfit(x[keep], y[keep], 1)[0]
    assert compute_beta(x, y).beta == pytest.approx(want, rel=1e-9)
    frame = pd.DataFrame({"x": x, "y": y})
    assert abs(frame["y"].cov(frame["x"]) / frame["x"].var() - want) > 0.01


def test_flat_benchmark_is_no_confident_zero():
    got = compute_beta(np.zeros(90), np.random.default_rng(1).normal(size=90))
    assert got.beta is None and got.reason is not None  # quantstats: 0.0
    many = rolling_beta(np.full(300, 0.1), np.random.default_rng(2).normal(size=300), [90])[90]
    assert np.isnan(many.beta).all() and np.isnan(many.se).all() and np.isnan(many.r2).all()  # polars: ±inf


def test_weekend_is_not_back_filled():
    """Saturday must not get Monday's close (look-ahead); Monday's return must hold the whole weekend."""
    friday, monday = 1 * DAY_US, 4 * DAY_US
    days = np.arange(0, 6) * DAY_US
    levels = np.array([100.0, 100.0, 110.0, 120.0, 130.0, 130.0])
    got = align_at(days, levels, [0, friday, monday, 5 * DAY_US], [10.0, 10.0, 13.0, 13.0])
    assert got.y.tolist() == pytest.approx([0.0, np.log(1.3), 0.0])
    assert got.x[:, 0].tolist() == pytest.approx([0.0, np.log(1.3), 0.0])


def test_returns_are_never_sniffed_as_prices():
    """[.1, .2, 1.5, .05, .3] is a series of returns, one of +150 %; nothing may decide otherwise."""
    returns = np.array([0.1, 0.2, 1.5, 0.05, 0.3])
    assert compute_beta(returns, 2 * returns).beta == pytest.approx(2.0)


def test_buy_and_hold_the_benchmark_has_beta_1():
    """The one-day shift between strategy and benchmark that two engines shipped."""
    times = np.arange(200) * DAY_US
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, 200)))
    got = align_at(times, 7 * closes, times, closes)
    fit = compute_beta(got.x[:, 0], got.y)
    assert fit.beta == pytest.approx(1.0, abs=1e-12) and fit.se == pytest.approx(0.0, abs=1e-12)


def test_event_day_is_not_paired_with_the_next_return():
    """The abnormal return of a jump on row 150 is on row 150, and is y[t]/y[t-1] - 1 divided by the old price."""
    rng = np.random.default_rng(4)
    x = rng.normal(0, 0.01, 200)
    y = x + rng.normal(0, 0.001, 200)
    y[150] += 0.5
    got = event_study(y, x, row=150, windows=EventWindows(first=-1, last=1))
    assert np.argmax(np.abs(got.ar)) == 1 and got.ar[1] == pytest.approx(0.5, abs=0.01)


def test_dimson_is_not_the_plain_beta():
    rng = np.random.default_rng(5)
    x = rng.normal(size=300)
    y = np.r_[0.0, x[:-1]] + rng.normal(0, 0.1, 300)  # the index follows a day late
    assert abs(compute_beta(x, y).beta) < 0.2
    assert dimson_beta(x, y).beta == pytest.approx(1.0, abs=0.1)  # pybeta with lags=1: the plain one


def test_input_is_not_changed():
    x = np.random.default_rng(6).normal(size=100)
    y = x + 1
    before = (x.copy(), y.copy())
    compute_beta(x, y)
    rolling_beta(x, y, [30])
    dimson_beta(x, y)
    assert np.array_equal(x, before[0]) and np.array_equal(y, before[1])


def test_annualised_by_the_clock_of_the_series():
    times = np.arange(100) * DAY_US
    level = np.exp(np.cumsum(np.random.default_rng(7).normal(0.001, 0.01, 100)))
    bench = np.exp(np.cumsum(np.random.default_rng(8).normal(0, 0.01, 100)))
    got = align_at(times, level, times, bench)
    for clock, periods in ((Clock.AT_CLOSE, 252), (Clock.NQ_HOURS, 252 * 23), (Clock.HOURLY_UTC, 8760)):
        fit = compute_beta(got.x[:, 0], got.y, periods_per_year=PERIODS_PER_YEAR[clock])
        assert fit.alpha_annualised == pytest.approx(fit.alpha * periods)


def test_nothing_heavy_is_imported():
    import subprocess
    import sys

    code = (
        "import sys, pkgutil, importlib, indexer.analytics as a\n"
        "for m in pkgutil.iter_modules(a.__path__): importlib.import_module('indexer.analytics.' + m.name)\n"
        "heavy = {'scipy', 'pandas', 'statsmodels', 'exchange_calendars', 'numba', 'altair', 'pyarrow'}\n"
        "print(sorted(heavy & {n.split('.')[0] for n in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
