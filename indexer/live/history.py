"""History from the venues: planned first, then filled where the store has nothing, both ends and the middle.

Every venue's bars are its own evidence, so each venue is completed by itself; hours that none of them had are
then filled from the aggregators, which never stand beside a venue. Running again plans only what is still missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from indexer.arrays import I64
from indexer.errors import InputError, NotFoundError, did_you_mean
from indexer.live.context import Live
from indexer.live.filling import Plan, Want, plan_backfill
from indexer.live.mapping import ids_at, quote_mappings, venue_mappings
from indexer.sources.base import Kind
from indexer.sources.identity import Mapped
from indexer.store.read import read_bars, read_listings
from indexer.times import HOUR_US, INTERVAL_US, to_us

INTERVALS: Final = ("1h", "1d")
FILLERS: Final = ("defillama", "coingecko", "coinmetrics")
RATE_AGE_US: Final = 24 * HOUR_US  # a quote currency's hourly rate may serve this long where its market was silent


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """What is missing, as calls: of the quote currencies' dollar markets, then of the assets at their venues.

    `mapped` are the rows planned for, by key `asset@source`; `have` the instants stored, by the same key.
    """

    interval: str
    start_us: int
    end_us: int
    quotes: Plan
    bars: Plan
    mapped: Mapping[str, Mapped]
    have: Mapping[str, I64]

    @property
    def calls(self) -> int:
        """Requests that will be sent at least."""
        return len(self.quotes.steps) + len(self.bars.steps)

    @property
    def missing_at(self) -> set[str]:
        """The sources whose bars are not complete."""
        return {step.call.source for step in self.bars.steps}

    @property
    def rows(self) -> int:
        """Bars asked for at most."""
        return self.quotes.rows + self.bars.rows

    @property
    def seconds(self) -> float:
        """The least time that the sources' rate limits allow: sources work side by side, the two parts do not."""
        return sum(max(part.seconds.values(), default=0.0) for part in (self.quotes, self.bars))


def plan_history(
    live: Live,
    *,
    start_us: int,
    end_us: int,
    interval: str = "1h",
    assets: Sequence[str] = (),
    legacy: bool = False,
    since_us: Mapping[str, int] | None = None,
) -> HistoryPlan:
    """The calls that complete the venues' bars closing in (start, end]; of all assets or of those named.

    `since_us` gives some series (`asset@source`) an earlier start of their own.
    Raises InputError for an interval that is not kept or a range that is none, NotFoundError for an unknown asset.
    """
    _check(live, start_us, end_us, interval, assets)
    rows = [
        row for row in venue_mappings(live.registry, live.sources, legacy=legacy) if not assets or row.asset in assets
    ]
    return _planned(live, rows, start_us, end_us, interval, since_us=since_us or {})


def plan_fill(live: Live, *, start_us: int, end_us: int, interval: str, assets: Sequence[str] = ()) -> HistoryPlan:
    """The calls to aggregators for the hours between an asset's first and last stored bar that no venue had.

    An aggregator contains the venues, so it is asked only where there is none of them.
    """
    _check(live, start_us, end_us, interval, assets)
    fillers = [name for name in FILLERS if name in live.sources and _has(live, name, interval)]
    rows = [
        Mapped(asset.slug, name, identifier)
        for name in fillers
        for identifier, asset in ids_at(live.registry, name).items()
        if not assets or asset.slug in assets
    ]
    return _planned(live, rows, start_us, end_us, interval, since_us={}, only_between=True)


def now_us(live: Live) -> int:
    """The present in microseconds."""
    return to_us(live.clock())


