"""Spot venues, no key: Binance (by its market-data host), Coinbase Exchange, Kraken, OKX and Bybit.

They give bars, last prices and their lists of pairs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from indexer.errors import SourceCorrupt, SourceLimited, SourceRefused, SourceUnavailable
from indexer.sources.base import Ask, Call, Dataset, Parsed, Request, RestSource
from indexer.sources.http import Answer
from indexer.sources.records import Instrument
from indexer.sources.rows import (
    bars_of_rows,
    dict_in,
    error_answered,
    instruments_of,
    json_of,
    list_in,
    number,
    quotes_of,
)
from indexer.times import INTERVAL_US


class Binance(RestSource, name="binance"):
    """Spot klines: rows of [open ms, o, h, l, c, base volume, close ms, quote volume, trades, …] as text."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = binance_body(answer)
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(list_in(dict_in(body).get("symbols")), call, _binance_pair)
        if call.ask.dataset is Dataset.QUOTES:
            return quotes_of(call, ((row.get("symbol"), row.get("price")) for row in map(dict_in, list_in(body))))
        return bars_of_rows(body, call, answer, columns=(0, 1, 2, 3, 4, 5, 7), unit_us=1000)


def _binance_pair(row: dict[str, Any]) -> Instrument:
    trading = row.get("status") == "TRADING" and row.get("isSpotTradingAllowed", True)
    base, quote = str(row.get("baseAsset")), str(row.get("quoteAsset"))
    return Instrument(str(row.get("symbol")), base, quote, "trading" if trading else "closed")


def binance_body(answer: Answer) -> Any:
    """The body. Raises the error that one such as {"code": -1121, "msg": "Invalid symbol."} means."""
    body = json_of(answer, "binance")
    if isinstance(body, dict) and "code" in body:
        raise error_answered("binance", body["code"], body.get("msg", ""), limits=(-1003, -1015), busy=(-1001,))
    return body


class Coinbase(RestSource, name="coinbase"):
    """Candles: rows of [open s, low, high, open, close, base volume], newest first."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "coinbase")
        if isinstance(body, dict) and "message" in body:
            raise SourceRefused(f"coinbase answers: {body['message']}")
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(list_in(body), call, _coinbase_pair)
        if call.ask.dataset is Dataset.QUOTES:
            return quotes_of(call, [(call.ask.symbol, dict_in(body).get("price"))])
        rows = with_value(body, (1, 2, 4), 5) if isinstance(body, list) else body
        return bars_of_rows(rows, call, answer, columns=(0, 3, 2, 1, 4, 5, 6), unit_us=1_000_000)


def _coinbase_pair(row: dict[str, Any]) -> Instrument:
    """A product; one that takes only limit orders, or only cancels, is on its way out (or not yet in)."""
    closed = row.get("status") != "online" or row.get("trading_disabled")
    narrowed = row.get("limit_only") or row.get("cancel_only") or "delist" in str(row.get("status_message")).lower()
    base, quote = str(row.get("base_currency")), str(row.get("quote_currency"))
    return Instrument(str(row.get("id")), base, quote, "closed" if closed else "ending" if narrowed else "trading")


def with_value(rows: list[Any], prices: tuple[int, int, int], volume: int) -> list[Any]:
    """The rows with the traded value appended, where a venue gives base volume only.

    Value = base volume × typical price (low + high + close) / 3: an estimate, good to the bar's range.
    """
    wide = volume + 1
    return [
        [*row[:wide], number(row[volume]) * sum(number(row[at]) for at in prices) / 3.0]
        if isinstance(row, list) and len(row) >= wide
        else row
        for row in rows
    ]


class Kraken(RestSource, name="kraken"):
    """OHLC: rows of [open s, o, h, l, c, vwap, base volume, trades]; a bar without a trade repeats the price."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "kraken")
        if not isinstance(body, dict):
            raise SourceCorrupt("kraken answered something that is not an object")
        _raise_kraken(body.get("error"))
        result = dict_in(body.get("result"))
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(list(result.values()), call, _kraken_pair)
        if call.ask.dataset is Dataset.QUOTES:
            return quotes_of(call, _last_trades(call.ask.symbols, result).items())
        pairs = [key for key in result if key != "last"]
        if len(pairs) != 1 or not same_pair(pairs[0], call.ask.symbol):
            raise SourceCorrupt(f"kraken answered for {', '.join(pairs) or 'no pair'} when asked {call.ask.symbol}")
        rows = result[pairs[0]]
        rows = with_value(rows, (5, 5, 5), 6) if isinstance(rows, list) else rows  # volume × its own vwap
        return bars_of_rows(rows, call, answer, columns=(0, 1, 2, 3, 4, 6, 7), unit_us=1_000_000)


def _kraken_pair(row: dict[str, Any]) -> Instrument:
    """A pair by its plain spelling; `reduce_only` and `cancel_only` come before a delisting."""
    base, _, quote = str(row.get("wsname")).partition("/")
    states = {"online": "trading", "limit_only": "trading", "post_only": "trading"}
    state = states.get(str(row.get("status", "online")), "ending")
    return Instrument(str(row.get("altname")), "BTC" if base == "XBT" else base, quote, state)


