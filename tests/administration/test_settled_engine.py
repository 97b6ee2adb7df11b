"""Settled history is taken as it is, and going on from it is the same history; events keep the level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from baskets import methodology, random_market, relative
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from indexer.engine.history import BasketEvent, Effect, Settled
from indexer.engine.level import compute_index
from indexer.engine.second import compare, second_index
from indexer.errors import InputError, MethodologyError, NotEnoughDataError
from indexer.methodology.spec import Caps, Missing, Schedule, Selection
from indexer.times import DAY_US

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def indices(draw):
    return methodology(
        caps=draw(st.sampled_from([Caps(), Caps(single=0.4, group=0.6)])),
        selection=Selection(target=5, entry_rank=4, exit_rank=6, min_constituents=draw(st.integers(1, 4))),
        schedule=Schedule(
            reference_days_before=draw(st.sampled_from([0, 5])), transition_fixings=draw(st.sampled_from([1, 3]))
        ),
        missing=Missing(max_carry_hours=draw(st.sampled_from([13, 48, 168]))),
    )


def computed(market, index, **more):
    try:
        return compute_index(market, index, **more)
    except (NotEnoughDataError, MethodologyError):
        assume(False)
        raise


def settled_at(history, cut):
    until = int(history.times_us[cut])
    return Settled(tuple(one for one in history.rebalances if one.effective_us <= until), until)


@given(SEEDS, indices(), st.sampled_from([0.0, 0.4]), st.floats(0, 1))
@settings(max_examples=120)
def test_going_on_from_settled_history_is_the_same_history(seed, index, gaps, share):
    market = random_market(seed, gaps=gaps)
    whole = computed(market, index)
    cut = int(share * (len(whole.times_us) - 1))
    again = compute_index(market, index, settled=settled_at(whole, cut))
    assert relative(whole.levels, again.levels) < 1e-12
    assert (whole.status == again.status).all()
    np.testing.assert_allclose(again.carried_weight, whole.carried_weight, atol=1e-12)
    assert [one.effective_us for one in whole.rebalances] == [one.effective_us for one in again.rebalances]
    found = compare(again, second_index(market, index, settled=settled_at(whole, cut)))
    assert found.max_relative < 1e-9, found


@given(SEEDS, indices(), st.floats(0.05, 1))
@settings(max_examples=60)
def test_no_later_supply_changes_a_settled_basket(seed, index, share):
    market = random_market(seed)
    whole = computed(market, index)
    settled = settled_at(whole, int(share * (len(whole.times_us) - 1)))
    lines = tuple(
        replace(
            line, supply=replace(line.supply, circulating=line.supply.circulating * (3 + n), total=np.full(6, np.nan))
        )
        for n, line in enumerate(market.lines)
    )
    changed = computed(replace(market, lines=lines), index, settled=settled)
    kept = len(settled.changes)
    assert changed.rebalances[:kept] == settled.changes
    upto = int(np.searchsorted(whole.times_us, settled.until_us, side="right"))
    assert relative(whole.levels[:upto], changed.levels[:upto]) < 1e-12


@st.composite
def actions(draw, market):
    found = []
    for _ in range(draw(st.integers(1, 5))):
        one, other = draw(st.permutations(range(len(market.lines))))[:2]
        effect = draw(st.sampled_from([one for one in Effect if one is not Effect.WRITE_OFF]))
        at = int(market.times_us[draw(st.integers(50, len(market.times_us) - 2))])
        found.append(
            BasketEvent(
                at,
                market.slugs[one],
                effect,
                ratio=draw(st.floats(1e-3, 1e3)),
                into=market.slugs[other],
                reason="test",
                until_us=draw(st.sampled_from([None, at + 60 * DAY_US])),
            )
        )
    return tuple(found)


@given(SEEDS, indices(), st.sampled_from([0.0, 0.4]), st.data())
@settings(max_examples=120)
def test_any_sequence_of_events_keeps_the_level_and_both_calculators_agree(seed, index, gaps, data):
    market = random_market(seed, gaps=gaps)
    events = data.draw(actions(market))
    history = computed(market, index, events=events)
    for change in history.rebalances:
        value = float((change.prices * change.units_after).sum())
        assert value / change.divisor_after == pytest.approx(change.level, rel=1e-12)
        assert change.weight_target.sum() == pytest.approx(1.0, abs=1e-12)
    found = compare(history, second_index(market, index, events=events))
    assert found.max_relative < 1e-9, found
    cut = data.draw(st.integers(0, len(history.times_us) - 1))
    again = compute_index(market, index, settled=settled_at(history, cut), events=events)
    assert relative(history.levels, again.levels) < 1e-12


def test_a_write_off_is_the_one_event_that_moves_the_level():
    market = random_market(3)
    index = methodology()
    plain_way = compute_index(market, index)
    at = 120
    event = BasketEvent(int(market.times_us[at]), market.slugs[0], Effect.WRITE_OFF, reason="decided")
    history = compute_index(market, index, events=[event])
    row = at - (len(market.times_us) - len(history.times_us))
    change = next(one for one in history.rebalances if one.kind == "event")
    assert change.divisor_after == change.divisor_before
    assert history.levels[row] == plain_way.levels[row], "the level of the event's instant is still of the old basket"
    lost = change.weight_drifted[0]
    held = change.units_after > 0
    growth = float(market.prices[at + 1][held] @ change.units_after[held]) / float(
        market.prices[at][held] @ change.units_after[held]
    )
    assert history.levels[row + 1] == pytest.approx(history.levels[row] * (1 - lost) * growth, rel=1e-12)
    assert compare(history, second_index(market, index, events=[event])).max_relative < 1e-12


def test_a_settled_instant_without_any_rate_is_named():
    market = random_market(4)
    index = methodology()
    whole = compute_index(market, index)
    settled = settled_at(whole, 40)
    later = market.times_us > whole.times_us[0] + DAY_US
    cut = replace(
        market, times_us=market.times_us[later], prices=market.prices[later], price_status=market.price_status[later]
    )
    with pytest.raises(InputError, match=r"no rate is known at that instant any more; restore the rates, or restate"):
        compute_index(cut, index, settled=settled)
