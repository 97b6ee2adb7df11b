"""Other packages as oracles, on real series: the same numbers where they are right."""

from __future__ import annotations

import gzip
import math
import warnings
from datetime import date

import numpy as np
import pytest

from indexer.analytics.align import align_at, sessions
from indexer.analytics.beta import compute_beta
from indexer.analytics.beta_variants import dimson_beta, quantile_beta, scholes_williams_beta
from indexer.analytics.drawdown import analogues, drawdown_episodes
from indexer.analytics.linear import factor_model
from indexer.analytics.rolling import rolling_beta, rolling_hac
from indexer.analytics.time_varying import KalmanModel, ewma_path, kalman_filter, kalman_fit
from indexer.times import DAY_US, HOUR_US, parse_instant


def columns(path, symbol, stamp, value):
    """(stamps, values) of one symbol of a gzipped CSV."""
    with gzip.open(path, "rt") as lines:
        head = next(lines).rstrip("\n").split(",")
        at, name, place = head.index(stamp), head.index("symbol"), head.index(value)
        rows = [row for row in (line.rstrip("\n").split(",") for line in lines) if row[name] == symbol]
    return [row[at] for row in rows], np.array([float(row[place]) if row[place] else math.nan for row in rows])


@pytest.fixture(scope="module")
def real(shared_data):
    """FET, BTC, QQQ and NVDA returns between XNYS closes, 2023-06 to 2025-03."""
    listed = sessions(date(2023, 6, 1), date(2025, 3, 31))
    at = dict(zip(listed.dates, listed.closes_us.tolist(), strict=True))
    out = {}
    for token in ("FET", "BTC"):
        stamps, close = columns(shared_data / "tokens_hourly.csv.gz", token, "timestamp", "close")
        times = np.array([parse_instant(stamp) for stamp in stamps]) + HOUR_US  # stamped with the open
        out[token] = (times, close)
    aligned = {}
    for stock in ("QQQ", "NVDA"):
        days, close = columns(shared_data / "equities_daily.csv.gz", stock, "date", "adj_close")
        keep = [row for row, day in enumerate(days) if date.fromisoformat(day) in at]
        times = np.array([at[date.fromisoformat(days[row])] for row in keep])
        aligned[stock] = {token: align_at(*out[token], times, close[keep]) for token in out}
    got = aligned["QQQ"]["FET"]
    assert got.dropped == 0 and got.pairs == len(listed.dates) - 1
    return {"qqq": got.x[:, 0], "nvda": aligned["NVDA"]["FET"].x[:, 0], "fet": got.y, "btc": aligned["QQQ"]["BTC"].y}


def test_ols_and_hac(real):
    import statsmodels.api as sm

    for bench in ("qqq", "nvda"):
        x, y = real[bench], real["fet"]
        got, fit = compute_beta(x, y), sm.OLS(y, sm.add_constant(x)).fit()
        hac = fit.get_robustcov_results("HAC", maxlags=got.hac_lag, use_correction=True)
        assert [got.alpha, got.beta] == pytest.approx(fit.params, rel=1e-9)
        assert [got.se_alpha, got.se_ols] == pytest.approx(fit.bse, rel=1e-9)
        assert (got.se_hac, got.r2) == pytest.approx((hac.bse[1], fit.rsquared), rel=1e-9)


def test_factors(real):
    import statsmodels.api as sm
    from statsmodels.stats.outliers_influence import variance_inflation_factor

    x = np.column_stack([real["qqq"], real["btc"], real["nvda"]])
    got = factor_model(real["fet"], {"qqq": x[:, 0], "btc": x[:, 1], "nvda": x[:, 2]})
    design = sm.add_constant(x)
    fit = sm.OLS(real["fet"], design).fit()
    assert [f.beta for f in got.factors] == pytest.approx(fit.params[1:], rel=1e-9)
    assert [f.se_ols for f in got.factors] == pytest.approx(fit.bse[1:], rel=1e-9)
    assert [f.vif for f in got.factors] == pytest.approx(
        [variance_inflation_factor(design, place) for place in (1, 2, 3)], rel=1e-9
    )


def test_lead_lag(real):
    import statsmodels.api as sm

    x, y = real["qqq"], real["fet"]
    design = sm.add_constant(np.column_stack([x[:-2], x[1:-1], x[2:]]))
    fit = sm.OLS(y[1:-1], design).fit()
    hac = fit.get_robustcov_results("HAC", maxlags=4, use_correction=True)
    c = np.array([0.0, 1, 1, 1])
    got = dimson_beta(x, y, hac_lag=4)
    want = (c @ fit.params, math.sqrt(c @ fit.cov_params() @ c), math.sqrt(c @ hac.cov_params() @ c))
    assert (got.beta, got.se_ols, got.se_hac) == pytest.approx(want, rel=1e-9)
    check = scholes_williams_beta(x, y)
    assert abs(check.beta - got.beta) < 3 * got.se


