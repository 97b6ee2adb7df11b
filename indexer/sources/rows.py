"""Rows of an answer → bars: the gates every venue shares, each refusal with a stable reason. Pure.

finite and positive · stamps in the promised unit, on the grid, not in the future · the open bar left out ·
duplicates once, contradicting duplicates not at all · high and low around open and close · no lone 100× spike.
Aggregators give points instead of candles: `bars_of_points` makes bars with a close only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from indexer.arrays import F64, I64, Bools
from indexer.errors import SourceCorrupt, SourceLimited, SourceRefused, SourceUnavailable
from indexer.sources.base import Call, Parsed
from indexer.sources.http import Answer
from indexer.sources.records import COLUMNS, Bars, Instrument, Quote, Reject, Series
from indexer.times import INTERVAL_US

FUTURE_SLACK_US: Final = 60_000_000  # clocks differ; a stamp a minute ahead is not yet a lie
OLDEST_US: Final = 1_230_768_000_000_000  # 2009-01-01: no asset of this field trades earlier
SPIKE: Final = 10.0  # against both neighbours; no liquid token did ×10 and back within two bars
_REJECTS_SHOWN: Final = 50

Rows = Sequence[Sequence[Any]]


def json_of(answer: Answer, name: str) -> Any:
    """The body as JSON. Raises SourceCorrupt when it is none (a replayed archive may hold anything)."""
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError as cause:
        raise SourceCorrupt(f"{name}: the body is not JSON ({cause})") from None


def error_answered(
    name: str, code: Any, message: Any, *, limits: Collection[Any], busy: Collection[Any]
) -> SourceRefused | SourceUnavailable:
    """The error that a code in a body means: a limit, a host that is busy, or a refusal."""
    text = f"{name} answers {code}: {message}"
    if code in limits:
        return SourceLimited(text)
    return SourceUnavailable(text) if code in busy else SourceRefused(text)


def number(value: Any) -> float:
    """The value as a float, NaN when it is none (null, "", "NaN", "inf", "n/a")."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        return math.nan
    return result if math.isfinite(result) else math.nan


def dict_in(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one: for optional parts of an answer."""
    return value if isinstance(value, dict) else {}


def list_in(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def instruments_of(rows: Sequence[Any], call: Call, read: Callable[[dict[str, Any]], Instrument]) -> Parsed:
    """A venue's list of pairs. Raises SourceCorrupt for a list without bitcoin, which is not the whole one."""
    listed = tuple(read(row) for row in rows if isinstance(row, dict))
    if not any(pair.base in ("BTC", "XBT") and pair.state == "trading" for pair in listed):
        raise SourceCorrupt(f"{call.source}: its list of instruments lacks bitcoin, so it is not the whole list")
    return Parsed(instruments=listed)


def bars_of_rows(
    rows: Rows, call: Call, answer: Answer, *, columns: tuple[int, int, int, int, int, int, int], unit_us: int
) -> Parsed:
    """Bars from a venue's rows. `columns`: places of the open's stamp, open, high, low, close, base and quote volume.

    `unit_us` is the promised unit of the stamp in microseconds. Rows outside the asked range are dropped
    silently (providers round ranges). Raises SourceCorrupt when the rows have another shape, or when stamps
    are in another unit than promised.
    """
    if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) <= max(columns) for row in rows):
        raise SourceCorrupt(f"{call.source}: rows of {call.ask.symbols[0]} have not the promised shape")
    values = [[number(row[place]) for place in columns] for row in rows]
    table = np.array(values, dtype=np.float64).reshape(len(rows), len(columns))
    stamps = stamps_us(table[:, 0], unit_us, name=call.source)
    ends = np.where(stamps < 0, stamps, stamps + INTERVAL_US[call.ask.interval])
    return gate(ends, table[:, 1:], call, fetched_us=answer.fetched_us, raw=rows)


