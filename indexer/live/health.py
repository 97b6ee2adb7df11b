"""How the sources are: asked once each for `deai doctor`, or told from the store without asking anybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from indexer.config import Settings
from indexer.errors import ConfigError, SourceCorrupt, SourceError, SourceRefused
from indexer.live.standing import SourceState, SourceStatus
from indexer.live.upstream import keys_of, sources_of, upstream_of
from indexer.sources.base import Ask, Capabilities, Dataset, RestSource, Source, limit_of
from indexer.sources.http import HostLimit, HttpClient, Timeouts
from indexer.sources.http.limits import DEFAULT_LIMIT, LIMITS
from indexer.sources.registry import capabilities
from indexer.store.archive import read_last_answers
from indexer.store.db import Store
from indexer.store.quality import read_open_quality
from indexer.times import DAY_US, HOUR_US, to_us, utc_now


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
    "cboe": (Dataset.BENCHMARK, "QQQ", "1d"),
    "nasdaq": (Dataset.BENCHMARK, "QQQ", "1d"),
    "yahoo": (Dataset.BENCHMARK, "QQQ", "1d"),
    "fred": (Dataset.BENCHMARK, "NASDAQ100", "1d"),
    "feargreed": (Dataset.SENTIMENT, "market", "1d"),
    "defillama-usage": (Dataset.USAGE, "defillama_fees:akash-network", "1d"),
    "akash-console": (Dataset.USAGE, "active_leases:akt", "1d"),
    "nearblocks": (Dataset.USAGE, "near_charts:near", "1d"),
    "ic-dashboard": (Dataset.USAGE, "daily_stats:icp", "1d"),
    "okx-derivatives": (Dataset.FUNDING, "NEAR-USDT-SWAP", "1h"),
    "bybit-derivatives": (Dataset.FUNDING, "NEARUSDT", "1h"),
    "binance-derivatives": (Dataset.FUNDING, "NEARUSDT", "1h"),
    "ccxt": (Dataset.QUOTES, "gate:TAO/USDT", "1h"),
    "yfinance": (Dataset.BENCHMARK, "QQQ", "1d"),
}
STATED: Final = ("name", "title", "fixing", "opt_in", "extra", "key_adds", "loses", "notes", "docs")
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
    limit = limit_of(source, name)
    quota = _words(http.health(limit).limit)
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


PATIENCE: Final = Timeouts(connect=3.0, read=5.0, total=6.0, patience=0.0, attempts=1)


def examine_all(settings: Settings) -> list[Examination]:
    """How each source in use is now. Never raises for a source that fails; takes some seconds at most."""
    upstream = upstream_of(settings, timeouts=PATIENCE)
    now_us = to_us(utc_now())
    try:
        return upstream.run(lambda http: examine(upstream.sources, http, now_us=now_us))
    finally:
        upstream.close()


def source_states(store: Store, settings: Settings) -> list[SourceStatus]:
    """Every known source, in the order of preference. Asks nobody."""
    used, keys = sources_of(settings), keys_of(settings)
    answers = read_last_answers(store)
    down = {row.subject: row for row in read_open_quality(store, ("source_down",))}
    states = []
    for about in capabilities():
        entry = down.get(about.name)
        in_use = about.name in used
        known = SourceState.ANSWERING if about.name in answers else SourceState.NOT_ASKED
        stated: dict[str, Any] = {name: getattr(about, name) for name in STATED}
        states.append(
            SourceStatus(
                **stated,
                kind=str(about.kind),
                datasets=tuple(sorted(map(str, about.datasets))),
                intervals=tuple(about.history),
                licence=str(about.licence),
                in_use=in_use,
                has_key=about.name in keys,
                limit=_words(LIMITS.get(about.limit or about.name, DEFAULT_LIMIT)),
                state=SourceState.NOT_USED if not in_use else SourceState.DOWN if entry else known,
                down_since=entry.opened_at if entry and in_use else None,
                said=str(json.loads(entry.detail).get("text", "")) if entry and in_use else "",
                troubles=sum(subject.startswith(f"{about.name}/") for subject in down),
                last_answer=answers.get(about.name),
            )
        )
    return states


def _words(limit: HostLimit) -> str:
    """The rate limit kept with a source, and why."""
    return f"{limit.per_second:g} a second, {limit.burst:g} at once: {limit.why}"
