"""Instants: conversion between aware datetimes, int64 microseconds and text, and the only reader of the clock.

Everything else receives an instant, or a `Clock` that gives one, so that a test can pass a fixed one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

from indexer.errors import InputError

Clock = Callable[[], datetime]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
FIXING_LAG_US = 3 * MINUTE_US
"""A fixing is published by so long after its instant: two minutes until the bars are there, one to compute."""
EARLIEST_S, LATEST_S = 631_152_000, 4_102_444_800  # 1990 and 2100: no unit's span touches another's, nor YYYYMMDD…
UNITS_PER_SECOND = (1, 1_000, 1_000_000, 1_000_000_000)
COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
FORMATS = (
    "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y.%m.%d", "%Y.%m.%d %H:%M", "%Y.%m.%d %H:%M:%S",
    "%Y-%m-%d %I-%p", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%Y %H:%M:%S",
    "%Y-%m-%d %I:%M:%S %p", "%a, %d %b %Y %H:%M:%S%z", "%Y年%m月%d日", "%Y- %m- %d",
)  # fmt: skip
ZULU = r"\s*(UTC|GMT|[+-]00:?00)$"
INTERVAL_US = {"1m": MINUTE_US, "5m": 5 * MINUTE_US, "1h": HOUR_US, "1d": DAY_US}


def utc_now() -> datetime:
    """The current instant, aware UTC."""
    return datetime.now(UTC)


def to_us(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime. Raises InputError on a naive one."""
    if instant.tzinfo is None:
        raise InputError(f"{instant.isoformat()} has no time zone; give an aware instant, e.g. …Z")
    return (instant - EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC datetime of microseconds since the epoch, exact."""
    return EPOCH + timedelta(microseconds=int(us))


def iso(us: int) -> str:
    """`2025-01-27T21:00:00Z`; fractions of a second only when there are any."""
    return from_us(us).isoformat().replace("+00:00", "Z")


def read_time(text: str) -> datetime | None:
    """The time that a word says, naive where it names no zone; None for a word that says none.

    ISO 8601, `… UTC`, an epoch in the unit (s, ms, µs, ns) in which it falls between 1990 and 2099, YYYYMMDD[HHMM[SS]],
    dates with the year first or the month in letters.
    """
    if re.fullmatch(r"-?\d+(\.\d+)?", text, re.ASCII):
        return _of_digits(text)
    readers: list[Callable[[str], datetime]] = [datetime.fromisoformat, *(partial(_strptime, form) for form in FORMATS)]
    for read in readers:
        try:
            return read(re.sub(ZULU, "+00:00", text))
        except ValueError:
            continue
    return None


def _strptime(form: str, text: str) -> datetime:
    return datetime.strptime(text, form)  # noqa: DTZ007 - the caller knows the zone


def _of_digits(text: str) -> datetime | None:
    value = Decimal(text)
    for per_second in UNITS_PER_SECOND:
        if EARLIEST_S * per_second <= abs(value) < LATEST_S * per_second:
            return EPOCH + timedelta(microseconds=round(value * 1_000_000 / per_second))
    return compact_time(text)


def compact_time(digits: str) -> datetime | None:
    """The UTC date, minute or second that digits such as 20250127 or 202501270930 write out, if they do."""
    form = COMPACT.get(len(digits))
    if form is None or not digits.startswith(("19", "20")):
        return None
    try:
        return _strptime(form, digits).replace(tzinfo=UTC)
    except ValueError:
        return None


def parse_instant(text: str) -> int:
    """Microseconds of a time as `read_time` reads it; one without a zone is taken as UTC.

    Other numbers of 9 to 11 digits are seconds, longer ones milliseconds. Raises InputError with the accepted forms.
    """
    word = text.strip()
    time = read_time(word)
    if time is not None:
        return to_us(time if time.tzinfo else time.replace(tzinfo=UTC))
    digits = word.lstrip("-")
    if digits.isdigit() and digits.isascii() and len(digits) >= 9 and not re.match(r"(19|20)\d{10}$", digits):
        us = int(word) * (1_000_000 if len(digits) <= 11 else 1_000)
        if abs(us) > 253_402_300_799_000_000:
            raise InputError(f'"{text}" lies beyond the year 9999')
        return us
    if re.search(r"\d:\d\d(\.\d+)? \d\d:?\d\d$", word):
        raise InputError(f'"{text}" is not a time: the + of an offset is written %2B in an address')
    raise InputError(f'"{text}" is not a time: give 2025-01-27, 2025-01-27T21:00:00Z, or epoch seconds or milliseconds')
