"""When a daily equity bar closed: the exchange session's close for its stamp or date. Daylight saving, early closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from indexer.arrays import I64
from indexer.errors import SourceCorrupt
from indexer.sources.base import Call, Parsed
from indexer.sources.http import Answer
from indexer.sources.records import BenchmarkBars, Reject
from indexer.sources.rows import number
from indexer.times import DAY_US, from_us, to_us

_DAILY_SETTLE = {"FUTURE": 17, "CRYPTOCURRENCY": 0, "CURRENCY": 17}  # hour of local time; 0 is the day's end
_NEW_YORK = "America/New_York"


def session_close_us(stamps: I64, zone: str, *, instrument: str = "") -> I64:
    """The close instant (N,) of the session each stamp (N,) lies in; stamps that are −1 stay so.

    For New York sessions the exchange calendar's close (16:00, early closes 13:00); 16:00 on a day it does not
    know. Futures settle at 17:00 New York; a crypto pair's day ends at 24:00 of its zone.
    Raises SourceCorrupt when the zone's name is unknown.
    """
    try:
        here = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise SourceCorrupt(f'"{zone}" is not a time zone') from None
    known = stamps >= 0
    days = [from_us(int(s)).astimezone(here).date() if k else None for s, k in zip(stamps, known, strict=True)]
    hour = _DAILY_SETTLE.get(instrument)
    if hour is not None:
        closes = {day: _local(day, hour, here) for day in set(days) if day is not None}
    else:
        closes = dates_close_us([day for day in days if day is not None], zone=here)
    return np.array([closes[day] if day is not None else -1 for day in days], dtype=np.int64)


def dates_close_us(days: list[date], *, zone: ZoneInfo | None = None) -> dict[date, int]:
    """The close instant of each session date: by the New York calendar, else 16:00 local."""
    here = zone or ZoneInfo(_NEW_YORK)
    closes = {day: _local(day, 16, here) for day in days}
    if days and here.key == _NEW_YORK:
        from indexer.analytics.align import sessions

        known = sessions(min(days), max(days))
        table = dict(zip(known.dates, known.closes_us.tolist(), strict=True))
        closes |= {day: table[day] for day in days if day in table}
    return closes


def _local(day: date, hour: int, zone: ZoneInfo) -> int:
    if hour == 0:
        day = day + timedelta(days=1)
    return to_us(datetime(day.year, day.month, day.day, hour, tzinfo=zone))


def day_end_us(day: date) -> int:
    """24:00 UTC of a date: when a daily figure without a session is complete."""
    return to_us(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("UTC"))) + DAY_US


@dataclass(frozen=True, slots=True)
class DatedRow:
    """A daily close as a provider writes it: the session's date, close and volume, each still text or a number."""

    day: str
    close: object
    volume: object = None


def dated_bars(rows: Sequence[DatedRow], call: Call, answer: Answer, *, form: str, basis: str) -> Parsed:
    """Closes of sessions given by date, at the close of their session; what cannot be read is a reject with its row.

    `form` is the date's strptime form. Amounts may carry a dollar sign and thousands commas. Of a session that comes
    twice with different closes neither is taken. Sessions that had not closed when the answer came are left out.
    """
    rejects: list[Reject] = []
    closes: dict[date, tuple[float, float]] = {}
    twice: set[date] = set()
    for at, row in enumerate(rows):
        try:
            day = datetime.strptime(row.day, form).replace(tzinfo=UTC).date()
        except ValueError:
            rejects.append(Reject("row is not a date and a value", row.day, at))
            continue
        close = _amount(row.close)
        if not (np.isfinite(close) and close > 0.0):
            rejects.append(Reject("close is not a finite positive number", str(row.close), at))
        elif day in closes and closes[day][0] != close:
            rejects.append(Reject("contradicting rows for one session", row.day, at))
            twice.add(day)
        else:
            closes[day] = close, _amount(row.volume)
    days = sorted(closes.keys() - twice)
    ends = dates_close_us(days)
    time_us = np.array([ends[day] for day in days], dtype=np.int64)
    asked = (time_us > call.ask.start_us) & (time_us <= call.ask.end_us)
    keep = asked & (time_us <= answer.fetched_us)
    close_of, volume_of = (np.array([closes[day][part] for day in days], dtype=np.float64)[keep] for part in (0, 1))
    unknown = np.full(len(close_of), np.nan)
    bars = BenchmarkBars(call.ask.symbol, time_us[keep], close_of, unknown, volume_of, basis)
    return Parsed(benchmark=bars, rejects=tuple(rejects), open_rows=int((asked & ~keep).sum()))


def _amount(value: object) -> float:
    return number(value.strip().removeprefix("$").replace(",", "") if isinstance(value, str) else value)