def _planned(
    live: Live,
    rows: Sequence[Mapped],
    start_us: int,
    end_us: int,
    interval: str,
    *,
    since_us: Mapping[str, int],
    only_between: bool = False,
) -> HistoryPlan:
    mapped = {f"{row.asset}@{row.source}": row for row in rows}
    begins = {key: min(since_us.get(key, start_us), start_us) for key in mapped}
    start_us = min(begins.values(), default=start_us)
    stored = stored_instants(live, interval=interval, start_us=start_us, end_us=end_us)
    have = {
        f"{row.asset}@{row.source}": stored[row.id]
        for row in read_listings(live.store, interval=interval)
        if row.id in stored and row.venue == row.source
    }
    wants: list[Want] = []
    held: dict[str, I64] = {}
    done: set[str] = set()
    of_asset = by_asset(live, stored, interval=interval) if only_between else {}
    for key, row in mapped.items():
        first, last = begins[key], end_us
        own = have.get(key, np.empty(0, dtype=np.int64))
        if only_between:
            own = of_asset.get(row.asset, own[:0])
            if row.asset in done or not len(own):
                continue  # one aggregator an asset, the next by falling through
            first, last = max(first, int(own[0])), min(end_us, int(own[-1]))
            done.add(row.asset)
        held[key] = own
        wants.append(Want(key, interval, first, last, _candidates(key, row, mapped, together=only_between)))
    bars = plan_backfill(wants, held, sources=live.sources, now_us=now_us(live))
    return HistoryPlan(interval, start_us, end_us, _quote_plan(live, rows, bars, interval), bars, mapped, have)


def _candidates(
    key: str, row: Mapped, mapped: Mapping[str, Mapped], *, together: bool
) -> tuple[tuple[str, str, str], ...]:
    """The row alone, or with the other sources of its asset after it."""
    others = [one for name, one in mapped.items() if together and one.asset == row.asset and name != key]
    return tuple((one.source, one.symbol, one.quote) for one in (row, *others))


def _quote_plan(live: Live, rows: Sequence[Mapped], bars: Plan, interval: str) -> Plan:
    """The quote currencies' dollar markets over all the time in which bars priced in them are asked for."""
    wants: list[Want] = []
    markets = quote_mappings(rows, live.sources)
    for quote in dict.fromkeys(row.asset for row in markets):
        steps = [step.call.ask for step in bars.steps if step.call.ask.quote == quote]
        if steps:
            begin, end = min(ask.start_us for ask in steps), max(ask.end_us for ask in steps)
            candidates = tuple((row.source, row.symbol, row.quote) for row in markets if row.asset == quote)
            wants.append(Want(quote, interval, begin - INTERVAL_US[interval], end, candidates))
    return plan_backfill(wants, {}, sources=live.sources, now_us=now_us(live))


def stored_instants(live: Live, *, interval: str, start_us: int, end_us: int) -> dict[int, I64]:
    """The closes in (start, end] that are stored, by listing."""
    bars = read_bars(live.store, interval=interval, since_us=start_us + 1, until_us=end_us + 1)
    edges = np.flatnonzero(np.diff(bars.listing_id)) + 1
    parts = zip(np.split(bars.listing_id, edges), np.split(bars.time_us, edges), strict=True)
    return {int(ids[0]): times for ids, times in parts if len(ids)}


def by_asset(live: Live, have: Mapping[int, I64], *, interval: str) -> dict[str, I64]:
    """The instants at which any listing of an asset has a bar, ascending, by slug; assets without any are absent."""
    parts: dict[str, list[I64]] = {}
    for row in read_listings(live.store, interval=interval):
        if row.id is not None and row.id in have:
            parts.setdefault(row.asset, []).append(have[row.id])
    return {slug: np.unique(np.concatenate(times)) for slug, times in parts.items()}


def _has(live: Live, name: str, interval: str) -> bool:
    about = live.sources[name].capabilities
    return about.kind is Kind.AGGREGATOR and interval in about.history


def _check(live: Live, start_us: int, end_us: int, interval: str, assets: Sequence[str]) -> None:
    if interval not in INTERVALS:
        raise InputError(f'bars of "{interval}" are not kept; give one of {", ".join(INTERVALS)}')
    if end_us <= start_us:
        raise InputError("the range ends before it begins; give --from earlier than --to")
    for slug in assets:
        if slug not in live.registry.by_slug:
            raise NotFoundError(
                f'there is no asset "{slug}" in the registry.{did_you_mean(slug, live.registry.by_slug)}'
            )
