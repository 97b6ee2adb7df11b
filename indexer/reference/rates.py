"""Bars of many venues → the reference rate of each asset at every instant it has one. Pure.

Spot venues make the rate. A venue has one quote at an instant, its finest bar that closes there, and all venues' quotes
count together: an hourly bar does not beat another venue's daily bar. Perpetual futures make a rate, with a flag, only
where no spot venue has a bar of that instant; whether an index takes such a rate is a rule of its methodology.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np

from indexer.arrays import F64, I8, I64, Bools
from indexer.reference.bars import THETA_DAILY, THETA_INTRADAY, bar_rates
from indexer.reference.rules import RateFlag, Verdict
from indexer.registry.records import AT_PAR, DOLLAR, PERPETUAL, SPOT
from indexer.times import DAY_US, HOUR_US, INTERVAL_US

NEVER_US = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class ListedBars:
    """Bars as columns (M,): which listing, when the close was true, the close in USD, the volume in tokens."""

    listing_id: I64
    time_us: I64
    close: F64
    volume_base: F64

    def rows(self, keep: Bools) -> Self:
        """The same with only these bars."""
        return self if keep.all() else type(self)(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


SomeBars = TypeVar("SomeBars", bound=ListedBars)


@dataclass(frozen=True, slots=True)
class Place:
    """The facts of a listing that the rate needs; `market` is the kind of the venue's (registry.MARKETS)."""

    asset_id: int
    venue: str
    interval: str
    market: str = SPOT


@dataclass(frozen=True, slots=True)
class RateSeries:
    """Reference rates, all (R,), ordered by asset then time. `status` and `flags` are RateStatus and RateFlag numbers;
    `verdicts` are JSON texts, venue -> verdict; method and verdicts are None where they were not asked for."""

    asset_id: I64
    time_us: I64
    rate: F64
    status: I8
    flags: I8
    method: list[str] | None = None
    verdicts: list[str] | None = None

    def rows(self, rows: I64) -> RateSeries:
        """The rates of these rows, in their order."""
        numbers = (getattr(self, name)[rows] for name in NUMBERS)
        lists = (None if texts is None else [texts[n] for n in rows.tolist()] for texts in (self.method, self.verdicts))
        return RateSeries(*numbers, *lists)

    def of(self, asset_id: int) -> slice:
        """Where the rates of an asset are."""
        return slice(*np.searchsorted(self.asset_id, [asset_id, asset_id + 1]).tolist())


NUMBERS = ("asset_id", "time_us", "rate", "status", "flags")


def joined(parts: Sequence[RateSeries]) -> RateSeries:
    """The rates of all parts by asset and time; of one instant of an asset the first part's."""
    if not parts:
        ids, small = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int8)
        return RateSeries(ids, ids, np.zeros(0), small, small, [], [])
    numbers: list[Any] = [np.concatenate([getattr(part, name) for part in parts]) for name in NUMBERS]
    texts = ([text for part in parts for text in getattr(part, name) or ()] for name in ("method", "verdicts"))
    whole = RateSeries(*numbers, *texts)
    order = np.lexsort((whole.time_us, whole.asset_id))  # stable: what came first stays first
    asset_id, time_us = whole.asset_id[order], whole.time_us[order]
    return whole.rows(order[np.r_[True, (np.diff(asset_id) != 0) | (np.diff(time_us) != 0)][: len(order)]])


def traded(bars: SomeBars) -> SomeBars:
    """The bars in which somebody traded: a close that stands still at a volume of zero is no price of its instant."""
    order = np.arange(len(bars.close))
    turns = np.diff(bars.listing_id)
    if ((turns < 0) | ((turns == 0) & (np.diff(bars.time_us) < 0))).any():
        order = np.lexsort((bars.time_us, bars.listing_id))
    before, row = order[:-1], order[1:]
    still = np.zeros(len(order), dtype=np.bool_)
    still[row] = (bars.listing_id[row] == bars.listing_id[before]) & (bars.close[row] == bars.close[before])
    return bars.rows(~(still & (bars.volume_base == 0.0)))


def in_dollars(
    bars: ListedBars, quotes: Mapping[int, str], rates: Mapping[str, tuple[I64, F64]]
) -> tuple[ListedBars, Bools]:
    """The bars with closes in USD, by the quote of each listing and USD rates (times (T,) ascending, rates (T,)).

    A bar is converted by the rate of exactly its instant. Without one it is left out, unless its quote is USDT or
    USDC, which count as a dollar then: the second answer (M,) says of which bars that is so.
    """
    factor = np.ones(len(bars.close))
    at_par = np.zeros(len(bars.close), dtype=np.bool_)
    for listing, quote in quotes.items():
        if quote == DOLLAR:
            continue
        rows = np.flatnonzero(bars.listing_id == listing)
        times, rate = rates.get(quote, (np.zeros(0, dtype=np.int64), np.zeros(0)))
        known = np.isin(bars.time_us[rows], times)
        if quote in AT_PAR:
            at_par[rows[~known]] = True
        else:
            factor[rows[~known]] = np.nan
        factor[rows[known]] = rate[np.searchsorted(times, bars.time_us[rows[known]])]
    priced = np.isfinite(factor)
    closes = bars.close * factor
    listed = ListedBars(bars.listing_id[priced], bars.time_us[priced], closes[priced], bars.volume_base[priced])
    return listed, at_par[priced]


