"""Golden rows and degenerate input of every beta beside OLS."""

from __future__ import annotations

import math

import numpy as np
import pytest

from indexer.analytics.beta import bootstrap_beta, optimal_block, stationary_indices
from indexer.analytics.beta_variants import (
    Prior,
    asymmetric_beta,
    blume_beta,
    cross_section_prior,
    dimson_beta,
    hayashi_yoshida,
    quantile_beta,
    scholes_williams_beta,
    vasicek_beta,
)
from indexer.analytics.linear import factor_model
from indexer.analytics.time_varying import KalmanModel, ewma_beta, ewma_path, kalman_filter, kalman_fit
from indexer.errors import InputError, NotEnoughDataError

NEAR = {"rel": 1e-9, "abs": 1e-12}


def test_golden_ewma(vectors, xyz):
    x, y, _ = xyz
    want, got = vectors["ewma_0.94"], ewma_beta(x, y)
    assert got.beta == pytest.approx(want["centred_beta"], **NEAR)
    assert got.beta == pytest.approx(want["pandas_ewm_beta"], **NEAR)
    assert (got.n_effective, got.half_life) == pytest.approx((want["n_eff_kish"], want["half_life"]), **NEAR)
    path = ewma_path(x, y)
    assert path[-1] == pytest.approx(got.beta, **NEAR) and np.isnan(path[:2]).all()
    for t in range(3, 16):
        assert path[t - 1] == pytest.approx(ewma_beta(x[:t], y[:t]).beta, **NEAR)  # known then, no look-ahead


def test_golden_kalman(vectors, xyz):
    x, y, _ = xyz
    want = vectors["kalman"]
    model = KalmanModel(1e-8, 1e-3, 1e-4, beta0=1.0, p_alpha0=1e-4, p_beta0=1.0)
    filtered, smoothed = kalman_filter(x, y, model=model)
    np.testing.assert_allclose(filtered.beta, want["beta_path"], rtol=1e-9)
    np.testing.assert_allclose(filtered.sd_beta, want["sd_path"], rtol=1e-9)
    assert filtered.loglik == pytest.approx(want["loglik"], **NEAR)
    assert smoothed.beta[[0, -1]] == pytest.approx(want["smoothed_beta_first_last"], **NEAR)
    assert (filtered.kind, smoothed.kind) == ("filtered", "smoothed")


def test_kalman_missing_pair_leaves_the_state():
    x = np.random.default_rng(0).normal(size=50)
    y = 1.5 * x + np.random.default_rng(1).normal(0, 0.1, 50)
    y[20] = np.nan
    got, _ = kalman_filter(x, y, model=KalmanModel(0.0, 1e-3, 1e-2))
    assert got.beta[20] == got.beta[19] and got.sd_beta[20] > got.sd_beta[19]
    with pytest.raises(InputError, match="r must be positive"):
        kalman_filter(x, y, model=KalmanModel(0.0, 1e-3, 0.0))


def test_kalman_fit_finds_a_moving_beta_and_says_when_it_does_not_move():
    rng = np.random.default_rng(11)
    n = 800
    x = rng.normal(0, 0.012, n)
    path = 1.5 + np.cumsum(rng.normal(0, 0.05, n))
    moving = kalman_fit(x, path * x + rng.normal(0, 0.01, n))
    assert math.sqrt(moving.q_beta) == pytest.approx(0.05, rel=0.35)
    assert math.sqrt(moving.r) == pytest.approx(0.01, rel=0.1)
    inside = np.abs(moving.filtered.beta - path) < 1.96 * moving.filtered.sd_beta
    assert inside[100:].mean() > 0.9
    assert (moving.smoothed.sd_beta[:-1] <= moving.filtered.sd_beta[:-1] + 1e-12).all()
    still = kalman_fit(x, 1.5 * x + rng.normal(0, 0.01, n))
    assert still.filtered.beta[-1] == pytest.approx(1.5, abs=0.15)
    assert kalman_fit(x[:10], x[:10]).reason == "10 aligned pairs, at least 30 are needed"
    assert "does not move" in kalman_fit(np.ones(40), x[:40]).reason


def test_golden_asymmetry(vectors, xyz):
    x, y, _ = xyz
    want, got = vectors["downside"], asymmetric_beta(x, y)
    assert got.ols_down == pytest.approx(want["empyrical_style_x_lt_0"], **NEAR)
    assert got.ols_up == pytest.approx(want["upside_x_gt_0"], **NEAR)
    assert got.ang_chen_xing == pytest.approx(want["ang_chen_xing_x_lt_mean"], **NEAR)
    assert got.lpm == pytest.approx(want["lpm_bawa_lindenberg_tau0"], **NEAR)
    assert got.estrada == pytest.approx(want["estrada"], **NEAR)
    assert (got.up, got.down, got.wald_p) == pytest.approx(want["two_slope_regression_up_down_and_wald_p"], **NEAR)
    assert asymmetric_beta(np.abs(x), y).reason == "0 falling and 16 rising pairs, at least 3 of each are needed"