def same_pair(answered: str, asked: str) -> bool:
    """Whether Kraken's spelling in an answer is the pair that was asked: XXBTZUSD is XBTUSD is XBT/USD.

    Old assets carry a class letter in front (X crypto, Z fiat); both parts are compared without it. Some newer
    ones stand beside an old currency: USDTZUSD is USDTUSD.
    """
    plain = asked.replace("/", "").upper()
    spelled = answered.replace("/", "").upper()
    if spelled == plain:
        return True
    if spelled[-4:] in ("ZUSD", "ZEUR") and spelled[:-4] + spelled[-3:] == plain:
        return True
    return len(spelled) == 8 and spelled[0] == "X" and spelled[4] in "ZX" and spelled[1:4] + spelled[5:] == plain


def _last_trades(symbols: tuple[str, ...], tickers: dict[str, Any]) -> dict[str, Any]:
    """The last trade's price by the symbols asked, whose spelling in the answer may be an older one."""
    last = {pair: list_in(dict_in(ticker).get("c"))[:1] for pair, ticker in tickers.items()}
    return {symbol: c[0] for symbol in symbols for pair, c in last.items() if c and same_pair(pair, symbol)}


def _raise_kraken(error: Any) -> None:
    if not error:
        return
    errors = error if isinstance(error, list) else [error]
    text = f"kraken answers: {'; '.join(map(str, errors))}"
    if any(words in text for words in ("Rate limit", "Too many requests", "Throttled", "EService:Busy")):
        raise SourceLimited(text)
    if "EService" in text or "Internal error" in text:
        raise SourceUnavailable(text)
    raise SourceRefused(text)


OKX_LIMITS, OKX_BUSY = ("50011", "50061"), ("50001", "50004", "50013", "50026")


class Okx(RestSource, name="okx"):
    """Candles: rows of [open ms, o, h, l, c, base volume, volume in quote, volume in quote, closed "1"/"0"]."""

    def request(self, ask: Ask) -> Request | None:
        step = INTERVAL_US[ask.interval]
        if ask.dataset is not Dataset.BARS or ask.interval not in self.about.history:
            return super().request(ask)
        newest = ask.now_us // step * step - self.about.history[ask.interval].newest * step
        return self.about.requests["newest_bars" if ask.start_us >= newest else "bars"]

    def parse(self, call: Call, answer: Answer) -> Parsed:
        data = okx_data(answer)
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(data, call, _okx_pair)
        if call.ask.dataset is Dataset.QUOTES:
            return quotes_of(call, ((row.get("instId"), row.get("last")) for row in map(dict_in, data)))
        closed = [row for row in data if not (isinstance(row, list) and len(row) > 8 and row[8] == "0")]
        parsed = bars_of_rows(closed, call, answer, columns=(0, 1, 2, 3, 4, 5, 7), unit_us=1000)
        return replace(parsed, open_rows=parsed.open_rows + len(data) - len(closed))


def _okx_pair(row: dict[str, Any]) -> Instrument:
    """A spot pair; `expTime` is there once its delisting is announced."""
    state = "closed" if row.get("state") != "live" else "ending" if row.get("expTime") else "trading"
    return Instrument(str(row.get("instId")), str(row.get("baseCcy")), str(row.get("quoteCcy")), state)


def okx_data(answer: Answer) -> list[Any]:
    """The `data` of an OKX answer. Raises the error that its code means ("0" is success)."""
    body = json_of(answer, "okx")
    if not isinstance(body, dict) or "code" not in body:
        raise SourceCorrupt("okx answered without its usual envelope")
    code = str(body["code"])
    if code != "0":
        raise error_answered("okx", code, body.get("msg", ""), limits=OKX_LIMITS, busy=OKX_BUSY)
    data = body.get("data")
    if not isinstance(data, list):
        raise SourceCorrupt("okx answered success without data")
    return data


class Bybit(RestSource, name="bybit"):
    """Klines: rows of [open ms, o, h, l, c, base volume, turnover in quote] as text."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        result = bybit_result(answer)
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(result["list"], call, _bybit_pair)
        if call.ask.dataset is Dataset.QUOTES:
            return quotes_of(call, ((row.get("symbol"), row.get("lastPrice")) for row in map(dict_in, result["list"])))
        if result.get("symbol", call.ask.symbol) != call.ask.symbol:
            raise SourceCorrupt(f"bybit answered for {result['symbol']} when asked {call.ask.symbol}")
        return bars_of_rows(result["list"], call, answer, columns=(0, 1, 2, 3, 4, 5, 6), unit_us=1000)


def _bybit_pair(row: dict[str, Any]) -> Instrument:
    state = "trading" if row.get("status") == "Trading" else "closed"
    return Instrument(str(row.get("symbol")), str(row.get("baseCoin")), str(row.get("quoteCoin")), state)


def bybit_result(answer: Answer) -> dict[str, Any]:
    """The `result` of a Bybit answer, with a `list`. Raises the error its retCode means."""
    body = json_of(answer, "bybit")
    if not isinstance(body, dict) or "retCode" not in body:
        raise SourceCorrupt("bybit answered without its usual envelope")
    if body["retCode"] != 0:
        raise error_answered("bybit", body["retCode"], body.get("retMsg", ""), limits=(10006, 10018), busy=(10016,))
    result = body.get("result")
    if not isinstance(result, dict) or not isinstance(result.get("list"), list):
        raise SourceCorrupt("bybit answered success without a list")
    return result
