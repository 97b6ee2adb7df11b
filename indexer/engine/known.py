"""What was known at an instant: the last price, the best supply, the median of what is there. No look-ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, I8, I64, Bools
from indexer.engine.market import Market, SupplyHistory, SupplySource

NEVER_US = 2**62
"""Age of something that was never known, in microseconds: older than any limit."""


def price_as_of(market: Market, at_us: I64) -> tuple[F64, I64]:
    """The last known prices (Q, N) at or before each instant, and their ages in microseconds (Q, N).

    NaN and `NEVER_US` where a line had no price by then.
    """
    row = np.searchsorted(market.times_us, at_us, side="right") - 1
    held = np.maximum(row, 0)
    prices = market.prices[held].copy()
    prices[row < 0] = np.nan
    age = np.where(np.isnan(prices), NEVER_US, (at_us - market.times_us[held])[:, None])
    for column in np.flatnonzero(np.isnan(prices).any(axis=0)):
        valid = np.flatnonzero(~np.isnan(market.prices[:, column]))
        last = np.searchsorted(valid, row, side="right") - 1
        seek = np.flatnonzero(last >= 0)
        found = valid[last[seek]]
        prices[seek, column] = market.prices[found, column]
        age[seek, column] = at_us[seek] - market.times_us[found]
    return prices, age


@dataclass(frozen=True, slots=True)
class SupplyAt:
    """Supply in tokens at Q instants, where it came from (-1 when not known), and the total where known."""

    tokens: F64
    source: I8
    total: F64


def supply_as_of(history: SupplyHistory, at_us: I64, *, max_age_us: int) -> SupplyAt:
    """The supply to weigh by at each instant (Q,): best source first, latest observation at most `max_age_us` old.

    On chain only a free float counts; reported is the circulating supply; imported is the circulating supply,
    or the free float where the file gives only that. The total is that of the same source where it has one.
    """
    tokens = np.full(len(at_us), np.nan)
    source = np.full(len(at_us), -1, dtype=np.int8)
    imported = np.where(np.isnan(history.circulating), history.free_float, history.circulating)
    choices = (
        (SupplySource.ON_CHAIN, history.free_float),
        (SupplySource.REPORTED, history.circulating),
        (SupplySource.IMPORTED, imported),
    )
    for kind, values in choices:
        use = (history.source == kind) & (values > 0)
        found = _latest(history.times_us, values, use=use, at_us=at_us, max_age_us=max_age_us)
        fill = (source < 0) & ~np.isnan(found)
        tokens[fill], source[fill] = found[fill], kind
    return SupplyAt(tokens, source, _total(history, at_us, source=source, max_age_us=max_age_us))


def _total(history: SupplyHistory, at_us: I64, *, source: I8, max_age_us: int) -> F64:
    """The last total from the source of the supply, so that their share compares like with like; else from any."""
    known = history.total > 0
    total = _latest(history.times_us, history.total, use=known, at_us=at_us, max_age_us=max_age_us)
    for kind in SupplySource:
        own = _latest(
            history.times_us, history.total, use=known & (history.source == kind), at_us=at_us, max_age_us=max_age_us
        )
        total = np.where((source == kind) & ~np.isnan(own), own, total)
    return total


def _latest(times_us: I64, values: F64, *, use: Bools, at_us: I64, max_age_us: int) -> F64:
    """The last used value at or before each instant, NaN where there is none or it is too old."""
    out = np.full(len(at_us), np.nan)
    if not use.any():
        return out
    times, kept = times_us[use], values[use]
    last = np.searchsorted(times, at_us, side="right") - 1
    held = np.maximum(last, 0)
    good = (last >= 0) & (at_us - times[held] <= max_age_us)
    out[good] = kept[held][good]
    return out


def median_known(values: F64) -> tuple[F64, I64]:
    """The median (N,) over the known values of each column of (W, N), NaN for none; and how many were known."""
    count = (~np.isnan(values)).sum(axis=0)
    if not len(values):
        return np.full(values.shape[1], np.nan), count
    ordered = np.sort(values, axis=0)  # NaN sorts last
    columns = np.arange(values.shape[1])
    low = ordered[np.maximum(count - 1, 0) // 2, columns]
    high = ordered[np.minimum(count // 2, len(values) - 1), columns]
    return np.where(count > 0, (low + high) / 2, np.nan), count
