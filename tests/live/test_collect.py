"""Collecting the venues of one fixing: converted by our own rate, carried for two hours, never without one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from fault_server import Fault, FaultServer
from fault_world import VENUES, minute_world

from indexer.live.collect import Collected, collect_bars
from indexer.sources.base import Mapped
from indexer.sources.http import HostLimit, HttpClient, Timeouts
from indexer.sources.registry import build_sources
from indexer.times import HOUR_US, from_us, parse_instant

NOW = parse_instant("2025-01-27T12:00:00Z")
FREE = {name: HostLimit(1e6, 1e6, "test") for name in VENUES}
QUICK = Timeouts(connect=1, read=2, total=2, patience=0, attempts=1, first_wait=0)
MAPPED = [
    Mapped("fetch", "okx", "FET-USDT", "USDT"),
    Mapped("fetch", "coinbase", "FET-USD"),
    Mapped("USDT", "kraken", "USDTUSD"),
    Mapped("fetch", "stooq", "FET"),
]


@dataclass
class Moment:
    now: int = NOW


async def collect(faults: list[Fault], moment: Moment, last: Collected | None = None) -> Collected:
    server = FaultServer(minute_world(("FET", "NEAR", "GRT")), lambda: moment.now, faults)
    async with server.running(), HttpClient(timeouts=QUICK, limits=FREE, clock=lambda: from_us(moment.now)) as http:
        sources = build_sources(base_url=server.root)
        rates = last.rates if last else {}
        return await collect_bars(MAPPED, sources, http, at_us=moment.now, last_rates=rates)


async def test_tether_is_not_a_dollar() -> None:
    got = await collect([], Moment())
    okx, coinbase = got.bars["fetch"]["okx"], got.bars["fetch"]["coinbase"]
    assert len(okx) == len(coinbase) == 60
    assert okx.quote == "USD"
    assert okx.close[-1] == pytest.approx(coinbase.close[-1], rel=3e-4)  # both near the one price in dollars
    assert got.rates["USDT"].close[-1] == pytest.approx(0.9987, rel=1e-3)
    assert [len(reply.parsed) for reply in got.replies] == [1, 1, 1]
    assert got.stale == got.unpriced == {}


async def test_without_a_rate_the_last_one_serves_for_two_hours_and_then_nothing_does() -> None:
    moment = Moment()
    first = await collect([], moment)
    moment.now += HOUR_US
    carried = await collect([Fault("kraken", "500")], moment, first)
    assert set(carried.bars["fetch"]) == {"okx", "coinbase"}
    assert [reply.question.source for reply in carried.replies if reply.error] == ["kraken"]
    assert "USDT at our last rate of it, 0.9987" in carried.stale["USDT"]
    moment.now += 2 * HOUR_US
    late = await collect([Fault("kraken", "500")], moment, carried)  # carrying does not make it younger
    assert set(late.bars["fetch"]) == {"coinbase"}
    assert "FET-USDT is in USDT, of which there is no rate of ours" in late.unpriced["okx/fetch"]
