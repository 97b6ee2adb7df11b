"""Nasdaq's quote API: daily closes of US stocks and ETFs, no key, asked with a browser's agent.

Prices are adjusted for splits, not for dividends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Final

from indexer.errors import SourceRefused
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known
from indexer.sources.http import Answer
from indexer.sources.rows import dict_in, json_of, list_in
from indexer.sources.sessions import DatedRow, dated_bars
from indexer.times import from_us

FUNDS: Final = frozenset({"QQQ", "SPY", "SMH", "SOXX"})
# Their server refuses agents that are no browser's; this one says both what it wants and who we are.
AGENT: Final = "Mozilla/5.0 (compatible; deai-index)"
DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Nasdaq(RestSource):
    """`quote/QQQ/historical?assetclass=etf`: rows newest first, dates mm/dd/yyyy, prices with a dollar sign or not."""

    about: ClassVar[Capabilities] = known("nasdaq")

    def headers(self) -> dict[str, str]:
        return {"user-agent": AGENT}

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is not Dataset.BENCHMARK or ask.symbol.startswith("^") or ask.symbol.endswith("=F"):
            return ()
        return self.paged(ask, self._quote)

    @staticmethod
    def _quote(ask: Ask) -> Call:
        params = {
            "assetclass": "etf" if ask.symbol in FUNDS else "stocks",
            "fromdate": from_us(ask.start_us).date().isoformat(),
            "todate": (from_us(ask.end_us) + DAY).date().isoformat(),
            "limit": "9999",
        }
        return Call("nasdaq", f"/api/quote/{ask.symbol}/historical", params, ask, rows=ask.rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = dict_in(json_of(answer, "nasdaq"))
        data = body.get("data")
        if not isinstance(data, dict):
            problems = [
                dict_in(row).get("errorMessage") for row in list_in(dict_in(body.get("status")).get("bCodeMessage"))
            ]
            raise SourceRefused(f"nasdaq has no {call.ask.symbol}: {', '.join(map(str, problems)) or 'no data'}")
        table = list_in(dict_in(data.get("tradesTable")).get("rows"))
        rows = [dict_in(row) for row in table]
        dated = [DatedRow(str(row.get("date")), row.get("close"), row.get("volume")) for row in rows]
        return dated_bars(dated, call, answer, form="%m/%d/%Y", basis="unadjusted_for_dividends")
