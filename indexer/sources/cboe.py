"""Cboe's public daily files: stocks, ETFs and indices, one file of all sessions each, no key.

Prices are adjusted for splits, not for dividends. For personal, infrequent use: a file a symbol and day is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known
from indexer.sources.http import Answer
from indexer.sources.rows import dict_in, json_of, list_in
from indexer.sources.sessions import DatedRow, dated_bars

INDICES: Final = {"^NDX": "_NDX", "^GSPC": "_SPX", "^VIX": "_VIX"}


@dataclass(frozen=True)
class Cboe(RestSource):
    """`historical/QQQ.json`: `data` of rows with date, open, high, low, close, volume as text, oldest first."""

    about: ClassVar[Capabilities] = known("cboe")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is not Dataset.BENCHMARK or ask.symbol.endswith("=F"):
            return ()
        return self.paged(ask, self._file)

    @staticmethod
    def _file(ask: Ask) -> Call:
        name = INDICES.get(ask.symbol, ask.symbol)
        path = f"/api/global/delayed_quotes/charts/historical/{name}.json"
        return Call("cboe", path, {}, ask, rows=ask.rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        rows = [dict_in(row) for row in list_in(dict_in(json_of(answer, "cboe")).get("data"))]
        dated = [DatedRow(str(row.get("date")), row.get("close"), row.get("volume")) for row in rows]
        basis = "index_level" if call.ask.symbol in INDICES else "unadjusted_for_dividends"
        return dated_bars(dated, call, answer, form="%Y-%m-%d", basis=basis)
