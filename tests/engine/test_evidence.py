"""What is known at a reference instant, and nothing later; the market's own checks; bases that cannot be set."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from baskets import BASE, BASE_US, OPEN_RULES, market, methodology, monthly, random_market, supply

from indexer.engine.known import NEVER_US, gather, median_known, price_as_of, supply_as_of
from indexer.engine.level import compute_index
from indexer.engine.market import VENUES, SupplyHistory, SupplySource
from indexer.engine.second import compare, second_index
from indexer.errors import InputError, MethodologyError, NotEnoughDataError
from indexer.methodology.spec import Caps, Scheme, Selection, Universe, Weighting
from indexer.times import DAY_US, HOUR_US, parse_instant

NAN = np.nan

SUPPLY = ("times_us", "circulating", "free_float", "total", "source")


def test_last_price_at_or_before_an_instant_with_its_age() -> None:
    world = market(BASE_US + np.arange(4) * HOUR_US, [[1, NAN], [NAN, NAN], [3, 7], [4, 8]], [1.0, 1.0])
    at = BASE_US + np.array([-1, 0, HOUR_US + 5, 2 * HOUR_US, 9 * HOUR_US])
    prices, age = price_as_of(world, at)
    np.testing.assert_array_equal(prices, [[NAN, NAN], [1, NAN], [1, NAN], [3, 7], [4, 8]])
    assert age[:, 0].tolist() == [NEVER_US, 0, HOUR_US + 5, 0, 6 * HOUR_US]
    assert age[:, 1].tolist() == [NEVER_US, NEVER_US, NEVER_US, 0, 6 * HOUR_US]


def test_supply_prefers_the_better_source_then_the_later_observation() -> None:
    day = np.arange(6, dtype=np.int64) * DAY_US
    history = SupplyHistory(
        times_us=day,
        circulating=np.array([100.0, 110, 120, NAN, 140, 150]),
        free_float=np.array([NAN, NAN, 80, 0.0, NAN, NAN]),
        total=np.array([200.0, NAN, NAN, 210, NAN, NAN]),
        source=np.array([2, 1, 0, 0, 1, 2], dtype=np.int8),
    )
    found = supply_as_of(history, np.array([-1, 0, 1, 2, 3, 4, 5, 6]) * DAY_US, max_age_us=3 * DAY_US)
    # the on-chain 0 of day 3 is no supply; on-chain 80 lasts three days, then the reported 140 is next best
    np.testing.assert_array_equal(found.tokens, [NAN, 100, 110, 80, 80, 80, 80, 140])
    assert found.source.tolist() == [-1, 2, 1, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(found.total, [NAN, 200, 200, 200, 210, 210, 210, 210])


def test_imported_free_float_counts_where_it_is_all_there_is() -> None:
    one = np.array([0], dtype=np.int64)
    history = SupplyHistory(one, np.array([NAN]), np.array([5.0]), np.array([NAN]), np.array([2], dtype=np.int8))
    assert supply_as_of(history, one, max_age_us=0).tokens.tolist() == [5.0]
    reported = replace(history, source=np.array([1], dtype=np.int8))
    assert np.isnan(supply_as_of(reported, one, max_age_us=0).tokens).all()


def test_median_over_what_is_known() -> None:
    found, count = median_known(np.array([[1.0, 3, 2, 9], [NAN, NAN, NAN, NAN], [5, NAN, 7, NAN]]))
    np.testing.assert_array_equal(found, [2.5, NAN, 6])
    assert count.tolist() == [4, 0, 2]
    found, count = median_known(np.zeros((2, 0)))
    assert np.isnan(found).all()
    assert count.tolist() == [0, 0]


def test_volume_window_and_turnover_by_hand() -> None:
    clock = BASE_US + np.arange(0, 40) * DAY_US
    world = market(clock, np.full((40, 1), 2.0), [supply(("2022-12-01", 50.0), ("2023-01-11", 100.0))])
    volume = np.full(len(world.day_us), NAN)
    at = {int(day): place for place, day in enumerate(world.day_us)}
    for offset in range(1, 21):
        volume[at[BASE_US + offset * DAY_US]] = 10.0 * offset
    rule = replace(OPEN_RULES, adv_window_days=10, adv_min_days=5, min_atvr=0.05)
    reference = BASE_US + 20 * DAY_US + 5 * HOUR_US  # the day that ends at day 21 has not ended
    found = gather(replace(world, volume_usd=volume[:, None]), [reference], rules=[rule])
    # days 11 … 20, the window is (reference - 10 days, reference]; supply doubles on day 10
    assert found.adv_days.tolist() == [[10]]
    assert found.adv_usd[0, 0] == 155.0
    assert found.atvr[0, 0] == pytest.approx(365 * 155.0 / 200.0, rel=1e-15)
    assert found.cap_usd[0, 0] == 200.0


def test_nothing_after_the_reference_is_seen() -> None:
    world = random_market(2, gaps=0.5)
    reference = BASE_US + 40 * DAY_US
    keep, past = world.times_us <= reference, world.day_us <= reference
    lines = []
    for line in world.lines:
        known = line.supply.times_us <= reference
        cut = SupplyHistory(*(getattr(line.supply, name)[known] for name in SUPPLY))
        lines.append(replace(line, supply=cut))
    head = replace(
        world, times_us=world.times_us[keep], prices=world.prices[keep], price_status=world.price_status[keep],
        lines=tuple(lines), day_us=world.day_us[past], volume_usd=world.volume_usd[past],
    )  # fmt: skip
    rule = replace(OPEN_RULES, min_atvr=0.05)
    whole, cut = gather(world, [reference], rules=[rule]), gather(head, [reference], rules=[rule])
    for name in ("price", "price_age_us", "supply", "supply_source", "total", "adv_usd", "atvr"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name), err_msg=name)


def test_rules_change_on_their_date() -> None:
    clock = monthly(4)
    strict = replace(OPEN_RULES, effective_from=datetime(2023, 3, 1, tzinfo=UTC), min_venues=4, incumbent_min_venues=4)
    index = methodology(eligibility=(OPEN_RULES, strict))
    history = compute_index(market(clock, np.ones((4, 2)), [1.0, 2.0]), index)
    assert [change.kind for change in history.rebalances] == ["base", "rebalance", "rebalance", "rebalance"]
    (skipped,) = history.skipped
    assert skipped.reason.endswith("0 members can be held, 1 are needed; members were not reviewed, only weights")


def test_successor_needs_the_shorter_history_from_its_date_on() -> None:
    clock = BASE_US + np.arange(-40, 5) * DAY_US
    world = market(clock, np.ones((45, 2)), [1.0, 2.0])
    rules = replace(OPEN_RULES, min_history_days=90, successor_min_history_days=30)
    lines = (replace(world.lines[0], successor_since_us=int(clock[0])), world.lines[1])
    history = compute_index(replace(world, lines=lines), methodology(eligibility=(rules,)))
    decided = {one.slug: one for one in history.rebalances[0].decisions}
    assert decided["token-00"].member
    assert decided["token-01"].reason == "40.0 days of history, 90 needed"


def test_fundamental_weights_use_the_last_known_metric() -> None:
    world = market(BASE_US + np.arange(0, 3) * DAY_US, np.ones((3, 3)), [1.0, 1.0, 1.0])
    metric = np.full(world.volume_usd.shape, NAN)
    metric[-4, :] = [3.0, 9.0, NAN]
    metric[-3, 1] = 1.0  # the day that ends at the base date
    metric[-1, :] = 100.0
    index = methodology(weighting=Weighting(Scheme.FUNDAMENTAL, metric="fees"))
    history = compute_index(replace(world, fundamental=metric), index)
    np.testing.assert_allclose(history.rebalances[0].weight_target, [0.75, 0.25, 0], rtol=1e-15)
    assert history.rebalances[0].decisions[2].reason == (
        "no positive metric known in the 30 days before the reference date"
    )


def test_base_waits_for_enough_eligible_constituents() -> None:
    clock = monthly(5)
    late = supply(("2023-02-15", 1.0))
    index = methodology(selection=Selection(9, 9, 9, min_constituents=2))
    history = compute_index(market(clock, np.ones((5, 2)), [1.0, late]), index)
    assert history.times_us[0] == clock[2]  # March: a monthly date, made a reconstitution by being the base
    assert history.rebalances[0].kind == "base"
    assert history.levels[0] == 1000.0


def test_no_base_says_what_there_is_and_what_is_needed() -> None:
    index = methodology(selection=Selection(9, 9, 9, min_constituents=3), base_date=BASE)
    world = market(monthly(3), np.ones((3, 2)), [1.0, supply(("2024-01-01", 1.0))])
    message = (
        "index test has no base: 3 eligible constituents are needed at a scheduled date, at most 1 were found "
        r"\(at 2023-01-01T00:00:00Z; prices from 2023-01-01T00:00:00Z to 2023-03-01T00:00:00Z\)\. Commonest reason "
        "there, 1 of 2 candidates: no supply known within 4000 days of the reference date, needed for weighting"
    )
    with pytest.raises(NotEnoughDataError, match=message):
        compute_index(world, index)
    with pytest.raises(NotEnoughDataError, match="index test has no base: too few eligible constituents"):
        second_index(world, index)
    with pytest.raises(NotEnoughDataError, match=r"its base date 2024-01-01T00:00:00Z is after the last price"):
        compute_index(world, replace(index, base_date=datetime(2024, 1, 1, tzinfo=UTC)))
    empty = replace(world, times_us=world.times_us[:0], prices=world.prices[:0], price_status=world.price_status[:0])
    with pytest.raises(NotEnoughDataError, match="the market has no instants; import prices first"):
        compute_index(empty, index)


def test_caps_that_cannot_hold_at_the_base_are_an_error_with_index_and_date() -> None:
    world = market(monthly(2), np.ones((2, 6)), [1.0] * 6)
    message = "index test at 2023-01-01T00:00:00Z: caps cannot hold: 6 members may weigh at most 0.9 together"
    for calculate, text in ((compute_index, message), (second_index, "the caps leave room for 0.9 of the index")):
        with pytest.raises(MethodologyError, match=text):
            calculate(world, methodology(caps=Caps(single=0.15)))


def test_market_names_what_does_not_fit() -> None:
    world = market(monthly(3), np.ones((3, 2)), [1.0, 1.0])
    cases = [
        ({"prices": world.prices[:2]}, r"market\.prices has shape \(2, 2\), the clock and the lines need \(3, 2\)"),
        ({"price_status": world.price_status[:, :1]}, r"market\.price_status has shape \(3, 1\)"),
        ({"fundamental": world.prices[:, :1]}, r"market\.fundamental has shape \(3, 1\)"),
        ({"lines": (world.lines[0], world.lines[0])}, "two columns of the market have the same slug"),
        ({"times_us": world.times_us[[0, 2, 1]]}, r"market\.times_us does not ascend at position 2 \(2023-02-01"),
    ]
    for changes, message in cases:
        with pytest.raises(InputError, match=message):
            compute_index(replace(world, **changes), methodology())
    for bad in (0.0, -1.0, np.inf):
        prices = world.prices.copy()
        prices[1, 1] = bad
        with pytest.raises(InputError, match=f"price of token-01 at 2023-02-01T00:00:00Z is {bad}; a price is"):
            compute_index(replace(world, prices=prices), methodology())


def test_a_market_that_was_not_cut_to_the_universe_is_refused() -> None:
    world = market(monthly(2), np.ones((2, 2)), [1.0, 1.0], sectors=["compute", "agents"])
    index = methodology(universe=Universe(sub_sectors=("agents",)))
    with pytest.raises(InputError, match=r"line token-00 \(compute\) is not in the universe of index test; cut"):
        compute_index(world, index)
    found = compute_index(world.select({"token-01"}), index)
    assert found.rebalances[0].weight_target.tolist() == [1.0]
    with pytest.raises(InputError, match="line token-01"):
        compute_index(world, methodology(universe=Universe(exclude=("token-01",))))


def test_select_keeps_columns_in_order() -> None:
    world = random_market(1)
    cut = world.select({"token-05", "token-02", "nowhere"})
    assert cut.slugs == ("token-02", "token-05")
    np.testing.assert_array_equal(cut.prices, world.prices[:, [2, 5]])
    assert world.select(world.slugs) is world


def test_supply_order_decides_the_weight() -> None:
    when = "2022-12-01"
    free, reported = (
        supply((when, 30.0), source=SupplySource.ON_CHAIN),
        supply((when, 90.0), source=SupplySource.REPORTED),
    )
    both = SupplyHistory(*(np.concatenate([getattr(free, n), getattr(reported, n)]) for n in SUPPLY))
    assert both.times_us[0] == parse_instant(when)
    history = compute_index(market(monthly(1), [[1.0, 1.0]], [both, 10.0]), methodology())
    assert history.rebalances[0].weight_target.tolist() == [0.75, 0.25]
    assert history.rebalances[0].decisions[0].supply_source == SupplySource.ON_CHAIN


def test_venues_are_those_that_traded_before_the_reference_not_those_that_came_later() -> None:
    """Token 0 has two venues from the start, token 1 gets its second one when the first review is over."""
    clock = monthly(5)
    world = market(clock, np.ones((5, 2)), [1.0, 2.0])
    traded = np.full(world.volume_usd.shape, 2.0)
    traded[world.day_us <= clock[0] + 3 * DAY_US, 1] = 1.0
    traded[:, 0][world.day_us % (7 * DAY_US) == 0] = NAN  # a day without any bar says nothing of the others
    world = replace(world, metrics={VENUES: traded})
    rules = replace(OPEN_RULES, min_venues=2, incumbent_min_venues=2)
    index = methodology(eligibility=(rules,))
    fast = compute_index(world, index)
    decided = [{one.slug: one for one in change.decisions} for change in fast.rebalances if change.decisions]
    assert not decided[0]["token-01"].member
    assert decided[0]["token-01"].reason == "qualified venues: 1, needed: 2"
    assert decided[-1]["token-01"].member
    assert compare(fast, second_index(world, index)).max_relative == 0.0
    late = replace(world, metrics={VENUES: np.where(world.day_us[:, None] > clock[-1], 9.0, traded)})
    np.testing.assert_array_equal(compute_index(late, index).levels, fast.levels)
