"""Coinbase Exchange: candles (at most 300 a call, minutes without a trade are absent rows) and tickers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from indexer.errors import InputError, SourceCorrupt, SourceRefused
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known
from indexer.sources.http import Answer
from indexer.sources.records import Instrument, Quote
from indexer.sources.rows import bars_of_rows, instruments_of, json_of, list_in, number, quote_of
from indexer.times import INTERVAL_US, iso, parse_instant


@dataclass(frozen=True)
class Coinbase(RestSource):
    """Candles: rows of [open s, low, high, open, close, base volume], newest first."""

    about: ClassVar[Capabilities] = known("coinbase")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is Dataset.INSTRUMENTS:
            return (Call("coinbase", "/products", {}, ask),)
        if ask.dataset is Dataset.QUOTES:
            return tuple(
                Call("coinbase", f"/products/{symbol}/ticker", {}, replace(ask, symbols=(symbol,)))
                for symbol in ask.symbols
            )
        return self.paged(ask, self._candles) if ask.dataset is Dataset.BARS else ()

    @staticmethod
    def _candles(ask: Ask) -> Call:
        step = INTERVAL_US[ask.interval]
        params = {
            "granularity": str(step // 1_000_000),
            "start": iso(ask.start_us),
            "end": iso(ask.end_us - step),  # both ends are inclusive bar opens
        }
        return Call("coinbase", f"/products/{ask.symbol}/candles", params, ask, rows=ask.rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "coinbase")
        if isinstance(body, dict) and "message" in body:
            raise SourceRefused(f"coinbase answers: {body['message']}")
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(list_in(body), call, _instrument)
        if call.ask.dataset is Dataset.QUOTES:
            return Parsed(quotes=(_quote(call, body, answer.fetched_us),))
        rows = with_value(body, (1, 2, 4), 5) if isinstance(body, list) else body
        return bars_of_rows(rows, call, fetched_us=answer.fetched_us, columns=(0, 3, 2, 1, 4, 5, 6), unit_us=1_000_000)


def _instrument(row: dict[str, Any]) -> Instrument:
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


def _quote(call: Call, body: Any, fetched_us: int) -> Quote:
    if not isinstance(body, dict) or "price" not in body:
        raise SourceCorrupt(f"coinbase answered no ticker for {call.ask.symbol}")
    try:
        stamp = parse_instant(str(body.get("time")))
    except InputError:
        stamp = None
    value = number(body.get("volume")) * number(body["price"])
    return quote_of(call, price=body["price"], stamp=stamp, unit_us=1, volume_24h=value, fetched_us=fetched_us)
