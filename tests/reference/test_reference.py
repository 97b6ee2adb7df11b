"""Bars of many venues → one rate: golden numbers, an independent oracle, and the gates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import InputError
from indexer.reference.bars import bar_rates, weighted_median
from indexer.reference.rules import RateStatus, Verdict

NAN = float("nan")


def vwm(prices: list[float], weights: list[float]) -> float:
    return float(weighted_median(np.array([prices]), np.array([weights]))[0])


def oracle(prices: list[float], weights: list[float]) -> float:
    """Weighted median by its definition: the middle of all p with weight below ≤ half and above ≤ half."""
    pairs = [(p, w) for p, w in zip(prices, weights, strict=True) if w > 0]
    total = sum(w for _, w in pairs)
    fits = [
        p
        for p, _ in pairs
        if sum(w for q, w in pairs if q < p) <= total / 2 and sum(w for q, w in pairs if q > p) <= total / 2
    ]
    return (min(fits) + max(fits)) / 2


def test_weighted_median_golden_vector() -> None:
    assert vwm([100, 101, 99, 150], [1, 2, 1, 3.9]) == 101
    assert vwm([100, 101, 99, 150], [1, 2, 1, 4.1]) == 150


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 8)), min_size=1, max_size=9))
def test_weighted_median_equals_its_definition(pairs: list[tuple[int, int]]) -> None:
    prices = [float(p) for p, _ in pairs]
    weights = [float(w) for _, w in pairs]
    got = vwm(prices, weights)
    if sum(weights) == 0:
        assert np.isnan(got)
    else:
        assert got == oracle(prices, weights)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=9))
def test_equal_weights_give_the_ordinary_median(prices: list[float]) -> None:
    assert vwm(prices, [1.0] * len(prices)) == pytest.approx(float(np.median(prices)), rel=1e-15)


def table(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def test_status_follows_the_number_of_venues_and_nothing_is_invented() -> None:
    prices = table([[100, 101, 99], [100, NAN, 100.2], [NAN, 102, NAN], [NAN, NAN, NAN], [0.0, -1.0, np.inf]])
    got = bar_rates(prices, np.ones_like(prices))
    assert got.status.tolist() == [0, 1, 2, 5, 5]
    np.testing.assert_array_equal(got.rate, [100, 100.1, 102, NAN, NAN])
    assert got.verdicts[2].tolist() == [Verdict.NO_DATA, Verdict.USED, Verdict.NO_DATA]
    assert got.verdicts[4].tolist() == [Verdict.NO_DATA] * 3
    assert got.method == "bar-vwm/2"


def test_volume_decides_and_a_missing_volume_makes_the_bar_equally_weighted() -> None:
    prices = table([[100, 101, 102], [100, 101, 102]])
    volumes = table([[1, 1, 5], [1, NAN, 5]])
    assert bar_rates(prices, volumes).rate.tolist() == [102, 101]


def test_a_venue_out_at_plus_30_returns_at_4_not_at_6_percent() -> None:
    honest = [100.0, 100.0, 100.0, 100.0, 100.0]
    third = [100.0, 130.0, 106.0, 104.0, 106.0]
    got = bar_rates(table(list(map(list, zip(honest, honest, third, strict=True)))), np.ones((5, 3)), theta=0.10)
    words = [Verdict(v) for v in got.verdicts[:, 2]]
    # 106 after its return is inside θ = 10 %: in again; while it was out, it had to come under 5 %
    assert words == [Verdict.USED, Verdict.OUTLIER, Verdict.OUTLIER, Verdict.USED, Verdict.USED]
    assert got.rate.tolist() == [100] * 5
    assert got.status.tolist() == [0, 1, 1, 0, 0]


def test_absence_does_not_forgive_an_outlier() -> None:
    prices = table(
        [[100, 100, 100], [100, 100, 130], [100, 100, NAN], [100, 100, 106], [NAN, NAN, 106], [100, 100, 106]]
    )
    got = bar_rates(prices, np.ones_like(prices))
    assert [Verdict(v) for v in got.verdicts[3:, 2]] == [Verdict.OUTLIER, Verdict.USED, Verdict.OUTLIER]
    assert got.status.tolist() == [0, 1, 1, 1, 2, 1]  # the last venue is kept, and the status says degraded


def test_of_two_venues_the_one_near_the_last_rate_is_used() -> None:
    """More than 1 % apart the further one is out, until they agree within 0.5 %; a true jump of both is no outlier."""
    prices = table([[100, 100.1], [101, 130], [101, 101.9], [110, 110.4], [140, 141], [140, 142], [142, 142.8]])
    got = bar_rates(prices, np.ones_like(prices))
    assert got.verdicts[:, 1].tolist() == [0, 2, 2, 0, 0, 2, 2]
    assert got.rate.tolist() == [100.05, 101, 101, 110.2, 140.5, 140, 142]
    assert got.status.tolist() == [1, 2, 2, 1, 1, 2, 2]


def test_four_venues_split_in_two_camps_keep_the_nearest_to_the_last_rate_and_say_degraded() -> None:
    prices = table([[100, 100, 100, 100], [101, 102, 150, 151]])
    got = bar_rates(prices, np.ones_like(prices))
    assert got.rate[1] == 101
    assert got.status[1] == RateStatus.DEGRADED
    assert got.verdicts[1].tolist() == [0, 2, 2, 2]


def test_a_venue_that_did_not_trade_is_stale_unless_nobody_did() -> None:
    prices = table([[100, 100, 80], [100, 100, 100], [90, NAN, NAN]])
    volumes = table([[5, 5, 0], [0, 0, 0], [0, NAN, NAN]])
    got = bar_rates(prices, volumes)
    assert got.verdicts[0].tolist() == [0, 0, Verdict.STALE]
    assert got.status.tolist() == [1, 0, 2]
    assert got.rate.tolist() == [100, 100, 90]


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match=r"prices \(2, 3\) and volumes \(2, 2\) must be two equal"):
        bar_rates(np.ones((2, 3)), np.ones((2, 2)))
    assert bar_rates(np.ones((0, 3)), np.ones((0, 3))).rate.shape == (0,)
    assert bar_rates(np.ones((2, 0)), np.ones((2, 0))).status.tolist() == [RateStatus.MISSING] * 2


@given(st.lists(st.lists(st.sampled_from([NAN, 90.0, 99.0, 100.0, 101.0, 130.0]), min_size=4, max_size=4), max_size=12))
def test_the_rate_lies_within_the_used_venues_and_can_be_recomputed(rows: list[list[float]]) -> None:
    prices = np.array(rows, dtype=np.float64).reshape(-1, 4)
    got = bar_rates(prices, np.full_like(prices, NAN))
    used = got.verdicts == Verdict.USED
    for bar in range(len(prices)):
        inputs = prices[bar, used[bar]]
        assert used[bar].any() == bool(np.isfinite(prices[bar]).any())
        if len(inputs):
            assert got.rate[bar] == np.median(inputs)
        else:
            assert np.isnan(got.rate[bar])
