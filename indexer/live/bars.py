"""Records of the sources → rows of the store: hourly bars of minutes, listings, and only what is not there yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from indexer.arrays import I64
from indexer.errors import InputError
from indexer.sources.base import Mapped, Source
from indexer.sources.records import Bars
from indexer.store.assets import ensure_listings
from indexer.store.bars import write_bars
from indexer.store.db import Store
from indexer.store.rows import BarColumns, ListingRow, Written


def listing_of(row: Mapped, source: Source, *, interval: str) -> ListingRow:
    """The listing that a source's bars of an asset belong to. Bars are kept in USD; `quote` says what they were in."""
    return ListingRow(
        asset=row.asset,
        venue=row.source,
        source=row.source,
        symbol=row.symbol,
        interval=interval,
        stamp=str(source.capabilities.stamp),
        quote=row.quote,
    )


def listing_ids(
    store: Store, rows: Sequence[Mapped], sources: Mapping[str, Source], *, interval: str
) -> dict[tuple[str, str], int]:
    """The store's listing of each (asset, source), made where new."""
    numbers = ensure_listings(store, [listing_of(row, sources[row.source], interval=interval) for row in rows])
    return {(row.asset, row.source): number for row, number in zip(rows, numbers, strict=True)}


def joined(minutes: Bars) -> Bars:
    """One bar of several: first open, highest, lowest, last close, summed volumes; it closes with the last.

    An unknown volume of a part makes the sum unknown. Raises InputError for no bars.
    """
    if not len(minutes):
        raise InputError("no bars to join into one")
    one = slice(0, 1)
    return Bars(
        time_us=minutes.time_us[-1:],
        open=minutes.open[one],
        high=np.array([minutes.high.max()]),
        low=np.array([minutes.low.min()]),
        close=minutes.close[-1:],
        volume_base=np.array([minutes.volume_base.sum()]),
        volume_usd=np.array([minutes.volume_usd.sum()]),
        quote=minutes.quote,
    )


def write_missing(store: Store, run_id: int, parts: Sequence[tuple[int, Bars]], have: Mapping[int, I64]) -> Written:
    """Write bars by listing, only at instants that `have` (by listing) does not hold: what is stored stays.

    Raises InputError for bars that are not in USD.
    """
    kept: list[tuple[int, Bars]] = []
    for listing, bars in parts:
        if bars.quote != "USD":
            raise InputError(f"bars of listing {listing} are in {bars.quote}; convert them with records.in_usd first")
        fresh = ~np.isin(bars.time_us, have.get(listing, np.empty(0, dtype=np.int64)))
        if fresh.any():
            kept.append((listing, bars.take(fresh)))
    if not kept:
        return Written()

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(bars, name) for _, bars in kept])

    return write_bars(
        store,
        run_id,
        BarColumns(
            listing_id=np.concatenate([np.full(len(bars), listing, dtype=np.int64) for listing, bars in kept]),
            time_us=column("time_us"),
            open=column("open"),
            high=column("high"),
            low=column("low"),
            close=column("close"),
            volume_base=column("volume_base"),
            volume_usd=column("volume_usd"),
        ),
    )
