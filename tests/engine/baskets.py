"""Small markets and methodologies for the engine's tests: open rules unless a test closes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from indexer.arrays import F64
from indexer.engine.history import chain_divisors
from indexer.engine.level import compute_levels
from indexer.engine.market import Line, Market, SupplyHistory, SupplySource
from indexer.methodology.spec import (
    Caps,
    Eligibility,
    Methodology,
    Missing,
    Schedule,
    Selection,
    Universe,
    Weighting,
)  # fmt: skip
from indexer.times import DAY_US, HOUR_US, parse_instant, to_us

BASE = datetime(2023, 1, 1, tzinfo=UTC)
BASE_US = to_us(BASE)

OPEN_RULES = Eligibility(
    effective_from=datetime(2020, 1, 1, tzinfo=UTC), min_history_days=0, successor_min_history_days=0,
    min_median_adv_usd=0.0, min_atvr=0.0, min_free_float=0.0, min_venues=0, incumbent_min_venues=0,
    supply_max_age_days=4000,
)  # fmt: skip
AT_ONCE = Schedule(reference_days_before=0)


def methodology(**changes: Any) -> Methodology:
    """A cap-weighted monthly index without eligibility tests, decided at the effective instant itself."""
    plain = Methodology(
        id="test", name="Test", version="1", description="", base_date=BASE, base_level=1000.0, decimals=6,
        effective_from=BASE, universe=Universe(), schedule=AT_ONCE, eligibility=(OPEN_RULES,),
        selection=Selection(target=50, entry_rank=50, exit_rank=50, min_constituents=1),
        weighting=Weighting(), caps=Caps(), missing=Missing(), hash="0" * 64,
    )  # fmt: skip
    return replace(plain, **changes)


def supply(*observations: tuple[str, float], total: float = np.nan, source: SupplySource = SupplySource.IMPORTED):
    """A supply history from (instant, tokens) pairs of one source."""
    times = np.array([parse_instant(when) for when, _ in observations], dtype=np.int64)
    tokens = np.array([amount for _, amount in observations])
    unknown = np.full(len(tokens), np.nan)
    free, reported = (tokens, unknown) if source is SupplySource.ON_CHAIN else (unknown, tokens)
    return SupplyHistory(
        times, reported, free, np.full(len(tokens), total), np.full(len(tokens), source, dtype=np.int8)
    )


def market(
    times_us: Sequence[int] | np.ndarray,
    prices: Any,
    supplies: Sequence[SupplyHistory | float],
    *,
    slugs: Sequence[str] = (),
    sectors: Sequence[str] = (),
    volume_usd: float = 1e7,
) -> Market:
    """A market on a clock; a supply may be one number, true since 2020; constant volume each day."""
    times = np.asarray(times_us, dtype=np.int64)
    values = np.asarray(prices, dtype=np.float64)
    count = values.shape[1]
    names = slugs or [f"token-{column:02d}" for column in range(count)]
    groups = sectors or ["all"] * count
    known = [one if isinstance(one, SupplyHistory) else supply(("2020-01-01", one)) for one in supplies]
    first = [int(times[np.flatnonzero(~np.isnan(values[:, column]))[0]]) for column in range(count)]
    lines = tuple(
        Line(name, group, start, 3, history)
        for name, group, start, history in zip(names, groups, first, known, strict=True)
    )
    days = np.arange(times[0] // DAY_US - 40, times[-1] // DAY_US + 1, dtype=np.int64) * DAY_US
    return Market(
        times, values, np.zeros(values.shape, dtype=np.int8), lines, days, np.full((len(days), count), volume_usd)
    )


def random_market(seed: int, *, steps: int = 260, count: int = 8, gaps: float = 0.0, step_us: int = 12 * HOUR_US):
    """A random market around the base date: log-normal walks, supplies that change, sectors, holes and listings.

    `gaps` is the share of bars inside outages; with any, some lines start late or end early.
    """
    rng = np.random.default_rng(seed)
    times = BASE_US - 20 * DAY_US + np.arange(steps, dtype=np.int64) * step_us
    prices = np.exp(np.cumsum(rng.normal(0, 0.03, (steps, count)), axis=0) + rng.normal(0, 2, count))
    if gaps:
        for _ in range(int(gaps * count * 4)):
            start, length = rng.integers(0, steps), rng.integers(1, 40)
            prices[start : start + length, rng.integers(0, count)] = np.nan
        prices[: rng.integers(0, steps // 2), 0] = np.nan
        prices[rng.integers(steps // 2, steps) :, 1] = np.nan
    for column in range(count):  # a line always has a price somewhere
        if np.isnan(prices[:, column]).all():
            prices[-1, column] = 1.0
    supplies = []
    for _ in range(count):
        moments = np.sort(rng.choice(np.arange(-400, steps // 2), 6, replace=False)) * DAY_US + BASE_US
        tokens = np.exp(rng.normal(15, 1)) * np.cumprod(rng.uniform(0.9, 1.2, 6))
        total = tokens * rng.uniform(1.0, 8.0)
        unknown = np.full(6, np.nan)
        source = rng.integers(0, 3, 6).astype(np.int8)
        free = np.where(source == SupplySource.ON_CHAIN, tokens, unknown)
        supplies.append(SupplyHistory(moments, tokens * 1.1, free, total, source))
    sectors = [f"sector-{column % 4}" for column in range(count)]
    return with_volumes(market(times, prices, supplies, sectors=sectors), rng)


def with_volumes(source: Market, rng: np.random.Generator) -> Market:
    """The market with random day volumes, some of them unknown."""
    volume = np.exp(rng.normal(15, 1.5, source.volume_usd.shape))
    volume[rng.random(volume.shape) < 0.3] = np.nan
    return replace(source, volume_usd=volume)


def monthly(count: int) -> np.ndarray:
    """The first `count` month starts from the base on, in microseconds."""
    return np.array([parse_instant(f"2023-{month:02d}-01") for month in range(1, count + 1)], dtype=np.int64)


def permuted(source: Market, order: Sequence[int]) -> Market:
    """The same market with its columns in another order."""
    pick = list(order)
    return replace(
        source, prices=np.ascontiguousarray(source.prices[:, pick]), price_status=source.price_status[:, pick].copy(),
        lines=tuple(source.lines[place] for place in pick), volume_usd=source.volume_usd[:, pick],
    )  # fmt: skip


class Chained(NamedTuple):
    levels: F64
    divisors: F64


def kernel(prices: F64, rows: np.ndarray, units: F64, *, base_level: float) -> Chained:
    """Levels of units that change at rows of prices, divisors chained by continuity."""
    divisors = chain_divisors(prices[rows], units, base_level=base_level)
    return Chained(compute_levels(prices, np.append(rows[:1], rows[1:] + 1), units, divisors=divisors), divisors)


def relative(one: F64, other: F64) -> float:
    """The largest relative difference of two series."""
    return float(np.max(np.abs(one / other - 1.0)))