def test_scholes_williams_iv(real):
    from linearmodels.iv import IV2SLS

    x, y = real["qqq"], real["fet"]
    z = x[:-2] + x[1:-1] + x[2:]
    fit = IV2SLS(y[1:-1], np.ones(len(z)), x[1:-1], z).fit(cov_type="unadjusted", debiased=True)
    got = scholes_williams_beta(x, y)
    assert (got.beta_iv, got.se) == pytest.approx((fit.params.iloc[1], fit.std_errors.iloc[1]), rel=1e-8)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_quantile(real, tau):
    import statsmodels.api as sm

    x, y = real["qqq"], real["fet"]
    model = sm.QuantReg(y, sm.add_constant(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's iteration warns that it may not have converged
        fit = model.fit(q=tau, max_iter=5_000)
    got = quantile_beta(x, y, tau=tau)
    u = y - sm.add_constant(x) @ fit.params
    theirs = float(np.where(u >= 0, tau * u, (tau - 1) * u).sum())
    assert got.pinball <= theirs * (1 + 1e-12)  # never worse than the iteration
    assert got.beta == pytest.approx(fit.params[1], abs=2e-3)
    assert got.se == pytest.approx(fit.bse[1], rel=0.05)


def test_kalman_against_pykalman(real):
    from pykalman import KalmanFilter

    x, y = real["qqq"][:250], real["fet"][:250]
    model = KalmanModel(1e-7, 1e-3, 2e-3, beta0=1.0, p_alpha0=1e-4, p_beta0=1.0)
    peer = KalmanFilter(
        transition_matrices=np.eye(2),
        observation_matrices=np.column_stack([np.ones_like(x), x])[:, None, :],
        transition_covariance=np.diag([1e-7, 1e-3]),
        observation_covariance=[[2e-3]],
        initial_state_mean=[0.0, 1.0],
        initial_state_covariance=np.diag([1e-4, 1.0]),
    )
    filtered, smoothed = kalman_filter(x, y, model=model)
    mean, covariance = peer.filter(y)
    np.testing.assert_allclose(filtered.beta, mean[:, 1], rtol=1e-9)
    np.testing.assert_allclose(filtered.sd_beta, np.sqrt(covariance[:, 1, 1]), rtol=1e-9)
    mean, covariance = peer.smooth(y)
    np.testing.assert_allclose(smoothed.beta, mean[:, 1], rtol=1e-8)
    np.testing.assert_allclose(smoothed.sd_beta, np.sqrt(covariance[:, 1, 1]), rtol=1e-8)
    assert filtered.loglik == pytest.approx(peer.loglikelihood(y), rel=1e-9)


def test_kalman_likelihood_is_at_its_maximum(real):
    from scipy.optimize import minimize

    x, y = real["qqq"], real["fet"]
    got = kalman_fit(x, y)

    def loss(theta):
        model = KalmanModel(0.0, math.exp(theta[0]), math.exp(theta[1]), p_alpha0=1e3, p_beta0=1e7)
        return -kalman_filter(x, y, model=model)[0].loglik

    best = minimize(loss, [math.log(got.q_beta), math.log(got.r)], method="Nelder-Mead", options={"xatol": 1e-4})
    assert math.exp(best.x[1]) == pytest.approx(got.r, rel=0.02)
    assert loss([math.log(got.q_beta), math.log(got.r)]) <= best.fun + 0.05


def test_ewma_path_ends_at_weighted_least_squares(real):
    import statsmodels.api as sm

    x, y = real["qqq"], real["fet"]
    weights = 0.94 ** np.arange(len(x) - 1, -1, -1)
    want = sm.WLS(y, sm.add_constant(x), weights=weights).fit().params[1]
    assert ewma_path(x, y)[-1] == pytest.approx(want, rel=1e-9)


def test_rolling(real):
    import statsmodels.api as sm
    from statsmodels.regression.rolling import RollingOLS

    x, y = real["nvda"], real["fet"]
    fit = RollingOLS(y, sm.add_constant(x), window=90).fit()
    got = rolling_beta(x, y, [90])[90]
    np.testing.assert_allclose(got.beta[89:, 0], fit.params[89:, 1], rtol=1e-9)
    np.testing.assert_allclose(got.se[89:, 0], fit.bse[89:, 1], rtol=1e-9)
    errors = rolling_hac(x, y, window=90)
    for end in (90, 200, len(x)):
        window = slice(end - 90, end)
        hac = sm.OLS(y[window], sm.add_constant(x[window])).fit(
            cov_type="HAC", cov_kwds={"maxlags": 3, "use_correction": True}
        )
        assert errors[end - 1, 0] == pytest.approx(hac.bse[1], rel=1e-9)


def test_the_pullback_after_the_etf_approval(shared_data):
    """BTC 2024-01: the daily series has the fall to below 40k and the new high that are told of it."""
    days, close = columns(shared_data / "tokens_daily.csv.gz", "BTC", "date", "close")
    times = np.array([parse_instant(day) for day in days]) + DAY_US  # true at the end of the day
    span = (parse_instant("2024-01-02"), parse_instant("2024-01-15"))
    (row,) = analogues(times, close, windows={"etf": span})
    found = row.episode
    assert found.trough_us == parse_instant("2024-01-23")  # the close of the 22nd
    assert 39_000 < found.trough_level < 40_500 and 46_000 < found.peak_level < 47_500
    assert parse_instant("2024-02-05") < found.recovery_us < parse_instant("2024-02-15")
    whole = drawdown_episodes(times, close)
    assert found.depth == pytest.approx(found.trough_level / found.peak_level - 1)
    assert all(episode.peak_us != found.peak_us for episode in whole)  # under the peak of 2021 it is no episode
