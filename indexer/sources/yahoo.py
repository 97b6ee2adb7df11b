"""Yahoo chart v8 by plain HTTP: equities, ETFs, indices and futures; raw and adjusted closes kept apart.

Unofficial and for display only, so it never enters a fixing; FRED and file imports stand beside it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from indexer.arrays import F64
from indexer.errors import SourceCorrupt, SourceRefused
from indexer.sources.base import Call, Parsed, RestSource
from indexer.sources.closes import DIVIDENDS_LEFT, LEVEL, bar_closes_us
from indexer.sources.http import Answer
from indexer.sources.records import BenchmarkBars, Reject
from indexer.sources.rows import FUTURE_SLACK_US, dict_in, json_of, list_in, number, stamps_us

_BASIS: Final = {"INDEX": LEVEL, "FUTURE": "continuous_front_month_future"}


class Yahoo(RestSource, name="yahoo"):
    """Chart: parallel arrays; a daily stamp is the session's open, so the close is taken from the calendar."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        chart = _chart_of(json_of(answer, "yahoo"), call.ask.symbol)
        stamps = stamps_us(np.array([number(s) for s in list_in(chart.get("timestamp"))]), 1_000_000, name="yahoo")
        quote, adjusted = _columns(chart, len(stamps))
        kind = str(chart["meta"].get("instrumentType", ""))
        zone = str(chart["meta"].get("exchangeTimezoneName", "America/New_York"))
        close_us = bar_closes_us(stamps, interval=call.ask.interval, zone=zone, instrument=kind)
        close = quote["close"]
        future = stamps > answer.fetched_us + FUTURE_SLACK_US
        opened = ~future & (close_us > answer.fetched_us)
        asked = (close_us > call.ask.start_us) & (close_us <= call.ask.end_us)
        faults = {
            "close is missing": ~np.isfinite(close),  # null: no trade, or a session that Yahoo lacks
            "stamp lies in the future": future,
            "close is not a finite positive number": close <= 0.0,
        }
        keep = asked & ~opened & (stamps > 0) & ~np.logical_or.reduce(list(faults.values()))
        _, first = np.unique(close_us[keep], return_index=True)
        rows = np.flatnonzero(keep)[first]
        rejects = tuple(
            Reject(reason, f"{int(stamps[at])} {close[at]}", int(at))
            for reason, wrong in faults.items()
            for at in np.flatnonzero(wrong)
        )
        bars = BenchmarkBars(
            symbol=call.ask.symbol,
            time_us=close_us[rows],
            close=close[rows],
            adjusted_close=adjusted[rows],
            volume=quote["volume"][rows],
            price_basis=_BASIS.get(kind, DIVIDENDS_LEFT),
        )
        return Parsed(benchmark=bars, rejects=rejects, open_rows=int((opened & asked).sum()))


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
        raise SourceCorrupt(f"yahoo answered for {dict_in(meta).get('symbol')} when asked {symbol}")
    return dict_in(result[0])


def _columns(chart: dict[str, Any], rows: int) -> tuple[dict[str, F64], F64]:
    """Close and volume by name, and the adjusted close; NaN where a column is not given."""
    indicators = dict_in(chart.get("indicators"))
    quote = _first(indicators.get("quote"))
    names = ("close", "volume")
    columns = {name: np.array([number(v) for v in list_in(quote.get(name)) or [None] * rows]) for name in names}
    adjusted = list_in(_first(indicators.get("adjclose")).get("adjclose")) or [None] * rows
    other = np.array([number(v) for v in adjusted])
    if any(len(column) != rows for column in (*columns.values(), other)):
        raise SourceCorrupt("yahoo answered columns of different length")
    return columns, other


def _first(value: Any) -> dict[str, Any]:
    return dict_in(value[0]) if isinstance(value, list) and value else {}
