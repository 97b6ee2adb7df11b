"""Sources by libraries that are installed when wanted: any venue of `ccxt` as an extra quote, equities by `yfinance`.

They open their own connections, so limits and retries are their own. What ccxt quotes is compared with ours by the
cross-check and enters no rate; which pairs there are the registry says, by listings at venues that no source of ours
reads. yfinance gets through when plain HTTP is refused, by looking like a browser; whether to use it is the operator's
decision. Neither is ever in a fixing.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Final

import numpy as np
import orjson

from indexer.errors import ConfigError, SourceCorrupt, SourceRefused, SourceUnavailable
from indexer.sources.base import Ask, Call, Parsed, RestSource
from indexer.sources.closes import DIVIDENDS_LEFT, bar_closes_us
from indexer.sources.http import Answer, HttpClient, redact
from indexer.sources.records import BenchmarkBars, Quote, Reject
from indexer.sources.rows import dict_in, json_of, number, stamps_us
from indexer.times import Clock, from_us, utc_now

TIMEOUT_MS: Final = 10_000
KEPT: Final = ("last", "timestamp", "quoteVolume")


@dataclass(frozen=True)
class LibrarySource(RestSource):
    """A source whose answers a library fetches, in a thread of its own; kept as JSON like any other answer."""

    clock: Clock = field(default=utc_now, repr=False)

    async def fetch(self, call: Call, http: HttpClient) -> Answer:
        rows = await asyncio.to_thread(self.ask_library, self._library(), call)
        url = f"{self.about.name}:{call.path}?{'&'.join(f'{name}={value}' for name, value in call.params.items())}"
        return Answer(f"{url}&start={call.ask.start_us // 1_000_000}", 200, {}, orjson.dumps(rows), self.clock())

    def _library(self) -> Any:
        name = self.about.extra
        try:
            return import_module(name)
        except ImportError:
            raise ConfigError(
                f"the source {name} needs its library: pip install 'deai-index[{name}]', or leave the source out"
            ) from None

    @abstractmethod
    def ask_library(self, library: Any, call: Call) -> Any:
        """What is parsed of its answer, as JSON has it. Raises a SourceError or ConfigError in its place."""


class Ccxt(LibrarySource, name="ccxt"):
    """`fetch_tickers` of one venue: pair → ticker with `last`, `timestamp` (ms) and `quoteVolume`.

    A symbol is `<venue>:<pair>` as the library spells both: `gate:TAO/USDT`.
    """

    def place(self, name: str, ask: Ask) -> object:
        return ask.symbols[0].partition(":")[0] if name == "venue" else super().place(name, ask)

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        """One call a venue, for all of its pairs that are asked."""
        venues = dict.fromkeys(symbol.partition(":")[0] for symbol in ask.symbols)
        pairs = [tuple(symbol for symbol in ask.symbols if symbol.partition(":")[0] == venue) for venue in venues]
        return tuple(call for symbols in pairs for call in super(Ccxt, self).calls(replace(ask, symbols=symbols)))

    def ask_library(self, library: Any, call: Call) -> dict[str, Any]:
        name = call.path.partition("/")[0]
        if not hasattr(library, name):
            raise ConfigError(f'ccxt knows no venue "{name}"; correct the venue of the listing in the registry')
        pairs = [symbol.partition(":")[2] for symbol in call.ask.symbols]
        try:
            tickers = getattr(library, name)({"enableRateLimit": True, "timeout": TIMEOUT_MS}).fetch_tickers(pairs)
        except library.NetworkError as cause:
            raise SourceUnavailable(redact(f"ccxt {name}: {cause}")) from None
        except library.BaseError as cause:
            raise SourceRefused(redact(f"ccxt {name}: {cause}")) from None
        return {pair: {key: ticker.get(key) for key in KEPT} for pair, ticker in tickers.items() if pair in pairs}

    def parse(self, call: Call, answer: Answer) -> Parsed:
        tickers = json_of(answer, "ccxt")
        if not isinstance(tickers, dict):
            raise SourceCorrupt("ccxt gave something that is not tickers by pair")
        quotes, rejects = [], []
        for symbol in call.ask.symbols:
            ticker = dict_in(tickers.get(symbol.partition(":")[2]))
            price, stamp = number(ticker.get("last")), number(ticker.get("timestamp"))
            if not price > 0.0:
                rejects.append(Reject("the last price is not a positive number", symbol))
                continue
            observed = int(stamp) * 1000 if stamp > 0.0 and stamp * 1000 <= answer.fetched_us else None
            quote = symbol.rpartition("/")[2]
            quotes.append(Quote(symbol, price, quote, observed))
        return Parsed(quotes=tuple(quotes), rejects=tuple(rejects))


class YFinance(LibrarySource, name="yfinance"):
    """Daily and hourly history without automatic adjustment, so that raw and adjusted closes stay apart."""

    def ask_library(self, library: Any, call: Call) -> list[Any]:
        """Rows of [session stamp s, close, adjusted close, volume]. An empty frame is its way to say "blocked"."""
        start, end = from_us(call.ask.start_us).date(), from_us(call.ask.end_us).date()
        span = {"start": start.isoformat(), "end": end.isoformat(), "interval": call.ask.interval}
        try:
            frame = library.Ticker(call.ask.symbol).history(**span, auto_adjust=False, raise_errors=True)
        except Exception as cause:  # the library raises its transport's many errors; all mean "not now"
            raise SourceUnavailable(redact(f"yfinance {call.ask.symbol}: {cause}")) from None
        if frame.empty:
            raise SourceUnavailable(f"yfinance gave an empty frame for {call.ask.symbol}: blocked, or unknown symbol")
        adjusted = frame["Adj Close"] if "Adj Close" in frame else frame["Close"] * float("nan")  # hours have none
        columns = (frame["Close"], adjusted, frame["Volume"])
        return [[stamp.timestamp(), *row] for stamp, *row in zip(frame.index, *columns, strict=True)]

    def parse(self, call: Call, answer: Answer) -> Parsed:
        rows = json_of(answer, "yfinance")
        if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != 4 for row in rows):
            raise SourceCorrupt("yfinance gave something that is not rows of four")
        values = np.array([[number(v) for v in row] for row in rows], dtype=np.float64).reshape(-1, 4)
        stamps = stamps_us(values[:, 0], 1_000_000, name="yfinance")
        kind = "FUTURE" if call.ask.symbol.endswith("=F") else "EQUITY"
        at = bar_closes_us(stamps, interval=call.ask.interval, instrument=kind)
        good = (values[:, 1] > 0.0) & (at > call.ask.start_us) & (at <= call.ask.end_us)
        closed = at <= answer.fetched_us
        times, first = np.unique(at[good & closed], return_index=True)
        close, adjusted, volume = values[good & closed][first].T[1:]
        bars = BenchmarkBars(call.ask.symbol, times, close, adjusted, volume, DIVIDENDS_LEFT)
        return Parsed(benchmark=bars, open_rows=int((good & ~closed).sum()))
