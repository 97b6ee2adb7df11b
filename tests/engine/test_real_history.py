"""The shipped indices over the real files: both calculators, membership by date, RNDR → RENDER."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from real_market import market

from indexer.engine.history import IndexHistory
from indexer.engine.level import compute_index
from indexer.engine.market import Market, Status
from indexer.engine.second import SecondIndex, compare, second_index
from indexer.methodology.load import shipped
from indexer.methodology.spec import Methodology, universe_lines
from indexer.registry import load_registry
from indexer.times import HOUR_US, parse_instant

pytestmark = pytest.mark.slow
NAMES = sorted(shipped())


def cut(name: str, *, hourly: bool) -> tuple[Market, Methodology]:
    """The real market cut to the universe of a shipped index, up to the last day all tokens have."""
    index, world = shipped()[name], market(hourly=hourly)
    until = world.times_us <= parse_instant("2025-10-20")
    world = replace(
        world, times_us=world.times_us[until], prices=world.prices[until], price_status=world.price_status[until]
    )
    return world.select(universe_lines(index.universe, load_registry())), index


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hourly", [False, True], ids=["daily", "hourly"])
def test_two_calculators_agree_on_all_history(name: str, hourly: bool) -> None:
    world, index = cut(name, hourly=hourly)
    history = compute_index(world, index)
    found = compare(history, second_index(world, index))
    assert found.agree, found
    assert found.max_relative < 1e-12
    assert np.isfinite(history.levels).all()


def test_hourly_and_daily_flagship_meet_at_midnight_while_their_data_agree() -> None:
    daily, hourly = (compute_index(*cut("deai", hourly=hours)) for hours in (False, True))
    until = parse_instant("2023-12-01")  # from then on some hourly sources end before the daily ones
    days = daily.times_us[daily.times_us <= until]
    ratio = at(hourly, days) / at(daily, days)
    assert np.abs(ratio - 1).max() < 0.01


def at(history: IndexHistory, times_us: np.ndarray) -> np.ndarray:
    place = np.searchsorted(history.times_us, times_us)
    assert (history.times_us[place] == times_us).all()
    return history.levels[place]


def test_membership_is_that_of_the_day() -> None:
    world, index = cut("deai", hourly=True)
    history = compute_index(world, index)
    deepseek = parse_instant("2025-01-27T21:00:00Z")
    held = [change for change in history.rebalances if change.effective_us <= deepseek][-1]
    members = {slug for slug, weight in zip(world.slugs, held.weight_target, strict=True) if weight > 0}
    assert not members & {"kaito", "elizaos"}
    assert {"near", "icp", "fet", "tao", "fil"} <= members
    assert held.weight_target.max() <= 0.20 + 1e-12
    groups = {line.sub_sector for line in world.lines}
    for group in groups:
        inside = [line.sub_sector == group for line in world.lines]
        assert held.weight_target[inside].sum() <= 0.40 + 1e-12
    first = {line.slug: line.first_price_us for line in world.lines}
    for change in history.rebalances:
        for slug, units in zip(world.slugs, change.units_after, strict=True):
            assert not units or first[slug] <= change.reference_us


def test_rndr_to_render_is_carried_without_a_jump() -> None:
    world, index = cut("deai", hourly=True)
    history = compute_index(world, index)
    start, end = parse_instant("2024-07-21T00:00:00Z"), parse_instant("2024-07-27T00:00:00Z")
    window = (history.times_us >= start) & (history.times_us <= end)
    moves = np.abs(np.diff(np.log(history.levels[window])))
    held = [change for change in history.rebalances if change.effective_us <= start][-1]
    column = world.slugs.index("render")
    assert held.units_after[column] > 0
    assert not [change for change in history.rebalances if start < change.effective_us < end]
    gap = (history.times_us > start + HOUR_US) & (history.times_us < parse_instant("2024-07-26T01:00:00Z"))
    assert (history.status[gap] == Status.CARRIED).all()
    assert moves.max() < 0.06


def test_agix_and_ocean_leave_by_rule_when_their_data_end() -> None:
    world, index = cut("deai", hourly=True)
    history = compute_index(world, index)
    column = world.slugs.index("ocean")
    leaving = [
        change for change in history.rebalances
        if change.kind == "suspension" and change.units_before[column] > 0 and change.units_after[column] == 0
    ]  # fmt: skip
    assert len(leaving) == 1
    last = int(world.times_us[np.flatnonzero(~np.isnan(world.prices[:, column]))[-1]])
    assert 168 * HOUR_US < leaving[0].effective_us - last <= 169 * HOUR_US
    assert leaving[0].level == pytest.approx(at(history, np.array([leaving[0].effective_us]))[0], rel=1e-12)


def test_compare_names_the_first_instant_that_differs() -> None:
    world, index = cut("deai", hourly=False)
    history, plain = compute_index(world, index), second_index(world, index)
    changed = history.levels.copy()
    changed[100:] *= 1 + 1e-7
    found = compare(replace(history, levels=changed), plain)
    assert not found.agree
    assert found.first_us == int(history.times_us[100])
    assert found.max_relative == pytest.approx(1e-7, rel=1e-3)
    missing = compare(history, SecondIndex(plain.levels[:-1]))
    assert (missing.first_us, missing.second, missing.max_relative) == (int(history.times_us[-1]), None, float("inf"))
