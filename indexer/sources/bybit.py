"""Bybit: spot klines (1,000 a call, newest first) and prices; funding and open interest of linear perpetuals.

No key. Liquidations come by WebSocket only.
"""

from __future__ import annotations

from typing import Any

from indexer.errors import SourceCorrupt
from indexer.sources.base import Call, Dataset, Parsed, RestSource
from indexer.sources.http import Answer
from indexer.sources.records import Instrument
from indexer.sources.rows import (
    bars_of_rows,
    dict_in,
    error_answered,
    instruments_of,
    json_of,
    quotes_of,
    series_of_symbol,
)

LIMITS, BUSY = (10006, 10018), (10016,)


class Bybit(RestSource, name="bybit"):
    """Klines: rows of [open ms, o, h, l, c, base volume, turnover in quote] as text."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        result = bybit_result(answer)
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(result["list"], call, _instrument)
        if call.ask.dataset is Dataset.QUOTES:
            return quotes_of(call, ((row.get("symbol"), row.get("lastPrice")) for row in map(dict_in, result["list"])))
        if result.get("symbol", call.ask.symbol) != call.ask.symbol:
            raise SourceCorrupt(f"bybit answered for {result['symbol']} when asked {call.ask.symbol}")
        return bars_of_rows(result["list"], call, answer, columns=(0, 1, 2, 3, 4, 5, 6), unit_us=1000)


def _instrument(row: dict[str, Any]) -> Instrument:
    state = "trading" if row.get("status") == "Trading" else "closed"
    return Instrument(str(row.get("symbol")), str(row.get("baseCoin")), str(row.get("quoteCoin")), state)


def bybit_result(answer: Answer) -> dict[str, Any]:
    """The `result` of a Bybit answer, with a `list`. Raises the error its retCode means."""
    body = json_of(answer, "bybit")
    if not isinstance(body, dict) or "retCode" not in body:
        raise SourceCorrupt("bybit answered without its usual envelope")
    if body["retCode"] != 0:
        raise error_answered("bybit", body["retCode"], body.get("retMsg", ""), limits=LIMITS, busy=BUSY)
    result = body.get("result")
    if not isinstance(result, dict) or not isinstance(result.get("list"), list):
        raise SourceCorrupt("bybit answered success without a list")
    return result


class BybitDerivatives(RestSource, name="bybit-derivatives"):
    """Symbols such as TAOUSDT. Open interest comes in base tokens: `open_interest_base`."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        result = bybit_result(answer)
        rows = [{"symbol": result.get("symbol"), **dict_in(row)} for row in result["list"]]
        if call.ask.dataset is Dataset.FUNDING:
            return series_of_symbol("funding_rate", rows, call, answer, at="fundingRateTimestamp", value="fundingRate")
        return series_of_symbol("open_interest_base", rows, call, answer, at="timestamp", value="openInterest")
