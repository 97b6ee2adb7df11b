"""Caps that the members cannot meet, raised by the stated order: baskets worked out by hand, both calculators agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from baskets import market, methodology, monthly, random_market
from hypothesis import given
from hypothesis import strategies as st

from indexer.engine.level import compute_index
from indexer.engine.second import compare, second_index
from indexer.errors import MethodologyError
from indexer.methodology.spec import Caps, Selection


def basket(caps: Caps, sizes: list[float], sectors: list[str]):
    world = market(monthly(2), [[1.0] * len(sizes)] * 2, sizes, sectors=sectors)
    index = methodology(caps=replace(caps, relax=True), selection=Selection(9, 9, 9, 2))
    history = compute_index(world, index)
    assert compare(history, second_index(world, index)).max_relative < 1e-12
    last = second_index(world, index).units[-1][1]
    total = sum(last.values())
    np.testing.assert_allclose(
        [units / total for units in last.values()], history.rebalances[-1].weight_target, rtol=1e-9
    )
    return history


def test_groups_are_raised_first_when_that_is_enough() -> None:
    # Five of 20 % at most; four of them in one group of 40 %: groups can hold 0.4 + 0.2, so the group needs 0.8.
    history = basket(Caps(single=0.2, group=0.4), [5, 4, 3, 2, 1], ["a", "a", "a", "a", "b"])
    np.testing.assert_allclose(history.rebalances[0].weight_target, [0.2] * 5, rtol=1e-12)
    assert history.relaxed[0].reason == (
        "index test at 2023-01-01T00:00:00Z: caps.group raised from 0.4 to 0.8, which the 5 members can just meet"
    )
    assert [one.effective_us for one in history.relaxed] == monthly(2).tolist()
    assert history.skipped == ()


def test_single_tokens_are_raised_where_groups_do_not_help() -> None:
    # Four members in four groups hold 4 · 0.2 = 0.8: each needs 0.25, and the groups' 0.4 stays.
    history = basket(Caps(single=0.2, group=0.4), [8, 4, 2, 1], ["a", "b", "c", "d"])
    np.testing.assert_allclose(history.rebalances[0].weight_target, [0.25] * 4, rtol=1e-12)
    assert "caps.single raised from 0.2 to 0.25, which the 4" in history.relaxed[0].reason


def test_both_are_raised_where_both_are_needed() -> None:
    # Three members, two in one group: each needs 1/3, the group 2/3.
    history = basket(Caps(single=0.2, group=0.4), [8, 4, 2], ["a", "a", "b"])
    np.testing.assert_allclose(history.rebalances[0].weight_target, [1 / 3] * 3, rtol=1e-12)
    assert (
        "caps.group raised from 0.4 to 0.666667, caps.single raised from 0.2 to 0.333333" in history.relaxed[0].reason
    )


def test_an_exception_for_one_token_is_raised_last() -> None:
    # One may have 5 %: the other two take 47.5 % each. With exceptions only, these are raised.
    exception = basket(Caps(single=0.2, per_asset={"token-00": 0.05}), [8, 4, 2], ["a", "b", "c"])
    np.testing.assert_allclose(exception.rebalances[0].weight_target, [0.05, 0.475, 0.475], rtol=1e-12)
    only = basket(Caps(per_asset={"token-00": 0.1, "token-01": 0.3}), [8, 4], ["a", "b"])
    np.testing.assert_allclose(only.rebalances[0].weight_target, [0.5, 0.5], rtol=1e-12)
    assert "caps.per_asset raised from 0.1 to 0.5" in only.relaxed[0].reason


def test_without_the_rule_the_date_is_refused_and_caps_that_hold_are_left_alone() -> None:
    world = market(monthly(1), [[1.0] * 3], [8.0, 4.0, 2.0])
    with pytest.raises(MethodologyError, match=r"caps cannot hold: 3 members may weigh at most 0\.6"):
        compute_index(world, methodology(caps=Caps(single=0.2)))
    history = basket(Caps(single=0.6), [8, 1, 1], ["a", "b", "c"])
    np.testing.assert_allclose(history.rebalances[0].weight_target, [0.6, 0.2, 0.2], rtol=1e-12)
    assert history.relaxed == ()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.5), st.floats(0.1, 0.6), st.sampled_from([None, 0.02]))
def test_both_calculators_raise_alike(seed: int, single: float, group: float, floor: float | None) -> None:
    world = random_market(seed, gaps=0.1)
    floor = None if floor is None else min(floor, single)
    index = methodology(caps=Caps(single=single, group=group, floor=floor, relax=True), selection=Selection(6, 4, 7, 2))
    history = compute_index(world, index)
    found = compare(history, second_index(world, index))
    assert found.agree, found
