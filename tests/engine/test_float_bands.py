"""Free-float bands and the activity test: by hand, and by both calculators on random markets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from baskets import BASE_US, OPEN_RULES, market, methodology, monthly, random_market, relative, supply

from indexer.engine.history import Settled
from indexer.engine.known import banded, gather
from indexer.engine.level import compute_index
from indexer.engine.market import SupplyHistory, SupplySource
from indexer.engine.second import second_index
from indexer.engine.second_rules import band_at, references
from indexer.engine.timeline import schedule_of
from indexer.methodology.spec import FloatRules, Schedule, Selection
from indexer.times import DAY_US, from_us

NAN = np.nan
BANDED = FloatRules(bands=True)


def history(shares, *, total=1000.0, source=SupplySource.ON_CHAIN):
    """One free float a month, as shares of the total, known from the month's first instant on."""
    times = monthly(len(shares))
    free = np.array(shares) * total
    return SupplyHistory(
        times, np.full(len(times), NAN), free, np.full(len(times), total), np.full(len(times), source, dtype=np.int8)
    )


def test_bands_with_their_buffer_by_hand() -> None:
    path = [0.14, 0.16, 0.18, 0.19, 0.21, 0.221, 0.181, 0.179, NAN, 0.31, 0.321, 0.89, 0.915, 0.921, 0.885, 0.879, 0.12]
    wanted = [0.0, 0.0, 0.2, 0.2, 0.2, 0.3, 0.3, 0.2, NAN, 0.4, 0.4, 0.9, 0.9, 1.0, 1.0, 0.9, 0.0]
    np.testing.assert_array_equal(banded(np.array(path)[:, None])[:, 0], wanted)
    rules = methodology()
    for last, want in enumerate(wanted):
        at = dict(zip(references(rules, int(monthly(12)[-1]) * 2), path[: last + 1], strict=False))
        found = band_at(rules, reference=max(at), share_at=at.__getitem__)
        assert found == want or np.isnan(want)


def test_references_of_the_second_calculator_are_the_schedules() -> None:
    for schedule in (Schedule(), Schedule(rebalance_months=(1, 4, 10), effective_day=3, reference_days_before=9)):
        rules = methodology(schedule=schedule)
        end = BASE_US + 900 * DAY_US
        ours = [date.reference_us for date in schedule_of(rules, end + 10 * DAY_US) if date.reference_us <= end]
        assert list(references(rules, end)) == ours


def test_a_banded_float_is_what_is_weighed_by_and_its_share_is_what_is_tested() -> None:
    times = monthly(4)
    world = market(times, np.ones((4, 3)), [history([0.62] * 4), history([0.31] * 4), history([0.155] * 4)])
    made = compute_index(world, methodology(float_rules=BANDED))
    np.testing.assert_allclose(made.rebalances[0].units_after, [700.0, 400.0, 200.0])
    plain = compute_index(world, methodology())
    np.testing.assert_allclose(plain.rebalances[0].units_after, [620.0, 310.0, 155.0])
    strict = replace(OPEN_RULES, min_free_float=0.32)  # the share itself decides, not its band of 40 %
    made = compute_index(world, methodology(float_rules=BANDED, eligibility=(strict,)))
    assert [one.member for one in made.rebalances[0].decisions] == [True, False, False]
    assert made.rebalances[0].decisions[1].reason == "free float is 31.00% of total supply, 32.00% needed"


def test_below_the_lowest_band_a_member_leaves_at_the_next_rebalance_with_its_reason() -> None:
    times = monthly(4)
    world = market(times, np.ones((4, 2)), [history([0.5] * 4), history([0.16, 0.14, 0.12, 0.12])])
    made = compute_index(world, methodology(float_rules=BANDED))
    members = [change.units_after[1] > 0 for change in made.rebalances]
    assert members == [True, True, False, False]  # 14 % is within two points of the band of 15 to 20 %
    said = {one.slug: one.reason for one in made.rebalances[2].decisions}
    assert said["token-01"] == "free float is 12.00% of total supply, below the lowest band"


def test_without_a_total_there_is_no_band() -> None:
    times = monthly(2)
    world = market(times, np.ones((2, 2)), [supply(("2022-01-01", 33.0)), history([0.33] * 2)])
    made = compute_index(world, methodology(float_rules=BANDED))
    np.testing.assert_allclose(made.rebalances[0].units_after, [33.0, 400.0])


def test_the_share_compares_figures_of_one_source() -> None:
    mixed = SupplyHistory(
        times_us=np.array([1, 2, 3], dtype=np.int64) * DAY_US,
        circulating=np.array([NAN, 450.0, 480.0]), free_float=np.array([300.0, NAN, NAN]),
        total=np.array([1000.0, 500.0, 500.0]), source=np.array([0, 1, 2], dtype=np.int8),
    )  # fmt: skip
    times = np.arange(1, 6) * DAY_US
    world = market(times, np.ones((5, 1)), [mixed])
    found = gather(world, [3 * DAY_US], rules=[OPEN_RULES])
    assert (found.supply[0, 0], found.total[0, 0], found.free_float[0, 0]) == (300.0, 1000.0, 0.3)


@pytest.mark.parametrize("seed", range(12))
def test_both_calculators_agree_with_bands_and_the_activity_test(seed: int) -> None:
    world = random_market(seed, steps=400, gaps=0.1)
    rng = np.random.default_rng(seed)
    active = rng.integers(1, 2000, world.volume_usd.shape).astype(float)
    active[rng.random(active.shape) < 0.4] = NAN
    world = replace(world, active_addresses=active)
    rules = methodology(
        float_rules=BANDED,
        schedule=Schedule(reference_days_before=3),
        eligibility=(replace(OPEN_RULES, min_free_float=0.1, min_active_addresses=950),),
        selection=Selection(target=6, entry_rank=5, exit_rank=7, min_constituents=1),
    )
    fast, plain = compute_index(world, rules), second_index(world, rules)
    assert [at for at, _ in plain.levels] == fast.times_us.tolist()
    assert relative(fast.levels, np.array([level for _, level in plain.levels])) < 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_settled_history_leaves_the_bands_as_they_are(seed: int) -> None:
    world, rules = random_market(seed, steps=400), methodology(float_rules=BANDED)
    whole = compute_index(world, rules)
    until = int(whole.times_us[len(whole.times_us) // 2])
    past = tuple(change for change in whole.rebalances if change.effective_us <= until)
    again = compute_index(world, rules, settled=Settled(changes=past, until_us=until))
    assert relative(again.levels, whole.levels) < 1e-12


def test_activity_decides_who_enters_and_members_are_forgiven_unknown_days() -> None:
    times = monthly(8)
    world = market(times, np.ones((8, 2)), [10.0, 10.0])
    active = np.full(world.volume_usd.shape, 500.0)
    active[:, 1] = np.where(world.day_us < times[3], 20.0, 900.0)
    active[world.day_us >= times[5]] = NAN
    rules = methodology(eligibility=(replace(OPEN_RULES, min_active_addresses=100),))
    made = compute_index(replace(world, active_addresses=active), rules)
    reasons = {from_us(c.effective_us).month: {d.slug: d.reason for d in c.decisions} for c in made.rebalances}
    assert reasons[1]["token-01"] == "median active addresses a day 20, 100 needed"
    assert reasons[4]["token-01"].startswith("median active addresses a day 20, 100 needed")
    assert made.rebalances[-1].units_after[0] > 0  # nothing known any more: the member stays
    blind = compute_index(world, methodology(eligibility=(replace(OPEN_RULES, min_active_addresses=0),)))
    assert (blind.rebalances[0].units_after > 0).all()
