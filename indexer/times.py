"""Instants: conversion between aware datetimes, int64 microseconds and text, and the only reader of the clock.

Everything else receives an instant, or a `Clock` that gives one, so that a test can pass a fixed one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from indexer.errors import InputError

Clock = Callable[[], datetime]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
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


def parse_instant(text: str) -> int:
    """Microseconds of an ISO 8601 date or instant, or of epoch seconds or milliseconds.

    A bare date is 00:00 UTC of that day; a date-time without an offset is taken as UTC.
    Numbers up to 11 digits are seconds, longer ones milliseconds. Raises InputError with the accepted forms.
    """
    word = text.strip()
    digits = word.lstrip("-")
    if digits.isdigit() and digits.isascii() and len(digits) >= 9:
        number = int(word)
        us = number * (1_000_000 if len(digits) <= 11 else 1_000)
        if abs(us) > 253_402_300_799_000_000:
            raise InputError(f'"{text}" lies beyond the year 9999')
        return us
    try:
        instant = datetime.fromisoformat(word)
    except ValueError:
        raise InputError(
            f'"{text}" is not a time: give 2025-01-27, 2025-01-27T21:00:00Z, or epoch seconds or milliseconds'
        ) from None
    return to_us(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
