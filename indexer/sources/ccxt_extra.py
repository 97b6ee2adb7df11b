"""Any venue of the `ccxt` library as an extra quote. Optional: `pip install deai-index[ccxt]`.

The library opens its own connections, so limits and retries are its own. Its quotes are compared with ours by the
cross-check; they enter no rate. A symbol here is `<venue>:<pair>` as the library spells both: `gate:TAO/USDT`. Which
pairs there are the registry says, by listings at venues that no source of ours reads.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

import orjson

from indexer.errors import ConfigError, SourceCorrupt, SourceRefused, SourceUnavailable
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known
from indexer.sources.http import Answer, HttpClient, redact
from indexer.sources.records import Quote, Reject
from indexer.sources.rows import dict_in, json_of, number
from indexer.times import Clock, utc_now

TIMEOUT_MS: Final = 10_000
KEPT: Final = ("last", "timestamp", "quoteVolume")


@dataclass(frozen=True)
class Ccxt(RestSource):
    """`fetch_tickers` of one venue: pair → ticker with `last`, `timestamp` (ms) and `quoteVolume`."""

    clock: Clock = field(default=utc_now, repr=False)

    about: ClassVar[Capabilities] = known("ccxt")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        """One call a venue, for all of its pairs that are asked."""
        if ask.dataset is not Dataset.QUOTES:
            return ()
        venues = dict.fromkeys(symbol.partition(":")[0] for symbol in ask.symbols)
        return tuple(self._tickers(ask, venue) for venue in venues)

    @staticmethod
    def _tickers(ask: Ask, venue: str) -> Call:
        pairs = tuple(symbol for symbol in ask.symbols if symbol.startswith(f"{venue}:"))
        return Call("ccxt", f"{venue}/fetch_tickers", {"symbols": ",".join(pairs)}, replace(ask, symbols=pairs))

    async def fetch(self, call: Call, http: HttpClient) -> Answer:
        tickers = await asyncio.to_thread(_ask_library, call)
        url = f"ccxt:{call.path}?symbols={call.params['symbols']}"
        return Answer(url=url, status=200, headers={}, body=orjson.dumps(tickers), fetched_at=self.clock())

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
            quotes.append(Quote(symbol, price, quote, observed, number(ticker.get("quoteVolume"))))
        return Parsed(quotes=tuple(quotes), rejects=tuple(rejects))


def _ask_library(call: Call) -> dict[str, Any]:
    """The tickers of one venue, only what is parsed of each."""
    try:
        import ccxt
    except ImportError:
        raise ConfigError(
            "the source ccxt needs its library: pip install 'deai-index[ccxt]', or leave the source out"
        ) from None
    name = call.path.partition("/")[0]
    if not hasattr(ccxt, name):
        raise ConfigError(f'ccxt knows no venue "{name}"; correct the venue of the listing in the registry')
    venue = getattr(ccxt, name)({"enableRateLimit": True, "timeout": TIMEOUT_MS})
    pairs = [symbol.partition(":")[2] for symbol in call.ask.symbols]
    try:
        tickers = venue.fetch_tickers(pairs)
    except ccxt.NetworkError as cause:
        raise SourceUnavailable(redact(f"ccxt {name}: {cause}")) from None
    except ccxt.BaseError as cause:
        raise SourceRefused(redact(f"ccxt {name}: {cause}")) from None
    return {pair: {key: ticker.get(key) for key in KEPT} for pair, ticker in tickers.items() if pair in pairs}
