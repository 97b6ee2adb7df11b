"""A subject and its benchmarks on the same instants: the step before every beta.

The subject is read exactly at the benchmark's instants (its session closes, or its hourly bars). Where a side has no
value at an instant, nothing is filled: both intervals that touch it have no return, because a return over two
sessions has twice the variance and would weigh as one observation. Weekends and holidays are inside one interval
(Friday's close to Monday's); those are not gaps. The instants are the exchange's closes in UTC from its calendar,
daylight saving, holidays and early closes included: a constant such as 21:00Z biases beta by 2 %.
"""

from __future__ import annotations

import tomllib
import warnings
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from indexer.analytics import Clock as Clock  # noqa: PLC0414 - offered here too
from indexer.arrays import F64, I64, ArrayLike, Bools
from indexer.errors import InputError

NEW_YORK = "XNYS"
HOURLY_CLOCKS = (Clock.NQ_HOURS, Clock.HOURLY_UTC)
SESSION_DAYS, CONTINUOUS_DAYS = 252.0, 365.0
# Returns a year: XNYS sessions, Globex hours (23 a session day), hours of a market that never closes. Daily levels
# beside a market that never closes count every day instead: CONTINUOUS_DAYS.
PERIODS_PER_YEAR = {
    Clock.AT_CLOSE: SESSION_DAYS,
    Clock.DAILY_UTC: SESSION_DAYS,
    Clock.NQ_HOURS: SESSION_DAYS * 23.0,
    Clock.HOURLY_UTC: CONTINUOUS_DAYS * 24.0,
    Clock.DATE_JOIN: SESSION_DAYS,
}


@dataclass(frozen=True, slots=True)
class Aligned:
    """Log returns of the subject y (T,) and of B benchmarks x (T, B), from `starts_us` to `times_us`; NaN missing."""

    starts_us: I64
    times_us: I64
    y: F64
    x: F64

    @property
    def complete(self) -> Bools:
        """(T,) rows in which every side has a return."""
        rows: Bools = np.isfinite(self.y) & np.isfinite(self.x).all(axis=1)
        return rows

    @property
    def pairs(self) -> int:
        """How many rows are complete."""
        return int(self.complete.sum())

    @property
    def dropped(self) -> int:
        """How many intervals gave no pair."""
        return len(self.y) - self.pairs


def align_at(
    index_times_us: ArrayLike,
    index_levels: ArrayLike,
    bench_times_us: ArrayLike,
    bench_closes: ArrayLike,
    *,
    max_interval_us: int | None = None,
) -> Aligned:
    """Returns over the intervals between the benchmarks' instants, NaN where either end is missing.

    Times are int64 microseconds UTC, strictly increasing; `bench_closes` is (T,) or (T, B) at `bench_times_us` (T,),
    the instants at which the closes were true, never session dates. `max_interval_us` leaves out longer intervals
    (hourly futures across the daily halt). Raises InputError on unsorted or repeated times and on unequal lengths.
    """
    times, closes = _checked(bench_times_us, bench_closes, "benchmark")
    closes = closes[:, None] if closes.ndim == 1 else closes
    closes = np.where(_known(closes), closes, np.nan)
    levels = sample_at(index_times_us, index_levels, at_us=times)
    starts, ends = times[:-1], times[1:]
    # The logarithm of a ratio, not a difference of logarithms: the latter loses digits to cancellation.
    y, x = np.log(levels[1:] / levels[:-1]), np.log(closes[1:] / closes[:-1])
    if max_interval_us is None:
        return Aligned(starts, ends, y, x)
    short = ends - starts <= max_interval_us
    return Aligned(starts[short], ends[short], y[short], x[short])


def sample_at(times_us: ArrayLike, values: ArrayLike, *, at_us: ArrayLike) -> F64:
    """The values at exactly these instants, NaN where there is no positive one: no nearest, no last-known value."""
    times, array = _checked(times_us, values, "index")
    if array.ndim != 1:
        raise InputError("the index must be one series of levels")
    at = np.asarray(at_us, dtype=np.int64)
    if times.size == 0:
        return np.full(at.size, np.nan)
    row = np.minimum(np.searchsorted(times, at), times.size - 1)
    sampled: F64 = np.where((times[row] == at) & _known(array)[row], array[row], np.nan)
    return sampled


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