def compute_rates(
    bars: ListedBars, places: Mapping[int, Place], *, at_par: Bools | None = None
) -> tuple[RateSeries, int]:
    """The rates of every asset that has bars, by `bar_rates` (volume-weighted median across venues): spot rates, and
    those of perpetuals at the instants at which no spot venue has a bar. And up to when a rate may depend on what came
    before the first bar.

    `at_par` (M,) marks the bars whose quote was taken as a dollar.
    """
    at_par = np.zeros(len(bars.close), dtype=np.bool_) if at_par is None else at_par
    ids = _present(bars.listing_id)
    asset_of = np.array([places[int(i)].asset_id for i in ids], dtype=np.int64)
    kind_of = np.array([places[int(i)].market for i in ids], dtype=object)
    row_listing = np.searchsorted(ids, bars.listing_id)
    row_asset = asset_of[row_listing] if len(ids) else np.empty(0, dtype=np.int64)
    order = np.lexsort((bars.time_us, row_asset))
    edges = np.flatnonzero(np.diff(row_asset[order])) + 1
    parts, inherits_us = [], NEVER_US
    for rows in np.split(order, edges) if len(order) else []:
        kinds = kind_of[row_listing[rows]]
        spot, futures = rows[kinds == SPOT], rows[kinds == PERPETUAL]
        futures = futures[~np.isin(bars.time_us[futures], bars.time_us[spot])]
        for some, flag in ((spot, RateFlag(0)), (futures, RateFlag.PERPETUAL)):
            if len(some):
                rates, inherited_us = _one_market(bars, some, places=places, at_par=at_par, flag=flag)
                parts.append(rates)
                inherits_us = max(inherits_us, inherited_us)
    return joined(parts), inherits_us


def _present(ids: I64) -> I64:
    """Every id that is there, ascending: ids are small numbers, so that counting beats sorting ten times over."""
    return np.flatnonzero(np.bincount(ids))


def _one_market(
    bars: ListedBars, rows: I64, *, places: Mapping[int, Place], at_par: Bools, flag: RateFlag
) -> tuple[RateSeries, int]:
    """The rates of one asset by its venues of one kind of market (rows ascend in time), and up to when they inherit."""
    quotes = _quotes(bars, rows, places=places, at_par=at_par)
    theta = np.where(quotes.finest_us <= HOUR_US, THETA_INTRADAY, THETA_DAILY)
    rates = bar_rates(quotes.prices, quotes.volumes, theta=theta)
    good = np.isfinite(rates.rate)
    par = ((rates.verdicts == Verdict.USED) & quotes.at_par).any(axis=1)
    asset_id = places[int(bars.listing_id[rows[0]])].asset_id
    series = RateSeries(
        np.full(int(good.sum()), asset_id, dtype=np.int64),
        quotes.time_us[good],
        rates.rate[good],
        rates.status[good].astype(np.int8),
        np.where(par, flag | RateFlag.AT_PAR, flag).astype(np.int8)[good],
        [rates.method] * int(good.sum()),
        _verdict_texts(rates.verdicts[good], quotes.venues),
    )
    return series, int(quotes.time_us[rates.inherits - 1]) if rates.inherits and good.any() else NEVER_US


@dataclass(frozen=True, slots=True)
class _Quotes:
    """Times (T,), venue names (V), closes, volumes a day and whether at par (T, V), the shortest bar used (T,)."""

    time_us: I64
    venues: list[str]
    prices: F64
    volumes: F64
    at_par: Bools
    finest_us: I64


def _quotes(bars: ListedBars, rows: I64, *, places: Mapping[int, Place], at_par: Bools) -> _Quotes:
    """One quote of each venue at each instant: its finest bar, of two such the one whose listing was known first.

    Volumes of bars of several lengths are put on one scale, a day.
    """
    length = {int(i): INTERVAL_US[places[int(i)].interval] for i in _present(bars.listing_id[rows])}
    venues = sorted({places[i].venue for i in length})
    times = bars.time_us[rows]
    times = times[np.r_[True, times[1:] != times[:-1]]]
    shape = (len(times), len(venues))
    prices, volumes = np.full(shape, np.nan), np.full(shape, np.nan)
    par, finest = np.zeros(shape, dtype=np.bool_), np.full(shape, DAY_US, dtype=np.int64)
    for listing in sorted(length, key=lambda i: (length[i], i), reverse=True):  # what is written last stands
        mine = rows[bars.listing_id[rows] == listing]
        at = np.searchsorted(times, bars.time_us[mine]), venues.index(places[listing].venue)
        prices[at], par[at], finest[at] = bars.close[mine], at_par[mine], length[listing]
        volumes[at] = bars.volume_base[mine] * (DAY_US / length[listing])
    return _Quotes(times, venues, prices, volumes, par, finest.min(axis=1, initial=DAY_US))


def _verdict_texts(verdicts: I8, venues: list[str]) -> list[str]:
    """One JSON text a bar. Few patterns recur: each is one number, and its text is written once."""
    places = 4 ** np.arange(len(venues), dtype=np.int64 if len(venues) < 32 else object)  # two bits a verdict
    codes = (verdicts.astype(places.dtype) @ places).tolist()
    rows = dict(zip(codes, range(len(codes)), strict=True))
    texts = {
        code: json.dumps(
            {
                venue: Verdict(verdict).name.lower()
                for venue, verdict in zip(venues, verdicts[row].tolist(), strict=True)
                if verdict != Verdict.NO_DATA
            },
            separators=(",", ":"),
        )
        for code, row in rows.items()
    }
    return [texts[code] for code in codes]
