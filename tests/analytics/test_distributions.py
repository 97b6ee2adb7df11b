"""Our laws against scipy's, over all that the statistics can ask of them."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from indexer.analytics.distributions import (
    f_upper,
    incomplete_beta,
    kolmogorov_upper,
    normal_quantile,
    normal_two_sided,
    t_quantile,
    t_two_sided,
)

DF = st.one_of(st.integers(1, 5000).map(float), st.floats(0.5, 300.0))


@given(DF, st.floats(1e-12, 1.0 - 1e-12))
def test_t_quantiles(df, p):
    # checked by its own definition: scipy's inverse is itself good to 1e-10 or so in places
    t = t_quantile(df, p)
    tail = stats.t.sf(abs(t), df)
    assert tail == pytest.approx(min(p, 1.0 - p), rel=1e-11)
    assert math.copysign(1.0, t) == math.copysign(1.0, p - 0.5) or t == 0.0


@pytest.mark.parametrize("df", [1, 2, 3, 10, 14, 88, 248, 1000])
def test_t_quantiles_in_use_equal_scipy(df):
    for p in (0.9, 0.95, 0.975, 0.995):
        assert t_quantile(df, p) == pytest.approx(stats.t.ppf(p, df), rel=1e-12)


@given(DF, st.floats(-200.0, 200.0))
def test_t_tails(df, t):
    assert t_two_sided(t, df) == pytest.approx(2.0 * stats.t.sf(abs(t), df), rel=1e-11, abs=1e-290)


@given(st.floats(1e-290, 1.0, exclude_max=True))
def test_normal_quantiles(p):
    assert normal_quantile(p) == pytest.approx(special.ndtri(p), rel=1e-13, abs=1e-15)


@given(st.floats(-37.0, 37.0))
def test_normal_tails(z):
    assert normal_two_sided(z) == pytest.approx(2.0 * special.ndtr(-abs(z)), rel=1e-13)


@given(st.floats(0.0, 500.0), st.integers(1, 10), st.integers(1, 3000))
def test_f_tails(f, df1, df2):
    share = df1 * f / (df2 + df1 * f)
    # fdtrc itself loses 1 - x for the smallest f; the lower tail says the same
    upper = special.fdtrc(df1, df2, f) if share > 0.01 else 1.0 - special.betainc(df1 / 2, df2 / 2, share)
    assert f_upper(f, df1, df2=df2) == pytest.approx(upper, rel=1e-10, abs=1e-290)


@given(st.floats(0.05, 6.0))
def test_the_law_of_the_brownian_bridge(x):
    assert kolmogorov_upper(x) == pytest.approx(special.kolmogorov(x), rel=1e-12, abs=1e-15)


@given(st.floats(0.3, 2000.0), st.floats(0.3, 2000.0), st.floats(0.0, 1.0))
def test_incomplete_beta(a, b, x):
    assert incomplete_beta(a, b, x=x, rest=1.0 - x) == pytest.approx(special.betainc(a, b, x), rel=1e-10, abs=1e-13)


def test_what_has_no_answer_is_nan():
    for value in (t_quantile(0.0, 0.5), t_quantile(5.0, 0.0), t_quantile(5.0, 1.0), normal_quantile(0.0)):
        assert math.isnan(value)
    assert math.isnan(t_two_sided(math.nan, 5.0)) and math.isnan(f_upper(-1.0, 1, df2=5))
    assert f_upper(math.inf, 2, df2=5) == 0.0 and kolmogorov_upper(0.0) == 1.0 and t_quantile(7.0, 0.5) == 0.0
    assert t_two_sided(math.inf, 5.0) == 0.0 and t_two_sided(0.0, 5.0) == 1.0


def test_a_beta_imports_no_scipy():
    code = (
        "import sys, numpy as np; from indexer.analytics.beta import compute_beta; "
        "x = np.arange(50.0) % 7; assert compute_beta(x, x + x % 3).p is not None; "
        "print([name for name in sys.modules if name.split('.')[0] in ('scipy', 'pandas')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
