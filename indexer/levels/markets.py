"""The store's facts → the `Market` that the engine computes on: lines, volumes and supplies around the rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.engine.known import Step, SupplyTokens
from indexer.engine.market import VENUES, Market
from indexer.levels.assemble import (
    UNKNOWN_STATUS,
    DailyColumns,
    LineFacts,
    acting_supplies,
    assemble,
    daily_volumes,
)
from indexer.levels.rules import SupplyEffect, adjusted, explained
from indexer.methodology.spec import INDEX_METRICS, Methodology, universe_lines
from indexer.reference.rates import RateSeries, traded
from indexer.registry import Registry, supply_facts
from indexer.registry.records import PERPETUAL, SPOT
from indexer.store.assets import read_assets, read_listings
from indexer.store.bars import read_asset_metrics, read_bars
from indexer.store.db import Store
from indexer.store.rates import read_rates
from indexer.store.rows import BarSeries, ListingRow, MetricSeries, SupplyRow
from indexer.store.supplies import read_supplies
from indexer.times import DAY_US, INTERVAL_US, to_us

PERPETUAL_VENUES = "perpetual_venues"
SUPPLY_KINDS = ("circulating", "free_float", "total", "burnt")


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """What a market is made of beside rates; `events` are (from, until) of what may change a supply, by line."""

    lines: list[LineFacts]
    daily: list[DailyColumns]
    supplies: list[SupplyTokens]
    events: Mapping[str, Sequence[tuple[int, int]]]

    def market(self, rates: RateSeries) -> Market:
        """The market of every line that may be a constituent, at these rates."""
        return assemble(self.lines, rates, daily=self.daily, supplies=self.supplies, events=self.events)


def load_market(
    store: Store, registry: Registry, *, effects: Sequence[SupplyEffect] = (), as_of_us: int | None = None
) -> Market:
    """The market at official rates; `effects` are what corporate actions do to supplies. With `as_of_us`: by what was
    known then."""
    bars, listings = read_bars(store, as_of_us=as_of_us), read_listings(store)
    facts = read_facts(store, registry, bars=bars, listings=listings, effects=effects, as_of_us=as_of_us)
    return facts.market(read_rates(store, as_of_us=as_of_us))


def read_facts(
    store: Store,
    registry: Registry,
    *,
    bars: BarSeries,
    listings: Iterable[ListingRow],
    effects: Sequence[SupplyEffect],
    as_of_us: int | None = None,
) -> MarketFacts:
    """The lines with what was traded in their bars, their supplies and metrics. Only spot counts as traded value."""
    ids = {asset.slug: int(asset.id) for asset in read_assets(store)}
    known = [row for row in listings if row.id is not None and row.asset_id is not None]
    traded_ids = set(np.unique(bars.listing_id).tolist())
    spot = [row for row in known if row.id in traded_ids and registry.market(row.venue) == SPOT]
    supplies = _supplies(store, registry, ids=ids, as_of_us=as_of_us)
    metrics = metric_columns(read_asset_metrics(store, INDEX_METRICS, as_of_us=as_of_us), ids)
    return MarketFacts(
        line_facts(registry, ids=ids, listings=spot),
        [*daily_trading(bars, known, registry), *metrics],
        [*adjusted(supplies, effects, slugs={number: slug for slug, number in ids.items()}), *_facts(ids)],
        explained(effects, lines={asset.slug: asset.line for asset in registry.assets}),
    )


def line_facts(registry: Registry, *, ids: Mapping[str, int], listings: Iterable[ListingRow]) -> list[LineFacts]:
    """The registry's lines with their tokens in succession; venues are those of the listings."""
    venues: dict[str, set[str]] = {}
    for row in listings:
        if row.asset in registry.by_slug:  # else the registry was changed since: bars stay, nobody asks for them
            venues.setdefault(registry.by_slug[row.asset].line, set()).add(row.venue)
    parts = registry.parts(ids)
    facts = []
    for slug, tokens in registry.lines().items():
        since = min(to_us(token.candidate_from) if token.candidate_from else 0 for token in tokens)
        facts.append(LineFacts(slug, tokens[-1].sub_sector, len(venues.get(slug, ())), parts[slug], since))
    return facts


def narrowed(market: Market, methodology: Methodology, registry: Registry) -> Market:
    """The market of a methodology's lines by the prices that it takes, on the instants at which any of them has one.

    From the first one on every 00:00 UTC counts, so that an index whose lines all went silent is seen to be. Where the
    universe does not name its tokens, rates of a line from before it was a candidate make no instant.
    """
    chosen = market.select(universe_lines(methodology.universe, registry))
    chosen = taken(chosen, methodology.perpetual_windows)
    priced = np.isfinite(chosen.prices)
    if not methodology.universe.assets:
        since = np.array([line.candidate_from_us for line in chosen.lines], dtype=np.int64)
        priced &= chosen.times_us[:, None] >= since
    instants: Bools = np.logical_or.reduce(priced, axis=1)
    return chosen.rows(instants | (np.logical_or.accumulate(instants) & (chosen.times_us % DAY_US == 0)))


