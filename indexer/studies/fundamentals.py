"""What the networks of an index earn, issue and stake, for each constituent and weighted by the basket.

Everything is counted over the 30 days to an instant, from stored facts alone. A figure that cannot be
computed is None with the reason; an aggregate says what share of the index's weight it is of. Definitions and their
sources: docs/onchain.md, "Fundamentals".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from indexer.arrays import F64, I64, finite
from indexer.errors import NotEnoughDataError
from indexer.store.assets import read_assets
from indexer.store.bars import read_asset_metrics
from indexer.store.db import Store
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import RebalancingRow
from indexer.store.supplies import read_supplies
from indexer.studies.series import index_series, last_known, token_series
from indexer.times import DAY_US, to_us

SPAN_DAYS: Final = 30
MIN_DAYS: Final = 25  # of the 30, for a sum of days
MIN_SPAN_US: Final = 7 * DAY_US  # between two readings of a supply, for a rate of issuance
MAX_AGE_US: Final = 35 * DAY_US  # monthly supplies still count
YEAR_DAYS: Final = 365.0
KINDS: Final = ("total", "burnt", "staked", "vesting")
FEES, TVL, MOVED = "fees_usd", "tvl_usd", "transfer_volume_tokens"
MEAN, HARMONIC, SUM = "mean by weight", "harmonic mean by weight", "sum"
FIGURES: Final = {
    "dilution": (MEAN, "change of the supply (total less burnt) over about 30 days, over it, a year of 365 days"),
    "staking_share": (MEAN, "tokens staked or delegated over the supply (total less burnt)"),
    "price_to_fees": (HARMONIC, "free-float market value over a year of fees at the pace of the last 30 days"),
    "realised_turnover": (
        MEAN,
        "tokens moved on chain in 30 days, a year at that pace, over the supply (total less burnt)",
    ),
    "fees_usd": (SUM, "fees that users of the network paid in 30 days, in USD"),
    "tvl_usd": (SUM, "value locked in the network's contracts, in USD, newest of the last 7 days"),
}
"""How each figure becomes one of the index, and what it is."""
REASONS: Final = {
    "dilution": "no two readings of the supply that lie a week apart",
    "staking_share": "no staked amount is read of this network",
    "price_to_fees": "no market value, or fees of fewer than 25 of the 30 days",
    "realised_turnover": "transfers of fewer than 25 of the 30 days; DEAI_ONCHAIN_ACTIVITY=true reads them",
    "fees_usd": "fees of fewer than 25 of the 30 days",
    "tvl_usd": "no value locked is counted of this network",
}


@dataclass(frozen=True, slots=True)
class TokenFundamentals:
    """One constituent: shares and ratios as fractions, amounts in USD; `missing` says why a figure is None.

    `market_cap_usd` is by the supply that the index weighed it by. `issued_tokens_day` is net of burns, which
    `burnt_tokens_day` has alone; `unlocked_tokens_day` is what vesting schedules released, as far as the rule has them.
    """

    asset: str
    symbol: str
    weight: float | None
    market_cap_usd: float | None
    issued_tokens_day: float | None
    burnt_tokens_day: float | None
    unlocked_tokens_day: float | None
    dilution: float | None
    staking_share: float | None
    price_to_fees: float | None
    realised_turnover: float | None
    fees_usd: float | None
    tvl_usd: float | None
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A figure of the index: `coverage` is the share of its weight whose tokens have the figure, `members` how many."""

    at_us: int
    figure: str
    value: float | None
    coverage: float
    members: int
    rule: str
    definition: str


@dataclass(frozen=True, slots=True)
class FundamentalsStudy:
    """The index at an instant: its aggregates, the same at 00:00 UTC of the days before, and its constituents."""

    index_id: str
    at_us: int
    days: int
    aggregates: tuple[Aggregate, ...]
    history: tuple[Aggregate, ...]
    tokens: tuple[TokenFundamentals, ...]


Readings = tuple[I64, F64]
Facts = Mapping[str, Readings]
"""Of one asset: instants and tokens of each kind of supply, instants and values of each metric."""
NOTHING: Readings = (np.zeros(0, np.int64), np.zeros(0))


