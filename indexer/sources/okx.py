"""OKX: spot candles (newest first, each saying whether it is closed) and prices; perpetual swaps.

Of swaps: funding, open interest and public liquidation orders. No key.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from indexer.errors import SourceCorrupt, SourceError
from indexer.sources.base import Ask, Call, Dataset, Parsed, Request, RestSource, Source
from indexer.sources.http import Answer, HttpClient
from indexer.sources.records import Instrument, Liquidations, Reject
from indexer.sources.rows import (
    bars_of_rows,
    dict_in,
    error_answered,
    instruments_of,
    json_of,
    list_in,
    number,
    quotes_of,
    series_of,
    series_of_symbol,
    stamps_us,
)
from indexer.times import HOUR_US, INTERVAL_US

LIMITS, BUSY = ("50011", "50061"), ("50001", "50004", "50013", "50026")


class Okx(RestSource, name="okx"):
    """Candles: rows of [open ms, o, h, l, c, base volume, volume in quote, volume in quote, closed "1"/"0"]."""

    def request(self, ask: Ask) -> Request | None:
        step = INTERVAL_US[ask.interval]
        if ask.dataset is not Dataset.BARS or ask.interval not in self.about.history:
            return super().request(ask)
        newest = ask.now_us // step * step - self.about.history[ask.interval].newest * step
        return self.requests["newest_bars" if ask.start_us >= newest else "bars"]

    def parse(self, call: Call, answer: Answer) -> Parsed:
        data = okx_data(answer)
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(data, call, _instrument)
        if call.ask.dataset is Dataset.QUOTES:
            return quotes_of(call, ((row.get("instId"), row.get("last")) for row in map(dict_in, data)))
        closed = [row for row in data if not (isinstance(row, list) and len(row) > 8 and row[8] == "0")]
        parsed = bars_of_rows(closed, call, answer, columns=(0, 1, 2, 3, 4, 5, 7), unit_us=1000)
        return replace(parsed, open_rows=parsed.open_rows + len(data) - len(closed))


def _instrument(row: dict[str, Any]) -> Instrument:
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
        raise error_answered("okx", code, body.get("msg", ""), limits=LIMITS, busy=BUSY)
    data = body.get("data")
    if not isinstance(data, list):
        raise SourceCorrupt("okx answered success without data")
    return data


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
    rejects = tuple(
        Reject("not a sized and sided order at an instant", str(details[n])[:300], int(n))
        for n in np.flatnonzero(~good).tolist()
    )
    asked = good & (at > call.ask.start_us) & (at <= call.ask.end_us)
    order = np.flatnonzero(asked)[np.argsort(at[asked], kind="stable")]
    orders = Liquidations(call.ask.symbol, at[order], long[order].astype(np.bool_), usd[order])
    return Parsed(liquidations=orders, rejects=rejects)


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