def taken(market: Market, windows: Sequence[tuple[int, int]]) -> Market:
    """The market by spot prices, and by those of perpetual futures from `from` to before `until` of the windows alone.

    There a perpetual's venues count as a line's venues on days on which no spot venue has a bar.
    """
    if market.perpetual is None:
        return market
    out = market.perpetual & ~_within(market.times_us, windows)[:, None]
    prices = np.where(out, np.nan, market.prices)
    ever = np.isfinite(prices).any(axis=0)
    first = np.where(ever, market.times_us[np.isfinite(prices).argmax(axis=0)], np.iinfo(np.int64).max).tolist()
    metrics = dict(market.metrics)
    futures = metrics.pop(PERPETUAL_VENUES, None)
    if futures is not None:
        stand_in = _within(market.day_us - 1, windows)[:, None] & np.isnan(metrics[VENUES])
        metrics[VENUES] = np.where(stand_in, futures, metrics[VENUES])
    return replace(
        market,
        prices=prices,
        price_status=np.where(out, np.int8(UNKNOWN_STATUS), market.price_status),
        lines=tuple(replace(line, first_price_us=at) for line, at in zip(market.lines, first, strict=True)),
        metrics=metrics,
        perpetual=market.perpetual & ~out,
    )


def _within(times_us: I64, windows: Sequence[tuple[int, int]]) -> Bools:
    """Which instants (T,) lie in any of the half-open windows."""
    inside = np.zeros(len(times_us), dtype=np.bool_)
    for start, until in windows:
        inside |= (times_us >= start) & (times_us < until)
    return inside


def _of_listings(bars: BarSeries, listings: Iterable[ListingRow]) -> BarSeries:
    """The bars of these listings alone."""
    return bars.rows(np.isin(bars.listing_id, [int(row.id or 0) for row in listings]))


def traded_days(store: Store, registry: Registry, slug: str) -> tuple[I64, dict[str, F64]]:
    """What an index knows of an asset's trading: the 00:00 UTC ends of days (D,), and by name the figures of
    `daily_trading` (D,), NaN where not known."""
    listings = [row for row in read_listings(store) if row.asset == slug and row.id is not None]
    daily = daily_trading(read_bars(store, listing_ids=[int(row.id or 0) for row in listings]), listings, registry)
    days = np.unique(np.concatenate([one.day_us for one in daily]))
    figures = {one.name: np.full(len(days), np.nan) for one in daily}
    for one in daily:
        figures[one.name][np.searchsorted(days, one.day_us)] = one.value
    return days, figures


def daily_trading(bars: BarSeries, listings: Sequence[ListingRow], registry: Registry) -> list[DailyColumns]:
    """VOLUME and VENUES of spot bars, and PERPETUAL_VENUES."""
    spot, futures = ([row for row in listings if registry.market(row.venue) == kind] for kind in (SPOT, PERPETUAL))
    spot_bars = _of_listings(bars, spot)
    perpetual = replace(venues_a_day(_of_listings(bars, futures), futures), name=PERPETUAL_VENUES)
    return [_volumes(spot_bars, spot), venues_a_day(spot_bars, spot), perpetual]


def _volumes(bars: BarSeries, listings: list[ListingRow]) -> DailyColumns:
    numbers = {venue: n for n, venue in enumerate(sorted({row.venue for row in listings}))}
    table = np.zeros((max((int(row.id or 0) for row in listings), default=0) + 1, 3), dtype=np.int64)
    for row in listings:
        table[int(row.id or 0)] = (int(row.asset_id or 0), numbers[row.venue], INTERVAL_US[row.interval])
    facts = table[bars.listing_id]
    return daily_volumes(
        facts[:, 0], facts[:, 1], interval_us=facts[:, 2], time_us=bars.time_us, volume_usd=bars.volume_usd
    )


