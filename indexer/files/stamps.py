"""Time columns of files → instants in UTC: what is written, then what it means (bar open, close, session date).

A stamp that cannot be an instant gets a reason, never a guess: digits are an epoch only in the unit in which they fall
between 1990 and 2099.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64, I64, Bools
from indexer.errors import ImportFileError
from indexer.times import DAY_US, EARLIEST_S, EPOCH, HOUR_US, LATEST_S, ZULU, compact_time, read_time, to_us

if TYPE_CHECKING:
    from indexer.analytics.align import Sessions

NO_TIME = np.iinfo(np.int64).min
EMPTY = "no time"
NOT_A_TIME = "not a time"
MIXED = "no time zone where other rows of the file have one"
NOT_A_DATE = "a session date must be a plain date"
NO_SESSION = "no session of the exchange on that date"
SWAPPED = f"{NOT_A_TIME}: day and month could be swapped; give --date-format, or date_format in the manifest"
LOST_DIGITS = f"{NOT_A_TIME}: digits are lost in a number like 1.7E+12"
FUTURES_SETTLE_US = 17 * HOUR_US  # New York
SECOND_US = 1_000_000
FIRST_CLOCK, LAST_CLOCK = -62_000_000_000 * SECOND_US, 253_000_000_000 * SECOND_US  # years 5 to 9987
NAMES = {SECOND_US: "s", 1_000: "ms", 1: "µs", 0.001: "ns"}  # by microseconds a stamp
UNITS = {1: SECOND_US, 1_000: 1_000, 1_000_000: 1, 1_000_000_000: 0.001}  # stamps a second → microseconds a stamp
SERIAL_EPOCH, FIRST_SERIAL, LAST_SERIAL = 25_569, 32_874, 73_051  # Excel's days: 1970, 1990 and 2100
DAY_FIRST = re.compile(
    r"\d{1,2}([/.-])\d{1,2}\1(\d{4}|\d\d)(?:([ T]+|, )(\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?)( ?[AaPp][Mm])?)?"
)


@dataclass(frozen=True, slots=True)
class Stamps:
    """Instants (R,) in microseconds, NO_TIME where there is none for one of `reasons` (by row).

    `units` are those that stamps written as numbers are in (s, ms, µs, ns, Excel's days); none for dates as text.
    `wall_us` (R,) is the clock as it is written, in the stamp's own offset or the file's zone: it tells a date from
    a time of day.
    """

    us: I64
    wall_us: I64
    reasons: dict[int, str]
    units: frozenset[str] = frozenset()


def instants(column: Any, *, timezone: str = "UTC", date_format: str = "", name: str = "time") -> Stamps:
    """The stamps of a time column.

    ISO 8601 dates and date-times, `… UTC`, epochs in s, ms, µs or ns (whole or floats), YYYYMMDD[HHMM[SS]], dates
    with the year first or the month in letters, Arrow timestamps and dates. Stamps with an offset are exact whatever
    the offset; stamps without one are in `timezone`, and refused where most rows of the file have one.
    Raises ImportFileError for a column that cannot hold times, or a zone or format that is unknown.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    zone, kind = _zone(timezone), column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        aware = pa.types.is_timestamp(kind) and bool(kind.tz)
        values = pc.cast(column, pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        return _arrow(values, zone, aware=aware)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(column, zone)
    if not (pa.types.is_null(kind) or is_text(kind)):
        raise ImportFileError(
            f'column "{name}" is of the type {kind}, which is no time; correct the manifest or the file'
        )
    return _words(pc.cast(column, pa.string()), zone, date_format)


def is_text(kind: Any) -> bool:
    """Whether a column of an Arrow type holds text, in whatever form it is kept."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def day_orders(stamps: Sequence[str]) -> list[str]:
    """The formats that dates such as 27/01/2025 may have, day first, then month first; none for other stamps.

    A date with dots begins with the day. A year of two digits may stand first too, but for dots.
    """
    words = [stamp for stamp in stamps if stamp]
    shapes = [DAY_FIRST.fullmatch(word) for word in words]
    first = next(filter(None, shapes), None)
    if first is None or 2 * sum(shape is not None for shape in shapes) < len(words):
        return []
    mark, year = first[1], "%Y" if len(first[2]) == 4 else "%y"
    clock = ("", "%H:%M", "%H:%M:%S")[(first[4] or "").count(":")] + ".%f" * ("." in (first[4] or ""))
    tail = f"{first[3]}{clock.replace('H', 'I') + ' %p' if first[5] else clock}" if clock else ""
    orders = [f"%d{mark}%m{mark}{year}{tail}", f"%m{mark}%d{mark}{year}{tail}"]
    orders += [f"%y{mark}%m{mark}%d{tail}"] if year == "%y" else []
    return orders[:1] if mark == "." else orders


def date_order(stamps: Sequence[str], *, step_us: int) -> str | None:
    """The format of dates such as 27/01/2025; '' where day and month could be swapped, None for other stamps.

    Of two orders that can be read, the one in which most rows are one step
    (microseconds) apart, unless in the other every date is the first of a month.
    """
    words = [stamp for stamp in stamps if stamp]
    orders = day_orders(words)
    if not orders:
        return None
    read = {form: days for form in orders if (days := _all_read(words, form))}
    if len(read) == 1:
        return next(iter(read))
    apart = {form: _usual_step(days) for form, days in read.items()}
    fits = [form for form in read if apart[form] == (step_us or DAY_US)]
    others = [days for form, days in read.items() if form not in fits]
    return fits[0] if len(fits) == 1 and any(day.day != 1 for day in others[0]) else ""


def _all_read(words: Sequence[str], form: str) -> list[datetime]:
    """The times of all words but those that are none in any order; [] where one is none in this."""
    days = []
    for word in words:
        try:
            days.append(_strptime(form, word))
        except ValueError:
            if DAY_FIRST.fullmatch(word):
                return []
    return days


def _usual_step(days: Sequence[datetime]) -> int:
    steps = [abs(after - before) // timedelta(microseconds=1) for before, after in pairwise(days)]
    return max(set(steps), key=steps.count, default=0)


def _words(column: Any, zone: ZoneInfo, date_format: str) -> Stamps:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not date_format:
        column = pc.utf8_trim_whitespace(column)
        present = pc.drop_null(column)
        if len(present) and pc.all(pc.match_substring_regex(present, r"^-?[0-9]+(\.[0-9]+)?$")).as_py():
            whole = not pc.any(pc.match_substring(present, ".")).as_py()
            try:
                return _numbers(pc.cast(column, pa.int64() if whole else pa.float64()), zone)
            except pa.ArrowInvalid:
                pass
        column = pc.replace_substring_regex(column, ZULU, "Z")
        aware = len(present) > 0 and pc.all(pc.ends_with(pc.drop_null(column), "Z")).as_py()
        naive = not pc.any(pc.match_substring_regex(column, r"(Z|[+-]\d\d:?\d\d)$")).as_py()
        for target, fits in ((pa.timestamp("us", tz="UTC"), aware), (pa.timestamp("us"), naive)):
            try:
                if fits:
                    return _arrow(pc.cast(column, target), zone, aware=aware)
            except pa.ArrowInvalid:
                continue
    return _one_by_one(column.to_pylist(), zone, date_format)


def _arrow(column: Any, zone: ZoneInfo, *, aware: bool) -> Stamps:
    import pyarrow as pa
    import pyarrow.compute as pc

    def int64(values: Any) -> I64:
        result: I64 = pc.fill_null(pc.cast(values, pa.int64()), NO_TIME).to_numpy().astype(np.int64)
        return result

    reasons = dict.fromkeys(np.flatnonzero(column.is_null().to_numpy()).tolist(), EMPTY)
    if aware:
        wall = int64(column if column.type.tz == "UTC" else pc.local_timestamp(column))
        return Stamps(int64(column), wall, reasons)
    wall = int64(column)
    us, more = _localised(wall, zone)
    return Stamps(us, wall, more | reasons)


def _numbers(column: Any, zone: ZoneInfo) -> Stamps:
    """Stamps of numbers: epochs in the one unit that fits, else dates and times written as digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = column.is_null().to_numpy()
    if pa.types.is_integer(column.type):
        values: Any = pc.fill_null(pc.cast(column, pa.int64(), safe=False), 0).to_numpy()
    else:
        values = pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan).to_numpy()
        empty = empty | np.isnan(values)
        values = np.where(np.isfinite(values), values, 0.0)
    us = np.full(len(values), NO_TIME, dtype=np.int64)
    unit = np.zeros(len(values))
    for per_second, factor in UNITS.items():
        fits = (np.abs(values) >= EARLIEST_S * per_second) & (np.abs(values) < LATEST_S * per_second)
        unit[fits] = factor
        us[fits] = _scaled(values[fits], factor)
    units = set(unit[unit > 0].tolist())
    near = ~empty & (unit == 0) & (np.abs(values) < EARLIEST_S * (1_000 if units == {1_000} else 1))
    near &= (np.abs(values) < 19_000_101) | (np.abs(values) > 21_001_231)  # no date among epochs
    if len(units) == 1 and units <= {SECOND_US, 1_000}:  # years before 1990, in the unit of the other rows
        us[near] = _scaled(values[near], units.pop())
    serial = (values >= FIRST_SERIAL) & (values < LAST_SERIAL)
    if len(values) and not empty.all() and (serial | empty).all():
        return _serials(values, empty, zone)
    us[empty] = NO_TIME
    wall, reasons = us.copy(), dict.fromkeys(np.flatnonzero(empty).tolist(), EMPTY)
    rest = np.flatnonzero((us == NO_TIME) & ~empty)
    for row in rest.tolist():
        whole = values[row] == int(values[row]) and (not near.any() or not units)
        moment = compact_time(str(int(values[row]))) if whole else None
        if moment is None:
            reasons[row] = NOT_A_TIME
        else:
            wall[row] = to_us(moment)
    written = rest[wall[rest] != NO_TIME]
    us[written], skipped = _localised(wall[written], zone)
    reasons |= {int(written[n]): why for n, why in skipped.items()}
    return Stamps(us, wall, reasons, frozenset(NAMES[factor] for factor in set(unit[unit > 0].tolist())))


def _serials(values: F64, empty: Bools, zone: ZoneInfo) -> Stamps:
    """Stamps of Excel's days since 1899-12-30, whose fraction is the time of day, to the millisecond."""
    wall = np.asarray(np.rint((values - SERIAL_EPOCH) * 86_400_000) * 1_000, dtype=np.int64)
    wall[empty] = NO_TIME
    us, reasons = _localised(wall, zone)
    return Stamps(
        us, wall, reasons | dict.fromkeys(np.flatnonzero(empty).tolist(), EMPTY), frozenset({"days of Excel"})
    )


def _scaled(values: I64 | F64, factor: float) -> I64:
    if factor < 1:
        return np.asarray(values // 1_000, dtype=np.int64)
    return np.asarray(np.rint(values * int(factor)), dtype=np.int64)


def _localised(us: I64, zone: ZoneInfo) -> tuple[I64, dict[int, str]]:
    """Wall-clock microseconds of a zone as instants; a wall clock that is skipped or comes twice has none."""
    if zone.key == "UTC":
        return us.copy(), {}
    import pandas as pd

    clock = np.where((us > FIRST_CLOCK) & (us < LAST_CLOCK), us, NO_TIME).view("datetime64[us]")
    result: I64 = pd.DatetimeIndex(clock).tz_localize(zone, ambiguous="NaT", nonexistent="NaT").asi8.copy()
    twice = np.flatnonzero((result == NO_TIME) & (us != NO_TIME))
    return result, dict.fromkeys(twice.tolist(), f"{NOT_A_TIME}: skipped or twice in {zone.key} (daylight saving)")


def _one_by_one(words: list[str | None], zone: ZoneInfo, date_format: str) -> Stamps:
    places = {word: n for n, word in enumerate(dict.fromkeys(words))}
    moments = [_moment((word or "").strip(), date_format) for word in places]
    wall = np.array([NO_TIME if at is None else to_us(at.replace(tzinfo=UTC)) for at, _ in moments], dtype=np.int64)
    own = np.array([at is not None and at.tzinfo is not None for at, _ in moments], dtype=np.bool_)
    us, skipped = _localised(np.where(own, NO_TIME, wall), zone)
    us[own] = [to_us(at) for at, _ in moments if at is not None and at.tzinfo is not None]
    reasons = {n: why for n, (_, why) in enumerate(moments) if why} | skipped
    place = np.array([places[word] for word in words], dtype=np.int64)
    us, wall, own = us[place], wall[place], own[place]
    naive = (us != NO_TIME) & ~own
    by_row = {row: reasons[n] for row, n in enumerate(place.tolist()) if n in reasons}
    if own.sum() >= max(1, naive.sum()):
        us[naive] = NO_TIME
        by_row |= dict.fromkeys(np.flatnonzero(naive).tolist(), MIXED)
    return Stamps(us, np.where(us == NO_TIME, NO_TIME, wall), by_row)


def _strptime(form: str, text: str) -> datetime:
    return datetime.strptime(text, form)  # noqa: DTZ007 - the zone is found by the caller


def _moment(text: str, date_format: str) -> tuple[datetime | None, str]:
    if not text:
        return None, EMPTY
    if date_format:
        try:
            return _strptime(date_format, text), ""
        except ValueError:
            return None, NOT_A_TIME
    moment = read_time(text)
    if moment is not None:
        return moment, ""
    if re.fullmatch(r"-?\d+(\.\d+)?[eE][+-]?\d+", text):
        return None, LOST_DIGITS
    return None, SWAPPED if re.match(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}\b", text) else NOT_A_TIME


def session_days(stamps: Stamps, *, calendar: str) -> I64:
    """The session date (R,) that each stamp means, as its 00:00 UTC; NO_TIME where it is no session's.

    A stamp means a session as a plain date, as midnight in its own offset or on the exchange's clock, or as the
    instant at which the session opens or closes.
    """
    us, wall = stamps.us, stamps.wall_us
    known = us != NO_TIME
    days = np.where(known & (wall % DAY_US == 0), wall, NO_TIME)
    rest = np.flatnonzero(known & (days == NO_TIME))
    if not len(rest):
        return days
    around = _sessions(us[rest], calendar, before_us=3 * DAY_US, after_us=3 * DAY_US)
    dates = _dates(around)
    midnights, _ = _localised(dates, ZoneInfo(around.zone))
    for edge in (around.opens_us, around.closes_us, midnights):
        days[rest] = np.maximum(days[rest], _matched(edge, dates, us[rest]))
    return days


def _dates(known: Sessions) -> I64:
    """The 00:00 UTC of each session's date."""
    return np.array(known.dates, dtype="datetime64[us]").astype(np.int64)


def _matched(keys: I64, values: I64, wanted: I64) -> I64:
    """The values (R,) that stand at exactly the wanted ones of sorted keys, NO_TIME where there is no such key."""
    place = np.searchsorted(keys, wanted)
    return np.where(np.r_[keys, NO_TIME][place] == wanted, np.r_[values, NO_TIME][place], NO_TIME)


def session_closes(dates_us: I64, *, calendar: str, future: bool) -> I64:
    """The close instant (R,) of the session each 00:00-UTC date names; NO_TIME where the exchange has none.

    A future's daily bar ends at its 17:00 New York settlement, whatever the stock exchange's calendar says.
    """
    real = dates_us[dates_us != NO_TIME]
    if future:
        settled = np.where(dates_us == NO_TIME, NO_TIME, dates_us + FUTURES_SETTLE_US)
        return _localised(settled, ZoneInfo("America/New_York"))[0]
    if not len(real):
        return dates_us.copy()
    known = _sessions(real, calendar)
    return _matched(_dates(known), known.closes_us, dates_us)


def clipped_to_session(opens_us: I64, ends_us: I64, *, calendar: str) -> tuple[I64, Bools]:
    """Ends of intraday bars (R,), not later than the close of their session, and which lie outside of any session."""
    if not len(opens_us):
        return ends_us, np.zeros(0, dtype=np.bool_)
    known = _sessions(opens_us, calendar, after_us=5 * DAY_US)
    after = np.searchsorted(known.closes_us, opens_us, side="right")
    opens, closes = (np.r_[edge, LAST_CLOCK][after] for edge in (known.opens_us, known.closes_us))
    return np.minimum(ends_us, closes), ends_us <= opens


def _sessions(us: I64, calendar: str, *, before_us: int = 0, after_us: int = 0) -> Sessions:
    """The sessions of an exchange from the first of some instants to the last, and so much before and after."""
    from indexer.analytics.align import sessions

    span = (int(us.min()) - before_us, int(us.max()) + after_us)
    first, last = ((EPOCH + timedelta(microseconds=at)).date() for at in span)
    return sessions(first, last, exchange=calendar)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ImportFileError(f'timezone "{name}" is not known; give UTC or a name like America/New_York') from None


def period_ends(start_us: I64, periods: NDArray[np.str_]) -> I64:
    """The end of the day or month that each instant begins, the instant itself where it begins neither."""
    months = (start_us.astype("datetime64[us]").astype("datetime64[M]") + 1).astype("datetime64[us]").astype(np.int64)
    ends = np.select([periods == "day", periods == "month"], [start_us + DAY_US, months], start_us)
    return np.where(start_us == NO_TIME, NO_TIME, ends)
