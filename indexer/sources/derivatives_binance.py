"""Binance USD-M futures: funding and open interest, no key. Its liquidations come by WebSocket only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from indexer.errors import SourceCorrupt
from indexer.sources.base import (
    Ask,
    Call,
    Capabilities,
    Dataset,
    History,
    Kind,
    Licence,
    Parsed,
    RestSource,
    Stamp,
    every,
    rows_of,
)
from indexer.sources.binance import binance_error
from indexer.sources.http import Answer
from indexer.sources.rows import json_of
from indexer.sources.stress import series_of
from indexer.times import HOUR_US


@dataclass(frozen=True)
class BinanceDerivatives(RestSource):
    """Symbols such as TAOUSDT. Open interest is `sumOpenInterestValue`, in USD(T), 30 days back."""

    about: ClassVar[Capabilities] = Capabilities(
        name="binance-derivatives",
        title="Binance USD-M futures",
        kind=Kind.DERIVATIVES,
        base_url="https://fapi.binance.com",
        datasets=frozenset({Dataset.FUNDING, Dataset.OPEN_INTEREST}),
        stamp=Stamp.INSTANT,
        licence=Licence.COMMERCIAL_OK,
        fixing=False,
        docs="https://developers.binance.com/docs/derivatives/usds-margined-futures",
        loses="the largest market's funding and open interest",
        history={"1h": History(max_rows=500, depth_days=29)},
        limit="binance-futures",
        notes="some regions are answered 451; liquidations need a key or the WebSocket",
    )

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
        return Call("binance-derivatives", "/fapi/v1/fundingRate", params, ask, rows=rows_of(ask) // 8 + 1)

    @staticmethod
    def _open_interest(ask: Ask) -> Call:
        params = {
            "symbol": ask.symbol,
            "period": "1h",
            "startTime": str(ask.start_us // 1000 + 1),
            "endTime": str(ask.end_us // 1000),
            "limit": "500",
        }
        return Call("binance-derivatives", "/futures/data/openInterestHist", params, ask, rows=rows_of(ask))

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
