"""Any venue of the `ccxt` library as a further source of bars. Optional: `pip install deai-index[ccxt]`.

The library opens its own connections, so limits and retries are its own; everything after that (bytes kept,
parsing, gates, verdicts) is the same as for our own venues. It does not enter a fixing unless a methodology
names the venue.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson

from indexer.errors import ConfigError, SourceCorrupt, SourceRefused, SourceUnavailable
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
from indexer.sources.http import Answer, HttpClient, redact
from indexer.sources.rows import bars_of_rows, json_of
from indexer.times import Clock, utc_now

_EVERY = History(max_rows=300)


@dataclass(frozen=True)
class Ccxt(RestSource):
    """`fetch_ohlcv` of one venue: rows of [open ms, o, h, l, c, base volume]. Symbols as ccxt spells: TAO/USDT."""

    venue: str = "gate"
    clock: Clock = field(default=utc_now, repr=False)

    about: ClassVar[Capabilities] = Capabilities(
        name="ccxt",
        title="A venue by the ccxt library",
        kind=Kind.VENUE,
        base_url="",
        datasets=frozenset({Dataset.BARS}),
        stamp=Stamp.BAR_OPEN,
        licence=Licence.DISPLAY_ONLY,
        fixing=False,
        docs="https://docs.ccxt.com/",
        loses="nothing: it only adds venues we have no client for",
        history={"1m": _EVERY, "1h": _EVERY, "1d": _EVERY},
        opt_in=True,
        extra="ccxt",
        notes="pins many packages exactly; install it only when needed",
    )

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        return self.paged(ask, self._ohlcv) if ask.dataset is Dataset.BARS else ()

    def _ohlcv(self, ask: Ask) -> Call:
        return Call("ccxt", f"{self.venue}/fetch_ohlcv", {"symbol": ask.symbol}, ask, rows=rows_of(ask))

    async def fetch(self, call: Call, http: HttpClient) -> Answer:
        rows = await asyncio.to_thread(self._ask_library, call)
        return Answer(
            url=f"ccxt:{call.path}?symbol={call.ask.symbol}&since={call.ask.start_us // 1000}",
            status=200,
            headers={},
            body=orjson.dumps(rows),
            fetched_at=self.clock(),
        )

    def _ask_library(self, call: Call) -> list[Any]:
        try:
            import ccxt
        except ImportError:
            raise ConfigError(
                "the source ccxt needs its library: pip install 'deai-index[ccxt]', or leave the source out"
            ) from None
        if not hasattr(ccxt, self.venue):
            raise ConfigError(f'ccxt knows no venue "{self.venue}"')
        venue = getattr(ccxt, self.venue)({"enableRateLimit": True, "timeout": 10_000})
        ask = call.ask
        try:
            rows = venue.fetch_ohlcv(ask.symbol, ask.interval, ask.start_us // 1000, rows_of(ask))
        except ccxt.NetworkError as cause:
            raise SourceUnavailable(redact(f"ccxt {self.venue}: {cause}")) from None
        except ccxt.BaseError as cause:
            raise SourceRefused(redact(f"ccxt {self.venue}: {cause}")) from None
        return list(rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        rows = json_of(answer, "ccxt")
        if not isinstance(rows, list):
            raise SourceCorrupt("ccxt gave something that is not rows")
        return bars_of_rows(rows, call, fetched_us=answer.fetched_us, columns=(0, 1, 2, 3, 4, 5, None), unit_us=1000)
