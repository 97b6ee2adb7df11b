"""FRED graph CSV: Nasdaq and S&P levels, VIX and US rates, daily, no key. "." and empty are missing."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Final

import numpy as np

from indexer.errors import SourceCorrupt
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known
from indexer.sources.http import Answer, Expects
from indexer.sources.records import BenchmarkBars, Reject
from indexer.sources.rows import number
from indexer.sources.sessions import dates_close_us, day_end_us
from indexer.times import from_us

SERIES: Final = {
    "NASDAQ100": "index_level",
    "NASDAQCOM": "index_level",
    "SP500": "index_level",
    "VIXCLS": "index_level",
    "DFF": "percent_a_year",
    "DGS10": "percent_a_year",
}


@dataclass(frozen=True)
class Fred(RestSource):
    """`fredgraph.csv?id=…`: a header `observation_date,<ID>` (once `DATE,<ID>`) and a row a date."""

    about: ClassVar[Capabilities] = known("fred")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        return self.paged(ask, self._csv) if ask.dataset is Dataset.BENCHMARK else ()

    @staticmethod
    def _csv(ask: Ask) -> Call:
        params = {
            "id": ask.symbol,
            "cosd": from_us(ask.start_us).date().isoformat(),
            "coed": from_us(ask.end_us).date().isoformat(),
        }
        return Call("fred", "/graph/fredgraph.csv", params, ask, rows=ask.rows, expects=Expects.CSV)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        series = call.ask.symbol
        lines = list(csv.reader(answer.body.decode("utf-8", "replace").splitlines()))
        if not lines or len(lines[0]) != 2 or lines[0][0].lower() not in ("observation_date", "date"):
            raise SourceCorrupt(f"fred answered without the header observation_date,{series}")
        if lines[0][1] != series:
            raise SourceCorrupt(f"fred answered for {lines[0][1]} when asked {series}")
        days: list[date] = []
        values: list[float] = []
        rejects: list[Reject] = []
        for at, line in enumerate(lines[1:], start=2):
            try:
                day, text = date.fromisoformat(line[0]), line[1]
            except (ValueError, IndexError):
                rejects.append(Reject("row is not a date and a value", ",".join(line), at))
                continue
            value = number(text)
            if np.isfinite(value) and (value > 0.0 or SERIES.get(series) == "percent_a_year"):
                days.append(day)
                values.append(value)
            elif text.strip() not in ("", "."):
                rejects.append(Reject("value is not a finite positive number", ",".join(line), at))
        return _bars(days, values, call, answer.fetched_us, rejects)


def _bars(days: list[date], values: list[float], call: Call, fetched_us: int, rejects: list[Reject]) -> Parsed:
    """Levels at the session's close; rates at the end of their day, when they hold."""
    series = call.ask.symbol
    basis = SERIES.get(series, "index_level")
    ends = {day: day_end_us(day) for day in days} if basis == "percent_a_year" else dates_close_us(days)
    at = np.array([ends[day] for day in days], dtype=np.int64)
    level = np.array(values, dtype=np.float64)
    asked = (at > call.ask.start_us) & (at <= call.ask.end_us)
    closed = at <= fetched_us
    order, first = np.unique(at[asked & closed], return_index=True)
    kept = level[asked & closed][first]
    nothing = np.full(len(kept), np.nan)
    bars = BenchmarkBars(series, order, kept, nothing, nothing, basis)
    return Parsed(benchmark=bars, rejects=tuple(rejects), open_rows=int((asked & ~closed).sum()))
