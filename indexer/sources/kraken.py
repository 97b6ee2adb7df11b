"""Kraken: OHLC of the last 720 bars whatever is asked, its own spelling of pairs (XBT, XXBTZUSD), and last trades."""

from __future__ import annotations

from typing import Any

from indexer.errors import SourceCorrupt, SourceLimited, SourceRefused, SourceUnavailable
from indexer.sources.base import Call, Dataset, Parsed, RestSource
from indexer.sources.coinbase import with_value
from indexer.sources.http import Answer
from indexer.sources.records import Instrument
from indexer.sources.rows import bars_of_rows, dict_in, instruments_of, json_of, list_in, quotes_of


class Kraken(RestSource, name="kraken"):
    """OHLC: rows of [open s, o, h, l, c, vwap, base volume, trades]; a bar without a trade repeats the price."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "kraken")
        if not isinstance(body, dict):
            raise SourceCorrupt("kraken answered something that is not an object")
        _raise_errors(body.get("error"))
        result = dict_in(body.get("result"))
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(list(result.values()), call, _instrument)
        if call.ask.dataset is Dataset.QUOTES:
            return quotes_of(call, _last_trades(call.ask.symbols, result).items())
        pairs = [key for key in result if key != "last"]
        if len(pairs) != 1 or not same_pair(pairs[0], call.ask.symbol):
            raise SourceCorrupt(f"kraken answered for {', '.join(pairs) or 'no pair'} when asked {call.ask.symbol}")
        rows = result[pairs[0]]
        rows = with_value(rows, (5, 5, 5), 6) if isinstance(rows, list) else rows  # volume × its own vwap
        return bars_of_rows(rows, call, answer, columns=(0, 1, 2, 3, 4, 6, 7), unit_us=1_000_000)


def _instrument(row: dict[str, Any]) -> Instrument:
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


def _raise_errors(error: Any) -> None:
    if not error:
        return
    errors = error if isinstance(error, list) else [error]
    text = f"kraken answers: {'; '.join(map(str, errors))}"
    if any(words in text for words in ("Rate limit", "Too many requests", "Throttled", "EService:Busy")):
        raise SourceLimited(text)
    if "EService" in text or "Internal error" in text:
        raise SourceUnavailable(text)
    raise SourceRefused(text)
