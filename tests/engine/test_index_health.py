"""An index that loses its members, by hand-computed numbers; both calculators agree on every scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from baskets import AT_ONCE, BASE_US, market, methodology, supply

from indexer.engine.health import Spell
from indexer.engine.history import IndexHistory, Settled
from indexer.engine.level import compute_index
from indexer.engine.market import Market, Status
from indexer.engine.second import compare, second_index
from indexer.methodology.spec import Health, Methodology, Missing, Schedule, Scheme, Selection, Weighting
from indexer.times import DAY_US, HOUR_US, iso

NAN = np.nan
EQUAL = methodology(
    weighting=Weighting(Scheme.EQUAL), missing=Missing(48), selection=Selection(4, 4, 4, min_constituents=3)
)
FEW = "fewer constituents than the 3 that are needed"
HEAVY = "more than 25% of the weight carried at 00:00 UTC"


def day(number: int) -> int:
    """00:00 UTC of the n-th day of 2023, from 1."""
    return BASE_US + (number - 1) * DAY_US


def daily(last: int, paths: Sequence[dict[int, float]], *, largest: float = 100.0) -> Market:
    """One token for each path: the price from a day of 2023 on, NaN for none; the first ones are the largest.

    Supplies fall from `largest`; with NaN nobody knows any."""
    first = min(min(path) for path in paths)
    prices = np.full((last - first + 1, len(paths)), NAN)
    for column, path in enumerate(paths):
        for start, price in path.items():
            prices[start - first :, column] = price
    return market([day(n) for n in range(first, last + 1)], prices, [largest - n for n in range(len(paths))])


def agreed(world: Market, index: Methodology) -> IndexHistory:
    """The history, which the second calculator agrees with; so do both when half of it is settled."""
    history = compute_index(world, index)
    assert compare(history, second_index(world, index)).max_relative < 1e-12
    for until in history.times_us[[0, len(history.times_us) // 2, -1]].tolist():
        known = tuple(change for change in history.rebalances if change.effective_us <= until)
        again = compute_index(world, index, settled=Settled(known, until))
        assert again.spells == history.spells
        np.testing.assert_allclose(again.levels, history.levels, rtol=1e-12)
        assert again.status.tolist() == history.status.tolist()
        assert compare(again, second_index(world, index, settled=Settled(known, until))).max_relative < 1e-12
    return history


def test_members_die_one_by_one_until_a_reconstitution_out_of_turn() -> None:
    # Four tokens at 10, a fifth stands by. d dies on day 5 and leaves on day 8: exactly a quarter was carried.
    # c dies on day 20: a third is carried from day 21, and from its leaving on day 23 two are fewer than three.
    # a and b double on day 25. February reviews no members by schedule, but does now: e enters at a level of 2000
    # and gains a tenth on day 33: 2000 · (1 + 0.1 / 3).
    a, b, c, d, e = {1: 10, 25: 20}, {1: 10, 25: 20}, {1: 10, 21: NAN}, {1: 10, 6: NAN}, {1: 10, 33: 11}
    history = agreed(daily(40, [a, b, c, d, e]), EQUAL)
    expected = [*[1000.0] * 24, *[2000.0] * 8, *[2000.0 * (1 + 0.1 / 3)] * 8]
    np.testing.assert_allclose(history.levels, expected, rtol=1e-12)
    status = [*[Status.FINAL] * 5, *[Status.CARRIED] * 3, *[Status.FINAL] * 12, *[Status.IMPAIRED] * 12]
    assert history.status.tolist() == [*status, *[Status.FINAL] * 8]
    assert history.constituents.tolist() == [*[4] * 8, *[3] * 15, *[2] * 9, *[3] * 8]
    assert history.spells == (Spell("impaired", day(21), day(32), f"{HEAVY} and {FEW}"),)
    kinds = [(change.kind, change.effective_us) for change in history.rebalances]
    expected_kinds = [("base", 1), ("suspension", 8), ("suspension", 23), ("reconstitution", 32)]
    assert kinds == [(kind, day(number)) for kind, number in expected_kinds]


@pytest.mark.parametrize("largest", [100.0, NAN], ids=["supplies", "no supplies"])
def test_suspended_after_fourteen_days_and_revived_at_its_last_level(largest: float) -> None:
    # c dies on day 2, a third is carried from day 3, it leaves on day 5. a doubles on day 10: half of 1000 and half of
    # 2000. Day 16 is the fourteenth impaired one and the last. What a and b do meanwhile is nobody's return. In
    # February there is no third token; e comes on day 41, so on March 1 (day 60) a, b and e begin at 1500, and with
    # e up by 30 % on day 61 the level is 1500 · 1.1.
    a, b, c = {1: 10, 10: 20, 20: 30}, {1: 10, 30: 5}, {1: 10, 3: NAN}
    history = agreed(daily(62, [a, b, c, {41: 10, 61: 13}], largest=largest), EQUAL)
    assert history.times_us.tolist() == [day(n) for n in [*range(1, 17), 60, 61, 62]]
    np.testing.assert_allclose(history.levels, [*[1000.0] * 9, *[1500.0] * 8, 1650, 1650], rtol=1e-12)
    assert history.status.tolist() == [0, 0, *[Status.IMPAIRED] * 14, 0, 0, 0]
    assert history.spells == (
        Spell("impaired", day(3), day(16), f"{HEAVY} and {FEW}"),
        Spell("suspended", day(16), day(60), f"impaired on 14 days in a row: {HEAVY} and {FEW}"),
    )
    resumption = history.rebalances[-1]
    assert (resumption.kind, resumption.level) == ("resumption", pytest.approx(1500.0))
    np.testing.assert_allclose(resumption.weight_target, [1 / 3, 1 / 3, 0, 1 / 3], rtol=1e-12)
    (skipped,) = history.skipped
    assert skipped.reason == "index test at 2023-02-01T00:00:00Z: 2 members can be held, 3 are needed"


def test_a_basket_of_which_all_members_are_dead_is_suspended_too() -> None:
    dead = {1: 10, 5: NAN}
    history = agreed(daily(40, [dead, dead, dead]), EQUAL)
    assert iso(int(history.times_us[-1])) == "2023-01-18T00:00:00Z"
    assert history.spells[-1] == Spell("suspended", day(18), None, f"impaired on 14 days in a row: {HEAVY}")
    assert len(history.rebalances) == 1  # nothing leaves when nothing would be left


def test_a_date_that_the_schedule_leaves_out_is_used_for_a_reconstitution() -> None:
    yearly = replace(EQUAL, schedule=Schedule((1,), (1,), reference_days_before=5), selection=Selection(4, 4, 4, 3))
    yearly = replace(yearly, eligibility=(replace(yearly.eligibility[0], price_max_age_hours=1),))

    def last(death: int) -> tuple[str, int, list[bool]]:
        alive, dead = {-5: 10.0}, {-5: 10.0, death: NAN}  # no price at that instant any more
        change = agreed(daily(70, [alive, alive, dead, dead, alive, alive]), yearly).rebalances[-1]
        return change.kind, change.effective_us, (change.units_after > 0).tolist()

    # January 27 is the reference of February 1, and counts whole; from the 28th on it is March, 14 days too late
    assert last(27) == ("reconstitution", day(32), [True, True, False, False, True, True])
    assert last(28) == ("resumption", day(60), [True, True, False, False, True, True])


def test_an_hour_has_a_level_when_three_quarters_of_the_weight_have_a_rate_of_it() -> None:
    hours = BASE_US + np.arange(28) * HOUR_US
    prices = np.full((28, 4), 1.0)
    prices[3, 0] = prices[5, [0, 1]] = prices[23:27, [0, 1]] = NAN
    index = methodology(weighting=Weighting(Scheme.EQUAL), schedule=AT_ONCE)
    history = agreed(market(hours, prices, [1.0] * 4), index)
    # exactly a quarter is carried at 03:00, half at 05:00, at 23:00 and from 01:00 to 02:00; 00:00 has a level anyway
    assert sorted(set(range(28)) - set(history.rows.tolist())) == [5, 23, 25, 26]
    by_row = dict(zip(history.rows.tolist(), history.status.tolist(), strict=True))
    assert (by_row[3], by_row[4], by_row[24]) == (Status.CARRIED, Status.FINAL, Status.IMPAIRED)
    assert by_row[27] == Status.IMPAIRED  # until a level of 00:00 UTC without it
    assert history.carried_weight[history.rows == 24] == pytest.approx(0.5)


def test_one_clean_level_of_midnight_ends_an_impairment_by_carry() -> None:
    hours = BASE_US + np.arange(0, 80, 8) * HOUR_US
    prices = np.full((10, 2), 1.0)
    prices[3, 0] = NAN
    history = agreed(market(hours, prices, [1.0] * 2), methodology(weighting=Weighting(Scheme.EQUAL)))
    assert history.status.tolist() == [0, 0, 0, 6, 6, 6, 0, 0, 0, 0]
    assert history.spells == (Spell("impaired", int(hours[3]), int(hours[6]), HEAVY),)


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [(0, 2, Status.FINAL), (1, 2, Status.INDICATIVE), (1, 0, Status.INDICATIVE), (2, 0, Status.DEGRADED)],
)
def test_status_is_by_weight(first: int, second: int, status: Status) -> None:
    # 50, 42 and 8 % of the weight: the last one alone does not matter, the second one does.
    world = market([day(1)], [[1.0, 1.0, 1.0]], [50.0, 42.0, 8.0])
    world.price_status[0] = [0, first, second]
    assert compute_index(world, methodology()).status.tolist() == [status]
    strict = methodology(health=Health(final_weight=1.0))
    assert compute_index(world, strict).status[0] == max(first, second)


def test_a_level_carried_by_the_sources_themselves_is_carried() -> None:
    world = market([day(1), day(2)], [[1.0, 1.0], [1.0, 2.0]], [90.0, supply(("2020-01-01", 10.0))])
    world.price_status[1, 1] = Status.CARRIED
    history = agreed(world, methodology())
    assert history.status.tolist() == [Status.FINAL, Status.CARRIED]
    assert history.carried_weight[1] == pytest.approx(20 / 110)
