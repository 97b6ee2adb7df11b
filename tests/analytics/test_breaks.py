"""Structural breaks: golden rows, size and power, statsmodels as oracle."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.analytics.beta import compute_beta
from indexer.analytics.breaks import (
    Regime,
    beta_difference,
    chow_test,
    correlation_shift,
    cusum_ols,
    forbes_rigobon,
    regime_table,
    sup_f,
)
from indexer.errors import InputError

NEAR = {"rel": 1e-9, "abs": 1e-12}


@pytest.fixture
def broken(xyz):
    x, y, _ = xyz
    return x, np.where(np.arange(16) >= 8, y + 0.8 * x, y)


def test_golden(vectors, broken):
    x, y = broken
    want = vectors["breaks (y2 = y with +0.8*x from t=8)"]
    chow = chow_test(x, y, row=8)
    assert (chow.f, chow.p) == pytest.approx((want["chow_F_at_8"], want["chow_p"]), **NEAR)
    sup = sup_f(x, y, edge=4)
    assert sup.f == pytest.approx(want["supF_trim4"], **NEAR)
    assert sup.row == want["supF_at"] and sup.level is None and sup.sup_wald == 2 * sup.f
    assert sup.critical == (10.00, 11.64, 15.38)
    cusum = cusum_ols(x, y)
    assert (cusum.stat, cusum.p) == pytest.approx((want["cusum_ols_stat"], want["cusum_ols_p"]), **NEAR)
    z, _ = beta_difference(compute_beta(x[:8], y[:8], hac_lag=0), compute_beta(x[8:], y[8:], hac_lag=0))
    one, two = compute_beta(x[:8], y[:8]), compute_beta(x[8:], y[8:])
    plain = (two.beta - one.beta) / np.hypot(one.se_ols, two.se_ols)
    assert plain == pytest.approx(want["beta_diff_welch_z"], **NEAR)
    assert abs(z) <= abs(plain)  # the reported error is never the smaller one


def test_cusum_equals_statsmodels():
    import statsmodels.api as sm
    from statsmodels.stats.diagnostic import breaks_cusumolsresid

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=200), rng.normal(size=200)
    stat, p, _ = breaks_cusumolsresid(sm.OLS(y, sm.add_constant(x)).fit().resid, ddof=2)
    got = cusum_ols(x, y)
    assert (got.stat, got.p) == pytest.approx((float(stat), float(p)), rel=1e-9)


def test_sup_f_is_the_largest_chow_f():
    rng = np.random.default_rng(1)
    x = 5 + rng.normal(size=(120, 2))
    y = x @ [1.0, 2.0] + rng.normal(size=120)
    y[70:] += 1.5 * x[70:, 0]
    y[10] = np.nan
    got = sup_f(x, y)
    kept = np.delete(np.arange(120), 10)
    path = {int(row): chow_test(x, y, row=int(row)).f for row in kept[17 : 119 - 17 + 1]}
    assert got.f == pytest.approx(max(path.values()), rel=1e-8) and got.row == max(path, key=path.get)
    assert (got.row, got.k, got.level) == (70, 3, 0.01)


def test_sup_f_holds_its_size_where_chi_square_does_not():
    rng = np.random.default_rng(2)
    hits = naive = 0
    for _ in range(300):
        x = rng.normal(size=250)
        got = sup_f(x, 1.5 * x + rng.normal(size=250))
        hits += got.level is not None and got.level <= 0.05
        naive += got.sup_wald > 5.99
    assert hits <= 27 and naive > 75


def test_no_answer_without_a_reason():
    x, y = np.arange(16.0), np.random.default_rng(3).normal(size=16)
    assert chow_test(x, y, row=1).reason == "1 rows before and 15 after, more than 2 are needed on each side"
    assert "fit exactly" in chow_test(x, 2 * x, row=8).reason
    assert "does not move" in chow_test(np.r_[np.ones(8), x[:8]], y, row=8).reason
    assert "leave no date" in sup_f(x[:6], y[:6]).reason
    assert "does not move" in sup_f(np.ones(40), np.random.default_rng(0).normal(size=40)).reason
    assert "at least 5 are needed" in cusum_ols(x[:3], y[:3]).reason
    stale = np.r_[np.ones(20), np.random.default_rng(4).normal(size=60)]
    got = sup_f(stale, np.random.default_rng(5).normal(size=80))
    assert got.f is not None and np.isfinite(got.f) and got.row > 20, "no date inside the still part is tested"


def test_a_crash_alone_is_not_recoupling():
    """Beta constant, benchmark variance up ninefold: raw correlation rises, the corrected one does not."""
    rng = np.random.default_rng(6)
    raw = corrected = 0
    for _ in range(100):
        x = rng.normal(size=400) * np.where(np.arange(400) < 200, 1.0, 3.0)
        y = 0.5 * x + rng.normal(size=400)
        got = correlation_shift(x, y, row=200)
        raw += got.p_raw < 0.05
        corrected += got.p < 0.05
    assert raw > 90 and corrected < 25
    assert got.delta == pytest.approx(8, rel=0.3)
    assert forbes_rigobon(0.5, 0.0) == 0.5
    with pytest.raises(InputError, match="must exceed -1"):
        forbes_rigobon(0.5, -1.0)
    assert correlation_shift(x, y, row=2).reason == "2 pairs before and 398 after, 4 are needed"
    assert "zero variance" in correlation_shift(np.r_[np.ones(200), x[200:]], y, row=200).reason


def test_regime_table():
    rng = np.random.default_rng(7)
    x = rng.normal(size=200)
    y = np.where(np.arange(200) < 100, 1.0, 2.0) * x + 0.1 * rng.normal(size=200)
    rows = regime_table(x, y, times_us=np.arange(200), regimes=[Regime("before", 0, 100), Regime("after", 100, 200)])
    assert [row.beta.beta for row in rows] == pytest.approx([1.0, 2.0], abs=0.05)
    assert rows[0].volatility_x == pytest.approx(x[:100].std(ddof=1) * np.sqrt(252))
    assert rows[0].correlation_low < rows[0].correlation < rows[0].correlation_high