def stamps_us(stamps: F64, unit_us: int, *, name: str) -> I64:
    """Stamps in microseconds; −1 where a stamp is not a number.

    Raises SourceCorrupt when most of them cannot be of the promised unit (seconds for milliseconds put
    2025 into 1970, the reverse into the year 56,000).
    """
    known = np.isfinite(stamps)
    us = np.where(known, np.nan_to_num(stamps), 0.0) * unit_us
    plausible = known & (us >= OLDEST_US) & (us < 4e15)
    if known.any() and plausible.sum() * 2 < known.sum():
        raise SourceCorrupt(f"{name}: stamps such as {stamps[known][0]:.0f} are not in the promised unit")
    return np.where(plausible, us, -1.0).astype(np.int64)


def gate(close_us: I64, values: F64, call: Call, *, fetched_us: int, raw: Sequence[Any]) -> Parsed:
    """Bars from closes (N,) and values (N, 6: open, high, low, close, base volume, quote volume), in any order.

    `raw` are the rows as they came, for the rejects.
    """
    step = INTERVAL_US[call.ask.interval]
    values = values.copy()
    values[:, 4:][values[:, 4:] < 0.0] = np.nan
    ahead = close_us - step > fetched_us + FUTURE_SLACK_US
    opened = ~ahead & (close_us > fetched_us)
    asked = (close_us > call.ask.start_us) & (close_us <= call.ask.end_us)
    reasons = _reasons(close_us, values, ahead=ahead, step=step)
    wrong = reasons != ""
    keep = asked & ~opened & ~wrong
    keep, repeated = _once(close_us, values, keep)
    reasons[repeated] = "contradicting rows for one bar"
    order = np.flatnonzero(keep)[np.argsort(close_us[keep], kind="stable")]
    order, spikes = _without_spikes(values, order)
    reasons[spikes] = "price jumps by more than tenfold and back"
    shown = np.flatnonzero((reasons != "") & (asked | ahead | (close_us < 0)))[:_REJECTS_SHOWN]
    rejects = tuple(Reject(str(reasons[at]), _text(raw[at]), int(at)) for at in shown)
    chosen = dict(zip(COLUMNS[1:], values[order].T.copy(), strict=True))
    bars = Bars(close_us[order], **chosen, quote=call.ask.quote)
    return Parsed(bars=bars, rejects=rejects, open_rows=int((opened & asked).sum()))


def _reasons(close_us: I64, values: F64, *, ahead: Bools, step: int) -> NDArray[np.object_]:
    reasons = np.full(len(close_us), "", dtype=object)
    with np.errstate(invalid="ignore"):
        o, h, low, c = values[:, 0], values[:, 1], values[:, 2], values[:, 3]
        around = (h < np.fmax(o, c)) | (low > np.fmin(o, c)) | (low <= 0.0) | (o <= 0.0)
        reasons[around] = "high and low do not enclose open and close"
        reasons[~(np.isfinite(c) & (c > 0.0))] = "close is not a finite positive number"
    reasons[close_us % step != 0] = "stamp is off the interval's grid"
    reasons[ahead] = "stamp lies in the future"
    reasons[close_us < 0] = "stamp is not an instant"
    return reasons


def _once(close_us: I64, values: F64, keep: Bools) -> tuple[Bools, Bools]:
    """Of rows with one stamp, the first if they agree; none if they contradict each other."""
    repeated = np.zeros(len(close_us), dtype=np.bool_)
    at = np.flatnonzero(keep)
    _, group, size = np.unique(close_us[at], return_inverse=True, return_counts=True)
    if not (size > 1).any():
        return keep, repeated
    keep = keep.copy()
    for number_of in np.flatnonzero(size > 1):
        same = at[group == number_of]
        agree = bool((values[same, 3] == values[same[0], 3]).all())
        keep[same[1:]] = False
        if not agree:
            keep[same[0]] = False
            repeated[same] = True
    return keep, repeated


