"""Closes of equities by date: Cboe, Nasdaq and FRED, no key; and when a session's bar closed, for every such source.

Cboe and Nasdaq adjust prices for splits, not for dividends, and are for personal, infrequent use: a call a symbol and
day is enough. Daylight saving and early closes are those of the exchange's calendar.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from indexer.arrays import I64
from indexer.errors import SourceCorrupt, SourceRefused
from indexer.sources.base import Ask, Call, Parsed, RestSource
from indexer.sources.http import Answer
from indexer.sources.records import BenchmarkBars, Reject
from indexer.sources.rows import dict_in, json_of, list_in, number
from indexer.times import HOUR_US, MINUTE_US, from_us, to_us

_DAILY_SETTLE: Final = {"FUTURE": 17, "CRYPTOCURRENCY": 0, "CURRENCY": 17}  # hour of local time; 0 is the day's end
_NEW_YORK: Final = "America/New_York"
DIVIDENDS_LEFT: Final = "unadjusted_for_dividends"
LEVEL: Final = "index_level"
RATE: Final = "percent_a_year"
FUNDS: Final = frozenset({"QQQ", "SPY", "SMH", "SOXX"})
RATES: Final = frozenset({"DFF", "DGS10"})  # of FRED's series; the others are levels of indices


class Cboe(RestSource, name="cboe"):
    """`historical/QQQ.json`: `data` of rows with date, open, high, low, close, volume as text, oldest first."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        rows = map(dict_in, list_in(dict_in(json_of(answer, "cboe")).get("data")))
        dated = ((str(row.get("date")), row.get("close"), row.get("volume")) for row in rows)
        names = self.about.requests["benchmark"].names
        return dated_bars(dated, call, answer, basis=LEVEL if call.ask.symbol in names else DIVIDENDS_LEFT)


class Nasdaq(RestSource, name="nasdaq"):
    """`quote/QQQ/historical?assetclass=etf`: rows newest first, dates mm/dd/yyyy, prices with a dollar sign or not."""

    def headers(self) -> dict[str, str]:
        """Their server refuses agents that are no browser's; this one says both what it wants and who we are."""
        return {"user-agent": "Mozilla/5.0 (compatible; deai-index)"}

    def place(self, name: str, ask: Ask) -> object:
        return ("etf" if ask.symbol in FUNDS else "stocks") if name == "class" else super().place(name, ask)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = dict_in(json_of(answer, "nasdaq"))
        if not isinstance(data := body.get("data"), dict):
            messages = list_in(dict_in(body.get("status")).get("bCodeMessage"))
            problems = ", ".join(str(dict_in(row).get("errorMessage")) for row in messages)
            raise SourceRefused(f"nasdaq has no {call.ask.symbol}: {problems or 'no data'}")
        rows = map(dict_in, list_in(dict_in(data.get("tradesTable")).get("rows")))
        dated = ((str(row.get("date")), row.get("close"), row.get("volume")) for row in rows)
        return dated_bars(dated, call, answer, form="%m/%d/%Y", basis=DIVIDENDS_LEFT)


class Fred(RestSource, name="fred"):
    """`fredgraph.csv?id=…`: a header `observation_date,<ID>` (once `DATE,<ID>`) and a row a date; "." is missing."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        series = call.ask.symbol
        lines = list(csv.reader(answer.body.decode("utf-8", "replace").splitlines()))
        if not lines or len(lines[0]) != 2 or lines[0][0].lower() not in ("observation_date", "date"):
            raise SourceCorrupt(f"fred answered without the header observation_date,{series}")
        if lines[0][1] != series:
            raise SourceCorrupt(f"fred answered for {lines[0][1]} when asked {series}")
        rows = ((line[0], line[1]) if len(line) > 1 else (",".join(line), "") for line in lines[1:])
        dated = ((day, value, None) for day, value in rows if value.strip() not in ("", "."))
        return dated_bars(dated, call, answer, basis=RATE if series in RATES else LEVEL)


def dated_bars(
    rows: Iterable[tuple[str, object, object]], call: Call, answer: Answer, *, basis: str, form: str = "%Y-%m-%d"
) -> Parsed:
    """Closes from rows of date, close and volume, each still text or a number; what cannot be read is a reject.

    They are true at the close of their session, rates at the end of their day. `form` is the date's strptime form.
    Amounts may carry a dollar sign and thousands commas. Of a session that comes twice with different closes neither
    is taken. Sessions that had not closed when the answer came are left out.
    """
    rejects: list[Reject] = []
    closes: dict[date, tuple[float, float]] = {}
    twice: set[date] = set()
    for at, (text, amount, volume) in enumerate(rows):
        try:
            day = datetime.strptime(text, form).replace(tzinfo=UTC).date()
        except ValueError:
            rejects.append(Reject("row is not a date and a value", text, at))
            continue
        close = _amount(amount)
        if not (np.isfinite(close) and (close > 0.0 or basis == RATE)):
            rejects.append(Reject("close is not a finite positive number", str(amount), at))
        elif day in closes and closes[day][0] != close:
            rejects.append(Reject("contradicting rows for one session", text, at))
            twice.add(day)
        else:
            closes[day] = close, _amount(volume)
    days = sorted(closes.keys() - twice)
    ends = {day: _local(day, 0, ZoneInfo("UTC")) for day in days} if basis == RATE else dates_close_us(days)
    time_us = np.array([ends[day] for day in days], dtype=np.int64)
    asked = (time_us > call.ask.start_us) & (time_us <= call.ask.end_us)
    keep = asked & (time_us <= answer.fetched_us)
    close_of, volume_of = (np.array([closes[day][part] for day in days], dtype=np.float64)[keep] for part in (0, 1))
    unknown = np.full(len(close_of), np.nan)
    bars = BenchmarkBars(call.ask.symbol, time_us[keep], close_of, unknown, volume_of, basis)
    return Parsed(benchmark=bars, rejects=tuple(rejects), open_rows=int((asked & ~keep).sum()))


def _amount(value: object) -> float:
    return number(value.strip().removeprefix("$").replace(",", "") if isinstance(value, str) else value)


def bar_closes_us(stamps: I64, *, interval: str, zone: str = _NEW_YORK, instrument: str = "") -> I64:
    """The instant (N,) at which the bar stamped with its open (N,) closes: a day with its session, an hour after an
    hour, but not after the session it began in. `instrument` is Yahoo's word for what it is of.

    −1 for what is no bar: Yahoo appends the running price, stamped with an odd second or behind the session.
    """
    session = session_close_us(stamps, zone, instrument=instrument)
    if interval == "1d":
        return session
    within = instrument not in _DAILY_SETTLE
    bar = (stamps % MINUTE_US == 0) & ((stamps < session) | (not within))
    closes: I64 = np.where(bar, np.minimum(stamps + HOUR_US, session if within else stamps + HOUR_US), -1)
    return closes


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
