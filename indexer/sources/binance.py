"""Binance: spot klines and prices by its market-data host; funding and open interest of USD-M futures. No key.

Region blocks (451) are named as such. Liquidations come by WebSocket only.
"""

from __future__ import annotations

from typing import Any

from indexer.sources.base import Call, Dataset, Parsed, RestSource
from indexer.sources.http import Answer
from indexer.sources.records import Instrument
from indexer.sources.rows import (
    bars_of_rows,
    dict_in,
    error_answered,
    instruments_of,
    json_of,
    list_in,
    quotes_of,
    series_of_symbol,
)

LIMITS, BUSY = (-1003, -1015), (-1001,)


class Binance(RestSource, name="binance"):
    """Spot klines: rows of [open ms, o, h, l, c, base volume, close ms, quote volume, trades, …] as text."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = binance_body(answer)
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(list_in(dict_in(body).get("symbols")), call, _instrument)
        if call.ask.dataset is Dataset.QUOTES:
            return quotes_of(call, ((row.get("symbol"), row.get("price")) for row in map(dict_in, list_in(body))))
        return bars_of_rows(body, call, answer, columns=(0, 1, 2, 3, 4, 5, 7), unit_us=1000)


def _instrument(row: dict[str, Any]) -> Instrument:
    trading = row.get("status") == "TRADING" and row.get("isSpotTradingAllowed", True)
    base, quote = str(row.get("baseAsset")), str(row.get("quoteAsset"))
    return Instrument(str(row.get("symbol")), base, quote, "trading" if trading else "closed")


def binance_body(answer: Answer) -> Any:
    """The body. Raises the error that one such as {"code": -1121, "msg": "Invalid symbol."} means."""
    body = json_of(answer, "binance")
    if isinstance(body, dict) and "code" in body:
        raise error_answered("binance", body["code"], body.get("msg", ""), limits=LIMITS, busy=BUSY)
    return body


class BinanceDerivatives(RestSource, name="binance-derivatives"):
    """Symbols such as TAOUSDT. Open interest is `sumOpenInterestValue`, in USD(T), 30 days back."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        rows = binance_body(answer)
        if call.ask.dataset is Dataset.FUNDING:
            return series_of_symbol("funding_rate", rows, call, answer, at="fundingTime", value="fundingRate")
        return series_of_symbol("open_interest_usd", rows, call, answer, at="timestamp", value="sumOpenInterestValue")