def _without_spikes(values: F64, order: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows without those that stand tenfold above (or below) both neighbours, which agree with each other."""
    close = values[order, 3]
    if len(close) < 3:
        return order, order[:0]
    before, here, after = close[:-2], close[1:-1], close[2:]
    near = np.abs(np.log(before / after)) < np.log(2.0)
    spike = near & (np.abs(np.log(here / np.sqrt(before * after))) > np.log(SPIKE))
    at = np.flatnonzero(spike) + 1
    return np.delete(order, at), order[at]


def _text(row: Any) -> str:
    text = orjson.dumps(row, default=str).decode() if not isinstance(row, str) else row
    return text if len(text) <= 300 else text[:299] + "…"


def quotes_of(call: Call, prices: Iterable[tuple[Any, Any]]) -> Parsed:
    """The asked symbols' prices out of a venue's (symbol, price) pairs; what it lacks is simply not there."""
    known = {str(symbol): number(price) for symbol, price in prices}
    quotes = [Quote(symbol, known[symbol], call.ask.quote) for symbol in call.ask.symbols if known.get(symbol, 0) > 0]
    return Parsed(quotes=tuple(quotes))


_NEAR_US: Final = 10 * 60_000_000

Points = Sequence[Sequence[Any]]


def bars_of_points(
    points: Points, call: Call, answer: Answer, *, volumes: Points | None = None, unit_us: int = 1000
) -> Parsed:
    """Bars from [stamp, price] pairs that are true at the stamp; open, high and low stay unknown.

    A point belongs to the bar whose close is nearest, if that is within ten minutes (aggregators sample some
    minutes past the hour); of several the nearest counts. Others (such as the trailing point "now" of a daily
    chart) lie off the grid and are left out.
    """
    stamps = stamps_us(np.array([number(p[0]) for p in points]), unit_us, name=call.source)
    price = np.array([number(p[1]) for p in points])
    step = INTERVAL_US[call.ask.interval]
    close_us = np.where(stamps < 0, stamps, (stamps + step // 2) // step * step)
    distance = np.abs(stamps - close_us)
    chosen = np.flatnonzero((distance <= min(_NEAR_US, step // 4)) | (stamps < 0))
    chosen = chosen[np.argsort(distance[chosen], kind="stable")]
    _, first = np.unique(close_us[chosen], return_index=True)
    chosen = chosen[first]
    values = np.full((len(chosen), 6), np.nan)
    values[:, 3] = price[chosen]
    if volumes is not None:
        values[:, 5] = _matched(stamps[chosen], volumes, unit_us, name=call.source)
    raw = [points[at] for at in chosen.tolist()]
    return gate(close_us[chosen], values, call, fetched_us=answer.fetched_us, raw=raw)


def _matched(stamps: I64, volumes: Points, unit_us: int, *, name: str) -> F64:
    """The volumes with exactly these stamps, NaN where there is none."""
    at = stamps_us(np.array([number(p[0]) for p in volumes]), unit_us, name=name)
    by_stamp = dict(zip(at.tolist(), (number(p[1]) for p in volumes), strict=True))
    return np.array([by_stamp.get(stamp, np.nan) for stamp in stamps.tolist()], dtype=np.float64)


def series_of_symbol(
    name: str, rows: Any, call: Call, answer: Answer, *, at: str, value: str, of: str = "symbol"
) -> Parsed:
    """One series of the asked symbol from rows with its name, a stamp in milliseconds and a value at these keys."""
    if not isinstance(rows, list) or any(dict_in(row).get(of) != call.ask.symbol for row in rows):
        raise SourceCorrupt(f"{call.source} answered for other instruments than {call.ask.symbol}")
    return series_of(name, [[row.get(at), row.get(value)] for row in rows], call, answer)


def series_of(name: str, rows: Sequence[Sequence[Any]], call: Call, answer: Answer, *, unit_us: int = 1000) -> Parsed:
    """One series from [stamp, value] rows in any order, within the asked range; doubtful rows are rejects."""
    at = stamps_us(np.array([number(row[0]) for row in rows]), unit_us, name=call.source)
    value = np.array([number(row[1]) for row in rows])
    good = (at > 0) & (at <= answer.fetched_us) & np.isfinite(value)
    asked = good & (at > call.ask.start_us) & (at <= call.ask.end_us)
    times, first = np.unique(at[asked], return_index=True)
    rejects = rejects_of(rows, ~good, "not a finite value at a past instant")
    return Parsed(series=(Series(call.ask.symbol, name, times, value[asked][first]),), rejects=rejects)


def rejects_of(rows: Sequence[Any], wrong: Bools, reason: str) -> tuple[Reject, ...]:
    """The rows that are wrong (R,), each with its beginning and its place."""
    return tuple(Reject(reason, str(rows[n])[:300], n) for n in np.flatnonzero(wrong).tolist())
