"""Fixed weights by hand, and indices that take tokens whose supply nobody knows; both calculators agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from baskets import BASE_US, OPEN_RULES, market, methodology, monthly, random_market, supply
from hypothesis import given
from hypothesis import strategies as st

from indexer.engine.level import compute_index
from indexer.engine.second import compare, second_index
from indexer.errors import NotEnoughDataError
from indexer.methodology.spec import WEEKDAYS, Caps, Schedule, Scheme, Selection, Weighting
from indexer.times import DAY_US

UNKNOWN = supply()
NAN = np.nan


def fixed(**weights: float):
    return methodology(weighting=Weighting(Scheme.FIXED, weights=weights), selection=Selection(9, 9, 9, 2))


def test_fixed_weights_drift_and_are_set_again_each_month() -> None:
    world = market(monthly(3), [[10, 20], [20, 20], [20, 30]], [UNKNOWN, UNKNOWN], slugs=["a", "b"])
    index = fixed(a=0.6, b=0.4)
    history = compute_index(world, index)
    # 1000 · (0.6 · 2 + 0.4 · 1) = 1600, where the weights have drifted to 3/4 and 1/4; then 1600 · (0.6 + 0.4 · 1.5)
    np.testing.assert_allclose(history.levels, [1000, 1600, 1920], rtol=1e-14)
    february = history.rebalances[1]
    np.testing.assert_allclose(february.weight_drifted, [0.75, 0.25], rtol=1e-14)
    np.testing.assert_allclose(february.weight_target, [0.6, 0.4], rtol=1e-14)
    assert february.turnover == pytest.approx(0.15, rel=1e-13)
    assert compare(history, second_index(world, index)).max_relative < 1e-14


def test_share_of_a_token_that_is_out_goes_to_the_others_in_proportion() -> None:
    clock = monthly(4)
    prices = [[10, 20, NAN, 7], [10, 20, NAN, 7], [10, 20, NAN, 7], [10, 20, 5, 7]]
    world = market(clock, prices, [UNKNOWN] * 4, slugs=["a", "b", "late", "other"])
    index = fixed(a=0.5, b=0.3, late=0.2)
    history = compute_index(world, index)
    np.testing.assert_allclose(history.rebalances[0].weight_target, [5 / 8, 3 / 8, 0, 0], rtol=1e-14)
    # the reconstitution of April takes it in; a token without a weight is never a member
    np.testing.assert_allclose(history.rebalances[-1].weight_target, [0.5, 0.3, 0.2, 0], rtol=1e-14)
    reason = {decision.slug: decision.reason for decision in history.rebalances[0].decisions}
    assert reason["other"] == "no weight of its own in weighting.weights"
    assert compare(history, second_index(world, index)).max_relative < 1e-14


def test_caps_hold_fixed_weights_too() -> None:
    world = market(monthly(1), [[10, 20, 5]], [UNKNOWN] * 3, slugs=["a", "b", "c"])
    index = replace(fixed(a=0.6, b=0.2, c=0.2), caps=Caps(single=0.4))
    np.testing.assert_allclose(compute_index(world, index).rebalances[0].weight_target, [0.4, 0.3, 0.3], rtol=1e-14)


def test_equal_weights_need_no_supply_but_a_threshold_does() -> None:
    world = market(monthly(2), [[10, 20], [20, 30]], [UNKNOWN, 5.0])
    index = methodology(weighting=Weighting(Scheme.EQUAL), selection=Selection(9, 9, 9, 2))
    np.testing.assert_allclose(compute_index(world, index).levels, [1000, 1750], rtol=1e-14)
    strict = replace(index, eligibility=(replace(OPEN_RULES, min_free_float=0.15),))
    with pytest.raises(NotEnoughDataError, match=r"no supply known within .* needed for ranking"):
        compute_index(world, strict)


def test_lines_without_a_capitalisation_rank_behind_by_traded_value() -> None:
    world = market(monthly(1), [[10, 20, 5]], [UNKNOWN, UNKNOWN, 1.0], slugs=["a", "b", "small"])
    volume = world.volume_usd.copy()
    volume[:, 1] = 2e7
    index = methodology(weighting=Weighting(Scheme.EQUAL), selection=Selection(2, 2, 2, 2))
    history = compute_index(replace(world, volume_usd=volume), index)
    assert {one.slug: one.rank for one in history.rebalances[0].decisions} == {"small": 1, "b": 2, "a": 3}
    np.testing.assert_allclose(history.rebalances[0].weight_target, [0, 0.5, 0.5], rtol=1e-14)


def test_weekly_weights_are_set_again_every_week() -> None:
    clock = BASE_US + np.arange(0, 22, 7, dtype=np.int64) * DAY_US  # Sundays
    world = market(clock, [[10, 20], [20, 20], [20, 40], [10, 40]], [UNKNOWN, UNKNOWN], slugs=["a", "b"])
    index = replace(fixed(a=0.5, b=0.5), schedule=Schedule(reference_days_before=0, weekday="sunday"))
    history = compute_index(world, index)
    np.testing.assert_allclose(history.levels, [1000, 1500, 2250, 1687.5], rtol=1e-14)
    assert [change.kind for change in history.rebalances] == ["base", "rebalance", "rebalance", "rebalance"]
    assert compare(history, second_index(world, index)).max_relative < 1e-14


@given(st.integers(0, 2**32 - 1), st.sampled_from(WEEKDAYS), st.integers(0, 9), st.sampled_from([1, 3]))
def test_both_calculators_agree_on_weekly_schedules(seed: int, weekday: str, before: int, fixings: int) -> None:
    world = random_market(seed, gaps=0.1)
    schedule = Schedule(reference_days_before=before, weekday=weekday, transition_fixings=fixings)
    index = methodology(schedule=schedule, selection=Selection(6, 4, 7, 2))
    found = compare(compute_index(world, index), second_index(world, index))
    assert found.agree, found


@given(st.integers(0, 2**32 - 1), st.sampled_from([Scheme.EQUAL, Scheme.LIQUIDITY, Scheme.FIXED]), st.booleans())
def test_both_calculators_agree_where_supplies_are_unknown(seed: int, scheme: Scheme, gaps: bool) -> None:
    world = random_market(seed, gaps=0.1 if gaps else 0.0)
    lines = tuple(
        replace(line, supply=UNKNOWN) if column % (1 + seed % 3) == 0 else line
        for column, line in enumerate(world.lines)
    )
    world = replace(world, lines=lines)
    weights = {slug: (n + 1) / 36 for n, slug in enumerate(world.slugs)} if scheme is Scheme.FIXED else {}
    index = methodology(weighting=Weighting(scheme, weights=weights), selection=Selection(6, 4, 7, 2))
    found = compare(compute_index(world, index), second_index(world, index))
    assert found.agree, found
