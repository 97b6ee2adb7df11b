"""Yahoo chart v8 by plain HTTP: equities, ETFs, indices and futures; raw and adjusted closes kept apart.

Unofficial and for display only, so it never enters a fixing; FRED and file imports stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64, I64
from indexer.errors import SourceCorrupt, SourceRefused
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known
from indexer.sources.http import Answer
from indexer.sources.records import BenchmarkBars, Reject
from indexer.sources.rows import FUTURE_SLACK_US, dict_in, json_of, list_in, number, stamps_us
from indexer.sources.sessions import session_close_us
from indexer.times import HOUR_US, MINUTE_US

SYMBOLS: Final = (
    *("QQQ", "^NDX", "NQ=F", "NVDA", "MSFT", "GOOGL", "META", "AMZN"),
    *("AMD", "AVGO", "TSM", "SMH", "SOXX", "SPY", "^VIX"),
)
_IN_SESSIONS: Final = {"EQUITY", "ETF", "INDEX"}
_BASIS: Final = {"INDEX": "index_level", "FUTURE": "continuous_front_month_future"}


@dataclass(frozen=True)
class Yahoo(RestSource):
    """Chart: parallel arrays; a daily stamp is the session's open, so the close is taken from the calendar."""

    about: ClassVar[Capabilities] = known("yahoo")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        return self.paged(ask, self._chart) if ask.dataset is Dataset.BENCHMARK else ()

    @staticmethod
    def _chart(ask: Ask) -> Call:
        params = {
            "period1": str(ask.start_us // 1_000_000),
            "period2": str(ask.end_us // 1_000_000),
            "interval": ask.interval,
            "includePrePost": "false",
            "events": "div,split",
        }
        return Call("yahoo", f"/v8/finance/chart/{ask.symbol}", params, ask, rows=ask.rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        chart = _chart_of(json_of(answer, "yahoo"), call.ask.symbol)
        stamps = stamps_us(np.array([number(s) for s in list_in(chart.get("timestamp"))]), 1_000_000, name="yahoo")
        quote, adjusted = _columns(chart, len(stamps))
        meta = chart["meta"]
        close_us, final = _closes(stamps, meta, call.ask.interval)
        close = quote["close"]
        future = stamps > answer.fetched_us + FUTURE_SLACK_US
        opened = ~future & ((close_us > answer.fetched_us) | ~final)
        empty = ~np.isfinite(close)  # null: no trade or a session that Yahoo lacks
        wrong = ~empty & (close <= 0.0)
        asked = (close_us > call.ask.start_us) & (close_us <= call.ask.end_us)
        keep = asked & ~opened & ~future & ~empty & ~wrong & (stamps > 0)
        _, first = np.unique(close_us[keep], return_index=True)
        rows = np.flatnonzero(keep)[first]
        rejects = [Reject("close is missing", str(int(stamps[at])), int(at)) for at in np.flatnonzero(empty)]
        rejects += [Reject("stamp lies in the future", str(int(stamps[at])), int(at)) for at in np.flatnonzero(future)]
        rejects += [
            Reject("close is not a finite positive number", str(close[at]), int(at)) for at in np.flatnonzero(wrong)
        ]
        bars = BenchmarkBars(
            symbol=call.ask.symbol,
            time_us=close_us[rows],
            close=close[rows],
            adjusted_close=adjusted[rows],
            volume=quote["volume"][rows],
            price_basis=_BASIS.get(str(meta.get("instrumentType")), "unadjusted_for_dividends"),
        )
        return Parsed(benchmark=bars, rejects=tuple(rejects), open_rows=int((opened & asked).sum()))


def _chart_of(body: Any, symbol: str) -> dict[str, Any]:
    """The only result of a chart answer, checked to be of the asked symbol."""
    chart = body.get("chart") if isinstance(body, dict) else None
    if not isinstance(chart, dict):
        raise SourceCorrupt("yahoo answered without `chart`")
    if chart.get("error"):
        error = dict_in(chart["error"])
        raise SourceRefused(f"yahoo answers {error.get('code')}: {error.get('description', chart['error'])}")
    result = chart.get("result")
    if not isinstance(result, list) or len(result) != 1 or not isinstance(result[0], dict):
        raise SourceCorrupt("yahoo answered a chart without a result")
    meta = result[0].get("meta")
    if not isinstance(meta, dict) or meta.get("symbol") != symbol:
        said = meta.get("symbol") if isinstance(meta, dict) else None
        raise SourceCorrupt(f"yahoo answered for {said} when asked {symbol}")
    found: dict[str, Any] = result[0]
    return found


def _columns(chart: dict[str, Any], rows: int) -> tuple[dict[str, F64], F64]:
    """Close and volume by name, and the adjusted close; NaN where a column is not given."""
    indicators = dict_in(chart.get("indicators"))
    quote = _first(indicators.get("quote"))
    names = ("close", "volume")
    columns = {name: np.array([number(v) for v in list_in(quote.get(name)) or [None] * rows]) for name in names}
    adjusted = list_in(_first(indicators.get("adjclose")).get("adjclose")) or [None] * rows
    found = np.array([number(v) for v in adjusted])
    if any(len(column) != rows for column in (*columns.values(), found)):
        raise SourceCorrupt("yahoo answered columns of different length")
    return columns, found


def _first(value: Any) -> dict[str, Any]:
    return dict_in(value[0]) if isinstance(value, list) and value else {}


def _closes(stamps: I64, meta: dict[str, Any], interval: str) -> tuple[I64, NDArray[np.bool_]]:
    """The instant each bar closes, and whether the row is a bar at all.

    The last hourly bar ends with its session (15:30 to 16:00 New York). Yahoo appends the running price as one
    more row, stamped with an odd second or with the close itself: that is no bar.
    """
    kind = str(meta.get("instrumentType", ""))
    zone = str(meta.get("exchangeTimezoneName", "America/New_York"))
    session = session_close_us(stamps, zone, instrument=kind)
    if interval == "1d":
        return session, np.ones(len(stamps), dtype=np.bool_)
    if kind not in _IN_SESSIONS:
        return stamps + HOUR_US, stamps % MINUTE_US == 0
    inside = stamps < session
    return np.where(inside, np.minimum(stamps + HOUR_US, session), stamps + HOUR_US), inside & (stamps % MINUTE_US == 0)
