"""Which bars are missing of whom, in the order they are asked for: the first levels first, the rest behind them.

Every venue is completed by itself, cut to its limits, the newest first. On a fresh store days come first, from the
venues that give them in few calls, and with them daily levels since the base; then 140 days of hours from the deepest
venue of an asset, and with them a beta; 90 days of hours from all; older hours from two venues an asset, the days of
the others, the past year's supplies. Dollar rates of quote currencies come before what is priced in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from indexer.arrays import I64
from indexer.errors import InputError, NotFoundError, SourceError, VerificationError, did_you_mean
from indexer.live.audit import manifests_of, read_exchange
from indexer.live.context import Live
from indexer.live.mapping import ids_at, quote_mappings
from indexer.live.supply import SOURCE as SUPPLIES
from indexer.live.supply import without_past
from indexer.live.walk import NOTHING, Piece, Role, Series
from indexer.registry.records import DOLLAR
from indexer.sources.base import Ask, Call, Dataset, Kind, Mapped, Source, limit_of
from indexer.sources.http import LIMITS, HostLimit
from indexer.sources.http.limits import DEFAULT_LIMIT
from indexer.sources.records import Bars
from indexer.store.assets import read_listings
from indexer.store.bars import read_bars
from indexer.store.runs import DONE, HISTORY, read_runs
from indexer.times import DAY_US, INTERVAL_US, to_us

INTERVALS: Final = ("1h", "1d")
FILLERS: Final = ("defillama", "coingecko", "coinmetrics")
BEFORE_US: Final = 90 * DAY_US  # days of a token's history that an index asks for before it may enter
RECENT_US: Final = 90 * DAY_US  # hours of all venues reach back so far, of two venues an asset to the beginning
BETA_US: Final = 140 * DAY_US  # and of the deepest one at once: a beta takes 90 sessions
FEW_CALLS: Final = 6  # a venue whose days take no more comes first
DEEP: Final = ("binance", "coinbase", "bybit", "okx")  # venues that serve all of their hours, the deepest first
NONE: Final = np.empty(0, dtype=np.int64)
Quoted = tuple[str, str]
"""A quote currency and an interval."""


@dataclass(slots=True)
class Stage:
    """Pieces that belong together: the dollar rates of quote currencies, then what is priced in them.

    `times` are those of its rates: currency and interval, from when, to when.
    """

    name: str
    rates: list[Piece] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    times: list[tuple[Quoted, int, int]] = field(default_factory=list)

    @property
    def all(self) -> list[Piece]:
        """The rates and what is priced in them."""
        return [*self.rates, *self.pieces]


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Bars of an earlier run's answer that lack the dollar rate of their currency; `record` is of its audit trail."""

    series: Series
    bars: Bars
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is missing in (start, end], stage by stage, and what is only to be priced.

    `series` with what they do not reach, where that is asked.
    """

    interval: str
    start_us: int
    end_us: int
    stages: tuple[Stage, ...]
    series: tuple[Series, ...] = ()
    unpriced: tuple[Unpriced, ...] = ()

    @property
    def pieces(self) -> list[Piece]:
        """One for each request that will be sent at most."""
        return [piece for stage in self.stages for piece in stage.all]

    @property
    def calls(self) -> list[Call]:
        """Requests that will be sent at most."""
        return [piece.call for piece in self.pieces]

    def span(self, interval: str) -> dict[str, int]:
        """From when to when bars of an interval are asked for."""
        asks = [(call.ask.start_us, call.ask.end_us) for call in self.calls if call.ask.interval == interval]
        records = [bars.record for bars in self.unpriced if bars.series.interval == interval]
        starts, ends = zip(*asks, *((record["start_us"], record["end_us"]) for record in records), strict=True)
        return {"start_us": min(starts), "end_us": max(ends)}


def stored_instants(live: Live, *, interval: str, start_us: int, end_us: int) -> dict[tuple[str, str], I64]:
    """The closes in (start, end] that are stored, by asset and venue."""
    bars = read_bars(live.store, interval=interval, since_us=start_us + 1, until_us=end_us + 1)
    ids, starts = np.unique(bars.listing_id, return_index=True)
    times = dict(zip(ids.tolist(), np.split(bars.time_us, starts[1:]), strict=False))
    rows = read_listings(live.store, interval=interval)
    return {(row.asset, row.venue): times[row.id] for row in rows if row.id is not None and row.id in times}


def bars_by_asset(have: Mapping[tuple[str, str], I64]) -> dict[str, I64]:
    """The instants at which any listing of an asset has a bar, ascending, by slug; assets without any are absent."""
    parts: dict[str, list[I64]] = {}
    for (asset, _), times in have.items():
        parts.setdefault(asset, []).append(times)
    return {slug: np.unique(np.concatenate(times)) for slug, times in parts.items()}


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


def join_near(ranges: Sequence[tuple[int, int]], interval: str, *, bars: int = 50) -> list[tuple[int, int]]:
    """The ranges with those less than `bars` apart merged: one call costs more than a few rows twice. Pure."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] < bars * INTERVAL_US[interval]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def series_of(
    row: Mapped,
    source: Source,
    interval: str,
    *,
    start_us: int,
    end_us: int,
    now_us: int,
    have: I64 = NONE,
    role: Role = Role.BARS,
) -> Series:
    """The series of what is missing of (start, end] at a source, where the instants `have` are stored. Pure."""
    calls: list[Call] = []
    unreached: list[tuple[int, int]] = []
    gaps = missing_ranges(have, interval, start_us=start_us, end_us=min(end_us, now_us))
    for begin, end in join_near(gaps, interval):
        planned = source.calls(Ask(Dataset.BARS, (row.symbol,), begin, end, now_us, interval, row.quote))
        calls += planned
        reached = min((call.ask.start_us for call in planned), default=end)
        if reached > begin:
            unreached.append((begin, reached))
    calls.sort(key=lambda call: -call.ask.start_us)
    first_us = int(have.min(initial=NOTHING))
    return Series(row, interval, tuple(calls), role=role, unreached=tuple(unreached), first_us=first_us)