def study_fundamentals(store: Store, index_id: str, *, at_us: int | None = None, days: int = 1) -> FundamentalsStudy:
    """The fundamentals at an instant (that of the newest level or reading), and at the midnights of `days` days to it.

    Raises NotFoundError for the index, NotEnoughDataError when it holds nothing then.
    """
    inputs = _inputs(store)
    if at_us is None:
        readings = (int(facts[kind][0][-1]) for facts in inputs.values() for kind in facts.keys() & set(KINDS))
        at_us = max(int(index_series(store, index_id).times_us[-1]), *readings, 0)
    midnights = (at_us - 1) // DAY_US * DAY_US - DAY_US * np.arange(days - 2, -1, -1, dtype=np.int64)
    ends = np.append(midnights, at_us)
    changes = [row for row in read_rebalancings(store, index_id, end_us=int(ends[-1]) + 1) if row.items]
    if not changes:
        raise NotEnoughDataError(f"{index_id} holds nothing at that instant; its history starts later")
    held = {item.asset: item.symbol for change in changes for item in change.items if item.units_after > 0.0}
    weights, caps = _weights(store, changes, list(held), ends, rules_of=index_id)
    figures = [_figures(inputs.get(asset, {}), ends, caps[:, n]) for n, asset in enumerate(held)]
    tokens = [
        _token(asset, symbol, weights[-1, n], cap=caps[-1, n], figures=figures[n])
        for n, (asset, symbol) in enumerate(held.items())
        if weights[-1, n] > 0.0
    ]
    history = [row for day in range(len(ends)) for row in _aggregates(int(ends[day]), weights[day], figures, day)]
    return FundamentalsStudy(
        index_id=index_id,
        at_us=int(ends[-1]),
        days=days,
        aggregates=tuple(history[-len(FIGURES) :]),
        history=tuple(history if days > 1 else ()),
        tokens=tuple(sorted(tokens, key=lambda row: -(row.weight or 0.0))),
    )


def _weights(
    store: Store, changes: Sequence[RebalancingRow], assets: list[str], ends: I64, *, rules_of: str
) -> tuple[F64, F64]:
    """(D, N) weights by units held and rates at each day's end, and market values by the supply weighed by."""
    effective = np.array([to_us(change.effective_at) for change in changes], dtype=np.int64)
    place = {asset: column for column, asset in enumerate(assets)}
    units = np.zeros((len(changes) + 1, len(assets)))
    supply = np.full(units.shape, np.nan)
    for row, change in enumerate(changes, 1):
        supply[row] = supply[row - 1]  # a change between reviews weighs nothing anew
        for item in change.items:
            if item.asset in place:
                units[row, place[item.asset]] = item.units_after
                supply[row, place[item.asset]] = supply[row, place[item.asset]] if item.supply is None else item.supply
    in_force = np.searchsorted(effective, ends, side="right")
    rates = np.column_stack([last_known(token_series(store, asset, rules_of=rules_of), ends)[0] for asset in assets])
    values = np.where(units[in_force] > 0.0, units[in_force] * rates, 0.0)
    total = np.nansum(values, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(values / total), supply[in_force] * rates


def _inputs(store: Store) -> dict[str, dict[str, Readings]]:
    decimals = {asset.slug: asset.decimals for asset in read_assets(store)}
    supplies: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in read_supplies(store):
        if row.origin == "on_chain" and row.kind in KINDS:
            amount = row.amount / 10 ** decimals[row.asset]
            supplies.setdefault((row.asset, row.kind), []).append((to_us(row.observed_at), amount))
    facts: dict[str, dict[str, Readings]] = {}
    for (asset, kind), pairs in supplies.items():
        times, amounts = zip(*sorted(pairs), strict=True)
        facts.setdefault(asset, {})[kind] = np.array(times, dtype=np.int64), np.array(amounts)
    whole = [series for series in read_asset_metrics(store, (FEES, TVL, MOVED)) if ":" not in series.source]
    for series in sorted(whole, key=lambda one: (one.time_us[-1], len(one.time_us))):  # the freshest source stands
        facts.setdefault(series.subject, {})[series.name] = series.time_us, series.value
    return facts


def _figures(facts: Facts, ends: I64, cap: F64) -> dict[str, F64]:
    """Every figure (D,) of one token, NaN where it is not known, and its tokens issued, burnt and unlocked a day."""
    total, burnt, staked, vesting = (facts.get(kind, NOTHING) for kind in KINDS)
    issued, dilution, supply = _issuance(total, burnt, ends)
    year = YEAR_DAYS / SPAN_DAYS
    fees, moved = (_sum(facts.get(name, NOTHING), ends) for name in (FEES, MOVED))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "issued_tokens_day": issued,
            "burnt_tokens_day": _issuance(burnt, NOTHING, ends)[0],
            "unlocked_tokens_day": -_issuance(vesting, NOTHING, ends)[0],
            "dilution": dilution,
            "staking_share": _stand(staked, ends)[0] / supply,
            "price_to_fees": np.where(fees > 0.0, cap / (fees * year), np.nan),
            "realised_turnover": moved * year / supply,
            "fees_usd": fees,
            "tvl_usd": _stand(facts.get(TVL, NOTHING), ends, max_age_us=7 * DAY_US)[0],
        }


