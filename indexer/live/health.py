"""How the sources are: asked once each, for `deai doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from indexer.errors import ConfigError, SourceCorrupt, SourceError, SourceRefused
from indexer.sources.base import Ask, Capabilities, Dataset, RestSource, Source
from indexer.sources.http import HttpClient
from indexer.times import DAY_US, HOUR_US


class State(StrEnum):
    """What a source answered when it was asked."""

    REACHABLE = "reachable"
    LIMITED = "limited"
    BLOCKED = "blocked"
    WRONG = "wrong"
    UNREACHABLE = "unreachable"
    NOT_INSTALLED = "not installed"


@dataclass(frozen=True, slots=True)
class Examination:
    """One source's state: what it said, how fast, what may be asked of it, and what depends on it.

    `records` is how many records the probe gave; `quota` the limit we keep to and why; `detail` the error if any.
    """

    about: Capabilities
    state: State
    latency_s: float | None
    records: int
    quota: str
    has_key: bool
    detail: str


# A market that every such source has, so that an empty answer means something.
PROBES: Final[Mapping[str, tuple[Dataset, str, str]]] = {
    "binance": (Dataset.BARS, "NEARUSDT", "1h"),
    "coinbase": (Dataset.BARS, "NEAR-USD", "1h"),
    "kraken": (Dataset.BARS, "NEARUSD", "1h"),
    "okx": (Dataset.BARS, "NEAR-USDT", "1h"),
    "bybit": (Dataset.BARS, "NEARUSDT", "1h"),
    "coingecko": (Dataset.SUPPLY, "bittensor", "1d"),
    "defillama": (Dataset.QUOTES, "coingecko:bittensor", "1h"),
    "coinmetrics": (Dataset.BARS, "tao_bittensor", "1d"),
    "yahoo": (Dataset.BENCHMARK, "QQQ", "1d"),
    "fred": (Dataset.BENCHMARK, "NASDAQ100", "1d"),
    "feargreed": (Dataset.SENTIMENT, "market", "1d"),
    "okx-derivatives": (Dataset.FUNDING, "NEAR-USDT-SWAP", "1h"),
    "bybit-derivatives": (Dataset.FUNDING, "NEARUSDT", "1h"),
    "binance-derivatives": (Dataset.FUNDING, "NEARUSDT", "1h"),
    "ccxt": (Dataset.BARS, "NEAR/USDT", "1h"),
    "yfinance": (Dataset.BENCHMARK, "QQQ", "1d"),
}
_DAYS: Final = {"1h": 2, "1d": 14}  # long enough to hold a session, or eight funding times


def probe(name: str, now_us: int) -> Ask:
    """A small question that a healthy source can answer with records: the last days of a market it has."""
    dataset, symbol, interval = PROBES[name]
    end = now_us // HOUR_US * HOUR_US
    return Ask(dataset, (symbol,), end - _DAYS[interval] * DAY_US, end, now_us, interval)


async def examine(sources: Mapping[str, Source], http: HttpClient, *, now_us: int) -> list[Examination]:
    """Every source asked once, side by side; never raises for a source that fails."""
    return list(await asyncio.gather(*(_examine(name, source, http, now_us) for name, source in sources.items())))


async def _examine(name: str, source: Source, http: HttpClient, now_us: int) -> Examination:
    limit = source.limit if isinstance(source, RestSource) else name
    health = http.health(limit)
    quota = f"{health.limit.per_second:g} a second, {health.limit.burst:g} at once: {health.limit.why}"
    has_key = isinstance(source, RestSource) and bool(source.key)
    try:
        call = source.calls(probe(name, now_us))[-1]
        answer = await source.fetch(call, http)
        parsed = source.parse(call, answer)
    except (SourceError, ConfigError) as cause:
        return Examination(source.capabilities, _state(cause), None, 0, quota, has_key, str(cause))
    return Examination(source.capabilities, State.REACHABLE, answer.elapsed_s, parsed.count, quota, has_key, "")


def _state(cause: SourceError | ConfigError) -> State:
    if isinstance(cause, ConfigError):
        return State.NOT_INSTALLED
    if isinstance(cause, SourceRefused):
        return State.BLOCKED
    if isinstance(cause, SourceCorrupt):
        return State.WRONG
    return State.LIMITED if getattr(cause, "retry_after_s", None) or "429" in str(cause) else State.UNREACHABLE