def missing_series(
    live: Live, row: Mapped, interval: str, start_us: int, end_us: int, *, have: I64 = NONE, role: Role = Role.BARS
) -> Series:
    """The same asked now."""
    source, now_us = live.sources[row.source], to_us(live.clock())
    return series_of(row, source, interval, start_us=start_us, end_us=end_us, now_us=now_us, have=have, role=role)


def least_seconds(
    calls: Iterable[Call], sources: Mapping[str, Source], limits: Mapping[str, HostLimit] = LIMITS
) -> dict[str, float]:
    """The least time that each source's limit makes these calls take: the tokens beyond the burst at its rate."""
    cost: dict[str, float] = {}
    for call in calls:
        cost[call.source] = cost.get(call.source, 0.0) + call.cost
    seconds: dict[str, float] = {}
    for name, tokens in cost.items():
        limit = limits.get(limit_of(sources[name], name), DEFAULT_LIMIT)
        seconds[name] = max(0.0, tokens - limit.burst) / limit.per_second
    return seconds


@dataclass(frozen=True, slots=True)
class _Planner:
    """What all series of a plan share."""

    live: Live
    have: Mapping[str, Mapping[tuple[str, str], I64]]  # by interval
    unpriced: tuple[Unpriced, ...]
    rated: dict[Quoted, tuple[int, int]] = field(default_factory=dict)  # the time of which rates are planned

    def series(self, row: Mapped, interval: str, start_us: int, end_us: int) -> Series:
        stored = self.have[interval].get((row.asset, row.source), NONE)
        waiting = [bars for bars in self.unpriced if bars.series.row == row and bars.series.interval == interval]
        have = np.unique(np.concatenate([stored, *(unpriced.bars.time_us for unpriced in waiting)]))
        return missing_series(self.live, row, interval, start_us, end_us, have=have)

    def with_rates(
        self, name: str, pieces: Sequence[Piece], *, ahead: Sequence[Piece] = (), prices: Sequence[str] = ()
    ) -> Stage:
        """A stage of these pieces, with the dollar markets of their quotes over the time that no earlier stage asks.

        So too for pieces of later stages that are named `ahead`, and for bars of the intervals `prices` that are only
        to be priced.
        """
        stage = Stage(name, [], list(pieces))
        waiting = [unpriced for unpriced in self.unpriced if unpriced.series.interval in prices]
        for key, (start_us, end_us) in _times_by_quote([*pieces, *ahead], waiting).items():
            first_us, last_us = self.rated.get(key, (end_us, end_us))
            self.rated[key] = min(start_us, first_us), max(end_us, last_us)
            stage.times += [(key, a, b) for a, b in ((start_us, first_us), (last_us, end_us)) if a < b]
        for (quote, interval), start_us, end_us in stage.times:
            for row in quote_mappings([quote], self.live.sources):
                stage.rates += missing_series(self.live, row, interval, start_us, end_us, role=Role.RATE).pieces()
        return stage


