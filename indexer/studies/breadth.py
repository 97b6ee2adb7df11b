"""The market inside the index at an instant: breadth, dispersion, correlation, concentration, strength, share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.analytics.breadth import (
    Breadth,
    Concentration,
    breadth,
    concentration,
    dispersion,
    relative_strength,
)
from indexer.analytics.series import average_correlation
from indexer.arrays import I64, finite
from indexer.errors import NotEnoughDataError, NotFoundError
from indexer.store.assets import read_assets
from indexer.store.bars import read_metrics
from indexer.store.db import Store
from indexer.store.rebalancings import read_constituents, read_line_rate
from indexer.store.rows import ConstituentRow
from indexer.store.supplies import read_supplies
from indexer.studies.catalogue import PolicyDistance, policy_distance
from indexer.studies.series import TOKEN, Series, benchmark_series, index_series, left_out, sampled_tokens, values_at
from indexer.times import DAY_US, from_us, to_us

WINDOWS = (20, 50, 200)
HORIZONS = (5, 20, 60)
CORRELATION_DAYS = 60
UNIVERSE = ("btc", "eth", "sol")
AGAINST = ("btc", "eth", "QQQ")


@dataclass(frozen=True, slots=True)
class Strength:
    """Log change of index over benchmark, by horizon in days (tokens) or sessions (equities); None unknown."""

    benchmark: str
    unit: str
    change: Mapping[int, float | None]


@dataclass(frozen=True, slots=True)
class BreadthStudy:
    """State at the 00:00 UTC at or before `at_us`, from daily rates of the constituents of that instant.

    `breadth` has one row for each window in days. `dispersion` is the cross-sectional standard deviation of the last
    day's log returns, `dispersion_weighted` by index weight, `dispersion_median` that of the last 60 days.
    `correlation` is the mean pairwise one over 60 days. `without_rate` names members whose rate was not there,
    `left_out` the spans in which the index was impaired or suspended: without an instant, it is the last level before.
    """

    index_id: str
    at_us: int
    members: int
    breadth: tuple[Breadth, ...]
    dispersion: float | None
    dispersion_weighted: float | None
    dispersion_median: float | None
    correlation: float | None
    correlation_days: int
    concentration: Concentration | None
    strength: tuple[Strength, ...]
    share: UniverseShare
    policy: PolicyDistance
    without_rate: tuple[str, ...]
    left_out: str


def study_breadth(
    store: Store,
    index_id: str,
    *,
    at_us: int | None = None,
    universe: Sequence[str] = UNIVERSE,
) -> BreadthStudy:
    """The inside of an index at an instant, its newest level when none is given.

    Benchmarks that the store does not have are left out of `strength`. Raises NotFoundError for the index or an
    instant before its base, NotEnoughDataError without levels.
    """
    own = index_series(store, index_id)
    asked = int(own.times_us[-1]) if at_us is None else at_us
    at = asked // DAY_US * DAY_US
    held = read_constituents(store, index_id, at)
    days = at - DAY_US * np.arange(max(WINDOWS), -1, -1, dtype=np.int64)
    daily = sampled_tokens(store, [row.asset for row in held], days, rules_of=index_id)
    prices = np.column_stack([values_at(daily[row.asset], days) for row in held])
    returns = np.diff(np.log(prices), axis=0)[-CORRELATION_DAYS:]
    weights = np.array([np.nan if row.weight is None else row.weight for row in held])
    whole = bool(np.isfinite(weights).all())
    spread = dispersion(returns)
    return BreadthStudy(
        index_id=index_id,
        at_us=at,
        members=len(held),
        breadth=tuple(breadth(prices, windows=WINDOWS)),
        dispersion=finite(spread[-1]),
        dispersion_weighted=finite(dispersion(returns, weights=weights)[-1]) if whole else None,
        dispersion_median=finite(np.nanmedian(spread)) if np.isfinite(spread).any() else None,
        correlation=average_correlation(returns),
        correlation_days=len(returns),
        concentration=concentration(weights) if whole else None,
        strength=tuple(_strength(own, other, at) for other in _known(store, AGAINST, days)),
        share=universe_share(store, held, others=universe, at_us=at, rules_of=index_id),
        policy=policy_distance(asked),
        without_rate=tuple(row.asset for row, last in zip(held, prices[-1], strict=True) if np.isnan(last)),
        left_out=left_out(own.left_out, start_us=int(days[0]), end_us=at_us),
    )


def _known(store: Store, names: Sequence[str], days: I64) -> list[Series]:
    series = []
    for name in names:
        try:
            series.append(benchmark_series(store, name, at_us=days))
        except (NotFoundError, NotEnoughDataError):
            continue
    return series


def _strength(own: Series, other: Series, at: int) -> Strength:
    if other.kind == TOKEN:
        instants = at - DAY_US * np.arange(max(HORIZONS), -1, -1, dtype=np.int64)
        unit = "days"
    else:
        instants = other.times_us[other.times_us <= at][-max(HORIZONS) - 1 :]
        unit = "sessions"
    changes = relative_strength(values_at(own, instants), values_at(other, instants), horizons=HORIZONS)
    return Strength(other.name, unit, changes)


SUPPLY_ORDER = ("circulating", "free_float", "total")
MAX_AGE_US = 100 * DAY_US
MARKET_CAP = "market_cap_usd"


@dataclass(frozen=True, slots=True)
class UniverseShare:
    """The constituents' market value over that of a stated universe (the constituents and `others`).

    `stated` names those whose value rests on a vendor's statement instead of a supply, with its source and day.
    """

    others: tuple[str, ...]
    members_usd: float | None
    universe_usd: float | None
    share: float | None
    reason: str | None
    stated: tuple[str, ...] = ()


def universe_share(
    store: Store, held: Sequence[ConstituentRow], *, others: Sequence[str], at_us: int, rules_of: str
) -> UniverseShare:
    """The constituents' share of a universe by market value; None, with the reason, where a value is not known.

    Supply is the newest reading at or before the instant and at most 100 days old: circulating, else free float,
    else total; without one, the newest stated market value of the same age, moved by the reference rate since.
    """
    supplies = _supplies(store, at_us)
    prices = {row.asset: row.rate for row in held}
    outside = [slug for slug in others if slug not in prices]
    prices |= {slug: read_line_rate(store, slug, at_us, rules_of=rules_of) for slug in outside}
    values: dict[str, float | None] = {}
    stated: list[str] = []
    for slug, price in prices.items():
        if price is None or slug in supplies:
            values[slug] = None if price is None else supplies[slug] * price
            continue
        then, source = _stated(store, slug, at_us=at_us, rules_of=rules_of)
        values[slug] = None if then is None else then * price
        stated += [] if then is None else [source]
    missing = [slug for slug, value in values.items() if value is None]
    known = {slug: value for slug, value in values.items() if value is not None}
    members_usd = None if missing and set(missing) - set(outside) else sum(known[row.asset] for row in held)
    if missing or members_usd is None:
        reason = f"no supply or market value of the last 100 days, or no rate, is known of {', '.join(missing)}"
        return UniverseShare(tuple(others), members_usd, None, None, reason)
    whole = members_usd + sum(known[slug] for slug in outside)
    return UniverseShare(tuple(others), members_usd, whole, members_usd / whole, None, tuple(stated))


def _supplies(store: Store, at_us: int) -> dict[str, float]:
    """Tokens in circulation by asset, as last read before the instant."""
    assets = {asset.slug: asset for asset in read_assets(store)}
    best: dict[str, tuple[int, int, float]] = {}
    for row in read_supplies(store):
        observed = to_us(row.observed_at)
        if row.kind in SUPPLY_ORDER and at_us - MAX_AGE_US <= observed <= at_us:
            rank = -SUPPLY_ORDER.index(row.kind)
            candidate = (rank, observed, row.amount / 10 ** assets[row.asset].decimals)
            best[row.asset] = max(best.get(row.asset, candidate), candidate)
    amounts = {slug: candidate[2] for slug, candidate in best.items()}
    for asset in assets.values():
        # Before a migration the whole line is its one predecessor.
        before = [other for other in assets.values() if other.line == asset.slug != other.slug]
        if asset.slug not in amounts and len(before) == 1 and before[0].slug in amounts:
            amounts[asset.slug] = amounts[before[0].slug] * before[0].line_ratio
    return amounts


def _stated(store: Store, asset: str, *, at_us: int, rules_of: str) -> tuple[float | None, str]:
    """The newest stated market value over the rate of its instant, in tokens, and whose it is."""
    values = [
        (int(metric.time_us[-1]), metric.source, float(metric.value[-1]))
        for metric in read_metrics(
            store, subject=asset, name=MARKET_CAP, since_us=at_us - MAX_AGE_US, until_us=at_us + 1
        )
        if len(metric.time_us)
    ]
    if not values:
        return None, ""
    then_us, source, value = max(values)
    rate = read_line_rate(store, asset, then_us, rules_of=rules_of)
    return None if rate is None else value / rate, f"{asset} ({source}, {from_us(then_us):%Y-%m-%d})"
