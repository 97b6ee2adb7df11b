"""What is missing of the history → which calls to which source: for `--dry-run`, and for the walk that follows.

Every venue's bars are evidence of its own, so each venue is completed by itself: both ends and the middle, cut to each
source's limits. Hours that no venue had are then filled from the aggregators, which never stand beside a venue.
Planning again plans only what is still missing. `plan_backfill` and what it uses are pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from indexer.arrays import I64
from indexer.errors import InputError, NotFoundError, did_you_mean
from indexer.live.context import Live
from indexer.live.mapping import ids_at, quote_mappings, venue_mappings
from indexer.sources.base import Ask, Call, Dataset, Kind, Mapped, RestSource, Source
from indexer.sources.http import LIMITS, HostLimit
from indexer.sources.http.limits import DEFAULT_LIMIT
from indexer.sources.records import QualityNote
from indexer.store.read import read_bars, read_listings
from indexer.times import HOUR_US, INTERVAL_US, iso, to_us

NOTHING: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Want:
    """One series to complete: bars of an asset closing in (start_us, end_us], by candidates in preference.

    `candidates` are (source, symbol, quote).
    """

    asset: str
    interval: str
    start_us: int
    end_us: int
    candidates: tuple[tuple[str, str, str], ...]
    dataset: Dataset = Dataset.BARS


@dataclass(frozen=True, slots=True)
class Step:
    """One planned call for an asset, and the candidates that follow if it cannot give its range.

    `oldest_us` is the first bar stored when the step lies before it (NOTHING when none is stored): the series may
    begin in the step's range or after it. None: something older is stored.
    """

    asset: str
    call: Call
    others: tuple[tuple[str, str, str], ...]
    oldest_us: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill will do at most. `seconds` by source are the least its rate limit allows, side by side.

    Steps before all that is stored stand newest first, so that the walk may end where a series begins.
    `uncovered` are (asset, start_us, end_us) that no candidate reaches: nothing will be fetched for them.
    """

    steps: tuple[Step, ...]
    seconds: Mapping[str, float]
    uncovered: tuple[tuple[str, int, int], ...]

    @property
    def rows(self) -> int:
        """Bars asked for at most."""
        return sum(step.call.rows for step in self.steps)


def missing_ranges(have_us: I64, interval: str, *, start_us: int, end_us: int) -> list[tuple[int, int]]:
    """The half-open (start, end] stretches of bar closes that are not among `have_us`, in order. Pure."""
    step = INTERVAL_US[interval]
    first = start_us // step * step + step
    last = end_us // step * step
    if last < first:
        return []
    grid = np.arange(first, last + 1, step, dtype=np.int64)
    absent = grid[~np.isin(grid, have_us)]
    if not len(absent):
        return []
    breaks = np.flatnonzero(np.diff(absent) > step) + 1
    runs = np.split(absent, breaks)
    return [(int(run[0]) - step, int(run[-1])) for run in runs]


def gap_notes(asset: str, have_us: I64, interval: str, *, start_us: int, end_us: int) -> list[QualityNote]:
    """One open entry for each stretch without bars: opened where it begins, closed when it is filled."""
    return [
        QualityNote("gap", f"{asset}/{interval}", begin, None, f"no bars close in ({iso(begin)}, {iso(end)}]")
        for begin, end in missing_ranges(have_us, interval, start_us=start_us, end_us=end_us)
    ]


def join_near(ranges: Sequence[tuple[int, int]], interval: str, *, bars: int = 50) -> list[tuple[int, int]]:
    """The ranges with those less than `bars` apart merged: one call costs more than a few rows twice. Pure."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] < bars * INTERVAL_US[interval]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def plan_backfill(
    wants: Sequence[Want],
    have: Mapping[str, I64],
    *,
    sources: Mapping[str, Source],
    now_us: int,
    limits: Mapping[str, HostLimit] = LIMITS,
) -> Plan:
    """The calls that complete the wanted series. `have` holds the bar closes that are there, by asset.

    Each missing range goes to the first candidate that reaches it; the part it cannot reach (its depth from now)
    goes to the next. Raises InputError for an interval or source that does not exist.
    """
    steps: list[Step] = []
    uncovered: list[tuple[str, int, int]] = []
    empty = np.empty(0, dtype=np.int64)
    for want in wants:
        _check_want(want, sources)
        stored = have.get(want.asset, empty)
        gaps = missing_ranges(stored, want.interval, start_us=want.start_us, end_us=min(want.end_us, now_us))
        for gap in join_near(gaps, want.interval):
            planned, left = cover(want, gap, sources, now_us=now_us)
            if not (stored <= gap[0]).any():
                first_us = int(stored.min(initial=NOTHING))
                newest_first = sorted(planned, key=lambda step: -step.call.ask.start_us)
                planned = [replace(step, oldest_us=first_us) for step in newest_first]
            steps += planned
            uncovered += [(want.asset, begin, end) for begin, end in left]
    return Plan(tuple(steps), _seconds(steps, sources, limits), tuple(uncovered))


def _check_want(want: Want, sources: Mapping[str, Source]) -> None:
    if want.interval not in INTERVAL_US:
        raise InputError(f'interval "{want.interval}" is not one of {", ".join(INTERVAL_US)}')
    unknown = [name for name, _, _ in want.candidates if name not in sources]
    if unknown:
        raise InputError(f"{want.asset}: {unknown[0]} is not among the sources in use ({', '.join(sources)})")


def cover(
    want: Want, gap: tuple[int, int], sources: Mapping[str, Source], *, now_us: int
) -> tuple[list[Step], list[tuple[int, int]]]:
    """Calls for one gap over the candidates in order, and the stretches nobody reaches."""
    open_ranges = [gap]
    steps: list[Step] = []
    for place, candidate in enumerate(want.candidates):
        left: list[tuple[int, int]] = []
        for begin, end in open_ranges:
            calls = sources[candidate[0]].calls(_ask(want, candidate, begin, end, now_us))
            steps += [Step(want.asset, call, want.candidates[place + 1 :]) for call in calls]
            reached = min((call.ask.start_us for call in calls), default=end)
            if reached > begin:
                left.append((begin, reached))
        open_ranges = left
        if not open_ranges:
            break
    return steps, open_ranges


def _ask(want: Want, candidate: tuple[str, str, str], start_us: int, end_us: int, now_us: int) -> Ask:
    _, symbol, quote = candidate
    return Ask(want.dataset, (symbol,), start_us, end_us, now_us, want.interval, quote)


def _seconds(steps: Sequence[Step], sources: Mapping[str, Source], limits: Mapping[str, HostLimit]) -> dict[str, float]:
    """The least time each source needs: its tokens beyond the burst at its rate."""
    cost: dict[str, float] = {}
    for step in steps:
        cost[step.call.source] = cost.get(step.call.source, 0.0) + step.call.cost
    seconds: dict[str, float] = {}
    for name, tokens in cost.items():
        source = sources[name]
        limit = limits.get(source.limit if isinstance(source, RestSource) else name, DEFAULT_LIMIT)
        seconds[name] = max(0.0, tokens - limit.burst) / limit.per_second
    return seconds


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
