"""An index and a benchmark on the same instants: the step before every beta.

The index is sampled exactly at the benchmark's instants (its session closes, or its hourly bars). An instant
without a level on both sides is dropped from both and never filled. Returns are log returns between
*consecutive* instants that are both present: an interval across a dropped instant is dropped as well, because
a two-session return has twice the variance and would weigh as one observation. `span_gaps=True` keeps it.
Weekends and holidays are inside one interval (Friday's to Monday's close): those are not gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

AT_CLOSE, NQ_HOURS, DAILY_UTC, HOURLY_UTC = "at_close", "nq_hours", "daily_utc", "hourly_utc"
# Returns a year by clock: XNYS sessions, Globex hours (23 a session day), days and hours of a market that never closes.
PERIODS_PER_YEAR = {AT_CLOSE: 252.0, NQ_HOURS: 252.0 * 23.0, DAILY_UTC: 365.0, HOURLY_UTC: 365.0 * 24.0}


@dataclass(frozen=True, slots=True)
class Aligned:
    """Paired log returns: `x` of the benchmark, `y` of the index, each ending at `times_us`.

    `starts_us` are the interval starts. `n_dropped` counts the intervals between the benchmark's consecutive
    instants that gave no pair; `reasons` say why in words.
    """

    times_us: I64
    starts_us: I64
    x: F64
    y: F64
    n_pairs: int
    n_dropped: int
    clock: str
    calendar: str | None
    periods_per_year: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Log returns on every interval of a common clock; NaN where either end is missing.

    `y` is (T,), `x` is (T, B); the rolling kernel takes both as they are.
    """

    times_us: I64
    y: F64
    x: F64


def align_at(
    index_times_us: ArrayLike,
    index_levels: ArrayLike,
    bench_times_us: ArrayLike,
    bench_closes: ArrayLike,
    *,
    clock: str = AT_CLOSE,
    calendar: str | None = None,
    span_gaps: bool = False,
    max_interval_us: int | None = None,
) -> Aligned:
    """Index and benchmark returns over the same intervals between the benchmark's instants.

    Times are int64 microseconds UTC, strictly increasing; `bench_times_us` are the instants at which the
    closes were true, never session dates. `max_interval_us` drops longer intervals (hourly futures across the
    daily halt). Raises InputError on unsorted or repeated times, unequal lengths or an unknown clock.
    """
    if clock not in PERIODS_PER_YEAR:
        raise InputError(f'"{clock}" is not a clock; use one of {", ".join(sorted(PERIODS_PER_YEAR))}')
    times, closes = _checked(bench_times_us, bench_closes, "benchmark")
    if closes.ndim != 1:
        raise InputError("align_at takes one benchmark; use align_grid for several")
    levels = sample_at(index_times_us, index_levels, at_us=times)
    no_level, no_close = _missing(levels), _missing(closes)
    starts, ends, too_long = _intervals(
        times, ~(no_level | no_close), span_gaps=span_gaps, max_interval_us=max_interval_us
    )
    n_pairs = int(ends.size)
    n_dropped = max(times.size - 1, 0) - n_pairs
    return Aligned(
        times_us=times[ends],
        starts_us=times[starts],
        x=np.log(closes[ends] / closes[starts]),
        y=np.log(levels[ends] / levels[starts]),
        n_pairs=n_pairs,
        n_dropped=n_dropped,
        clock=clock,
        calendar=calendar,
        periods_per_year=PERIODS_PER_YEAR[clock],
        reasons=_reasons(no_level, no_close, n_dropped=n_dropped, too_long=too_long, span=span_gaps),
    )


def align_grid(
    index_times_us: ArrayLike, index_levels: ArrayLike, bench_times_us: ArrayLike, bench_closes: ArrayLike
) -> Grid:
    """Returns on the whole clock of `bench_times_us`, missing ones as NaN, for several benchmarks at once.

    `bench_closes` is (T,) or (T, B) at `bench_times_us` (T,); the result has T - 1 intervals.
    """
    times, closes = _checked(bench_times_us, bench_closes, "benchmark")
    columns = closes[:, None] if closes.ndim == 1 else closes
    levels = sample_at(index_times_us, index_levels, at_us=times)
    levels = np.where(_missing(levels), np.nan, levels)
    columns = np.where(_missing(columns), np.nan, columns)
    return Grid(times[1:], np.diff(np.log(levels)), np.diff(np.log(columns), axis=0))


def sample_at(times_us: ArrayLike, values: ArrayLike, *, at_us: ArrayLike) -> F64:
    """The values at exactly these instants, NaN where there is no row: no nearest, no last-known value."""
    times, array = _checked(times_us, values, "index")
    if array.ndim != 1:
        raise InputError("the index must be one series of levels")
    at = np.asarray(at_us, dtype=np.int64)
    if times.size == 0:
        return np.full(at.size, np.nan)
    slot = np.minimum(np.searchsorted(times, at), times.size - 1)
    sampled: F64 = np.where(times[slot] == at, array[slot], np.nan)
    return sampled


def _intervals(times: I64, present: Bools, *, span_gaps: bool, max_interval_us: int | None) -> tuple[I64, I64, int]:
    """(start rows, end rows, how many were too long) of the intervals between instants that are present."""
    keep = np.flatnonzero(present)
    use = np.ones(max(keep.size - 1, 0), dtype=np.bool_) if span_gaps else np.diff(keep) == 1
    too_long = 0
    if max_interval_us is not None:
        short = np.diff(times[keep]) <= max_interval_us
        too_long = int(np.count_nonzero(use & ~short))
        use = use & short
    return keep[:-1][use], keep[1:][use], too_long


def _checked(times_us: ArrayLike, values: ArrayLike, name: str) -> tuple[I64, F64]:
    times, array = np.asarray(times_us), np.asarray(values, dtype=np.float64)
    if times.size and not np.issubdtype(times.dtype, np.integer):
        raise InputError(f"{name} times must be int64 microseconds, got {times.dtype}")
    times = times.astype(np.int64)
    if times.ndim != 1 or array.ndim == 0 or array.shape[0] != times.size:
        raise InputError(f"{name}: {times.size} times and values of shape {array.shape} do not pair up")
    backwards = np.flatnonzero(np.diff(times) <= 0)
    if backwards.size:
        raise InputError(
            f"{name} times must strictly increase; row {int(backwards[0]) + 1} repeats or goes back. "
            "Sort and remove duplicates first"
        )
    return times, array


def _missing(values: F64) -> Bools:
    with np.errstate(invalid="ignore"):
        missing: Bools = ~(np.isfinite(values) & (values > 0.0))
    return missing


def _reasons(no_level: Bools, no_close: Bools, *, n_dropped: int, too_long: int, span: bool) -> tuple[str, ...]:
    said = []
    if no_level.any():
        said.append(f"{int(no_level.sum())} instants without an index level")
    if no_close.any():
        said.append(f"{int(no_close.sum())} instants without a benchmark close")
    if too_long:
        said.append(f"{too_long} intervals longer than allowed")
    if n_dropped and (no_level.any() or no_close.any()):
        said.append("intervals across them are " + ("kept as one longer return" if span else "dropped"))
    return tuple(said)
