"""The golden vectors through the path that is served: series → frame → method → result."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from indexer.analytics.align import Clock, session_closes
from indexer.analytics.rolling import rolling_beta
from indexer.errors import InputError
from indexer.studies.beta import windowed_beta
from indexer.studies.methods import Options
from indexer.studies.series import BENCHMARK, INDEX, Series, make_frame
from indexer.times import DAY_US, HOUR_US

VECTORS = json.loads((Path(__file__).parents[1] / "analytics" / "vectors.json").read_text())
CLOSES = session_closes(date(2025, 1, 13), date(2025, 2, 6))[:17]
HOURS = np.arange(CLOSES[0] // HOUR_US - 5, CLOSES[-1] // HOUR_US + 6) * HOUR_US
NEAR = {"rel": 1e-9, "abs": 1e-12}


def of_returns(name, column, kind=BENCHMARK):
    """A series whose log returns between the closes are a column of the vectors."""
    values = 100.0 * np.exp(np.r_[0.0, np.cumsum(VECTORS["input"][column])])
    return Series(name, kind, CLOSES, values, "close")


def index():
    """Hourly levels with the vectors' returns at the closes, and levels between them that must not count."""
    at_close = of_returns("deai", "y", INDEX)
    noise = np.random.default_rng(0).uniform(50, 200, HOURS.size)
    row = np.searchsorted(CLOSES, HOURS)
    exact = (row < CLOSES.size) & (CLOSES[np.minimum(row, CLOSES.size - 1)] == HOURS)
    values = np.where(exact, at_close.values[np.minimum(row, CLOSES.size - 1)], noise)
    return Series("deai", INDEX, HOURS, values, "index level")


def beta(store, method="ols", benchmarks=("x",), **options):
    frame = make_frame(store, index(), [of_returns(name, name) for name in benchmarks])
    return windowed_beta(frame, method=method, sessions=16, options=Options(**options))


def test_least_squares(store):
    study = beta(store)
    result, want = study.result, VECTORS["ols"]
    names = {
        "alpha": "alpha",
        "beta": "beta",
        "r2": "r2",
        "r2_adj": "r2_adj",
        "se_ols": "se_beta",
        "residual_sd": "resid_sd",
    }
    for ours, theirs in names.items():
        assert getattr(result, ours) == pytest.approx(want[theirs], **NEAR), ours
    assert result.correlation == pytest.approx(want["corr"], **NEAR)
    assert result.durbin_watson == pytest.approx(want["durbin_watson"], **NEAR)
    assert result.se_hac == pytest.approx(VECTORS["hac"]["L2_corr"], **NEAR)
    assert result.se_hc3 == pytest.approx(VECTORS["hc"]["HC3"], **NEAR)
    assert result.se == max(result.se_ols, result.se_hac)
    assert result.alpha_annualised == pytest.approx(VECTORS["alpha_annualised"]["arith_252"], **NEAR)
    assert study.blume == pytest.approx(VECTORS["shrink"]["blume_2_3"], **NEAR)
    assert (study.periods_per_year, study.pairs_used, study.pairs_dropped) == (252.0, 16, 0)


@pytest.mark.parametrize(
    ("method", "want"),
    [
        ("ewma", VECTORS["ewma_0.94"]["centred_beta"]),
        ("upside", VECTORS["downside"]["two_slope_regression_up_down_and_wald_p"][0]),
        ("downside", VECTORS["downside"]["two_slope_regression_up_down_and_wald_p"][1]),
        ("quantile", VECTORS["quantile"]["0.5"]["beta"]),
        ("dimson", VECTORS["dimson_pm1"]["beta"]),
        ("scholes_williams", VECTORS["scholes_williams"]["beta"]),
    ],
)
def test_other_methods(store, method, want):
    assert beta(store, method).estimate.beta == pytest.approx(want, **NEAR)


def test_two_benchmarks_together(store):
    study, want = beta(store, "multi", ("x", "z")), VECTORS["multi"]
    assert [factor.beta for factor in study.estimate.detail.factors] == pytest.approx(
        [want["beta_qqq"], want["beta_btc"]], **NEAR
    )
    assert study.estimate.r2 == pytest.approx(want["r2"], **NEAR)


def test_rolling_windows(store):
    frame = make_frame(store, index(), [of_returns("x", "x")])
    path = rolling_beta(frame.x[:, 0], frame.y, [8])[8]
    for t, slope, r2, se in VECTORS["rolling_w8 [t, beta, r2, se]"]:
        row = int(t)
        assert (path.beta[row, 0], path.r2[row, 0], path.se[row, 0]) == pytest.approx((slope, r2, se), **NEAR)


def test_a_missing_value_takes_both_intervals_that_touch_it_and_says_so(store):
    own = index()
    values = np.where(own.times_us == CLOSES[5], np.nan, own.values)
    holed = Series(own.name, own.kind, own.times_us, values, own.basis)
    frame = make_frame(store, holed, [of_returns("x", "x")])
    assert frame.times_us[~frame.complete].tolist() == CLOSES[[5, 6]].tolist()
    assert frame.reasons == ("2 intervals without a value of deai at both ends",)
    assert windowed_beta(frame, sessions=14).pairs_dropped == 2


def test_hours_across_the_halt_of_futures_are_left_out(store):
    hours = np.array([0, 1, 2, 4, 5]) * HOUR_US  # the bar that would end at hour 3 is the daily halt
    own = Series("deai", INDEX, np.arange(6) * HOUR_US, np.exp(np.arange(6) / 100), "index level")
    futures = Series("NQ=F", BENCHMARK, hours, np.exp(np.arange(5) / 50), "close")
    frame = make_frame(store, own, [futures], clock=Clock.NQ_HOURS)
    assert frame.times_us.tolist() == [HOUR_US, 2 * HOUR_US, 5 * HOUR_US]
    assert frame.periods_per_year == 252 * 23


def test_returns_a_year_follow_the_clock_and_the_benchmark(store):
    days = CLOSES[0] // DAY_US * DAY_US + np.arange(40) * DAY_US
    own = Series("deai", INDEX, days, np.linspace(1.0, 2.0, 40), "index level")
    token = Series("btc", "token", days, np.linspace(2.0, 3.0, 40), "reference rate")
    stock = of_returns("x", "x")
    assert make_frame(store, own, [token], clock=Clock.DAILY_UTC).periods_per_year == 365
    assert make_frame(store, own, [stock], clock=Clock.DAILY_UTC).periods_per_year == 252
    assert make_frame(store, own, [stock], clock=Clock.DATE_JOIN).periods_per_year == 252
    assert make_frame(store, own, [token], clock=Clock.HOURLY_UTC).periods_per_year == 8760
    with pytest.raises(InputError, match=r'"noon" is not a clock\. Use one of at_close, daily_utc'):
        make_frame(store, own, [stock], clock="noon")
