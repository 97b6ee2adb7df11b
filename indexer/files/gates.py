"""The gates of imported rows: which are taken, which are rejected and why. Pure, on columns.

The first gate a row fails gives its reason, in the order: the stamp, the grid, the future, the symbol, the close, the
other prices, high and low around open and close, the volume; then per listing: stamps that come twice, and spikes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.analytics.series import like_a_split
from indexer.arrays import F64, I64, Bools
from indexer.files.numbers import Numbers
from indexer.files.stamps import NO_TIME
from indexer.times import DAY_US, MINUTE_US, iso

SPIKE_FACTOR = 50.0
SPIKE = f"spike: the close is more than {SPIKE_FACTOR:g} times, or less than 1/{SPIKE_FACTOR:g} of, both its neighbours"
BEFORE_1970 = "before 1970"
FUTURE = "in the future: the bar ends after now"
HIGH_BELOW_LOW = "high is below low"
OUTSIDE = "is not between low and high"
CONFLICT = "stamp comes twice with different values"
APART = "stamp comes twice, far apart in the file: sort it by time, or leave one out"
MOST_STEPS = 20  # named in a report


class Verdicts:
    """Reasons by row (R,): None while a row is good. The first reason given to a row stays."""

    def __init__(self, rows: int) -> None:
        self.good: Bools = np.ones(rows, dtype=np.bool_)
        self.reasons: dict[int, str] = {}
        self.outside: Bools = np.zeros(rows, dtype=np.bool_)  # of any session of their exchange; no reason to reject

    def reject(self, mask: Bools, reason: str) -> None:
        """Rejects the rows of a mask that are still good."""
        rows = np.flatnonzero(mask & self.good)
        self.good[rows] = False
        self.reasons.update(dict.fromkeys(rows.tolist(), reason))

    def reject_each(self, reasons: dict[int, str]) -> None:
        """Rejects rows, each for its own reason."""
        for row, reason in reasons.items():
            if self.good[row]:
                self.good[row] = False
                self.reasons[row] = reason


class Occupied:
    """The places of a grid, a bit each, that rows of a series stand in: what is left of the parts of a long file."""

    def __init__(self, step_us: int) -> None:
        self._step_us = step_us
        self._bits: dict[object, tuple[int, NDArray[np.uint8]]] = {}  # by series: the first byte's number, the bytes

    def take(self, series: object, time_us: I64) -> Bools:
        """Which of the instants stand in places taken before (R,); all are taken from now on."""
        place = time_us // self._step_us
        byte, bit = place >> 3, (1 << (place & 7)).astype(np.uint8)
        first, bits = self._bits.get(series, (int(byte.min()), np.zeros(0, dtype=np.uint8)))
        before, after = max(0, first - int(byte.min())), max(0, int(byte.max()) + 1 - first - len(bits))
        first, bits = first - before, np.pad(bits, (before, after))
        taken = (bits[byte - first] & bit) != 0
        np.bitwise_or.at(bits, byte - first, bit)
        self._bits[series] = first, bits
        return np.asarray(taken)


def gate_prices(verdicts: Verdicts, prices: dict[str, Numbers]) -> None:
    """The close must be there; every price that is given must be a finite positive number, and high ≥ low."""
    for name in sorted(prices, key=lambda name: name != "close"):
        column = prices[name]
        verdicts.reject(column.bad, f"{name} is not a number")
        if name == "close":
            verdicts.reject(column.empty, "close is empty")
        verdicts.reject(np.isnan(column.values) & ~column.empty, f"{name} is NaN")
        verdicts.reject(np.isinf(column.values), f"{name} is infinite")
        verdicts.reject(column.values == 0.0, f"{name} is zero")
        verdicts.reject(column.values < 0.0, f"{name} is negative")
    if "high" in prices and "low" in prices:
        verdicts.reject(prices["high"].values < prices["low"].values, HIGH_BELOW_LOW)
    for name in ("close", "open"):
        for edge, beyond in (("high", np.greater), ("low", np.less)):
            if name in prices and edge in prices:
                verdicts.reject(beyond(prices[name].values, prices[edge].values), f"{name} {OUTSIDE}")


def on_the_minute(us: I64) -> I64:
    """Closes stamped up to a second before a full minute (23:59:59, …59.999) at that minute, where they are true."""
    early = us % MINUTE_US >= MINUTE_US - 1_000_000
    return np.where(early & (us != NO_TIME), us + (-us) % MINUTE_US, us)


def gate_grid(verdicts: Verdicts, wall_us: I64, *, step_us: int) -> None:
    """Rejects rows whose clock is off the grid that at least half of the good rows share: a last row that is "now".

    A file without such a grid (a snapshot every hour or so) is left as it is.
    """
    rows = np.flatnonzero(verdicts.good)
    if not len(rows):
        return
    phase = wall_us[rows] % step_us
    phases, counts = np.unique(phase, return_counts=True)
    usual = int(phases[np.argmax(counts)])  # of equal counts the first: on the hour, at midnight
    if len(phases) == 1 or 2 * counts.max() < len(rows):
        return
    for row in rows[phase != usual].tolist():
        at, others = (iso(int(us) % DAY_US).split("T")[1] for us in (wall_us[row], usual))
        reason = f"off the grid: at {at} where the others are at {others}; a bar still running is left out"
        verdicts.reject_each({row: reason})


def find_steps(series: I64, close: F64, *, shares: bool) -> list[tuple[int, float]]:
    """Rows, in order of series and time, at which the close changes for good by a factor that no market makes.

    For tokens a factor near 10ⁿ, kept by the next close: a redenomination, or another unit. For shares a simple
    return beyond ±30 % near a round ratio, or beyond ±50 %: a split that is not adjusted for. Pairs (row, factor).
    """
    if len(close) < 2:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = close[1:] / close[:-1]
        after = np.r_[close[2:], np.nan] / close[1:]
        after[~np.r_[series[2:] == series[1:-1], False]] = np.nan
        inside = series[1:] == series[:-1]
        lasting = ~(after > 2) & ~(after < 0.5)
        if shares:
            large = like_a_split(factor)
        else:
            power = np.log10(factor)
            large = (np.abs(power - np.rint(power)) < 0.08) & (np.rint(power) != 0)
    rows = np.flatnonzero(inside & lasting & large)
    return [(int(row) + 1, float(factor[row])) for row in rows]


def gate_volume(verdicts: Verdicts, volume: Numbers) -> None:
    """A volume may be missing (empty or NaN), but not negative, infinite or something else."""
    verdicts.reject(volume.bad, "volume is not a number")
    verdicts.reject(np.isinf(volume.values), "volume is infinite")
    verdicts.reject(volume.values < 0.0, "volume is negative")


def gate_value(verdicts: Verdicts, value: Numbers) -> None:
    """A measured value must be there and finite; it may be zero or negative (a funding rate)."""
    verdicts.reject(value.bad, "value is not a number")
    verdicts.reject(value.empty, "value is empty")
    verdicts.reject(~np.isfinite(value.values), "value is not finite")


@dataclass(frozen=True, slots=True)
class Sequenced:
    """Good rows in order of series and time, and what was found on the way."""

    order: I64
    duplicates: int
    out_of_order: int


def gate_sequence(
    verdicts: Verdicts, series: I64, time_us: I64, close: F64 | None, *, compared: Sequence[F64 | I64], lines: I64
) -> Sequenced:
    """Sorts the good rows by series and time; drops repeats, rejects conflicts and spikes of the close.

    A row equal to an earlier one of its series and time in all `compared` columns is a duplicate: counted and
    left out. Rows that differ are all rejected, since nothing tells which is right. `lines` (R,) name the others.
    """
    rows = np.flatnonzero(verdicts.good)
    order = rows[np.lexsort((rows, time_us[rows], series[rows]))]
    order, duplicates = _without_repeats(verdicts, order, series, time_us, compared=compared, lines=lines)
    if close is not None:
        spikes = order[find_spikes(series[order], close[order])]
        verdicts.reject_each(dict.fromkeys(spikes.tolist(), SPIKE))
    return Sequenced(order[verdicts.good[order]], duplicates, _out_of_order(series[rows], time_us[rows]))


def find_spikes(series: I64, close: F64) -> Bools:
    """Which rows (R,), in order of series and time, stand out from both neighbours by more than SPIKE_FACTOR.

    Only a bar with a neighbour on either side can be judged; a lasting change of level is none of this gate's.
    """
    step = np.full(len(close) + 1, np.nan)  # from the bar before; none at the ends of a series
    step[1:-1] = np.where(series[1:] == series[:-1], close[1:] / close[:-1], np.nan)
    before, after = step[:-1], 1 / step[1:]
    high = (before > SPIKE_FACTOR) & (after > SPIKE_FACTOR)
    return high | ((before < 1 / SPIKE_FACTOR) & (after < 1 / SPIKE_FACTOR))


def _out_of_order(series: I64, time_us: I64) -> int:
    """How many rows stand after a later one of their own series."""
    by_series = np.argsort(series, kind="stable")
    step = np.diff(time_us[by_series])
    return int(((step < 0) & (np.diff(series[by_series]) == 0)).sum())


def _without_repeats(
    verdicts: Verdicts, order: I64, series: I64, time_us: I64, *, compared: Sequence[F64 | I64], lines: I64
) -> tuple[I64, int]:
    again = np.r_[False, (np.diff(series[order]) == 0) & (np.diff(time_us[order]) == 0)]
    if not again.any():
        return order, 0
    group = np.cumsum(~again) - 1
    first = order[~again][group]
    same = np.ones(len(order), dtype=np.bool_)
    for column in compared:
        here, there = column[order], column[first]
        same &= (here == there) | (np.isnan(here) & np.isnan(there))
    conflict = (np.bincount(group, weights=~same) > 0)[group]
    for row, other in zip(order[conflict].tolist(), first[conflict].tolist(), strict=True):
        verdicts.reject_each({row: f"{CONFLICT}: first on line {lines[other]}"})
    return order[~again & ~conflict], int((again & ~conflict).sum())
