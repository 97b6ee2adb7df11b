"""The rolling kernel against direct fits, on the hard cases where running sums fail, and against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest

import indexer.analytics.rolling as module
from indexer.analytics.beta import compute_beta
from indexer.analytics.rolling import rolling_beta, rolling_hac
from indexer.errors import InputError


def two_pass(x, y, w):
    """Beta and OLS error of each window in 80-bit arithmetic, NaN where x does not move."""
    x, y = np.asarray(x, dtype=np.longdouble), np.asarray(y, dtype=np.longdouble)
    wx, wy = (np.lib.stride_tricks.sliding_window_view(side, w) for side in (x, y))
    dx = wx - wx.mean(axis=1, keepdims=True)
    dy = wy - wy.mean(axis=1, keepdims=True)
    sxx, sxy = (dx * dx).sum(axis=1), (dx * dy).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        beta = np.where(wx.max(axis=1) == wx.min(axis=1), np.nan, sxy / sxx)
        u = dy - beta[:, None] * dx
        se = np.sqrt((u * u).sum(axis=1) / (w - 2) / sxx)
    return beta.astype(float), se.astype(float)


def hard_cases():
    rng = np.random.default_rng(20)
    n = 2_000
    noise, x = rng.normal(0, 0.01, n), rng.normal(0, 0.01, n)
    stale, zero, tick = x.copy(), x.copy(), x.copy()
    stale[700:900], zero[700:900], tick[500] = 0.0123, 0.0, 1e5
    decay = rng.normal(0, 1, 20_000) * np.exp(-12 * np.arange(20_000) / 20_000)
    big, small = 1e6 + rng.normal(0, 1e-3, n), 0.5 + rng.normal(0, 1e-6, n)
    return {
        "ordinary": (x, 1.5 * x + noise),
        "mean 1e6, sd 1e-3": (big, 1.5 * (big - 1e6) + rng.normal(0, 1e-3, n)),
        "mean 0.5, sd 1e-6": (small, 1.5 * small + rng.normal(0, 1e-6, n)),
        "after one 1e5 tick": (tick, 1.5 * x + noise),
        "volatility decays": (decay, 1.5 * decay + rng.normal(0, 1, 20_000) * np.exp(-12 * np.arange(20_000) / 20_000)),
        "stale feed": (stale, 1.5 * stale + noise),
        "exactly zero": (zero, 1.5 * zero + noise),
    }


@pytest.mark.parametrize("name", hard_cases())
def test_hard_cases_to_1e_12_and_no_garbage_window(name):
    x, y = hard_cases()[name]
    got = rolling_beta(x, y, [90])[90]
    want, se = two_pass(x, y, 90)
    ours = got.beta[89:, 0]
    assert np.array_equal(np.isnan(ours), np.isnan(want)), "a window was invented or lost"
    assert np.isnan(want).sum() == (111 if name in {"stale feed", "exactly zero"} else 0)
    scale = np.maximum(np.abs(want), se)
    assert np.nanmax(np.abs(ours - want) / scale) <= 1e-12
    assert np.isnan(got.se[:89]).all() and np.isnan(got.r2[:89]).all()


def test_golden(vectors, xyz):
    x, y, _ = xyz
    got = rolling_beta(x, y, [8])[8]
    for t, beta, r2, se in vectors["rolling_w8 [t, beta, r2, se]"]:
        row = int(t)
        assert [got.beta[row, 0], got.r2[row, 0], got.se[row, 0]] == pytest.approx([beta, r2, se], rel=1e-9)


@pytest.mark.parametrize("rows", [5, 89, 90, 91, 400, 1003])
@pytest.mark.parametrize("window", [5, 30, 90])
@pytest.mark.parametrize("chunk", [1, 1 << 17])
def test_every_window_is_the_full_fit_of_its_slice(rows, window, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", chunk)  # one block at a time, and all at once
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, 3))
    y = x[:, 0] + rng.normal(size=rows)
    got = rolling_beta(x, y, [window])[window]
    assert np.isnan(got.beta[: window - 1]).all()
    for t in range(window - 1, rows, 7):
        for place in range(3):
            want = compute_beta(x[t - window + 1 : t + 1, place], y[t - window + 1 : t + 1])
            ours = [field[t, place] for field in (got.beta, got.alpha, got.r2, got.se)]
            assert ours == pytest.approx([want.beta, want.alpha, want.r2, want.se_ols], rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_missing_value_touches_exactly_its_windows(side, value):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=60), rng.normal(size=60)
    clean = rolling_beta(x, y, [10])[10].beta[:, 0]
    dirty = {"x": x.copy(), "y": y.copy()}
    dirty[side][25] = value
    got = rolling_beta(dirty["x"], dirty["y"], [10])[10]
    lost = np.flatnonzero(np.isnan(got.beta[9:, 0])) + 9
    assert lost.tolist() == list(range(25, 35))
    rest = np.setdiff1d(np.arange(9, 60), lost)
    assert np.array_equal(got.beta[rest, 0], clean[rest])  # RollingOLS is wrong here for ever after
    assert np.array_equal(np.isnan(got.se), np.isnan(got.beta)) and np.array_equal(np.isnan(got.r2), np.isnan(got.beta))


def test_statsmodels_rolling_fails_where_we_do_not():
    from statsmodels.regression.rolling import RollingOLS
    from statsmodels.tools import add_constant

    rng = np.random.default_rng(4)
    x, y = rng.normal(size=60), rng.normal(size=60)
    y[25] = np.nan
    theirs = RollingOLS(y, add_constant(x), window=10, missing="skip").fit().params[:, 1]
    ours = rolling_beta(x, y, [10])[10].beta[:, 0]
    want, _ = two_pass(x, y, 10)
    assert np.nanmax(np.abs(ours[9:] - want)) < 1e-12
    assert np.nanmax(np.abs(theirs[40:] - want[31:])) > 1e-3, "the peer was mended: the comparison can go"


def test_equals_statsmodels_on_clean_data():
    from statsmodels.regression.rolling import RollingOLS
    from statsmodels.tools import add_constant

    rng = np.random.default_rng(5)
    x, y = rng.normal(size=300), rng.normal(size=300)
    fit = RollingOLS(y, add_constant(x), window=60).fit()
    got = rolling_beta(x, y, [60])[60]
    np.testing.assert_allclose(got.beta[59:, 0], fit.params[59:, 1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.se[59:, 0], fit.bse[59:, 1], rtol=1e-9)
    np.testing.assert_allclose(got.r2[59:, 0], fit.rsquared[59:], rtol=1e-8, atol=1e-12)


def test_window_has_w_points_not_one_more():
    x = np.random.default_rng(6).normal(size=11)  # pyfolio's window of 10 holds 11
    y = np.random.default_rng(7).normal(size=11)
    slope = np.polyfit(x[1:], y[1:], 1)[0]
    assert rolling_beta(x, y, [10])[10].beta[10, 0] == pytest.approx(slope, rel=1e-10)


def test_itself_and_flat_index():
    x = np.random.default_rng(8).normal(size=200)
    got = rolling_beta(x, x, [30])[30]
    np.testing.assert_allclose(got.beta[29:], 1.0, rtol=1e-14)
    assert (got.se[29:] == 0).all()
    flat = rolling_beta(x, np.full(200, 0.3), [30])[30]
    assert np.isnan(flat.beta).all()


def test_input_errors():
    with pytest.raises(InputError, match="window 2 is too short"):
        rolling_beta([1, 2, 3], [1, 2, 3], [2])
    with pytest.raises(InputError, match="must have the same rows"):
        rolling_beta([1, 2, 3], [1, 2], [3])
    with pytest.raises(InputError, match="window 2 is too short"):
        rolling_hac([1, 2, 3], [1, 2, 3], window=2)
    assert np.isnan(rolling_hac([1.0, 2, 3], [1.0, 2, 4], window=5)).all()


def test_rolling_hac_is_the_full_one_of_each_slice():
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(200, 2)), rng.normal(size=200)
    x[50, 1] = np.nan
    x[100:170, 0] = 0.4
    got = rolling_hac(x, y, window=60)
    for t in range(59, 200, 5):
        for place in range(2):
            window = slice(t - 59, t + 1)
            if not np.isfinite(x[window, place]).all():
                assert np.isnan(got[t, place])
                continue
            want = compute_beta(x[window, place], y[window], hac_lag=3).se_hac
            assert np.isnan(got[t, place]) if want is None else got[t, place] == pytest.approx(want, rel=1e-9)
