"""Bars of many venues → the reference rate of each asset at every instant it has one. Pure.

At an instant the finest bars that close there decide: an hourly history is not mixed with the daily bars of
another venue at midnight, but a day that has only daily bars still has its 00:00 UTC rate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, I8, I64
from indexer.reference import BarRates, Verdict, bar_rates
from indexer.reference.bars import THETA_DAILY, THETA_INTRADAY
from indexer.registry.currencies import AT_PAR, DOLLAR
from indexer.times import HOUR_US, INTERVAL_US


@dataclass(frozen=True, slots=True)
class ListedBars:
    """Bars as columns (M,): which listing, when the close was true, the close in USD, the volume in tokens."""

    listing_id: I64
    time_us: I64
    close: F64
    volume_base: F64


@dataclass(frozen=True, slots=True)
class Place:
    """The facts of a listing that the rate needs."""

    asset_id: int
    venue: str
    interval: str


@dataclass(frozen=True, slots=True)
class AssetRates:
    """Rates of one asset, ascending in time (T,). `verdicts` (T,) are JSON texts: venue -> verdict."""

    asset_id: int
    time_us: I64
    rate: F64
    status: I8
    verdicts: list[str]
    method: str


def in_dollars(bars: ListedBars, quotes: Mapping[int, str], rates: Mapping[str, tuple[I64, F64]]) -> ListedBars:
    """The bars with closes in USD, by the quote of each listing and USD rates (times (T,) ascending, rates (T,)).

    A bar is converted by the rate of exactly its instant; without one it is left out, unless its quote is USDT or
    USDC, which count as a dollar then.
    """
    others = {
        listing: quote
        for listing, quote in quotes.items()
        if quote != DOLLAR and (quote not in AT_PAR or quote in rates)
    }
    if not others:
        return bars
    factor = np.ones(len(bars.close))
    for listing, quote in others.items():
        rows = np.flatnonzero(bars.listing_id == listing)
        times, rate = rates.get(quote, (np.zeros(0, dtype=np.int64), np.zeros(0)))
        known = np.isin(bars.time_us[rows], times)
        factor[rows] = 1.0 if quote in AT_PAR else np.nan
        factor[rows[known]] = rate[np.searchsorted(times, bars.time_us[rows[known]])]
    priced = np.isfinite(factor)
    closes = bars.close * factor
    return ListedBars(bars.listing_id[priced], bars.time_us[priced], closes[priced], bars.volume_base[priced])


def compute_rates(bars: ListedBars, places: Mapping[int, Place]) -> Iterator[AssetRates]:
    """The rates of every asset that has bars, by `bar_rates` (volume-weighted median across venues)."""
    ids = np.unique(bars.listing_id)
    asset_of = np.array([places[int(i)].asset_id for i in ids], dtype=np.int64)
    row_listing = np.searchsorted(ids, bars.listing_id)
    row_asset = asset_of[row_listing] if len(ids) else np.empty(0, dtype=np.int64)
    order = np.lexsort((bars.time_us, row_asset))
    edges = np.flatnonzero(np.diff(row_asset[order])) + 1
    for rows in np.split(order, edges) if len(order) else []:
        yield _one_asset(bars, rows, places=places, asset_id=int(row_asset[rows[0]]))


def _one_asset(bars: ListedBars, rows: I64, *, places: Mapping[int, Place], asset_id: int) -> AssetRates:
    length = {i: INTERVAL_US[places[i].interval] for i in map(int, np.unique(bars.listing_id[rows]))}
    row_length = np.array([length[int(i)] for i in bars.listing_id[rows]]) if len(length) > 1 else None
    parts: list[tuple[I64, BarRates, list[str]]] = []
    covered = np.empty(0, dtype=np.int64)
    for interval_us in sorted(set(length.values())):
        mine = rows if row_length is None else rows[row_length == interval_us]
        times, venues, prices, volumes = _by_venue(bars, mine, places=places)
        theta = THETA_INTRADAY if interval_us <= HOUR_US else THETA_DAILY
        rates = bar_rates(prices, volumes, theta=theta)
        fresh = np.isfinite(rates.rate) & ~np.isin(times, covered)
        parts.append((times[fresh], _take(rates, fresh), _verdict_texts(rates.verdicts[fresh], venues)))
        covered = np.union1d(covered, times)
    time_us = np.concatenate([part[0] for part in parts])
    order = np.argsort(time_us, kind="stable")
    texts = [text for part in parts for text in part[2]]
    return AssetRates(
        asset_id=asset_id,
        time_us=time_us[order],
        rate=np.concatenate([part[1].rate for part in parts])[order],
        status=np.concatenate([part[1].status for part in parts])[order].astype(np.int8),
        verdicts=[texts[i] for i in order],
        method=parts[0][1].method,
    )


def _take(made: BarRates, rows: np.ndarray) -> BarRates:
    return BarRates(rate=made.rate[rows], status=made.status[rows], verdicts=made.verdicts[rows], method=made.method)


def _by_venue(bars: ListedBars, rows: I64, *, places: Mapping[int, Place]) -> tuple[I64, list[str], F64, F64]:
    """Times (T,), venue names (V) and the (T, V) closes and volumes; two listings of a venue fill one column."""
    ids = [int(i) for i in np.unique(bars.listing_id[rows])]
    venues = sorted({places[i].venue for i in ids})
    times = np.unique(bars.time_us[rows])
    prices = np.full((len(times), len(venues)), np.nan)
    volumes = np.full_like(prices, np.nan)
    for listing in reversed(ids):  # the listing known first wins where two sources give the same venue's bar
        mine = rows[bars.listing_id[rows] == listing]
        slot = np.searchsorted(times, bars.time_us[mine])
        column = venues.index(places[listing].venue)
        prices[slot, column] = bars.close[mine]
        volumes[slot, column] = bars.volume_base[mine]
    return times, venues, prices, volumes


def _verdict_texts(verdicts: I8, venues: list[str]) -> list[str]:
    """One JSON text a bar. Few patterns recur, so each is written once."""
    if not len(verdicts):
        return []
    patterns, which = np.unique(verdicts, axis=0, return_inverse=True)
    texts = [
        json.dumps(
            {
                venue: Verdict(int(code)).name.lower()
                for venue, code in zip(venues, pattern, strict=True)
                if code != Verdict.NO_DATA
            },
            separators=(",", ":"),
        )
        for pattern in patterns
    ]
    return [texts[i] for i in which.ravel()]