def _known(values: F64) -> Bools:
    # A price of zero has no logarithm: it is as missing as NaN.
    with np.errstate(invalid="ignore"):
        known: Bools = np.isfinite(values) & (values > 0.0)
    return known


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of one exchange: local session dates, their close and open instants in UTC, the exchange's zone."""

    dates: tuple[date, ...]
    closes_us: I64
    calendar: str
    opens_us: I64
    zone: str


def sessions(start: date, end: date, *, exchange: str = NEW_YORK) -> Sessions:
    """The sessions whose local date lies in [start, end], in order.

    Of New York from the shipped table, of other exchanges and years from exchange_calendars. Raises InputError when
    end is before start or the exchange is unknown to that package.
    """
    if end < start:
        raise InputError(f"end {end.isoformat()} is before start {start.isoformat()}")
    table = _shipped()
    if exchange != NEW_YORK or start < table["first"] or end > table["last"]:
        return _of_library(start, end, exchange=exchange)
    days = np.arange(np.datetime64(start, "D"), np.datetime64(end, "D") + np.timedelta64(1, "D"))
    holidays, short_days = (np.array(table[name], dtype="datetime64[D]") for name in ("holidays", "short_days"))
    days = days[np.is_busday(days, holidays=holidays)]
    dates: tuple[date, ...] = tuple(days.tolist())
    zone = ZoneInfo(table["zone"])
    behind = np.array([zone.utcoffset(datetime.combine(day, time(12))) for day in dates], dtype="timedelta64[us]")
    midnights = (days.astype("datetime64[us]") - behind).astype(np.int64)
    opening, close, early = (_since_midnight(table[name]) for name in ("open", "close", "early_close"))
    closes = midnights + np.where(np.isin(days, short_days), early, close)
    return Sessions(dates, closes, calendar_version(exchange=exchange), midnights + opening, table["zone"])


def session_closes(start: date, end: date, *, exchange: str = NEW_YORK) -> I64:
    """Close instants (int64 microseconds since the epoch, UTC) of the sessions dated in [start, end]."""
    return sessions(start, end, exchange=exchange).closes_us


@lru_cache(maxsize=32)
def calendar_version(*, exchange: str = NEW_YORK) -> str:
    """`XNYS exchange_calendars 4.13.2`: session rules change, so a result states whose it used."""
    if exchange == NEW_YORK:
        return f"{exchange} {_shipped()['source']}"
    return _library_version(exchange)


def _library_version(exchange: str) -> str:
    from importlib.metadata import version

    return f"{exchange} exchange_calendars {version('exchange_calendars')}"


@cache
def _shipped() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("xnys.toml").read_text(encoding="utf-8"))


def _since_midnight(at: time) -> int:
    return (at.hour * 60 + at.minute) * 60_000_000


def _of_library(start: date, end: date, *, exchange: str) -> Sessions:
    calendar = _calendar(exchange, start.year - 1, end.year + 1)
    labels = calendar.sessions
    first, last = np.searchsorted(
        labels.values.astype("datetime64[D]"),
        [np.datetime64(start, "D"), np.datetime64(end, "D") + np.timedelta64(1, "D")],
    )
    opens, closes = (
        np.asarray(nanos[first:last], dtype=np.int64) // 1_000
        for nanos in (calendar.opens_nanos, calendar.closes_nanos)
    )
    dates = tuple(stamp.date() for stamp in labels[first:last])
    return Sessions(dates, closes, _library_version(exchange), opens, str(calendar.tz))


@lru_cache(maxsize=32)
def _calendar(exchange: str, first_year: int, last_year: int) -> Any:
    from exchange_calendars import get_calendar
    from exchange_calendars.errors import InvalidCalendarName

    with warnings.catch_warnings():
        # pandas 3.1 deprecates Series.values, which the calendar package still calls while it builds.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return get_calendar(exchange, start=f"{first_year}-01-01", end=f"{last_year}-12-31")
        except InvalidCalendarName:
            raise InputError(f'"{exchange}" is not an exchange calendar; use an ISO 10383 code such as XNYS') from None
