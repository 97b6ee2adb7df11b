"""Stress readings from given rows: liquidations by side and hour, size of a move, range-based volatility.

Rows come from imports or venues; nothing is estimated where none were given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.series import as_series
from indexer.arrays import F64
from indexer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

HOUR_US = 3_600_000_000
LONG, SHORT = "long", "short"


@dataclass(frozen=True, slots=True)
class LiquidationHour:
    """Totals in USD of one hour [start_us, start_us + 1 h). `long_share` = long / (long + short)."""

    start_us: int
    long_usd: float
    short_usd: float
    n: int
    long_share: float | None


@dataclass(frozen=True, slots=True)
class LiquidationTotals:
    """Hours that have rows, in order, their sum, and the hour with the largest total."""

    hours: tuple[LiquidationHour, ...]
    long_usd: float
    short_usd: float
    long_share: float | None
    worst: LiquidationHour | None


def liquidation_totals(times_us: ArrayLike, sides: Sequence[str], *, usd: ArrayLike) -> LiquidationTotals:
    """Hourly and whole totals of liquidations; `sides` names the position that was closed, "long" or "short".

    Hours without rows are absent, not zero: no row may mean no feed. Raises InputError on a side that is
    neither, an amount that is negative or missing, or unequal lengths.
    """
    times, amounts = np.asarray(times_us, dtype=np.int64), as_series(usd, "usd")
    if not times.size == amounts.size == len(sides):
        raise InputError(f"{times.size} times, {len(sides)} sides and {amounts.size} amounts do not pair up")
    unknown = next((side for side in sides if side not in (LONG, SHORT)), None)
    if unknown is not None:
        raise InputError(f'"{unknown}" is not a side; use "{LONG}" or "{SHORT}" (the position that was closed)')
    if not np.all(np.isfinite(amounts) & (amounts >= 0.0)):
        raise InputError("a liquidation amount is missing or negative; give USD amounts")
    is_long = np.array([side == LONG for side in sides], dtype=np.bool_)
    starts, place = np.unique(times // HOUR_US * HOUR_US, return_inverse=True)
    size = starts.size
    longs = np.bincount(place, weights=amounts * is_long, minlength=size)
    shorts = np.bincount(place, weights=amounts * ~is_long, minlength=size)
    counts = np.bincount(place, minlength=size)
    rows = zip(starts.tolist(), longs.tolist(), shorts.tolist(), counts.tolist(), strict=True)
    hours = tuple(LiquidationHour(at, a, b, n, _share(a, b)) for at, a, b, n in rows)
    long_usd, short_usd = math.fsum(h.long_usd for h in hours), math.fsum(h.short_usd for h in hours)
    worst = max(hours, key=lambda h: h.long_usd + h.short_usd, default=None)
    return LiquidationTotals(hours, long_usd, short_usd, _share(long_usd, short_usd), worst)


def move_z(returns: ArrayLike, *, window: int = 90) -> F64:
    """(T,) each return in standard deviations of the `window` returns *before* it; NaN until there are that many.

    The move itself is not in its own yardstick; a window with a missing return or no variance gives NaN.
    """
    r = as_series(returns, "returns")
    out = np.full(r.size, np.nan)
    if window < 2:
        raise InputError(f"window {window} must be at least 2 returns")
    if r.size <= window:
        return out
    past = np.lib.stride_tricks.sliding_window_view(r, window)[:-1]
    mean, sd = past.mean(axis=1), past.std(axis=1, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        out[window:] = np.where(sd > 1e-12 * np.abs(past).max(axis=1), (r[window:] - mean) / sd, np.nan)
    return out


def _share(longs: float, shorts: float) -> float | None:
    total = longs + shorts
    return longs / total if total > 0.0 else None
