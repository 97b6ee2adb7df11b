"""Exchange session closes in UTC from the calendar package: daylight saving, holidays and early closes included.

Used to choose the instants at which an index is sampled; a constant such as 21:00Z biases beta by 2 %.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.arrays import I64
from indexer.errors import InputError

if TYPE_CHECKING:
    from datetime import date


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of one exchange: local session dates, their close and open instants in UTC, the exchange's zone."""

    dates: tuple[date, ...]
    closes_us: I64
    calendar: str
    opens_us: I64
    zone: str


def sessions(start: date, end: date, *, exchange: str = "XNYS") -> Sessions:
    """The sessions whose local date lies in [start, end], in order.

    Raises InputError when end is before start or the exchange is unknown to the calendar package.
    """
    if end < start:
        raise InputError(f"end {end.isoformat()} is before start {start.isoformat()}")
    calendar = _calendar(exchange, start.year - 1, end.year + 1)
    labels = calendar.sessions
    first, last = np.searchsorted(
        labels.values.astype("datetime64[D]"),
        [np.datetime64(start, "D"), np.datetime64(end, "D") + np.timedelta64(1, "D")],
    )
    closes = np.asarray(calendar.closes_nanos[first:last], dtype=np.int64) // 1_000
    opens = np.asarray(calendar.opens_nanos[first:last], dtype=np.int64) // 1_000
    dates = tuple(stamp.date() for stamp in labels[first:last])
    return Sessions(dates, closes, calendar_version(exchange=exchange), opens, str(calendar.tz))


def session_closes(start: date, end: date, *, exchange: str = "XNYS") -> I64:
    """Close instants (int64 microseconds since the epoch, UTC) of the sessions dated in [start, end]."""
    return sessions(start, end, exchange=exchange).closes_us


@lru_cache(maxsize=32)
def calendar_version(*, exchange: str = "XNYS") -> str:
    """`XNYS exchange_calendars 4.13.2`: session rules change, so a result states whose it used."""
    from importlib.metadata import version

    return f"{exchange} exchange_calendars {version('exchange_calendars')}"


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
