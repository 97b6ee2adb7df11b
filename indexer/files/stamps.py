"""Time columns of files → instants in UTC: what is written, then what it means (bar open, close, session date).

Place in the flow: after files.py, before the gates. A stamp that cannot be an instant gets a reason, never a guess.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from indexer.arrays import I64
from indexer.errors import ImportFileError, InputError
from indexer.times import DAY_US, EPOCH, parse_instant, to_us

NO_TIME = np.iinfo(np.int64).min
EMPTY = "no time"
NOT_A_TIME = "not a time"
MIXED = "no time zone where other rows of the file have one"
NOT_A_DATE = "a session date must be a plain date"
NO_SESSION = "no session of the exchange on that date"
FUTURES_SETTLE_HOUR = 17  # New York


def instants(column: Any, *, timezone: str = "UTC") -> tuple[I64, dict[int, str]]:
    """Microseconds (R,) of a time column and the reasons of those rows that have none (marked NO_TIME).

    ISO 8601 dates and date-times, epoch seconds or milliseconds, Arrow timestamps and dates. Stamps with an
    offset are exact whatever the offset; stamps without one are in `timezone`, and refused where other rows of
    the file have an offset.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    zone = _zone(timezone)
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        local = not (pa.types.is_timestamp(kind) and kind.tz)
        values = pc.cast(column, pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        return _arrow(values, zone if local else None)
    if pa.types.is_integer(kind):
        column = pc.cast(column, pa.string())
    for target, here in ((pa.timestamp("us", tz="UTC"), None), (pa.timestamp("us"), zone)):
        try:
            return _arrow(pc.cast(column, target), here)
        except pa.ArrowInvalid:
            continue
    return _one_by_one(column.to_pylist(), zone)


def _arrow(column: Any, zone: ZoneInfo | None) -> tuple[I64, dict[int, str]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = np.flatnonzero(column.is_null().to_numpy())
    us = pc.fill_null(pc.cast(column, pa.int64()), NO_TIME).to_numpy().astype(np.int64)
    reasons = dict.fromkeys(empty.tolist(), EMPTY)
    if zone is not None and zone.key != "UTC":
        us, more = _localised(us, zone)
        reasons |= {row: reason for row, reason in more.items() if row not in reasons}
    return us, reasons


def _localised(us: I64, zone: ZoneInfo) -> tuple[I64, dict[int, str]]:
    """Wall-clock microseconds of a zone as instants; a wall clock that is skipped or comes twice has none."""
    distinct, inverse = np.unique(us, return_inverse=True)
    moved = np.full(len(distinct), NO_TIME, dtype=np.int64)
    for i, wall in enumerate(distinct.tolist()):
        if wall == NO_TIME:
            continue
        naive = (EPOCH + timedelta(microseconds=wall)).replace(tzinfo=None)
        early, late = (to_us(naive.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
        if early == late:
            moved[i] = early
    result = moved[inverse]
    twice = np.flatnonzero((result == NO_TIME) & (us != NO_TIME))
    return result, dict.fromkeys(twice.tolist(), f"{NOT_A_TIME}: skipped or twice in {zone.key} (daylight saving)")


def _one_by_one(words: list[str | None], zone: ZoneInfo) -> tuple[I64, dict[int, str]]:
    known: dict[str, tuple[int, bool, str]] = {word: _parse(word, zone) for word in set(words) if word}
    some_aware = any(aware for _, aware, _ in known.values())
    us = np.full(len(words), NO_TIME, dtype=np.int64)
    reasons: dict[int, str] = {}
    for i, word in enumerate(words):
        at, aware, reason = known[word] if word else (NO_TIME, False, EMPTY)
        if not reason and some_aware and not aware:
            reason = MIXED
        if reason:
            reasons[i] = reason
        else:
            us[i] = at
    return us, reasons


def _parse(word: str, zone: ZoneInfo) -> tuple[int, bool, str]:
    """Instant, whether it named its own zone, and why there is none."""
    text = word.strip()
    if text.lstrip("-").isdigit():
        try:
            return parse_instant(text), True, ""
        except InputError:
            return NO_TIME, False, NOT_A_TIME
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return NO_TIME, False, NOT_A_TIME
    if parsed.tzinfo is not None:
        return to_us(parsed), True, ""
    wall = np.array([to_us(parsed.replace(tzinfo=UTC))], dtype=np.int64)
    moved, reasons = _localised(wall, zone)
    return int(moved[0]), False, reasons.get(0, "")


def session_closes(dates_us: I64, *, calendar: str, future: bool) -> I64:
    """The close instant (R,) of the session each 00:00-UTC date names; NO_TIME where the exchange has none.

    A future's daily bar ends at its 17:00 New York settlement, whatever the stock exchange's calendar says.
    """
    from indexer.analytics.calendar import sessions

    days, inverse = np.unique(dates_us, return_inverse=True)
    real = days[days != NO_TIME]
    if not len(real):
        return np.full(len(dates_us), NO_TIME, dtype=np.int64)
    if future:
        closes = {int(day): _settlement(_date(int(day))) for day in real}
    else:
        found = sessions(_date(int(real[0])), _date(int(real[-1])), exchange=calendar)
        stamps = [to_us(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day in found.dates]
        closes = dict(zip(stamps, found.closes_us.tolist(), strict=True))
    return np.array([closes.get(int(day), NO_TIME) for day in days], dtype=np.int64)[inverse]


def clipped_to_session(opens_us: I64, ends_us: I64, *, calendar: str) -> I64:
    """Ends of intraday bars (R,), not later than the close of the session they lie in (early closes too)."""
    from indexer.analytics.calendar import sessions

    if not len(opens_us):
        return ends_us
    first, last = _date(int(opens_us.min())), _date(int(opens_us.max()) + 5 * DAY_US)
    closes = sessions(first, last, exchange=calendar).closes_us
    after = np.searchsorted(closes, opens_us, side="right")
    limit = np.where(after < len(closes), closes[np.minimum(after, len(closes) - 1)], ends_us)
    return np.minimum(ends_us, limit)


def _settlement(day: date) -> int:
    return to_us(datetime(day.year, day.month, day.day, FUTURES_SETTLE_HOUR, tzinfo=ZoneInfo("America/New_York")))


def _date(us: int) -> date:
    return (EPOCH + timedelta(microseconds=us)).date()


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ImportFileError(f'timezone "{name}" is not known; give UTC or a name like America/New_York') from None
