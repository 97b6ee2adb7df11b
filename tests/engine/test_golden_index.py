"""The worked examples of the methodology, to the last printed digit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from baskets import BASE, BASE_US, kernel, market, methodology, monthly, supply

from indexer.engine.level import compute_index, compute_levels
from indexer.engine.second import compare, second_index
from indexer.errors import InputError
from indexer.methodology.spec import Caps, Eligibility
from indexer.times import DAY_US

VECTORS = Path(__file__).parents[2] / ".." / "shared" / "design" / "vectors.json"


def test_divisor_of_the_first_worked_example() -> None:
    # D = 3.5, level 1071.428571…, then one supply grows, one token leaves, one joins.
    rules = Eligibility(
        effective_from=BASE, min_history_days=0, min_median_adv_usd=0.0, min_atvr=0.0, min_free_float=0.15,
        min_venues=0, incumbent_min_venues=0, supply_max_age_days=4000,
    )  # fmt: skip
    diluted = supply(("2022-12-01", 10.0), ("2023-03-15", 10.0))
    diluted.total[1] = 1000.0  # free float 1 %: no longer eligible at the April reconstitution
    world = market(
        [*monthly(1), *monthly(4)[3:]],
        [[10, 2, 50, 4], [11, 2.2, 45, 4]],
        [100.0, supply(("2022-12-01", 1000.0), ("2023-03-15", 1200.0)), diluted, supply(("2023-03-15", 200.0))],
    )
    history = compute_index(world, methodology(eligibility=(rules,)))
    base, change = history.rebalances
    assert base.divisor_after == pytest.approx(3.5, rel=1e-15)
    np.testing.assert_allclose(base.units_after, [100, 1000, 10, 0], rtol=1e-15)
    np.testing.assert_allclose(history.levels, [1000.0, 1071.4285714285713], rtol=1e-15)
    np.testing.assert_allclose(change.units_after, [100, 1200, 0, 200], rtol=1e-15)
    assert change.divisor_before == pytest.approx(3.5, rel=1e-15)
    assert change.divisor_after == pytest.approx(4.237333333333333, rel=1e-15)
    assert change.kind == "reconstitution"


def test_index_row_of_the_analytics_vectors() -> None:
    # Cap 0.5, supplies (5, 20, 100) then (5, 22, 90), rebalanced at the third row.
    times = [monthly(1)[0], BASE_US + 14 * DAY_US, monthly(2)[1], BASE_US + 45 * DAY_US]
    prices = [[100, 10, 1], [110, 9, 1.2], [121, 9.9, 1.1], [133.1, 9, 1.0]]
    supplies = [
        5.0,
        supply(("2020-01-01", 20.0), ("2023-01-20", 22.0)),
        supply(("2020-01-01", 100.0), ("2023-01-20", 90.0)),
    ]
    world = market(times, prices, supplies)
    index = methodology(caps=Caps(single=0.5))
    history = compute_index(world, index)
    np.testing.assert_allclose(history.levels, [1000, 1050, 1118.3333333333333, 1123.4166666666665], rtol=1e-14)
    first, second = history.rebalances
    np.testing.assert_allclose(first.weight_target, [0.5, 1 / 3, 1 / 6], rtol=1e-14)
    np.testing.assert_allclose(second.weight_target, [0.5, 0.34375, 0.15625], rtol=1e-14)
    assert first.divisor_after == pytest.approx(0.8, rel=1e-14)
    assert second.divisor_after == pytest.approx(0.824262295082, rel=1e-11)
    assert compare(history, second_index(world, index)).max_relative < 1e-14


def test_analytics_vectors_as_filed() -> None:
    if not VECTORS.exists():
        pytest.skip("golden vectors not found: vectors.json is looked for in ../shared/design")
    filed = json.loads(VECTORS.read_text())["index"]
    prices, supplies = np.array(filed["P"]), np.array(filed["S"])
    weights = np.array([filed["w0"], filed["w1"]])
    rows = np.array(filed["rebalance_at"])
    scale = (prices[rows] * supplies).sum(axis=1, keepdims=True)
    found = kernel(prices, rows, weights * scale / prices[rows], base_level=1000.0)
    np.testing.assert_allclose(found.levels, filed["level"], rtol=1e-14)
    np.testing.assert_allclose(found.divisors, [filed["D0"], filed["D1"]], rtol=1e-14)


def test_merger_gap_is_absorbed_by_the_divisor() -> None:
    # 1,000 AGIX at 0.55 become 433.350 FET at 1.30; the +2.4282 % is not a return.
    prices = np.array([[0.55, 1.30, 2.0], [0.55, 1.30, 2.0], [0.55, 1.43, 2.0]])
    before, after = np.array([1000.0, 0.0, 50.0]), np.array([0.0, 433.350, 50.0])
    found = kernel(prices, np.array([0, 1]), np.array([before, after]), base_level=100.0)
    gap = 433.350 * 1.30 / 550.0 - 1.0
    assert gap == pytest.approx(0.024282, abs=1e-6)
    assert found.levels[1] == pytest.approx(100.0, rel=1e-15)
    assert found.divisors[1] / found.divisors[0] == pytest.approx((563.355 + 100) / 650, rel=1e-14)
    assert found.levels[2] == pytest.approx(100.0 * (433.350 * 1.43 + 100) / (433.350 * 1.30 + 100), rel=1e-14)


def test_kernel_refuses_rows_outside_the_prices() -> None:
    with pytest.raises(InputError, match=r"rows of change must ascend from 0 … 2, got \[1, 0\]"):
        compute_levels(np.ones((3, 1)), np.array([1, 0]), np.ones((2, 1)), divisors=np.ones(2))
    with pytest.raises(InputError, match="rows of change must ascend"):
        compute_levels(np.ones((3, 1)), np.array([3]), np.ones((1, 1)), divisors=np.ones(1))


def test_both_ways_of_the_kernel_give_the_same_bits() -> None:
    rng = np.random.default_rng(7)
    prices = np.exp(rng.normal(0, 1, (5000, 29)))
    rows = np.array([3, 90, 90, 700, 4999])
    units = rng.random((5, 29))
    long = kernel(prices, rows, units, base_level=1000.0)  # one call a segment
    for stop in (4, 91, 95, 701, 800):  # one call for all rows
        short = kernel(prices[:stop], rows[rows < stop], units[rows < stop], base_level=1000.0)
        assert (short.levels == long.levels[: stop - 3]).all()