def test_golden_quantile(vectors, xyz):
    x, y, _ = xyz
    for tau in (0.1, 0.25, 0.5, 0.75, 0.9):
        want, got = vectors["quantile"][str(tau)], quantile_beta(x, y, tau=tau)
        assert (got.alpha, got.beta, got.pinball) == pytest.approx(
            (want["alpha"], want["beta"], want["pinball"]), **NEAR
        )
    assert quantile_beta(x[:5], y[:5]).reason == "5 aligned pairs, at least 10 are needed"
    assert "zero variance" in quantile_beta(np.ones(16), y).reason
    with pytest.raises(InputError, match="tau 50 must lie between 0 and 1"):
        quantile_beta(x, y, tau=50)


def test_golden_shrinkage(vectors):
    want, ols = vectors["shrink"], vectors["ols"]
    assert blume_beta(ols["beta"]) == pytest.approx(want["blume_2_3"], **NEAR)
    assert blume_beta(ols["beta"], weight=0.67) == pytest.approx(want["bloomberg_067"], **NEAR)
    got = vasicek_beta(ols["beta"], ols["se_beta"], prior=Prior(1.0, 0.5))
    assert (got.beta, got.sd) == pytest.approx((want["vasicek_prior1_sd05"], want["vasicek_post_sd"]), **NEAR)


def test_cross_section_shrinks_the_uncertain_most():
    betas, ses = [1.0, 2.0, 3.0, np.nan], [0.1, 0.5, 2.0]
    prior = cross_section_prior(betas)
    assert (prior.mean, prior.sd, prior.n) == (2.0, 1.0, 3)
    got = [vasicek_beta(beta, se, prior=prior) for beta, se in zip(betas[:3], ses, strict=True)]
    assert got[0].weight > got[1].weight > got[2].weight
    assert 2.0 < got[2].beta < 3.0
    with pytest.raises(NotEnoughDataError, match="needs at least 3 betas and there are 2"):
        cross_section_prior([1.0, 2.0])
    with pytest.raises(InputError, match="nor both be 0"):
        vasicek_beta(1.0, 0.0, prior=Prior(1.0, 0.0))


def test_golden_dimson(vectors, xyz):
    x, y, _ = xyz
    want, got = vectors["dimson_pm1"], dimson_beta(x, y, hac_lag=2)
    assert got.lags == pytest.approx((want["b_lag"], want["b_0"], want["b_lead"]), **NEAR)
    assert (got.beta, got.se_ols, got.n) == pytest.approx((want["beta"], want["se_nonrobust"], want["nobs"]), **NEAR)
    # The vector is without the small-sample factor n / (n - k), which we apply.
    assert got.se_hac == pytest.approx(want["se_hac2"] * math.sqrt(14 / 10), **NEAR)
    assert got.se == got.se_ols and got.sync == "dimson"


def test_dimson_never_reaches_over_a_hole():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=60), rng.normal(size=60)
    x[30] = np.nan
    assert dimson_beta(x, y).n == 58 - 3
    assert dimson_beta(x, y, span=2).n == 56 - 5
    assert dimson_beta(x[:4], y[:4]).reason == "2 complete rows, at least 6 are needed"
    with pytest.raises(InputError, match="span 0 must be at least 1"):
        dimson_beta(x, y, span=0)


def test_dimson_uses_leads_and_all_lags():
    x = np.random.default_rng(3).normal(size=400)
    y = np.full(400, np.nan)
    y[2:-2] = 0.1 * x[:-4] + 0.2 * x[1:-3] + 0.3 * x[2:-2] + 0.4 * x[3:-1] + 0.5 * x[4:]
    assert dimson_beta(x, y, span=2).lags == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5))  # pybeta forgets half
    assert dimson_beta(x, y, span=2).beta == pytest.approx(1.5)


def test_golden_scholes_williams(vectors, xyz):
    x, y, _ = xyz
    want, got = vectors["scholes_williams"], scholes_williams_beta(x, y)
    assert got.lags == pytest.approx((want["b_lag"], want["b_0"], want["b_lead"]), **NEAR)
    assert (got.rho1, got.beta) == pytest.approx((want["rho1"], want["beta"]), **NEAR)
    assert got.beta_iv == pytest.approx(want["iv_form_beta (instrument x[t-1]+x[t]+x[t+1], interior)"], **NEAR)
    assert scholes_williams_beta(x[:5], y[:5]).reason == "5 aligned pairs, at least 8 are needed"


