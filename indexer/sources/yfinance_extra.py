"""Equities by the `yfinance` library. Optional: `pip install deai-index[yfinance]`. Never in a fixing.

It gets through when plain HTTP is refused, by looking like a browser; whether to use it is the operator's
decision. Empty frames (its way to say "blocked") are failures here, not "no data".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import orjson

from indexer.arrays import I64
from indexer.errors import ConfigError, SourceCorrupt, SourceUnavailable
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known
from indexer.sources.http import Answer, HttpClient, redact
from indexer.sources.records import BenchmarkBars
from indexer.sources.rows import json_of, number, stamps_us
from indexer.sources.sessions import session_close_us
from indexer.times import HOUR_US, Clock, from_us, utc_now


@dataclass(frozen=True)
class YFinance(RestSource):
    """Daily and hourly history without automatic adjustment, so that raw and adjusted closes stay apart."""

    clock: Clock = field(default=utc_now, repr=False)

    about: ClassVar[Capabilities] = known("yfinance")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        return self.paged(ask, self._history) if ask.dataset is Dataset.BENCHMARK else ()

    @staticmethod
    def _history(ask: Ask) -> Call:
        return Call("yfinance", "history", {"symbol": ask.symbol}, ask, rows=ask.rows)

    async def fetch(self, call: Call, http: HttpClient) -> Answer:
        rows = await asyncio.to_thread(_ask_library, call)
        url = f"yfinance:history?symbol={call.ask.symbol}&start={call.ask.start_us // 1_000_000}"
        return Answer(url, 200, {}, orjson.dumps(rows), self.clock())

    def parse(self, call: Call, answer: Answer) -> Parsed:
        rows = json_of(answer, "yfinance")
        if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != 4 for row in rows):
            raise SourceCorrupt("yfinance gave something that is not rows of four")
        values = np.array([[number(v) for v in row] for row in rows], dtype=np.float64).reshape(-1, 4)
        at = _closes(stamps_us(values[:, 0], 1_000_000, name="yfinance"), call.ask)
        good = (values[:, 1] > 0.0) & (at > call.ask.start_us) & (at <= call.ask.end_us)
        closed = at <= answer.fetched_us
        times, first = np.unique(at[good & closed], return_index=True)
        kept = values[good & closed][first]
        bars = BenchmarkBars(call.ask.symbol, times, kept[:, 1], kept[:, 2], kept[:, 3], "unadjusted_for_dividends")
        return Parsed(benchmark=bars, open_rows=int((good & ~closed).sum()))


def _closes(stamps: I64, ask: Ask) -> I64:
    """The instant each bar closes: its session's close, or an hour after its stamp but within the session."""
    future = ask.symbol.endswith("=F")
    session = session_close_us(stamps, "America/New_York", instrument="FUTURE" if future else "")
    if ask.interval == "1d":
        return session
    closes: I64 = stamps + HOUR_US if future else np.minimum(stamps + HOUR_US, session)
    return closes


def _ask_library(call: Call) -> list[Any]:
    """Rows of [session stamp s, close, adjusted close, volume] from the library."""
    try:
        import yfinance
    except ImportError:
        raise ConfigError(
            "the source yfinance needs its library: pip install 'deai-index[yfinance]', or leave it out"
        ) from None
    start, end = from_us(call.ask.start_us).date(), from_us(call.ask.end_us).date()
    try:
        frame = yfinance.Ticker(call.ask.symbol).history(
            start=start.isoformat(),
            end=end.isoformat(),
            interval=call.ask.interval,
            auto_adjust=False,
            raise_errors=True,
        )
    except Exception as cause:  # the library raises its transport's many errors; all mean "not now"
        raise SourceUnavailable(redact(f"yfinance {call.ask.symbol}: {cause}")) from None
    if frame.empty:
        raise SourceUnavailable(f"yfinance gave an empty frame for {call.ask.symbol}: blocked, or unknown symbol")
    adjusted = frame["Adj Close"] if "Adj Close" in frame else frame["Close"] * float("nan")  # hours have none
    columns = (frame["Close"], adjusted, frame["Volume"])
    return [[stamp.timestamp(), *row] for stamp, *row in zip(frame.index, *columns, strict=True)]
