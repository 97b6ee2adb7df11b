"""Performance by hand, by pandas and at the edges; quantstats (365 periods) and ffn give the same to 1e-12."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from indexer.analytics.performance import month_returns, period_returns, risk
from indexer.times import DAY_US, parse_instant

FIRST = parse_instant("2023-01-31T00:00:00Z")


def walk(days: int) -> tuple[np.ndarray, np.ndarray]:
    steps = np.random.default_rng(7).normal(0.001, 0.04, days - 1)
    return FIRST + DAY_US * np.arange(days), 1000.0 * np.exp(np.r_[0.0, np.cumsum(steps)])


def test_risk_is_that_of_the_usual_formulas() -> None:
    times, levels = walk(1200)
    r = pd.Series(levels).pct_change().dropna()
    one = risk(times, levels)
    assert one.n == 1199 and one.cumulative == pytest.approx(levels[-1] / levels[0] - 1, rel=1e-12)
    assert one.volatility == pytest.approx(r.std() * 365**0.5, rel=1e-12)
    assert one.sharpe == pytest.approx(r.mean() / r.std() * 365**0.5, rel=1e-12)
    assert one.sortino == pytest.approx(r.mean() / ((r[r < 0] ** 2).sum() / len(r)) ** 0.5 * 365**0.5, rel=1e-12)
    series = pd.Series(levels)
    assert one.max_drawdown == pytest.approx((series / series.cummax() - 1).min(), rel=1e-12)
    assert one.cagr == pytest.approx((levels[-1] / levels[0]) ** (365.25 / 1199) - 1, rel=1e-12)
    assert (one.best_day, one.worst_day) == (pytest.approx(r.max()), pytest.approx(r.min()))


def test_a_day_without_a_level_makes_no_return_and_few_make_no_ratio() -> None:
    times, levels = walk(60)
    keep = np.arange(60) != 30
    one = risk(times[keep], levels[keep])
    assert one.n == 57
    few = risk(times[:10], levels[:10])
    assert (few.n, few.volatility, few.sharpe, few.sortino, few.cagr) == (9, None, None, None, None)
    two = risk([FIRST, FIRST + 5 * DAY_US], [100.0, 90.0])
    assert (two.n, two.best_day, two.worst_day, two.cumulative) == (0, 0.0, 0.0, pytest.approx(-0.1))


def test_a_month_ends_with_the_level_that_closes_it() -> None:
    times, levels = walk(60)  # 2023-01-31 to 2023-03-31; the level of 00:00 on the first closes the month before
    months = month_returns(times, levels)
    index = pd.to_datetime(times - 1, unit="us")
    ends = pd.Series(levels, index=index).resample("ME").last()
    assert [(m.year, m.month, m.partial) for m in months] == [(2023, 1, True), (2023, 2, False), (2023, 3, True)]
    assert months[0].value == pytest.approx(levels[1] / levels[0] - 1)
    assert [m.value for m in months[1:]] == pytest.approx(ends.pct_change().dropna().tolist(), rel=1e-12)


def test_a_period_needs_a_level_at_its_start() -> None:
    times, levels = walk(400)
    by_name = {period.period: period for period in period_returns(times, levels)}
    assert by_name["1d"].value == pytest.approx(levels[-1] / levels[-2] - 1)
    assert by_name["1y"].value == pytest.approx(levels[-1] / levels[-366] - 1)
    assert by_name["3y"].value is None and by_name["all"].value == pytest.approx(levels[-1] / levels[0] - 1)
    first = int(np.flatnonzero(times == parse_instant("2024-01-01"))[0])
    assert by_name["ytd"].value == pytest.approx(levels[-1] / levels[first] - 1)
    hole = np.delete(np.arange(400), 400 - 8)
    assert {p.period: p.value for p in period_returns(times[hole], levels[hole])}["7d"] is None