def _issuance(total: Readings, burnt: Readings, ends: I64) -> tuple[F64, F64, F64]:
    """Net tokens issued a day, the same over the supply a year, and the supply, at each day's end."""
    supply, at = _net(total, burnt, ends)
    before, since = _net(total, burnt, ends - SPAN_DAYS * DAY_US)
    if len(total[0]):  # a young store: since its first reading
        first, first_at = _net(total, burnt, np.broadcast_to(total[0][:1], ends.shape))
        before, since = np.where(np.isnan(before), first, before), np.where(np.isnan(before), first_at, since)
    span = at - since
    with np.errstate(invalid="ignore", divide="ignore"):
        issued = np.where(span >= MIN_SPAN_US, (supply - before) / (span / DAY_US), np.nan)
        return issued, issued * YEAR_DAYS / before, supply


def _net(total: Readings, burnt: Readings, ends: I64) -> tuple[F64, F64]:
    amount, at = _stand(total, ends)
    return amount - np.nan_to_num(_stand(burnt, ends)[0]), at


def _stand(readings: Readings, ends: I64, *, max_age_us: int = MAX_AGE_US) -> tuple[F64, F64]:
    """The last reading at each instant and when it was true (us); NaN where there is none so young."""
    times, amounts = readings
    if not len(times):
        return np.full(ends.shape, np.nan), np.full(ends.shape, np.nan)
    row = np.searchsorted(times, ends, side="right") - 1
    fresh = (row >= 0) & (ends - times[np.maximum(row, 0)] <= max_age_us)
    row = np.maximum(row, 0)
    return np.where(fresh, amounts[row], np.nan), np.where(fresh, times[row].astype(np.float64), np.nan)


def _sum(readings: Readings, ends: I64) -> F64:
    """The sum of daily values over the 30 days to each end, scaled up for days that lack; NaN under 25 of them."""
    times, values = readings
    running = np.concatenate([[0.0], np.cumsum(values)])
    first, last = (np.searchsorted(times, edge, side="right") for edge in (ends - SPAN_DAYS * DAY_US, ends))
    count = last - first
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count >= MIN_DAYS, (running[last] - running[first]) * SPAN_DAYS / count, np.nan)


def _token(asset: str, symbol: str, weight: float, *, cap: float, figures: Mapping[str, F64]) -> TokenFundamentals:
    last = {name: finite(values[-1]) for name, values in figures.items()}
    missing = {name: reason for name, reason in REASONS.items() if last[name] is None}
    return TokenFundamentals(asset, symbol, finite(weight), finite(cap), **last, missing=missing)


def _aggregates(at_us: int, weights: F64, figures: Sequence[Mapping[str, F64]], day: int) -> list[Aggregate]:
    """The figures of the index on one day, over the constituents that have them."""
    rows = []
    for name, (rule, definition) in FIGURES.items():
        values = np.array([figure[name][day] for figure in figures])
        known = np.isfinite(values) & (weights > 0.0)
        number = _combined(rule, weights[known], values[known]) if known.any() else None
        rows.append(Aggregate(at_us, name, number, float(weights[known].sum()), int(known.sum()), rule, definition))
    return rows


def _combined(rule: str, share: F64, value: F64) -> float:
    if rule == SUM:
        return float(value.sum())
    if rule == HARMONIC:
        return float(share.sum() / (share / value).sum())
    return float((share * value).sum() / share.sum())
