"""Bybit: spot klines (1,000 a call, newest first) and tickers; funding and open interest of linear perpetuals.

No key. Liquidations come by WebSocket only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from indexer.errors import SourceCorrupt, SourceLimited, SourceRefused, SourceUnavailable
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known
from indexer.sources.http import Answer
from indexer.sources.records import Instrument, Quote
from indexer.sources.rows import bars_of_rows, instruments_of, json_of, quote_of, quotes_of, series_of

_INTERVAL: Final = {"1m": "1", "1h": "60", "1d": "D"}


@dataclass(frozen=True)
class Bybit(RestSource):
    """Klines: rows of [open ms, o, h, l, c, base volume, turnover in quote] as text."""

    about: ClassVar[Capabilities] = known("bybit")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is Dataset.INSTRUMENTS:
            return (Call("bybit", "/v5/market/instruments-info", {"category": "spot", "limit": "1000"}, ask),)
        if ask.dataset is Dataset.QUOTES and len(ask.symbols) > 1:
            return (Call("bybit", "/v5/market/tickers", {"category": "spot"}, ask),)
        if ask.dataset is Dataset.QUOTES:
            return (Call("bybit", "/v5/market/tickers", {"category": "spot", "symbol": ask.symbol}, ask),)
        return self.paged(ask, self._klines) if ask.dataset is Dataset.BARS else ()

    @staticmethod
    def _klines(ask: Ask) -> Call:
        params = {
            "category": "spot",
            "symbol": ask.symbol,
            "interval": _INTERVAL[ask.interval],
            "start": str(ask.start_us // 1000),
            "end": str(ask.end_us // 1000 - 1),
            "limit": "1000",
        }
        return Call("bybit", "/v5/market/kline", params, ask, rows=ask.rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        result, made = bybit_result(answer)
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(result["list"], call, _instrument)
        if call.ask.dataset is Dataset.QUOTES and len(call.ask.symbols) > 1:
            rows = [row for row in result["list"] if isinstance(row, dict)]
            return quotes_of(call, {str(row.get("symbol")): row.get("lastPrice") for row in rows})
        if call.ask.dataset is Dataset.QUOTES:
            return Parsed(quotes=(_quote(call, result, made, answer.fetched_us),))
        if result.get("symbol", call.ask.symbol) != call.ask.symbol:
            raise SourceCorrupt(f"bybit answered for {result['symbol']} when asked {call.ask.symbol}")
        return bars_of_rows(
            result["list"], call, fetched_us=answer.fetched_us, columns=(0, 1, 2, 3, 4, 5, 6), unit_us=1000
        )


def _instrument(row: dict[str, Any]) -> Instrument:
    state = "trading" if row.get("status") == "Trading" else "closed"
    return Instrument(str(row.get("symbol")), str(row.get("baseCoin")), str(row.get("quoteCoin")), state)


def bybit_result(answer: Answer) -> tuple[dict[str, Any], Any]:
    """The `result` of a Bybit answer and when it was made (ms). Raises the error its retCode means."""
    body = json_of(answer, "bybit")
    if not isinstance(body, dict) or "retCode" not in body:
        raise SourceCorrupt("bybit answered without its usual envelope")
    if body["retCode"] != 0:
        text = f"bybit answers {body['retCode']}: {body.get('retMsg', '')}"
        if body["retCode"] in (10006, 10018):
            raise SourceLimited(text)
        raise SourceUnavailable(text) if body["retCode"] == 10016 else SourceRefused(text)
    result = body.get("result")
    if not isinstance(result, dict) or not isinstance(result.get("list"), list):
        raise SourceCorrupt("bybit answered success without a list")
    return result, body.get("time")


def _quote(call: Call, result: dict[str, Any], made: Any, fetched_us: int) -> Quote:
    rows = result["list"]
    if not rows or not isinstance(rows[0], dict) or rows[0].get("symbol") != call.ask.symbol:
        raise SourceCorrupt(f"bybit answered no ticker for {call.ask.symbol}")
    row = rows[0]
    return quote_of(
        call, price=row.get("lastPrice"), stamp=made, volume_24h=row.get("turnover24h"), fetched_us=fetched_us
    )


@dataclass(frozen=True)
class BybitDerivatives(RestSource):
    """Symbols such as TAOUSDT. Open interest comes in base tokens: `open_interest_base`."""

    about: ClassVar[Capabilities] = known("bybit-derivatives")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is Dataset.FUNDING:
            return self.paged(ask, self._funding)
        return self.paged(ask, self._open_interest) if ask.dataset is Dataset.OPEN_INTEREST else ()

    @staticmethod
    def _funding(ask: Ask) -> Call:
        params = {
            "category": "linear",
            "symbol": ask.symbol,
            "startTime": str(ask.start_us // 1000),
            "endTime": str(ask.end_us // 1000),
            "limit": "200",
        }
        return Call("bybit-derivatives", "/v5/market/funding/history", params, ask, rows=ask.rows // 8 + 1)

    @staticmethod
    def _open_interest(ask: Ask) -> Call:
        params = {
            "category": "linear",
            "symbol": ask.symbol,
            "intervalTime": "1h",
            "startTime": str(ask.start_us // 1000 + 1),  # inclusive, and the window's start is not asked
            "endTime": str(ask.end_us // 1000),
            "limit": "200",
        }
        return Call("bybit-derivatives", "/v5/market/open-interest", params, ask, rows=ask.rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        result, _ = bybit_result(answer)
        rows = result["list"]
        if any(not isinstance(row, dict) or row.get("symbol", call.ask.symbol) != call.ask.symbol for row in rows):
            raise SourceCorrupt(f"bybit answered for other instruments than {call.ask.symbol}")
        if call.ask.dataset is Dataset.FUNDING:
            pairs = [[row.get("fundingRateTimestamp"), row.get("fundingRate")] for row in rows]
            return series_of("funding_rate", pairs, call, fetched_us=answer.fetched_us)
        pairs = [[row.get("timestamp"), row.get("openInterest")] for row in rows]
        return series_of("open_interest_base", pairs, call, fetched_us=answer.fetched_us)