def venues_a_day(bars: BarSeries, listings: Iterable[ListingRow]) -> DailyColumns:
    """At how many venues an asset was traded on each day: what was so then, whatever venues came later. Pure."""
    bars = traded(bars)
    where = {int(row.id or 0): (int(row.asset_id or 0), row.venue) for row in listings}
    day = -(-bars.time_us // DAY_US)
    turns = np.flatnonzero(np.r_[True, (np.diff(bars.listing_id) != 0) | (np.diff(day) != 0)][: len(day)])
    seen = {
        (*where[listing], at) for listing, at in zip(bars.listing_id[turns].tolist(), day[turns].tolist(), strict=True)
    }
    count = Counter((asset, at) for asset, _, at in seen)
    rows = np.array([(asset, at * DAY_US, n) for (asset, at), n in sorted(count.items())], dtype=np.int64).reshape(
        -1, 3
    )
    return DailyColumns(VENUES, asset_id=rows[:, 0], day_us=rows[:, 1], value=rows[:, 2].astype(np.float64))


def _supplies(store: Store, registry: Registry, *, ids: Mapping[str, int], as_of_us: int | None) -> list[SupplyTokens]:
    return [
        SupplyTokens(
            asset_id=ids[row.asset],
            kind=row.kind,
            origin=row.origin,
            observed_us=to_us(row.observed_at),
            tokens=row.amount / 10 ** registry.by_slug[row.asset].decimals,
            shipped=row.source == supply_facts.SOURCE,
            source=row.source,
            stated=row.source == supply_facts.SOURCE and _stated(row),
        )
        for row in supplies_in_force(read_supplies(store, as_of_us=as_of_us))
        if row.kind in SUPPLY_KINDS and row.asset in registry.by_slug
    ]


def _stated(row: SupplyRow) -> bool:
    """Whether a shipped fact says itself why it moved."""
    fact = supply_facts.load_supply_facts().at(row.asset, row.observed_at)
    return fact is not None and fact.step is not None


def _facts(ids: Mapping[str, int]) -> list[SupplyTokens]:
    """The shipped facts as witnesses: they confirm what others read, whether or not they are stored themselves."""
    return [
        SupplyTokens(
            asset_id=ids[entry.slug],
            kind="circulating",
            origin="reported",
            observed_us=to_us(fact.day),
            tokens=float(fact.tokens),
            source=supply_facts.SOURCE,
            witness=True,
        )
        for entry in supply_facts.load_supply_facts().token
        if entry.slug in ids
        for fact in entry.facts
    ]


def judged_supplies(
    store: Store, registry: Registry, *, effects: Sequence[SupplyEffect] = ()
) -> dict[str, tuple[list[SupplyTokens], list[Step]]]:
    """For each line the readings that act and the steps that did not at once, by what is known now."""
    ids = {asset.slug: int(asset.id) for asset in read_assets(store)}
    supplies = _supplies(store, registry, ids=ids, as_of_us=None)
    supplies = adjusted(supplies, effects, slugs={number: slug for slug, number in ids.items()}) + _facts(ids)
    events = explained(effects, lines={asset.slug: asset.line for asset in registry.assets})
    return {
        line.slug: acting_supplies(line, supplies, events=events.get(line.slug, ()))
        for line in line_facts(registry, ids=ids, listings=[])
    }


def held_supplies(store: Store, registry: Registry, *, effects: Sequence[SupplyEffect] = ()) -> list[tuple[str, Step]]:
    """Steps of supply that did not act at once, with the line of each, by what is known now."""
    judged = judged_supplies(store, registry, effects=effects)
    return [(line, step) for line, (_, steps) in judged.items() for step in steps]


def supplies_in_force(rows: Sequence[SupplyRow]) -> list[SupplyRow]:
    """The readings without the shipped facts of a time for which a provider answers."""
    provided = [row for row in rows if row.origin == "reported" and row.source != supply_facts.SOURCE]
    first: dict[str, datetime] = {}
    for row in provided:
        first[row.asset] = min(row.observed_at, first.get(row.asset, row.observed_at))
    return [
        row
        for row in rows
        if row.source != supply_facts.SOURCE or row.asset not in first or row.observed_at < first[row.asset]
    ]


def metric_columns(series: Sequence[MetricSeries], ids: Mapping[str, int]) -> list[DailyColumns]:
    """One set of columns for each metric: the last value of each day, of one source an asset.

    That is the on-chain total where there is one, else the first source by name. A single ledger's figures
    (`onchain:<chain>`) are not the token's. Assets without an id are left out.
    """
    chosen: dict[tuple[str, str], MetricSeries] = {}
    for one in sorted(series, key=lambda one: (one.source != "onchain", one.source)):
        if ":" not in one.source and one.subject in ids and len(one.time_us):
            chosen.setdefault((one.name, one.subject), one)
    columns = []
    for name in dict.fromkeys(name for name, _ in chosen):
        mine = [one for (other, _), one in chosen.items() if other == name]
        rows = [_last_of_day(one.time_us) for one in mine]
        columns.append(
            DailyColumns(
                name,
                asset_id=np.repeat([ids[one.subject] for one in mine], [len(picked) for picked in rows]),
                day_us=np.concatenate([_day(one.time_us[picked]) for one, picked in zip(mine, rows, strict=True)]),
                value=np.concatenate([one.value[picked] for one, picked in zip(mine, rows, strict=True)]),
            )
        )
    return columns


def _day(time_us: I64) -> I64:
    """The 00:00 UTC at or after each instant: the end of the day it belongs to."""
    day: I64 = -(-time_us // DAY_US) * DAY_US
    return day


def _last_of_day(time_us: I64) -> I64:
    """Row numbers of the last instant of each day; instants ascend."""
    day = _day(time_us)
    return np.flatnonzero(np.append(day[1:] != day[:-1], True))
