"""Coinbase Exchange: candles (at most 300 a call, minutes without a trade are absent rows) and tickers."""

from __future__ import annotations

from typing import Any

from indexer.errors import SourceRefused
from indexer.sources.base import Call, Dataset, Parsed, RestSource
from indexer.sources.http import Answer
from indexer.sources.records import Instrument
from indexer.sources.rows import bars_of_rows, dict_in, instruments_of, json_of, list_in, number, quotes_of


class Coinbase(RestSource, name="coinbase"):
    """Candles: rows of [open s, low, high, open, close, base volume], newest first."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "coinbase")
        if isinstance(body, dict) and "message" in body:
            raise SourceRefused(f"coinbase answers: {body['message']}")
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(list_in(body), call, _instrument)
        if call.ask.dataset is Dataset.QUOTES:
            return quotes_of(call, [(call.ask.symbol, dict_in(body).get("price"))])
        rows = with_value(body, (1, 2, 4), 5) if isinstance(body, list) else body
        return bars_of_rows(rows, call, answer, columns=(0, 3, 2, 1, 4, 5, 6), unit_us=1_000_000)


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
