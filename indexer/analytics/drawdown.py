"""Drawdown episodes of a level series: peak, trough, depth, time down, time to recover, ulcer index."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.series import as_series
from indexer.arrays import F64, I64
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Episode:
    """From a running maximum down and back to it. Times are int64 microseconds, depth a negative fraction.

    An episode that has not regained its peak has no recovery (None), never an invented one; `bars_down` counts
    observations from peak to trough, `days_*` calendar days. `ulcer` is the root mean square of the drawdown
    from the peak's bar to the recovery (or the last bar).
    """

    peak_us: int
    trough_us: int
    recovery_us: int | None
    peak_level: float
    trough_level: float
    depth: float
    bars_down: int
    bars_to_recover: int | None
    days_down: float
    days_to_recover: float | None
    ulcer: float

    @property
    def recovered(self) -> bool:
        """Whether the peak was regained within the data."""
        return self.recovery_us is not None


def drawdown_episodes(times_us: ArrayLike, levels: ArrayLike, *, min_depth: float = 0.10) -> list[Episode]:
    """Episodes at least `min_depth` deep, in time order; missing levels are skipped, not filled.

    A level equal to the old peak ends an episode. Raises InputError on unsorted times, a level that is not
    positive or a depth outside (0, 1).
    """
    times, values = observed_levels(times_us, levels)
    if not 0.0 < min_depth < 1.0:
        raise InputError(f"min_depth {min_depth} must be a fraction between 0 and 1, e.g. 0.10 for 10 %")
    if values.size == 0:
        return []
    fall = values / np.maximum.accumulate(values) - 1.0
    under = np.flatnonzero(fall < 0.0)
    if under.size == 0:
        return []
    cuts = np.flatnonzero(np.diff(under) > 1)
    firsts, lasts = under[np.r_[0, cuts + 1]], under[np.r_[cuts, under.size - 1]]
    found = [
        _episode(times, values, fall=fall, span=span) for span in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]
    return [episode for episode in found if episode.depth <= -min_depth]


def drawdown_series(levels: ArrayLike) -> F64:
    """(T,) level over running maximum - 1; NaN where the level is missing."""
    values = as_series(levels, "levels")
    peak = np.fmax.accumulate(values) if values.size else values
    drawdown: F64 = values / peak - 1.0
    return drawdown


def ulcer_index(levels: ArrayLike) -> float | None:
    """Root mean square drawdown over the whole series; None without a level."""
    fall = drawdown_series(levels)
    known = fall[np.isfinite(fall)]
    return math.sqrt(float(known @ known) / known.size) if known.size else None


def observed_levels(times_us: ArrayLike, levels: ArrayLike) -> tuple[I64, F64]:
    """The rows that have a level, checked: times strictly increasing, levels positive."""
    times, values = np.asarray(times_us, dtype=np.int64), as_series(levels, "levels")
    if times.shape != values.shape:
        raise InputError(f"{times.size} times and {values.size} levels do not pair up")
    if np.any(np.diff(times) <= 0):
        raise InputError("times must strictly increase. Sort and remove duplicates first")
    keep = np.isfinite(values)
    if np.any(values[keep] <= 0.0):
        raise InputError("levels must be positive; give index levels or prices, not returns")
    return times[keep], values[keep]


def _episode(times: I64, values: F64, *, fall: F64, span: tuple[int, int]) -> Episode:
    first, last = span
    peak = first - 1
    trough = first + int(np.argmin(fall[first : last + 1]))
    back = last + 1 if last + 1 < values.size else None
    path = fall[peak : last + 1]
    return Episode(
        peak_us=int(times[peak]),
        trough_us=int(times[trough]),
        recovery_us=None if back is None else int(times[back]),
        peak_level=float(values[peak]),
        trough_level=float(values[trough]),
        depth=float(fall[trough]),
        bars_down=trough - peak,
        bars_to_recover=None if back is None else back - trough,
        days_down=float(times[trough] - times[peak]) / DAY_US,
        days_to_recover=None if back is None else float(times[back] - times[trough]) / DAY_US,
        ulcer=math.sqrt(float(path @ path) / path.size),
    )
