"""compute_beta: golden rows, algebraic properties, degenerate input, statsmodels as oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.analytics.beta import compute_beta
from indexer.analytics.linear import auto_lag, hac_covariance, se_hac, se_hc3
from indexer.errors import InputError

NEAR = {"rel": 1e-9, "abs": 1e-12}


def test_golden_ols(vectors, xyz):
    x, y, _ = xyz
    want, got = vectors["ols"], compute_beta(x, y)
    for ours, theirs in {
        "alpha": "alpha",
        "beta": "beta",
        "r2": "r2",
        "r2_adj": "r2_adj",
        "se_alpha": "se_alpha",
        "se_ols": "se_beta",
        "t": "t_beta",
        "p": "p_beta",
        "residual_sd": "resid_sd",
        "correlation": "corr",
        "durbin_watson": "durbin_watson",
    }.items():
        assert getattr(got, ours) == pytest.approx(want[theirs], **NEAR), ours
    assert [got.ci_low, got.ci_high] == pytest.approx(want["ci95_beta_t14"], **NEAR)
    assert [got.correlation_low, got.correlation_high] == pytest.approx(vectors["corr_ci95_fisher"], **NEAR)
    assert got.p == pytest.approx(vectors["corr_p"], **NEAR)


def test_golden_alpha_annualised_by_the_clock(vectors, xyz):
    x, y, _ = xyz
    want = vectors["alpha_annualised"]
    daily = compute_beta(x, y, periods_per_year=252)
    assert daily.alpha_annualised == pytest.approx(want["arith_252"], **NEAR)
    assert compute_beta(x, y, periods_per_year=365).alpha_annualised == pytest.approx(want["arith_365"], **NEAR)
    assert (1 + daily.alpha) ** 252 - 1 == pytest.approx(want["compounded_252"], **NEAR)


def test_golden_robust_errors(vectors, xyz):
    x, y, _ = xyz
    fit = compute_beta(x, y)
    dx, u = x - x.mean(), y - fit.alpha - fit.beta * x
    assert se_hc3(dx, u) == pytest.approx(vectors["hc"]["HC3"], **NEAR)
    for lag in range(4):
        assert se_hac(dx, u, lag=lag) == pytest.approx(vectors["hac"][f"L{lag}_corr"], **NEAR)
    design = np.column_stack([np.ones_like(x), x])
    full = hac_covariance(design, u, lag=2)
    assert np.sqrt(full[1, 1]) == pytest.approx(vectors["hac"]["L2_corr"], **NEAR)
    assert [auto_lag(n) for n in (16, 90, 252, 1000)] == [2, 3, 4, 6]


def test_the_larger_error_is_reported(xyz):
    x, y, _ = xyz
    fit = compute_beta(x, y)
    assert fit.se_hac < fit.se_ols == fit.se  # HAC alone would shrink the interval by a third here
    assert "short window (16 < 60 pairs)" in fit.warnings[0]
    rng = np.random.default_rng(3)
    u = np.convolve(rng.normal(size=505), np.ones(6), "valid")  # strongly autocorrelated
    z = np.convolve(rng.normal(size=505), np.ones(6), "valid")
    wide = compute_beta(z, z + u)
    assert wide.se == wide.se_hac > wide.se_ols


def test_varying_risk_free_rate_changes_beta_a_constant_one_does_not(vectors, xyz):
    x, y, _ = xyz
    rf = np.linspace(0, 0.002, 16)
    assert compute_beta(x - rf, y - rf).beta == pytest.approx(vectors["rf"]["beta_varying_rf"], **NEAR)
    assert compute_beta(x - 0.01, y - 0.01).beta == pytest.approx(vectors["rf"]["beta_const_rf"], **NEAR)


def test_log_and_simple_returns_are_not_the_same_beta(vectors, xyz):
    x, y, _ = xyz
    want = vectors["log_vs_simple"]
    assert compute_beta(np.log1p(x), np.log1p(y)).beta == pytest.approx(want["log_beta"], **NEAR)
    assert np.log1p(y)[:3].sum() == pytest.approx(want["aggregate_3bars_log"], **NEAR)


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([0.01, 0.02], [0.01, 0.02], "2 aligned pairs, at least 3 are needed"),
        ([], [], "0 aligned pairs, at least 3 are needed"),
        (
            [0.01] * 5,
            [0.1, 0.2, 0.1, 0.3, 0.2],
            "the benchmark does not move in this window (zero variance)",
        ),
        ([0.1, 0.2, 0.1, 0.3, 0.2], [0.0] * 5, "the index does not move in this window (zero variance)"),
        ([0.1, np.nan, 0.2, np.inf], [0.1, 0.2, np.nan, 0.3], "1 aligned pairs, at least 3 are needed"),
    ],
)
def test_no_number_without_a_reason(x, y, reason):
    got = compute_beta(x, y)
    assert got.reason == reason
    numbers = ("beta", "alpha", "se", "se_ols", "se_hac", "se_hc3", "ci_low", "t", "p", "r2", "correlation")
    assert all(getattr(got, name) is None for name in numbers)


def test_errors_say_what_to_do():
    with pytest.raises(InputError, match="x has 2 values and y has 3; align them"):
        compute_beta([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match=r"confidence 95 must lie between 0 and 1"):
        compute_beta([1, 2], [1, 2], confidence=95)


def test_a_tiny_scale_is_not_zero_variance():
    x = np.array([1.0, -2, 3, -1, 2, 5]) * 1e-15  # empyrical's absolute guard gives NaN here
    assert compute_beta(x, 2 * x).beta == pytest.approx(2.0, rel=1e-12)


def test_beta_of_a_series_on_itself():
    x = np.random.default_rng(0).normal(size=50)
    got = compute_beta(x, x)
    assert (got.beta, got.se, got.t) == (1.0, 0.0, None)
    assert "exact fit" in got.warnings[1]


series = st.lists(st.floats(-0.2, 0.2, allow_subnormal=False), min_size=8, max_size=40).filter(
    lambda values: np.std(values) > 1e-3
)


@given(series, st.floats(0.1, 10), st.floats(-0.1, 0.1), st.integers(0, 1000))
def test_scale_and_shift(values, k, c, seed):
    x = np.array(values)
    y = 1.3 * x + np.random.default_rng(seed).normal(0, 0.01, x.size)
    plain = compute_beta(x, y)
    assert compute_beta(x, k * y).beta == pytest.approx(k * plain.beta, rel=1e-9)
    assert compute_beta(x + c, y).beta == pytest.approx(plain.beta, rel=1e-8)
    assert compute_beta(x, y).se >= plain.se_ols


def test_equals_statsmodels(xyz):
    import statsmodels.api as sm

    rng = np.random.default_rng(8)
    for n in (16, 90, 400):
        x = rng.standard_t(4, n) * 0.02
        y = 1.5 * x + rng.standard_t(4, n) * 0.03
        got, ols = compute_beta(x, y), sm.OLS(y, sm.add_constant(x)).fit()
        assert got.beta == pytest.approx(ols.params[1], rel=1e-11)
        assert got.se_ols == pytest.approx(ols.bse[1], rel=1e-11)
        assert got.se_hc3 == pytest.approx(ols.get_robustcov_results("HC3").bse[1], rel=1e-10)
        hac = ols.get_robustcov_results("HAC", maxlags=got.hac_lag, use_correction=True)
        assert got.se_hac == pytest.approx(hac.bse[1], rel=1e-10)
        assert got.p == pytest.approx(2 * __import__("scipy.stats").stats.t.sf(abs(got.t), n - 2), rel=1e-8)
