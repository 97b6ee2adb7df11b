"""Contributions add up, exactly; breadth, dispersion, concentration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.analytics.breadth import (
    attribute,
    breadth,
    carino_factors,
    concentration,
    dispersion,
    relative_strength,
)
from indexer.analytics.series import average_correlation
from indexer.errors import InputError


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 10**6), st.floats(1e-8, 0.3))
def test_contributions_sum_to_the_index_return(rows, members, seed, size):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(members), rows)
    returns = np.maximum(rng.normal(0, size, (rows, members)), -0.9)
    got = attribute(weights, returns)
    compounded = math.prod(1 + float(w @ r) for w, r in zip(weights, returns, strict=True)) - 1
    assert got.contribution.sum() == pytest.approx(compounded, abs=1e-12, rel=1e-12)
    assert got.total == pytest.approx(compounded, abs=1e-12, rel=1e-12)
    groups = [f"g{place % 2}" for place in range(members)]
    assert sum(got.grouped(groups).values()) == pytest.approx(got.total, abs=1e-12)


def test_a_chained_index_is_attributed_whole():
    prices = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.05, (20, 4)), axis=0))
    units = np.array([1.0, 2.0, 3.0, 4.0])
    value = prices * units
    level = value.sum(axis=1)
    got = attribute(value[:-1] / level[:-1, None], prices[1:] / prices[:-1] - 1)
    assert got.total == pytest.approx(level[-1] / level[0] - 1, abs=1e-12)
    np.testing.assert_allclose(got.returns, level[1:] / level[:-1] - 1, atol=1e-13)
    assert carino_factors(np.array([0.0]), total=0.0).tolist() == [1.0]


def test_attribution_refuses_to_guess():
    with pytest.raises(InputError, match="constituent 1 has weight but no return in interval 0"):
        attribute([[0.5, 0.5]], [[0.1, np.nan]])
    assert attribute([[1.0, 0.0]], [[0.1, np.nan]]).total == pytest.approx(0.1)
    with pytest.raises(InputError, match=r"weights of interval 0 sum to 0.900000000, not 1"):
        attribute([[0.5, 0.4]], [[0.1, 0.1]])
    with pytest.raises(InputError, match="must have the same shape"):
        attribute([[1.0]], [[0.1, 0.1]])
    with pytest.raises(InputError, match="cannot be linked"):
        attribute([[1.0]], [[-1.0]])
    with pytest.raises(InputError, match="1 group names for 2 constituents"):
        attribute([[0.5, 0.5]], [[0.1, 0.1]]).grouped(["a"])


def test_breadth_counts_only_members_with_all_bars():
    prices = np.array([[1.0, 3.0, np.nan], [2.0, 2.0, 1.0], [3.0, 1.0, 2.0]])
    two, three, four = breadth(prices, windows=(2, 3, 4))
    assert (two.n, two.above, two.share) == (3, 2, 2 / 3)
    assert (three.n, three.share) == (2, 0.5)
    assert (four.n, four.share) == (0, None)
    with pytest.raises(InputError, match=r"expected a \(rows, members\) table"):
        breadth([1.0, 2.0])


def test_dispersion_and_average_correlation():
    r = np.random.default_rng(1).normal(size=(50, 4))
    np.testing.assert_allclose(dispersion(r), r.std(axis=1, ddof=1), rtol=1e-12)
    w = np.array([0.4, 0.3, 0.2, 0.1])
    mean = r @ w
    np.testing.assert_allclose(dispersion(r, weights=w), np.sqrt(((r - mean[:, None]) ** 2) @ w), rtol=1e-12)
    r[0, 1:] = np.nan
    assert np.isnan(dispersion(r)[0])
    full = np.corrcoef(r[1:].T)
    got = average_correlation(r[1:])
    assert got == pytest.approx(full[np.triu_indices(4, 1)].mean(), rel=1e-9)
    assert average_correlation(r[:, :1]) is None


def test_concentration():
    equal = concentration(np.full(20, 0.05))
    assert (equal.effective_n, equal.herfindahl, equal.top5) == pytest.approx((20, 0.05, 0.25))
    assert concentration([1.0, np.nan, 0.0]).effective_n == 1.0
    with pytest.raises(InputError, match=r"weights must be positive and sum to 1, they sum to 0.500000"):
        concentration([0.5])


def test_relative_strength():
    got = relative_strength([np.nan, 10, 11, 12.1], [5.0, 5, 5, 5], horizons=(1, 2, 3, 9))
    assert got == {1: pytest.approx(math.log(1.1)), 2: pytest.approx(math.log(1.21)), 3: None, 9: None}
