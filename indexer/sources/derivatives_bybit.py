"""Bybit linear perpetuals: funding and open interest, no key. Its liquidations come by WebSocket only."""

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
    rows_of,
)
from indexer.sources.bybit import bybit_result
from indexer.sources.http import Answer
from indexer.sources.stress import series_of


@dataclass(frozen=True)
class BybitDerivatives(RestSource):
    """Symbols such as TAOUSDT. Open interest comes in base tokens: `open_interest_base`."""

    about: ClassVar[Capabilities] = Capabilities(
        name="bybit-derivatives",
        title="Bybit linear perpetuals",
        kind=Kind.DERIVATIVES,
        base_url="https://api.bybit.com",
        datasets=frozenset({Dataset.FUNDING, Dataset.OPEN_INTEREST}),
        stamp=Stamp.INSTANT,
        licence=Licence.COMMERCIAL_OK,
        fixing=False,
        docs="https://bybit-exchange.github.io/docs/v5/market/history-fund-rate",
        loses="a second venue of funding and open interest",
        history={"1h": History(max_rows=200)},
        limit="bybit",
        notes="no public liquidation history by REST",
    )

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
        return Call("bybit-derivatives", "/v5/market/funding/history", params, ask, rows=rows_of(ask) // 8 + 1)

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
        return Call("bybit-derivatives", "/v5/market/open-interest", params, ask, rows=rows_of(ask))

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