def test_golden_factors(vectors, xyz):
    x, y, z = xyz
    want, got = vectors["multi"], factor_model(y, {"qqq": x, "btc": z})
    qqq, btc = got.factors
    assert (qqq.beta, btc.beta) == pytest.approx((want["beta_qqq"], want["beta_btc"]), **NEAR)
    assert [qqq.se_ols, btc.se_ols] == pytest.approx(want["se"], **NEAR)
    assert (got.r2, qqq.vif) == pytest.approx((want["r2"], want["vif"]), **NEAR)
    assert qqq.partial_correlation == pytest.approx(want["partial_corr_y_x_given_z"], **NEAR)
    delta = float(np.polyfit(x, z, 1)[0])
    assert delta == pytest.approx(want["delta"], **NEAR)
    assert qqq.beta + btc.beta * delta == pytest.approx(vectors["ols"]["beta"], **NEAR)
    assert got.warnings[0].startswith("qqq is nearly a mix of the other factors (VIF 5.6)")


def test_factors_that_cannot_be_told_apart(xyz):
    x, y, _ = xyz
    assert "two factors are the same" in factor_model(y, {"a": x, "b": 2 * x}).reason
    assert factor_model(y[:4], {"a": x[:4], "b": y[:4]}).reason.startswith("4 aligned rows, at least 5")


def test_golden_hayashi_yoshida(vectors):
    v = vectors["hayashi_yoshida"]
    got = hayashi_yoshida(v["tx"], v["x"], times_y=v["ty"], y=v["y"])
    assert (got.covariance, got.variance, got.beta) == pytest.approx((v["hy_cov"], v["rv_x"], v["hy_beta"]), **NEAR)


def test_hayashi_yoshida_equals_the_double_sum():
    rng = np.random.default_rng(5)
    for _ in range(50):
        tx, ty = (np.unique(rng.integers(0, 60, rng.integers(2, 25))) for _ in range(2))
        px, py = rng.normal(size=tx.size), rng.normal(size=ty.size)
        if min(tx.size, ty.size) < 2:
            continue
        slow = sum(
            (px[i + 1] - px[i]) * (py[j + 1] - py[j])
            for i in range(tx.size - 1)
            for j in range(ty.size - 1)
            if tx[i] < ty[j + 1] and ty[j] < tx[i + 1]
        )
        assert hayashi_yoshida(tx, px, times_y=ty, y=py).covariance == pytest.approx(slow, abs=1e-12)
    with pytest.raises(InputError, match="index times must strictly increase"):
        hayashi_yoshida([0, 1], [0, 1], times_y=[1, 1], y=[0, 1])
    assert hayashi_yoshida([0], [1], times_y=[0, 1], y=[0, 1]).reason == "each side needs at least 2 observations"


def test_bootstrap_is_repeatable_and_near_the_asymptotic_error():
    rng = np.random.default_rng(6)
    x = rng.normal(size=400)
    y = 1.5 * x + rng.normal(size=400)
    got = bootstrap_beta(x, y, seed=1, repetitions=1_000)
    assert got == bootstrap_beta(x, y, seed=1, repetitions=1_000)
    assert got.se == pytest.approx(1 / 20, rel=0.2)
    assert got.beta_low < got.beta < got.beta_high and got.correlation_low < 0.83 < got.correlation_high
    assert bootstrap_beta(x[:10], y[:10], seed=1).reason == "10 aligned pairs, at least 20 are needed"
    assert "zero variance" in bootstrap_beta(np.ones(50), y[:50], seed=1).reason
    rows = stationary_indices(50, 200, block=5.0, rng=rng)
    runs = (np.diff(rows, axis=1) % 50 == 1).mean()
    assert runs == pytest.approx(0.8 + 0.2 / 50, abs=0.02)  # a run goes on with probability 1 - 1/5


def test_optimal_block_equals_arch():
    from arch.bootstrap import optimal_block_length

    rng = np.random.default_rng(7)
    for n in (60, 300, 1500):
        for rho in (0.0, 0.3, 0.8):
            e = rng.normal(size=n)
            for t in range(1, n):
                e[t] += rho * e[t - 1]
            assert optimal_block(e) == pytest.approx(optimal_block_length(e)["stationary"].iloc[0], rel=1e-9)


@pytest.mark.parametrize("function", [ewma_beta, ewma_path])
def test_decay_outside_0_1_is_refused(function, xyz):
    with pytest.raises(InputError, match=r"decay 94 must lie between 0 and 1, e.g. 0.94"):
        function(xyz[0], xyz[1], decay=94)


def test_ewma_without_variance(xyz):
    assert "zero variance" in ewma_beta(np.full(16, 0.1), xyz[1]).reason
    assert ewma_beta([1.0], [1.0]).reason == "1 aligned pairs, at least 3 are needed"
    assert np.isnan(ewma_path(np.full(16, 0.1), xyz[1])).all()
