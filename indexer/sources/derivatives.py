"""Perpetual swaps of Binance, Bybit and OKX: funding, open interest, and OKX's public liquidation orders. No key.

Liquidations of Binance and Bybit come by WebSocket only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.errors import SourceCorrupt, SourceError
from indexer.sources.base import Ask, Call, Dataset, Parsed, RestSource, Source
from indexer.sources.http import Answer, HttpClient
from indexer.sources.records import Liquidations, Reject
from indexer.sources.rows import dict_in, list_in, number, rejects_of, series_of, series_of_symbol, stamps_us
from indexer.sources.venues import binance_body, bybit_result, okx_data
from indexer.times import HOUR_US


class BinanceDerivatives(RestSource, name="binance-derivatives"):
    """Symbols such as TAOUSDT. Open interest is `sumOpenInterestValue`, in USD(T), 30 days back."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        rows = binance_body(answer)
        if call.ask.dataset is Dataset.FUNDING:
            return series_of_symbol("funding_rate", rows, call, answer, at="fundingTime", value="fundingRate")
        return series_of_symbol("open_interest_usd", rows, call, answer, at="timestamp", value="sumOpenInterestValue")


class BybitDerivatives(RestSource, name="bybit-derivatives"):
    """Symbols such as TAOUSDT. Open interest comes in base tokens: `open_interest_base`."""

    def parse(self, call: Call, answer: Answer) -> Parsed:
        result = bybit_result(answer)
        rows = [{"symbol": result.get("symbol"), **dict_in(row)} for row in result["list"]]
        if call.ask.dataset is Dataset.FUNDING:
            return series_of_symbol("funding_rate", rows, call, answer, at="fundingRateTimestamp", value="fundingRate")
        return series_of_symbol("open_interest_base", rows, call, answer, at="timestamp", value="openInterest")


class OkxDerivatives(RestSource, name="okx-derivatives"):
    """Symbols are swap ids such as TAO-USDT-SWAP. Liquidations need `contract_size`: sizes come in contracts."""

    def place(self, name: str, ask: Ask) -> object:
        return ask.symbol.removesuffix("-SWAP") if name == "family" else super().place(name, ask)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        data = okx_data(answer)
        if call.ask.dataset is Dataset.FUNDING:
            rows = [{**row, "paid": row.get("realizedRate") or row.get("fundingRate")} for row in map(dict_in, data)]
            return series_of_symbol("funding_rate", rows, call, answer, at="fundingTime", value="paid", of="instId")
        if call.ask.dataset is Dataset.OPEN_INTEREST:
            if any(not isinstance(row, list) or len(row) < 4 for row in data):
                raise SourceCorrupt("okx answered open interest that is not rows of four")
            return series_of("open_interest_usd", [[row[0], row[3]] for row in data], call, answer)
        return _orders(data, call, answer.fetched_us)


def _orders(data: list[Any], call: Call, fetched_us: int) -> Parsed:
    """Orders of the asked swap: a sell order closes longs. `bkPx` is the bankruptcy price of the position."""
    if not np.isfinite(call.ask.contract_size):
        return Parsed(rejects=(Reject("contract size is not known", call.ask.symbol),))
    details = [
        detail
        for entry in data
        if isinstance(entry, dict) and entry.get("instId") == call.ask.symbol
        for detail in list_in(entry.get("details"))
        if isinstance(detail, dict)
    ]
    at = stamps_us(np.array([number(d.get("ts")) for d in details]), 1000, name="okx")
    usd = np.array([number(d.get("sz")) * number(d.get("bkPx")) for d in details]) * call.ask.contract_size
    long = np.array([_closes_long(d) for d in details], dtype=object)
    known = np.array([side is not None for side in long], dtype=np.bool_)
    good = (at > 0) & (at <= fetched_us) & np.isfinite(usd) & (usd > 0.0) & known
    asked = good & (at > call.ask.start_us) & (at <= call.ask.end_us)
    order = np.flatnonzero(asked)[np.argsort(at[asked], kind="stable")]
    orders = Liquidations(call.ask.symbol, at[order], long[order].astype(np.bool_), usd[order])
    return Parsed(liquidations=orders, rejects=rejects_of(details, ~good, "not a sized and sided order at an instant"))


def _closes_long(detail: dict[str, Any]) -> bool | None:
    """Whether the closed position was long: by its side, else by the order's; None when neither is said."""
    if detail.get("posSide") in ("long", "short"):
        return bool(detail["posSide"] == "long")
    if detail.get("side") in ("buy", "sell"):
        return bool(detail["side"] == "sell")
    return None


async def contract_sizes(source: Source, http: HttpClient, *, now_us: int) -> dict[str, float]:
    """Base tokens of one contract by linear swap, as OKX says now; empty when it does not answer."""
    ask = Ask(Dataset.LIQUIDATIONS, ("SWAP",), now_us - HOUR_US, now_us, now_us)
    call = Call("okx-derivatives", "/api/v5/public/instruments", {"instType": "SWAP"}, ask)
    try:
        rows = okx_data(await source.fetch(call, http))
    except SourceError:
        return {}  # the questions that follow say what is wrong with the source
    return {
        str(row.get("instId")): number(row.get("ctVal"))
        for row in rows
        if isinstance(row, dict) and row.get("ctType") == "linear"
    }
