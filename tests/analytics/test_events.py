"""Event studies: golden row, the windows, cross-sectional tests under a common shock, and the shipped events."""

from __future__ import annotations

import math

import numpy as np
import pytest

from indexer.analytics.event_study import (
    EventWindows,
    abnormal_returns,
    block_bootstrap_p,
    cross_section,
    event_row,
    event_study,
    generalised_sign,
    rank_test,
)
from indexer.errors import InputError
from indexer.times import DAY_US

NEAR = {"rel": 1e-9, "abs": 1e-12}


def test_golden(vectors, xyz):
    x, y, _ = xyz
    want = vectors["event"]
    got = abnormal_returns(y[:12], x[:12], event_y=y[12:], event_factors=x[12:])
    assert got.ar == pytest.approx(want["AR"], **NEAR)
    assert got.ar_sd == pytest.approx(want["sd_AR_forecast"], **NEAR)
    assert (got.car, got.car_sd, got.t) == pytest.approx((want["CAR"], want["sd_CAR"], want["t"]), **NEAR)
    assert got.p == pytest.approx(want["p_two_sided_df10"], **NEAR)
    assert got.df == 10
    assert got.car_sd > want["sd_CAR_naive_eventstudy_pkg"] and got.p > want["p_eventstudy_pkg_one_sided_df11"]
    windows = EventWindows(first=0, last=3, length=12, end=-1)
    whole = event_study(y, x, row=12, windows=windows)
    assert (whole.car, whole.p) == pytest.approx((got.car, got.p), **NEAR)


def test_equals_a_dummy_variable_regression():
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    f = rng.normal(size=(150, 2))
    y = f @ [1.2, 0.4] + rng.normal(size=150)
    got = event_study(y, f, row=140, windows=EventWindows(first=0, last=0, length=120, end=-11))
    rows = np.r_[10:130, 140]
    dummy = (rows == 140).astype(float)
    fit = sm.OLS(y[rows], sm.add_constant(np.column_stack([f[rows], dummy]))).fit()
    assert (got.car, got.car_sd, got.p) == pytest.approx((fit.params[3], fit.bse[3], fit.pvalues[3]), rel=1e-9)


def test_an_event_never_moves_to_a_neighbour():
    ends = np.array([10, 20, 30]) * DAY_US
    assert event_row(ends, at_us=20 * DAY_US) == 1
    assert event_row(ends, at_us=20 * DAY_US + 1) == 2  # after the close: the next interval
    assert event_row(ends, at_us=31 * DAY_US) is None and event_row(ends, at_us=1) is None
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=200), rng.normal(size=200)
    y[150] = np.nan
    assert event_study(y, x, row=150).reason == "a return in the event window is missing"
    y[150], y[100] = 0.0, np.nan
    got = event_study(y, x, row=150)
    assert got.n_estimation == 119
    assert "the windows reach outside the data: 20 intervals before it begins" in event_study(y, x, row=110).reason
    assert "reach outside the data: 3 after it ends" in event_study(y, x, row=197).reason
    y[30:140] = np.nan
    assert event_study(y, x, row=150).n_estimation == 10
    y[29] = np.nan
    assert event_study(y, x, row=150).reason == "9 complete estimation rows, too few for the model"
    assert "does not move" in event_study(x, np.ones(200), row=150).reason


def test_window_errors():
    with pytest.raises(InputError, match=r"event window \[3, 1\] ends before it starts"):
        EventWindows(first=3, last=1)
    with pytest.raises(InputError, match="the estimation window ends at 0, inside the event window from -1"):
        EventWindows(end=0)
    with pytest.raises(InputError, match="an estimation window of 5 is too short"):
        EventWindows(length=5)


def market(seed: int, shock: float, common: float, members: int = 15):
    """Members that share a residual factor of the given weight, with the same shock on the event row."""
    rng = np.random.default_rng(seed)
    x, shared = rng.normal(0, 0.01, 200), rng.normal(0, 0.03, 200)
    own = rng.normal(0, 0.03, (200, members))
    y = x[:, None] + math.sqrt(common) * shared[:, None] + math.sqrt(1 - common) * own
    y[150] += shock
    windows = EventWindows(first=0, last=0)
    return [event_study(y[:, place], x, row=150, windows=windows) for place in range(members)]


def test_shared_shock_needs_kolari_pynnonen():
    plain = adjusted = 0
    for seed in range(200):
        got = cross_section(market(seed, shock=0.0, common=0.5))
        plain += got.p_bmp < 0.05
        adjusted += got.p_kolari_pynnonen < 0.05
    assert plain > 80  # without the correction the test rejects a true null in most runs
    assert 2 <= adjusted <= 24  # 5 % of 200 within three standard errors
    assert got.mean_correlation == pytest.approx(0.5, abs=0.12)


def test_cross_section_finds_a_real_shock_and_needs_members():
    got = cross_section(market(0, shock=-0.15, common=0.3))
    assert max(got.p_cross, got.p_patell, got.p_bmp, got.p_kolari_pynnonen, got.p_sign) < 0.05
    assert got.mean_car == pytest.approx(-0.15, abs=0.05) and got.n == 15
    few = cross_section(market(0, shock=0.0, common=0.3)[:2])
    assert few.reason == "2 constituents with a CAR, at least 3 are needed" and few.bmp is None
    assert generalised_sign([]) is None


def test_rank_test_holds_its_size_and_has_power():
    rng = np.random.default_rng(3)
    false = sum(rank_test(rng.standard_t(3, (100, 10)), rng.standard_t(3, (3, 10)))[1] < 0.05 for _ in range(300))
    assert 4 <= false <= 27
    z, p = rank_test(rng.standard_t(3, (100, 10)), rng.standard_t(3, (3, 10)) - 3)
    assert z < -2 and p < 0.05


def test_block_bootstrap_agrees_with_t_on_normal_residuals():
    got = market(5, shock=-0.09, common=0.0, members=1)[0]
    p = block_bootstrap_p(got, seed=1)
    assert p == block_bootstrap_p(got, seed=1) == pytest.approx(got.p, abs=0.02)
    assert block_bootstrap_p(event_study(np.ones(9), np.ones(9), row=5), seed=1) is None
