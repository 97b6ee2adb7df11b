"""Records of the venues → bars of the store: an hour of minutes, and only what is not there yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from indexer.errors import InputError
from indexer.registry.records import DOLLAR
from indexer.sources.base import Mapped, Source
from indexer.sources.records import COLUMNS, Bars
from indexer.store.assets import ensure_listings
from indexer.store.bars import read_bars, write_bars
from indexer.store.db import Store
from indexer.store.rows import BarColumns, ListingRow


def hour_of(minutes: Bars, at_us: int) -> Bars:
    """The hour closing at an instant, of its minutes: first open, highest, lowest, last close, summed volumes.

    An unknown volume of a part makes the sum unknown.
    """
    first, last = slice(0, 1), slice(-1, None)
    return Bars(
        time_us=np.array([at_us], dtype=np.int64),  # the close is the last trade's, true until the hour ends
        open=minutes.open[first],
        high=np.array([minutes.high.max()]),
        low=np.array([minutes.low.min()]),
        close=minutes.close[last],
        volume_base=np.array([minutes.volume_base.sum()]),
        volume_usd=np.array([minutes.volume_usd.sum()]),
    )


def write_missing(
    store: Store, run_id: int, parts: Sequence[tuple[Mapped, Bars]], sources: Mapping[str, Source], *, interval: str
) -> int:
    """Write bars of the venues' assets at instants that are not stored: what is stored stays; how many were new.

    Raises InputError for bars that are not in USD.
    """
    if not parts:
        return 0
    numbers = ensure_listings(store, [_listing(row, sources[row.source], interval) for row, _ in parts])
    fresh: list[tuple[int, Bars]] = []
    for number, (row, bars) in zip(numbers, parts, strict=True):
        if bars.quote != DOLLAR:
            raise InputError(f"{row.source}: bars of {row.asset} are in {bars.quote}; convert them with records.in_usd")
        if len(bars):
            begin, end = int(bars.time_us[0]), int(bars.time_us[-1]) + 1
            stored = read_bars(store, listing_ids=[number], since_us=begin, until_us=end).time_us
            fresh.append((number, bars.take(~np.isin(bars.time_us, stored))))
    if not any(len(bars) for _, bars in fresh):
        return 0
    columns = {name: np.concatenate([getattr(bars, name) for _, bars in fresh]) for name in COLUMNS}
    listing_id = np.concatenate([np.full(len(bars), number, dtype=np.int64) for number, bars in fresh])
    return write_bars(store, run_id, BarColumns(listing_id, **columns)).new


def _listing(row: Mapped, source: Source, interval: str) -> ListingRow:
    """The listing that a source's bars of an asset belong to. Bars are kept in USD; `quote` says what they were in."""
    stamp = str(source.capabilities.stamp)
    return ListingRow(row.asset, row.source, row.source, row.symbol, interval, stamp, row.quote)
