"""What must hold for any basket: continuity, invariances, weights within caps, no look-ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from baskets import AT_ONCE, OPEN_RULES, methodology, permuted, random_market, relative
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from indexer.engine.history import IndexHistory
from indexer.engine.level import compute_index
from indexer.engine.market import Line, Market, SupplyHistory
from indexer.engine.second import compare, second_index
from indexer.errors import MethodologyError, NotEnoughDataError
from indexer.methodology.spec import (
    Caps,
    Health,
    Methodology,
    Missing,
    Schedule,
    Scheme,
    Selection,
    UnknownVolume,
    Weighting,
)
from indexer.times import DAY_US

STRICT = replace(
    OPEN_RULES, min_history_days=5, min_median_adv_usd=2e6, min_atvr=0.05, min_free_float=0.2, supply_max_age_days=300,
    unknown_volume=UnknownVolume.KEEP_INCUMBENTS, adv_min_days=12,
)  # fmt: skip
CAPS = [
    Caps(),
    Caps(single=0.35),
    Caps(single=0.4, group=0.6),
    Caps(single=0.5, floor=0.02, largest=0.6),
    Caps(group=0.5, per_group={"sector-1": 0.3}, per_asset={"token-02": 0.1}),
]
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def indices(draw: st.DrawFn) -> Methodology:
    """Any scheme, caps, rules, schedule and patience with missing prices."""
    scheme = draw(st.sampled_from([one for one in Scheme if one is not Scheme.FUNDAMENTAL]))
    caps = draw(st.sampled_from(CAPS))
    return methodology(
        eligibility=(draw(st.sampled_from([OPEN_RULES, STRICT])),),
        weighting=Weighting(scheme, floor=0.05 if scheme is Scheme.FLOOR_PLUS_CAP else 0.0),
        caps=caps,
        selection=Selection(target=5, entry_rank=4, exit_rank=6, min_constituents=draw(st.integers(1, 4))),
        schedule=Schedule(
            reference_days_before=draw(st.sampled_from([0, 5])),
            transition_fixings=draw(st.sampled_from([1, 1, 3])),
            effective_day=draw(st.sampled_from([1, 9])),
        ),
        missing=Missing(max_carry_hours=draw(st.sampled_from([13, 48, 168]))),
        health=Health(draw(st.sampled_from([0.1, 0.25, 1.0])), impaired_days=draw(st.sampled_from([3, 14]))),
    )


def computed(market: Market, index: Methodology) -> IndexHistory:
    try:
        return compute_index(market, index)
    except (NotEnoughDataError, MethodologyError):
        assume(False)
        raise


@given(SEEDS, indices(), st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=150)
def test_two_calculators_agree(seed: int, index: Methodology, gaps: float) -> None:
    market = random_market(seed, gaps=gaps)
    history = computed(market, index)
    plain = second_index(market, index)
    found = compare(history, plain)
    assert found.max_relative < 1e-9, found
    assert len(plain.units) == len(history.rebalances)
    for (at, units), change in zip(plain.units, history.rebalances, strict=True):
        assert at == change.effective_us
        held = {slug: amount for slug, amount in zip(market.slugs, change.units_after, strict=True) if amount}
        assert held == pytest.approx(units, rel=1e-9)


@given(SEEDS, indices(), st.sampled_from([0.0, 0.5]))
@settings(max_examples=80)
def test_level_is_continuous_and_weights_are_within_caps(seed: int, index: Methodology, gaps: float) -> None:
    market = random_market(seed, gaps=gaps)
    history = computed(market, index)
    assert history.levels[0] == index.base_level
    assert (np.isfinite(history.levels) & (history.levels > 0)).all()
    for change in history.rebalances:
        value = float((change.prices * change.units_after).sum())
        assert value / change.divisor_after == pytest.approx(change.level, rel=1e-12)
        assert change.weight_target.sum() == pytest.approx(1.0, abs=1e-12)
        if change.kind == "suspension" or index.schedule.transition_fixings > 1:
            continue
        members = change.weight_target > 0
        top = index.caps.single or 1.0
        assert (change.weight_target <= max(top, index.caps.largest or 0.0) + 1e-12).all()
        assert (change.weight_target[members] >= (index.caps.floor or 0.0) - 1e-12).all()
        if index.caps.group:
            sectors = [int(line.sub_sector[-1]) for line in market.lines]
            assert np.bincount(sectors, change.weight_target).max() <= index.caps.group + 1e-12


@given(SEEDS, indices())
@settings(max_examples=60)
def test_the_future_changes_nothing(seed: int, index: Methodology) -> None:
    market = random_market(seed, gaps=0.3)
    history = computed(market, index)
    rng = np.random.default_rng(seed)
    cut = int(rng.integers(0, len(history.times_us)))
    at = int(history.times_us[cut])
    later = market.times_us > at
    prices = market.prices.copy()
    prices[later] *= np.exp(rng.normal(0, 1, prices[later].shape))
    prices[later] = np.where(rng.random(prices[later].shape) < 0.3, np.nan, prices[later])
    volume = np.where((market.day_us > at)[:, None], 1.0, market.volume_usd)
    lines = tuple(replace(line, supply=future_shock(line.supply, at)) for line in market.lines)
    shocked = compute_index(replace(market, prices=prices, volume_usd=volume, lines=lines), index)
    # exactly the same bits, not merely close
    assert (shocked.levels[: cut + 1] == history.levels[: cut + 1]).all()
    assert (shocked.status[: cut + 1] == history.status[: cut + 1]).all()
    before = [change for change in history.rebalances if change.effective_us <= at]
    for one, other in zip(before, shocked.rebalances, strict=False):
        assert (one.units_after == other.units_after).all()
        assert one.decisions == other.decisions


def future_shock(supply: SupplyHistory, at: int) -> SupplyHistory:
    later = supply.times_us > at
    double = np.where(later, 5.0, 1.0)
    return replace(supply, circulating=supply.circulating * double, free_float=supply.free_float * double)


@given(SEEDS, st.floats(1e-6, 1e6))
@settings(max_examples=30)
def test_scale_of_supplies_changes_nothing(seed: int, scale: float) -> None:
    market = random_market(seed)
    index = methodology(caps=Caps(single=0.3, group=0.5), schedule=Schedule(reference_days_before=5))
    bigger = tuple(
        replace(line, supply=replace(line.supply, **{
            name: getattr(line.supply, name) * scale for name in ("circulating", "free_float", "total")
        }))
        for line in market.lines
    )  # fmt: skip
    first, second = computed(market, index), computed(replace(market, lines=bigger), index)
    assert relative(first.levels, second.levels) < 1e-11


@given(SEEDS, indices())
@settings(max_examples=40)
def test_order_of_columns_changes_nothing(seed: int, index: Methodology) -> None:
    market = random_market(seed, gaps=0.3)
    history = computed(market, index)
    order = np.random.default_rng(seed).permutation(len(market.lines))
    other = compute_index(permuted(market, order), index)
    assert relative(history.levels, other.levels) < 1e-11
    assert [c.kind for c in history.rebalances] == [c.kind for c in other.rebalances]


@given(SEEDS, st.integers(0, 7))
@settings(max_examples=30)
def test_a_token_split_into_two_halves_changes_nothing(seed: int, column: int) -> None:
    market = random_market(seed)
    index = methodology(schedule=Schedule(reference_days_before=5))
    line = market.lines[column]
    half = replace(
        line.supply, circulating=line.supply.circulating / 2, free_float=line.supply.free_float / 2,
        total=line.supply.total / 2,
    )  # fmt: skip
    lines = list(market.lines)
    lines[column] = replace(line, supply=half)
    twin = Line("twin", line.sub_sector, line.first_price_us, line.venues, half)
    split = replace(
        market, lines=(*lines, twin),
        prices=np.column_stack([market.prices, market.prices[:, column]]),
        price_status=np.column_stack([market.price_status, market.price_status[:, column]]),
        volume_usd=np.column_stack([market.volume_usd, market.volume_usd[:, column]]),
    )  # fmt: skip
    assert relative(compute_index(market, index).levels, compute_index(split, index).levels) < 1e-12


@given(SEEDS, st.floats(0.01, 100.0))
@settings(max_examples=20)
def test_a_redenominated_token_changes_nothing(seed: int, ratio: float) -> None:
    market = random_market(seed)
    index = methodology(caps=Caps(single=0.4), schedule=Schedule(reference_days_before=5))
    prices = market.prices.copy()
    prices[:, 2] /= ratio
    line = market.lines[2]
    more = replace(
        line.supply, circulating=line.supply.circulating * ratio, free_float=line.supply.free_float * ratio,
        total=line.supply.total * ratio,
    )  # fmt: skip
    lines = (*market.lines[:2], replace(line, supply=more), *market.lines[3:])
    first, second = computed(market, index), computed(replace(market, prices=prices, lines=lines), index)
    assert relative(first.levels, second.levels) < 1e-11


def test_constant_prices_give_a_constant_level() -> None:
    market = random_market(5, gaps=0.5)
    still = np.where(np.isnan(market.prices), np.nan, np.arange(1.0, 9.0))
    history = compute_index(replace(market, prices=still), methodology(schedule=AT_ONCE))
    assert len(history.rebalances) > 3
    np.testing.assert_allclose(history.levels, 1000.0, rtol=1e-12)


def test_daily_levels_are_the_midnight_levels_of_an_hourly_clock() -> None:
    market = random_market(11)
    index = methodology(schedule=Schedule(reference_days_before=5), caps=Caps(single=0.3))
    midnight = market.times_us % DAY_US == 0
    daily = replace(
        market, times_us=market.times_us[midnight], prices=market.prices[midnight],
        price_status=market.price_status[midnight],
    )  # fmt: skip
    fine, coarse = compute_index(market, index), compute_index(daily, index)
    at = np.searchsorted(fine.times_us, coarse.times_us)
    assert (fine.levels[at] == coarse.levels).all()
