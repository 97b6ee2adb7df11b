"""OKX: spot candles (newest first, each saying whether it is closed) and tickers; perpetual swaps.

Of swaps: funding, open interest and public liquidation orders. No key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from indexer.errors import SourceCorrupt, SourceError, SourceLimited, SourceRefused, SourceUnavailable
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, Source, every, known
from indexer.sources.http import Answer, HttpClient
from indexer.sources.records import Instrument, Liquidations, Quote, Reject
from indexer.sources.rows import (
    bars_of_rows,
    instruments_of,
    json_of,
    list_in,
    number,
    quote_of,
    quotes_of,
    series_of,
    stamps_us,
)
from indexer.times import HOUR_US, INTERVAL_US

_BAR: Final = {"1m": "1m", "1h": "1H", "1d": "1Dutc"}  # plain 1D would close at 16:00 UTC
_LIMIT_CODES: Final = {"50011", "50061"}
_BUSY_CODES: Final = {"50001", "50004", "50013", "50026"}


@dataclass(frozen=True)
class Okx(RestSource):
    """Candles: rows of [open ms, o, h, l, c, base volume, volume in quote, volume in quote, closed "1"/"0"]."""

    about: ClassVar[Capabilities] = known("okx")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is Dataset.INSTRUMENTS:
            return (Call("okx", "/api/v5/public/instruments", {"instType": "SPOT"}, ask),)
        if ask.dataset is Dataset.QUOTES and len(ask.symbols) > 1:
            return (Call("okx", "/api/v5/market/tickers", {"instType": "SPOT"}, ask),)
        if ask.dataset is Dataset.QUOTES:
            return (Call("okx", "/api/v5/market/ticker", {"instId": ask.symbol}, ask),)
        return self.paged(ask, self._candles) if ask.dataset is Dataset.BARS else ()

    def _candles(self, ask: Ask) -> Call:
        step = INTERVAL_US[ask.interval]
        recent = ask.start_us >= ask.now_us // step * step - self.about.history[ask.interval].newest * step
        params = {
            "instId": ask.symbol,
            "bar": _BAR[ask.interval],
            "after": str(ask.end_us // 1000),  # opens before this,
            "before": str(ask.start_us // 1000 - 1),  # and after this: both exclusive
            "limit": "300" if recent else "100",
        }
        path = "/api/v5/market/candles" if recent else "/api/v5/market/history-candles"
        return Call("okx", path, params, ask, rows=ask.rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        data = okx_data(answer)
        if call.ask.dataset is Dataset.INSTRUMENTS:
            return instruments_of(data, call, _instrument)
        if call.ask.dataset is Dataset.QUOTES and len(call.ask.symbols) > 1:
            return quotes_of(call, {str(row.get("instId")): row.get("last") for row in data if isinstance(row, dict)})
        if call.ask.dataset is Dataset.QUOTES:
            return Parsed(quotes=(_quote(call, data, answer.fetched_us),))
        closed = [row for row in data if not (isinstance(row, list) and len(row) > 8 and row[8] == "0")]
        parsed = bars_of_rows(closed, call, fetched_us=answer.fetched_us, columns=(0, 1, 2, 3, 4, 5, 7), unit_us=1000)
        return Parsed(bars=parsed.bars, rejects=parsed.rejects, open_rows=parsed.open_rows + len(data) - len(closed))


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
        text = f"okx answers {code}: {body.get('msg', '')}"
        if code in _LIMIT_CODES:
            raise SourceLimited(text)
        raise SourceUnavailable(text) if code in _BUSY_CODES else SourceRefused(text)
    data = body.get("data")
    if not isinstance(data, list):
        raise SourceCorrupt("okx answered success without data")
    return data


def _quote(call: Call, data: list[Any], fetched_us: int) -> Quote:
    if not data or not isinstance(data[0], dict) or data[0].get("instId") != call.ask.symbol:
        raise SourceCorrupt(f"okx answered no ticker for {call.ask.symbol}")
    row = data[0]
    return quote_of(
        call, price=row.get("last"), stamp=row.get("ts"), volume_24h=row.get("volCcy24h"), fetched_us=fetched_us
    )


@dataclass(frozen=True)
class OkxDerivatives(RestSource):
    """Symbols are swap ids such as TAO-USDT-SWAP. Liquidations need `contract_size`: sizes come in contracts."""

    about: ClassVar[Capabilities] = known("okx-derivatives")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        match ask.dataset:
            case Dataset.FUNDING:
                return tuple(self._funding(window) for window in every(ask, 100 * HOUR_US))
            case Dataset.OPEN_INTEREST:
                return self.paged(ask, self._open_interest)
            case Dataset.LIQUIDATIONS:
                return (self._liquidations(ask),)
        return ()

    @staticmethod
    def _funding(ask: Ask) -> Call:
        params = {
            "instId": ask.symbol,
            "before": str(ask.start_us // 1000),
            "after": str(ask.end_us // 1000 + 1),
            "limit": "100",
        }
        return Call("okx-derivatives", "/api/v5/public/funding-rate-history", params, ask, cost=2)

    @staticmethod
    def _open_interest(ask: Ask) -> Call:
        params = {
            "instId": ask.symbol,
            "period": "1H",
            "begin": str(ask.start_us // 1000),
            "end": str(ask.end_us // 1000),
            "limit": "100",
        }
        path = "/api/v5/rubik/stat/contracts/open-interest-history"
        return Call("okx-derivatives", path, params, ask, rows=ask.rows, cost=4)

    @staticmethod
    def _liquidations(ask: Ask) -> Call:
        params = {
            "instType": "SWAP",
            "instFamily": ask.symbol.removesuffix("-SWAP"),
            "state": "filled",
            "after": str(ask.end_us // 1000 + 1),
            "limit": "100",
        }
        return Call("okx-derivatives", "/api/v5/public/liquidation-orders", params, ask, rows=100, cost=1)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        data = okx_data(answer)
        if call.ask.dataset is Dataset.FUNDING:
            rows = [[row.get("fundingTime"), _realized(row)] for row in _of_symbol(data, call)]
            return series_of("funding_rate", rows, call, fetched_us=answer.fetched_us)
        if call.ask.dataset is Dataset.OPEN_INTEREST:
            if any(not isinstance(row, list) or len(row) < 4 for row in data):
                raise SourceCorrupt("okx answered open interest that is not rows of four")
            return series_of(
                "open_interest_usd", [[row[0], row[3]] for row in data], call, fetched_us=answer.fetched_us
            )
        return _orders(data, call, answer.fetched_us)


def _realized(row: dict[str, Any]) -> Any:
    """The rate that was paid, where given; the announced one otherwise."""
    return row.get("realizedRate") or row.get("fundingRate")


def _of_symbol(data: list[Any], call: Call) -> list[dict[str, Any]]:
    rows = [row for row in data if isinstance(row, dict) and row.get("instId") == call.ask.symbol]
    if len(rows) != len(data):
        raise SourceCorrupt(f"okx answered for other instruments than {call.ask.symbol}")
    return rows


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
