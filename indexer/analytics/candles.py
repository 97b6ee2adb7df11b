"""Candles of a series of levels: each bar from the levels at its two ends and all between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.times import DAY_US, HOUR_US

SPANS_US = {"1h": HOUR_US, "4h": 4 * HOUR_US, "1d": DAY_US, "1w": 7 * DAY_US}
MONDAY_US = 4 * DAY_US  # 1970-01-05


@dataclass(frozen=True, slots=True)
class Candles:
    """Bars of (C,), oldest first; `time_us` is where a bar begins.

    `open` is the level at or first after the begin, `close` the level at the end, which begins the next bar, or the
    last there is; `complete` is false where that level is not there: the bar still lives, or its end has no level.
    `levels` counts what a bar was made of.
    """

    time_us: I64
    open: F64
    high: F64
    low: F64
    close: F64
    levels: I64
    complete: Bools


def shift_of(interval: str) -> int:
    """Where the grid of a span lies, from 1970-01-01: weeks begin on Mondays."""
    return MONDAY_US if interval == "1w" else 0


def whole_from(start_us: int, *, interval: str) -> int:
    """The first begin of a bar at or after an instant: levels from there on make no bar that is cut at its begin."""
    span, shift = SPANS_US[interval], shift_of(interval)
    return -((shift - start_us) // span) * span + shift


def candles_of(times_us: I64, values: F64, *, interval: str) -> Candles:
    """Candles on a grid in UTC, weeks from Monday; a span without a level after its begin has none.

    Levels hold at instants, so the one on a boundary closes a bar and opens the next.
    """
    span = SPANS_US[interval]
    shift = shift_of(interval)
    after = (times_us - shift) // span  # the bar that an instant lies in or opens
    within = (times_us - shift - 1) // span  # the bar that it lies in or closes
    if not len(times_us):
        empty = np.empty(0)
        none = np.empty(0, np.int64)
        return Candles(none, empty, empty, empty, empty, none, np.empty(0, bool))
    bars = np.unique(within[1:]) if len(within) > 1 else within[:0]
    first = np.searchsorted(after, bars)
    stop = np.searchsorted(within, bars, side="right")
    ends = np.ravel(np.column_stack([first, stop]))
    padded = np.append(values, np.nan)  # so that a bar may end with the last level
    return Candles(
        time_us=bars * span + shift,
        open=values[first],
        high=np.fmax.reduceat(padded, ends)[::2].copy(),
        low=np.fmin.reduceat(padded, ends)[::2].copy(),
        close=values[stop - 1],
        levels=stop - first,
        complete=times_us[stop - 1] == (bars + 1) * span + shift,
    )