def _times_by_quote(pieces: Iterable[Piece], unpriced: Iterable[Unpriced]) -> dict[Quoted, tuple[int, int]]:
    """From when to when a dollar rate is needed, by quote currency and interval."""
    needs = [
        (piece.call.ask.quote, piece.series.interval, piece.call.ask.start_us, piece.call.ask.end_us)
        for piece in pieces
        if piece.series.role is Role.BARS and piece.call.ask.quote != DOLLAR
    ]
    needs += [
        (kept.bars.quote, kept.series.interval, int(kept.bars.time_us[0]), int(kept.bars.time_us[-1]))
        for kept in unpriced
    ]
    times: dict[Quoted, tuple[int, int]] = {}
    for quote, interval, first_us, last_us in needs:
        start_us, end_us = times.get((quote, interval), (NOTHING, 0))
        times[quote, interval] = min(start_us, first_us - INTERVAL_US[interval]), max(end_us, last_us)
    return times


def unpriced_bars(
    live: Live, rows: Iterable[Mapped], have: Mapping[str, Mapping[tuple[str, str], I64]]
) -> tuple[Unpriced, ...]:
    """What the venues' answers to the runs since the last done one hold that is not stored, for want of a dollar rate.

    An answer that cannot be read any more is left out: its bars are asked for again.
    """
    known = {f"{row.asset}@{row.source}": row for row in rows if row.quote != DOLLAR}
    unpriced: list[Unpriced] = []
    seen: dict[str, I64] = {}
    for record in _records_since_done(live):
        row = known.get(record["subject"])
        if row is None or [row.symbol] != record["symbols"]:
            continue
        stored = have[record["interval"]].get((row.asset, row.source), NONE)
        series = Series(row, record["interval"])
        times = seen.get(series.key, stored)
        span = [record["start_us"], record["end_us"]]
        first, last = np.searchsorted(times, span, side="right")
        if last - first >= (span[1] - span[0]) // INTERVAL_US[record["interval"]]:
            continue
        with suppress(NotFoundError, VerificationError, InputError, SourceError):
            bars = read_exchange(record, live.archive, live.sources)[2].bars
            if bars is not None and (fresh := ~np.isin(bars.time_us, times)).any():
                unpriced.append(Unpriced(series, bars.take(fresh), record))
                seen[series.key] = np.union1d(times, bars.time_us)
    return tuple(unpriced)


def _records_since_done(live: Live) -> Iterator[Mapping[str, Any]]:
    """The calls for history that were answered in the runs after the last done one; in that one too if it owes any."""
    for run in read_runs(live.store, kind=HISTORY):
        if "caught_up_by" in run.detail:  # another run did its work
            continue
        if run.outcome == DONE and not run.detail.get("owed"):
            return
        with suppress(NotFoundError, VerificationError):
            for manifest in manifests_of(live.store, live.archive, run.id):
                if manifest["kind"] == HISTORY:
                    yield from manifest["exchanges"]
        if run.outcome == DONE:
            return


def plan_stages(live: Live, *, end_us: int) -> Plan:
    """What a fresh store lacks of all time since `history_since`."""
    since_us, rows = live.history_since_us, live.venues(legacy=True)
    recent_us = max(since_us, end_us - RECENT_US)
    oldest_us = since_us - BEFORE_US if since_us < recent_us else since_us
    planner = _planner(live, rows, oldest_us, end_us, prices=True)
    days: list[Piece] = []
    other_days: list[Piece] = []
    first_hours: list[Piece] = []
    hours: list[Piece] = []
    past: list[Piece] = []
    for row in rows:
        if since_us < recent_us:
            pieces = planner.series(row, "1d", oldest_us, end_us).pieces()
            (days if len(pieces) <= FEW_CALLS and row.source in DEEP else other_days).extend(pieces)
        deepest = _deepest(row.asset, rows)
        for piece in planner.series(row, "1h", since_us if row.source in deepest else recent_us, end_us).pieces():
            if row.source in deepest[:1] and piece.call.ask.end_us > end_us - BETA_US:
                first_hours.append(piece)
            else:
                (hours if piece.call.ask.end_us > recent_us else past).append(piece)
    supplies = [piece for series in _supply_series(live) for piece in series.pieces()]
    rest = [*supplies, *other_days, *past]
    stages = (
        planner.with_rates("daily bars", _binance_first(days), ahead=first_hours, prices=("1d",)),
        planner.with_rates("hours of the deepest venues", first_hours),
        planner.with_rates("hours of the other venues", hours, ahead=rest, prices=("1h",)),
        planner.with_rates("hours before, other venues' days, supplies", rest),
    )
    wanted = tuple(stage for stage in stages if stage.all or stage.times)
    return Plan("1h", since_us, end_us, wanted, unpriced=planner.unpriced)


