"""Binance: spot klines and 24 h tickers by its market-data host; funding and open interest of USD-M futures. No key.

Region blocks (451) are named as such. Liquidations come by WebSocket only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from indexer.errors import SourceCorrupt, SourceLimited, SourceRefused, SourceUnavailable
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, every, known
from indexer.sources.http import Answer
from indexer.sources.records import Instrument, Quote
from indexer.sources.rows import bars_of_rows, dict_in, instruments_of, json_of, list_in, quote_of, quotes_of, series_of
from indexer.times import HOUR_US


@dataclass(frozen=True)
class Binance(RestSource):
    """Spot klines: rows of [open ms, o, h, l, c, base volume, close ms, quote volume, trades, …] as text."""

    about: ClassVar[Capabilities] = known("binance")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is Dataset.INSTRUMENTS:
            return (Call("binance", "/api/v3/exchangeInfo", {"showPermissionSets": "false"}, ask, cost=20),)
        if ask.dataset is Dataset.QUOTES and len(ask.symbols) > 1:
            symbols = orjson.dumps(ask.symbols).decode()
            return (Call("binance", "/api/v3/ticker/price", {"symbols": symbols}, ask, cost=4),)
        if ask.dataset is Dataset.QUOTES:
            return (Call("binance", "/api/v3/ticker/24hr", {"symbol": ask.symbol}, ask, cost=2),)
        return self.paged(ask, self._klines) if ask.dataset is Dataset.BARS else ()

    @staticmethod
    def _klines(ask: Ask) -> Call:
        params = {
            "symbol": ask.symbol,
            "interval": ask.interval,
            "startTime": str(ask.start_us // 1000),
            "endTime": str(ask.end_us // 1000 - 1),
            "limit": "1000",
        }
        return Call("binance", "/api/v3/klines", params, ask, rows=ask.rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "binance")
        if isinstance(body, dict) and "code" in body:
            raise binance_error(body)
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(list_in(dict_in(body).get("symbols")), call, _instrument)
        if call.ask.dataset is Dataset.QUOTES and len(call.ask.symbols) > 1:
            rows = [row for row in list_in(body) if isinstance(row, dict)]
            return quotes_of(call, {str(row.get("symbol")): row.get("price") for row in rows})
        if call.ask.dataset is Dataset.QUOTES:
            return Parsed(quotes=(_quote(call, body, answer.fetched_us),))
        return bars_of_rows(body, call, fetched_us=answer.fetched_us, columns=(0, 1, 2, 3, 4, 5, 7), unit_us=1000)


def _instrument(row: dict[str, Any]) -> Instrument:
    trading = row.get("status") == "TRADING" and row.get("isSpotTradingAllowed", True)
    base, quote = str(row.get("baseAsset")), str(row.get("quoteAsset"))
    return Instrument(str(row.get("symbol")), base, quote, "trading" if trading else "closed")


def binance_error(body: dict[str, Any]) -> SourceRefused | SourceUnavailable:
    """The error in a body such as {"code": -1121, "msg": "Invalid symbol."}; −1003 and −1015 are limits."""
    text = f"binance answers {body.get('code')}: {body.get('msg', '')}"
    if body.get("code") in (-1003, -1015):
        return SourceLimited(text)
    return SourceUnavailable(text) if body.get("code") == -1001 else SourceRefused(text)


def _quote(call: Call, body: Any, fetched_us: int) -> Quote:
    if not isinstance(body, dict) or body.get("symbol") != call.ask.symbol:
        raise SourceCorrupt(f"binance answered for another symbol than {call.ask.symbol}")
    return quote_of(
        call,
        price=body.get("lastPrice"),
        stamp=body.get("closeTime"),
        volume_24h=body.get("quoteVolume"),
        fetched_us=fetched_us,
    )


@dataclass(frozen=True)
class BinanceDerivatives(RestSource):
    """Symbols such as TAOUSDT. Open interest is `sumOpenInterestValue`, in USD(T), 30 days back."""

    about: ClassVar[Capabilities] = known("binance-derivatives")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is Dataset.FUNDING:
            return tuple(self._funding(window) for window in every(ask, 1000 * HOUR_US))
        return self.paged(ask, self._open_interest) if ask.dataset is Dataset.OPEN_INTEREST else ()

    @staticmethod
    def _funding(ask: Ask) -> Call:
        params = {
            "symbol": ask.symbol,
            "startTime": str(ask.start_us // 1000 + 1),
            "endTime": str(ask.end_us // 1000),
            "limit": "1000",
        }
        return Call("binance-derivatives", "/fapi/v1/fundingRate", params, ask, rows=ask.rows // 8 + 1)

    @staticmethod
    def _open_interest(ask: Ask) -> Call:
        params = {
            "symbol": ask.symbol,
            "period": "1h",
            "startTime": str(ask.start_us // 1000 + 1),
            "endTime": str(ask.end_us // 1000),
            "limit": "500",
        }
        return Call("binance-derivatives", "/futures/data/openInterestHist", params, ask, rows=ask.rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "binance")
        if isinstance(body, dict) and "code" in body:
            raise binance_error(body)
        if not isinstance(body, list) or any(not isinstance(row, dict) for row in body):
            raise SourceCorrupt("binance answered derivatives that are not a list of objects")
        if any(row.get("symbol") != call.ask.symbol for row in body):
            raise SourceCorrupt(f"binance answered for other instruments than {call.ask.symbol}")
        if call.ask.dataset is Dataset.FUNDING:
            pairs = [[row.get("fundingTime"), row.get("fundingRate")] for row in body]
            return series_of("funding_rate", pairs, call, fetched_us=answer.fetched_us)
        pairs = [[row.get("timestamp"), row.get("sumOpenInterestValue")] for row in body]
        return series_of("open_interest_usd", pairs, call, fetched_us=answer.fetched_us)
