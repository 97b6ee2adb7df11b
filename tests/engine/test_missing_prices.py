"""Missing prices: carried and flagged, then suspended by rule; the index never empties and never shows NaN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from baskets import AT_ONCE, BASE_US, market, methodology, supply

from indexer.engine.level import compute_index
from indexer.engine.market import Status
from indexer.engine.second import second_index
from indexer.methodology.spec import Health, Missing, Schedule, Selection
from indexer.times import DAY_US, HOUR_US

NAN = np.nan
CARELESS = Health(max_carried_weight=1.0, min_priced_weight=0.0)
PATIENT = methodology(missing=Missing(max_carry_hours=48), health=CARELESS)


def days(count: int) -> np.ndarray:
    return BASE_US + np.arange(count, dtype=np.int64) * DAY_US


def test_a_short_hole_is_carried_and_flagged() -> None:
    world = market(days(4), [[10, 20], [NAN, 22], [NAN, 22], [11, 22]], [2.0, 1.0])
    history = compute_index(world, PATIENT)
    np.testing.assert_allclose(history.levels, [1000, 1050, 1050, 1100], rtol=1e-14)
    assert history.status.tolist() == [Status.FINAL, Status.CARRIED, Status.CARRIED, Status.FINAL]
    np.testing.assert_allclose(history.carried_weight, [0, 20 / 42, 20 / 42, 0], rtol=1e-14)
    assert [change.kind for change in history.rebalances] == ["base"]


def test_too_long_a_hole_suspends_at_the_last_price() -> None:
    world = market(days(6), [[10, 20], [NAN, 22], [NAN, 22], [NAN, 22], [NAN, 33], [99, 33]], [2.0, 1.0])
    history = compute_index(world, PATIENT)
    # 48 hours are allowed and 72 are not: out at day 3, at its last price and at an unchanged level
    base, suspension = history.rebalances
    assert (suspension.kind, suspension.effective_us) == ("suspension", int(days(4)[3]))
    np.testing.assert_allclose(suspension.weight_drifted, [20 / 42, 22 / 42], rtol=1e-14)
    np.testing.assert_allclose(suspension.weight_target, [0, 1], rtol=1e-14)
    assert suspension.turnover == pytest.approx(20 / 42, rel=1e-14)
    assert suspension.prices[0] == 10.0
    assert suspension.decisions == ()
    assert suspension.divisor_after == pytest.approx(base.divisor_after * 22 / 42, rel=1e-14)
    # the price that comes back on day 5 is not the index's any more
    np.testing.assert_allclose(history.levels, [1000, 1050, 1050, 1050, 1575, 1575], rtol=1e-14)
    assert history.status.tolist() == [0, 3, 3, 3, 0, 0]


def test_a_suspended_token_returns_at_a_reconstitution_only() -> None:
    clock = np.array([BASE_US, BASE_US + 9 * DAY_US, *(BASE_US + np.array([31, 59, 90]) * DAY_US)])
    world = market(clock, [[10, 20], [NAN, 20], [10, 20], [10, 20], [10, 20]], [2.0, 1.0])
    history = compute_index(world, PATIENT)
    assert [change.kind for change in history.rebalances] == [
        "base", "suspension", "rebalance", "rebalance", "reconstitution",
    ]  # fmt: skip
    held = [(change.units_after > 0).tolist() for change in history.rebalances]
    assert held == [[True, True], [False, True], [False, True], [False, True], [True, True]]


def test_an_outage_of_all_prices_removes_no_constituent() -> None:
    prices = [[10, 20], [NAN, NAN], [NAN, NAN], [NAN, NAN], [NAN, NAN], [11, 22]]
    history = compute_index(market(days(6), prices, [2.0, 1.0]), PATIENT)
    np.testing.assert_allclose(history.levels, [1000, 1000, 1000, 1000, 1000, 1100], rtol=1e-14)
    assert history.status.tolist() == [0, 3, 3, 3, 3, 0]
    assert history.carried_weight.tolist() == [0, 1, 1, 1, 1, 0]
    assert len(history.rebalances) == 1


def test_a_missing_price_at_the_effective_instant_is_carried_and_flagged() -> None:
    clock = BASE_US + np.array([0, 30 * 24, 31 * 24, 32 * 24]) * HOUR_US
    world = market(clock, [[10, 20], [12, 20], [NAN, 20], [12, 20]], [2.0, 1.0])
    history = compute_index(world, methodology(missing=Missing(max_carry_hours=800), health=CARELESS))
    assert history.rebalances[1].prices[0] == 12.0
    assert history.status.tolist() == [0, 0, Status.CARRIED, 0]


def test_a_missing_effective_instant_uses_the_next_one() -> None:
    clock = BASE_US + np.array([5, 24 * 30, 24 * 31 + 7]) * HOUR_US
    history = compute_index(market(clock, [[10, 20]] * 3, [2.0, 1.0]), methodology(schedule=AT_ONCE))
    # nothing was known at 00:00 of the base date; the first later date with evidence is February's
    assert [change.effective_us for change in history.rebalances] == [int(clock[2])]
    assert history.levels.tolist() == [1000.0]


def test_a_newcomer_whose_price_is_gone_by_the_effective_instant_stays_out() -> None:
    clock = BASE_US + np.array([-5, -4, -3, 0, 1]) * DAY_US
    world = market(clock, [[10, 20], [NAN, 20], [NAN, 20], [NAN, 20], [NAN, 20]], [2.0, 1.0])
    history = compute_index(world, methodology(schedule=Schedule(reference_days_before=5), missing=Missing(48)))
    out, kept = history.rebalances[0].decisions
    assert (out.slug, out.member) == ("token-00", False)
    assert out.reason == "no price within 48 hours of the effective fixing 2023-01-01T00:00:00Z"
    assert kept.member


def test_too_few_members_skip_the_date_and_say_so() -> None:
    clock = BASE_US + np.array([0, 31, 59]) * DAY_US
    fading = supply(("2022-12-31", 1.0))
    rules = replace(PATIENT.eligibility[0], supply_max_age_days=40)
    index = methodology(eligibility=(rules,), selection=Selection(9, 9, 9, min_constituents=2))
    always = supply(("2022-12-31", 2.0), ("2023-01-30", 2.0), ("2023-02-25", 2.0))
    history = compute_index(market(clock, [[10, 20], [11, 20], [12, 20]], [always, fading]), index)
    assert [change.kind for change in history.rebalances] == ["base", "rebalance"]
    (skipped,) = history.skipped
    assert skipped.effective_us == int(clock[2])
    assert skipped.reason == "index test at 2023-03-01T00:00:00Z: 1 members can be held, 2 are needed"
    assert compute_index(market(clock, [[10, 20], [11, 20], [12, 20]], [always, always]), index).skipped == ()


def test_status_of_the_quotes_reaches_the_level() -> None:
    world = market(days(3), [[10, 20], [11, 22], [12, 24]], [2.0, 1.0])
    world.price_status[1] = [Status.INDICATIVE, Status.DEGRADED]
    history = compute_index(world, PATIENT)
    assert history.status.tolist() == [Status.FINAL, Status.DEGRADED, Status.FINAL]


def test_transition_moves_the_weights_in_equal_steps() -> None:
    clock = BASE_US + np.array([0, 30, 31, 32, 33, 34]) * DAY_US
    index = methodology(schedule=Schedule(reference_days_before=0, transition_fixings=3))
    world = market(
        clock, np.ones((6, 2)), [supply(("2022-12-31", 1.0)), supply(("2022-12-31", 1.0), ("2023-01-30", 4.0))]
    )
    history = compute_index(world, index)
    weights = [change.weight_target[1] for change in history.rebalances]
    np.testing.assert_allclose(weights, [0.5, 0.6, 0.7, 0.8], rtol=1e-14)
    assert [change.effective_us for change in history.rebalances[1:]] == clock[2:5].tolist()
    np.testing.assert_allclose(history.levels, 1000, rtol=1e-14)
    assert [bool(change.decisions) for change in history.rebalances] == [True, True, False, False]
    assert [at for at, _ in second_index(world, index).units] == [c.effective_us for c in history.rebalances]