def _planner(live: Live, rows: Iterable[Mapped], start_us: int, end_us: int, *, prices: bool) -> _Planner:
    """What is stored in (start, end], and bars that earlier runs could not price where that is asked."""
    have = {name: stored_instants(live, interval=name, start_us=start_us, end_us=end_us) for name in INTERVALS}
    return _Planner(live, have, unpriced_bars(live, rows, have) if prices else ())


def _binance_first(pieces: Sequence[Piece]) -> list[Piece]:
    """Assets that the deepest venue lacks come first at the others, so that every asset has a price soonest."""
    first = {piece.series.row.asset for piece in pieces if piece.call.source == DEEP[0]}
    return sorted(pieces, key=lambda piece: piece.series.row.asset in first and piece.call.source != DEEP[0])


def _deepest(asset: str, rows: Iterable[Mapped]) -> Sequence[str]:
    listed = {row.source for row in rows if row.asset == asset}
    return [venue for venue in DEEP if venue in listed][:2]


def _supply_series(live: Live) -> list[Series]:
    """The past year's chart of each asset that has no reported supply of the past."""
    if SUPPLIES not in live.sources:
        return []
    now_us = to_us(live.clock())
    start_us = max(live.history_since_us, now_us - 365 * DAY_US)
    rows = [Mapped(asset.slug, SUPPLIES, coin) for coin, asset in without_past(live, now_us).items()]
    return [missing_series(live, row, "1d", start_us, now_us, role=Role.SUPPLY) for row in rows]


def plan_range(
    live: Live,
    *,
    start_us: int,
    end_us: int,
    interval: str = "1h",
    assets: Sequence[str] = (),
    legacy: bool = False,
    since_us: Mapping[str, int] | None = None,
) -> Plan:
    """What completes the venues' bars closing in (start, end]; of all assets or of those named.

    `since_us` gives some series (by their keys, which may be of days) an earlier start of their own; with it, bars that
    earlier runs could not price are not asked for again.
    Raises InputError for an interval that is not kept or a range that is none, NotFoundError for an unknown asset.
    """
    _check(live, start_us, end_us, interval, assets)
    owed = since_us or {}
    rows = [row for row in live.venues(legacy=legacy) if not assets or row.asset in assets]
    supplies = f"@{SUPPLIES}/1d"  # what is owed of them says nothing of bars
    oldest_us = min([start_us, *(begin for key, begin in owed.items() if not key.endswith(supplies))])
    planner = _planner(live, rows, oldest_us, end_us, prices=since_us is not None)
    wanted: list[Series] = []
    for row in rows:
        for name in INTERVALS:
            begin = owed.get(Series(row, name).key, start_us if name == interval else end_us)
            if begin < end_us:
                wanted.append(planner.series(row, name, min(begin, start_us), end_us))
    charts = [series for series in _supply_series(live) if series.key in owed]
    pieces = [piece for series in (*wanted, *charts) for piece in series.pieces()]
    stage = planner.with_rates("bars", pieces, prices=INTERVALS)
    return Plan(interval, oldest_us, end_us, (stage,), tuple(wanted), planner.unpriced)


def _check(live: Live, start_us: int, end_us: int, interval: str, assets: Sequence[str]) -> None:
    known = live.registry.by_slug
    if interval not in INTERVALS:
        raise InputError(f'bars of "{interval}" are not kept; give one of {", ".join(INTERVALS)}')
    if end_us <= start_us:
        raise InputError("the range ends before it begins; give --from earlier than --to")
    for slug in assets:
        if slug not in known:
            raise NotFoundError(f'there is no asset "{slug}" in the registry.{did_you_mean(slug, known)}')


def plan_fill(live: Live, filler: str, plan: Plan, *, assets: Sequence[str] = ()) -> Plan:
    """What an aggregator may give of a plan between an asset's first and last stored bar that no venue had.

    An aggregator contains the venues, so it is asked only where there is none of them.
    """
    pieces: list[Piece] = []
    about = live.sources[filler].capabilities if filler in live.sources else None
    if about is not None and about.kind is Kind.AGGREGATOR and plan.interval in about.history:
        stored = stored_instants(live, interval=plan.interval, start_us=plan.start_us, end_us=plan.end_us)
        have = bars_by_asset(stored)
        for identifier, asset in ids_at(live.registry, filler).items():
            own = have.get(asset.slug)
            if own is not None and (not assets or asset.slug in assets):
                first_us, last_us = max(plan.start_us, int(own[0])), min(plan.end_us, int(own[-1]))
                row = Mapped(asset.slug, filler, identifier)
                pieces += missing_series(live, row, plan.interval, first_us, last_us, have=own).pieces()
    return Plan(plan.interval, plan.start_us, plan.end_us, (Stage("aggregators", [], pieces),))
