"""Which bars are missing of whom, in the order they are asked for: the first levels first, the rest behind them.

A fresh store needs years. Days come first, from the venues that give them in few calls, and with them daily levels
since the base; then the hours of the last 140 days from the deepest venue of an asset, and with them a beta at the
closes; the hours of the last 90 days from all venues; the hours before that from two venues an asset, the days of the
other venues, and the past year's supplies. Dollar rates of quote currencies come before what is priced in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from indexer.arrays import I64
from indexer.errors import InputError, NotFoundError, SourceError, VerificationError, did_you_mean
from indexer.live.audit import HISTORY, manifests_of, read_exchange
from indexer.live.context import Live
from indexer.live.mapping import ids_at, quote_mappings
from indexer.live.series import NOTHING, Role, Series, series_of
from indexer.live.supply import SOURCE as SUPPLIES
from indexer.live.supply import without_past
from indexer.live.walk import Piece
from indexer.registry.records import DOLLAR
from indexer.sources.base import Call, Kind, Mapped
from indexer.sources.records import Bars
from indexer.store.assets import read_listings
from indexer.store.bars import read_bars
from indexer.store.runs import read_runs
from indexer.times import DAY_US, INTERVAL_US, to_us

INTERVALS: Final = ("1h", "1d")
FILLERS: Final = ("defillama", "coingecko", "coinmetrics")
BEFORE_US: Final = 90 * DAY_US  # days of a token's history that an index asks for before it may enter
RECENT_US: Final = 90 * DAY_US  # hours of all venues reach back so far, of two venues an asset to the beginning
BETA_US: Final = 140 * DAY_US  # and of the deepest one at once: a beta takes 90 sessions
FEW_CALLS: Final = 6  # a venue whose days take no more comes first
DEEP: Final = ("binance", "coinbase", "bybit", "okx")  # venues that serve all of their hours, the deepest first


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
    def spans(self) -> dict[str, tuple[int, int]]:
        """From when to when bars of each interval are asked for."""
        asks = [(call.ask.interval, call.ask.start_us, call.ask.end_us) for call in self.calls]
        asks += [(kept.series.interval, kept.record["start_us"], kept.record["end_us"]) for kept in self.unpriced]
        return {
            interval: (
                min(start_us for name, start_us, _ in asks if name == interval),
                max(end_us for name, _, end_us in asks if name == interval),
            )
            for interval in {name for name, _, _ in asks}
        }

    @property
    def calls(self) -> list[Call]:
        """Requests that will be sent at most."""
        return [piece.call for stage in self.stages for piece in stage.all]


def stored_instants(live: Live, *, interval: str, start_us: int, end_us: int) -> dict[tuple[str, str], I64]:
    """The closes in (start, end] that are stored, by asset and venue."""
    bars = read_bars(live.store, interval=interval, since_us=start_us + 1, until_us=end_us + 1)
    edges = np.flatnonzero(np.diff(bars.listing_id)) + 1
    parts = zip(np.split(bars.listing_id, edges), np.split(bars.time_us, edges), strict=True)
    times = {int(ids[0]): part for ids, part in parts if len(ids)}
    rows = read_listings(live.store, interval=interval)
    return {(row.asset, row.venue): times[row.id] for row in rows if row.id is not None and row.id in times}


def bars_by_asset(have: Mapping[tuple[str, str], I64]) -> dict[str, I64]:
    """The instants at which any listing of an asset has a bar, ascending, by slug; assets without any are absent."""
    parts: dict[str, list[I64]] = {}
    for (asset, _), times in have.items():
        parts.setdefault(asset, []).append(times)
    return {slug: np.unique(np.concatenate(times)) for slug, times in parts.items()}


@dataclass(frozen=True, slots=True)
class _Planner:
    """What all series of a plan share."""

    live: Live
    now_us: int
    have: Mapping[str, Mapping[tuple[str, str], I64]]  # by interval
    unpriced: Sequence[Unpriced]
    rated: dict[Quoted, tuple[int, int]] = field(default_factory=dict)  # the time of which rates are planned

    def series(self, row: Mapped, interval: str, start_us: int, end_us: int) -> Series:
        stored = self.have[interval].get((row.asset, row.source), np.empty(0, dtype=np.int64))
        kept = [one.bars.time_us for one in self.unpriced if one.series.row == row and one.series.interval == interval]
        series = series_of(
            row,
            self.live.sources[row.source],
            interval,
            start_us=start_us,
            end_us=end_us,
            now_us=self.now_us,
            have=np.unique(np.concatenate([stored, *kept])),
        )
        series.have = stored  # what is only to be priced is not asked for, but it is still to be written
        return series

    def with_rates(
        self, name: str, pieces: Sequence[Piece], *, ahead: Sequence[Piece] = (), unpriced: Sequence[Unpriced] = ()
    ) -> Stage:
        """A stage of these pieces, with the dollar markets of their quotes over the time that no earlier stage asks.

        So too for pieces of later stages that are named `ahead`, and for bars that are only to be priced.
        """
        stage = Stage(name, [], list(pieces))
        for key, (start_us, end_us) in _times_by_quote([*pieces, *ahead], unpriced).items():
            first_us, last_us = self.rated.get(key, (end_us, end_us))
            self.rated[key] = min(start_us, first_us), max(end_us, last_us)
            stage.times += [(key, a, b) for a, b in ((start_us, first_us), (last_us, end_us)) if a < b]
        for (quote, interval), start_us, end_us in stage.times:
            for row in quote_mappings([quote], self.live.sources):
                stage.rates += pieces_of(rate_series(self.live, row, interval, start_us=start_us, end_us=end_us))
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
        stored = have[record["interval"]].get((row.asset, row.source), np.empty(0, dtype=np.int64))
        series = Series(row, record["interval"], (), have=stored)
        times = seen.get(series.key, stored)
        first, last = np.searchsorted(times, [record["start_us"], record["end_us"]], side="right")
        if last - first >= record["rows"]:
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
        if run.outcome == "done" and not run.detail.get("owed"):
            return
        with suppress(NotFoundError, VerificationError):
            for manifest in manifests_of(live.store, live.archive, run.id):
                if manifest["kind"] == HISTORY:
                    yield from manifest["exchanges"]
        if run.outcome == "done":
            return


def rate_series(live: Live, row: Mapped, interval: str, *, start_us: int, end_us: int) -> Series:
    """The bars of a quote currency in dollars at one source."""
    source, now_us = live.sources[row.source], to_us(live.clock())
    return series_of(row, source, interval, start_us=start_us, end_us=end_us, now_us=now_us, role=Role.RATE)


def pieces_of(series: Series) -> list[Piece]:
    """A piece for each call of a series."""
    return [Piece(series, call) for call in series.calls]


def plan_stages(live: Live, *, end_us: int) -> Plan:
    """What a fresh store lacks of all time since `history_since`."""
    since_us, now_us = live.history_since_us, to_us(live.clock())
    recent_us = max(since_us, end_us - RECENT_US)
    rows = live.venues(legacy=True)
    oldest_us = since_us - BEFORE_US if since_us < recent_us else since_us
    have = {name: stored_instants(live, interval=name, start_us=oldest_us, end_us=end_us) for name in INTERVALS}
    unpriced = unpriced_bars(live, rows, have)
    planner = _Planner(live, now_us, have, unpriced)
    days: list[Piece] = []
    other_days: list[Piece] = []
    first_hours: list[Piece] = []
    hours: list[Piece] = []
    past: list[Piece] = []
    for row in rows:
        if since_us < recent_us:
            pieces = pieces_of(planner.series(row, "1d", oldest_us, end_us))
            first = len(pieces) <= FEW_CALLS and row.source in DEEP
            (days if first else other_days).extend(pieces)
        deepest = _deepest(row.asset, rows)
        for piece in pieces_of(planner.series(row, "1h", since_us if row.source in deepest else recent_us, end_us)):
            if row.source in deepest[:1] and piece.call.ask.end_us > end_us - BETA_US:
                first_hours.append(piece)
            else:
                (hours if piece.call.ask.end_us > recent_us else past).append(piece)
    supplies = _supply_pieces(live, now_us)
    rest = [*supplies, *other_days, *past]
    kept = {name: [one for one in unpriced if one.series.interval == name] for name in INTERVALS}
    stages = (
        planner.with_rates("daily bars", _binance_first(days), ahead=first_hours, unpriced=kept["1d"]),
        planner.with_rates("hours of the deepest venues", first_hours),
        planner.with_rates("hours of the other venues", hours, ahead=rest, unpriced=kept["1h"]),
        planner.with_rates("hours before, other venues' days, supplies", rest),
    )
    return Plan("1h", since_us, end_us, tuple(stage for stage in stages if stage.all or stage.times), unpriced=unpriced)


def _binance_first(pieces: Sequence[Piece]) -> list[Piece]:
    """Assets that the deepest venue lacks come first at the others, so that every asset has a price soonest."""
    first = {piece.series.row.asset for piece in pieces if piece.call.source == DEEP[0]}
    return sorted(pieces, key=lambda piece: piece.series.row.asset in first and piece.call.source != DEEP[0])


def _deepest(asset: str, rows: Iterable[Mapped]) -> Sequence[str]:
    listed = {row.source for row in rows if row.asset == asset}
    return [venue for venue in DEEP if venue in listed][:2]


def _supply_pieces(live: Live, now_us: int) -> list[Piece]:
    """The past year's chart of each asset that has no reported supply of the past."""
    if SUPPLIES not in live.sources:
        return []
    start_us = max(live.history_since_us, now_us - 365 * DAY_US)
    return [
        Piece(series, call)
        for coin, asset in without_past(live, now_us).items()
        for series in [
            series_of(
                Mapped(asset.slug, SUPPLIES, coin),
                live.sources[SUPPLIES],
                "1d",
                start_us=start_us,
                end_us=now_us,
                now_us=now_us,
                role=Role.SUPPLY,
            )
        ]
        for call in series.calls
    ]


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
    have = {name: stored_instants(live, interval=name, start_us=oldest_us, end_us=end_us) for name in INTERVALS}
    unpriced = unpriced_bars(live, rows, have) if since_us is not None else ()
    planner = _Planner(live, to_us(live.clock()), have, unpriced)
    wanted: list[Series] = []
    for row in rows:
        for name in INTERVALS:
            key = Series(row, name, ()).key
            begin = owed.get(key, start_us if name == interval else end_us)
            if begin < end_us:
                wanted.append(planner.series(row, name, min(begin, start_us), end_us))
    pieces = [piece for one in wanted for piece in pieces_of(one)]
    pieces += [piece for piece in _supply_pieces(live, to_us(live.clock())) if piece.series.key in owed]
    stage = planner.with_rates("bars", pieces, unpriced=unpriced)
    return Plan(interval, oldest_us, end_us, (stage,), tuple(wanted), unpriced)


def plan_fill(
    live: Live, filler: str, *, start_us: int, end_us: int, interval: str, assets: Sequence[str] = ()
) -> Plan:
    """What an aggregator may give between an asset's first and last stored bar that no venue had.

    An aggregator contains the venues, so it is asked only where there is none of them.
    """
    have = bars_by_asset(stored_instants(live, interval=interval, start_us=start_us, end_us=end_us))
    pieces: list[Piece] = []
    if _has(live, filler, interval):
        for identifier, asset in ids_at(live.registry, filler).items():
            own = have.get(asset.slug)
            if own is not None and (not assets or asset.slug in assets):
                first, last = max(start_us, int(own[0])), min(end_us, int(own[-1]))
                pieces += pieces_of(
                    series_of(
                        Mapped(asset.slug, filler, identifier),
                        live.sources[filler],
                        interval,
                        start_us=first,
                        end_us=last,
                        now_us=to_us(live.clock()),
                        have=own,
                    )
                )
    return Plan(interval, start_us, end_us, (Stage("aggregators", [], pieces),))


def _has(live: Live, name: str, interval: str) -> bool:
    if name not in live.sources:
        return False
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
