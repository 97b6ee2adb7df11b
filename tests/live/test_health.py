"""The doctor's questions over sockets: reachable, limited, blocked, wrong, not installed; the healthy asked first."""

from __future__ import annotations

import importlib.util

import pytest
from fault_server import Fault, FaultServer
from fault_world import VENUES, hour_world

from indexer.live.health import PROBES, State, examine, probe
from indexer.sources.base import Ask, Dataset, RestSource
from indexer.sources.http import HostLimit, HttpClient, Timeouts
from indexer.sources.registry import REGISTRY, build_sources
from indexer.times import HOUR_US, from_us, parse_instant

NOW = parse_instant("2024-12-20T12:34:56Z")
FREE = {name: HostLimit(1e6, 1e6, "test") for name in (*VENUES, "coingecko", "fred")}
QUICK = Timeouts(connect=1, read=2, total=2, patience=0, attempts=1, first_wait=0)


def test_every_source_has_a_probe_it_can_plan() -> None:
    assert set(PROBES) == set(REGISTRY)
    for name, cls in REGISTRY.items():
        assert cls().calls(probe(name, NOW)), name


async def test_each_state_is_told_apart() -> None:
    faults = [Fault("coinbase", "429"), Fault("kraken", "451"), Fault("okx", "html"), Fault("bybit", "drop")]
    server = FaultServer(hour_world(("NEAR",)), lambda: NOW, faults)
    async with server.running(), HttpClient(timeouts=QUICK, limits=FREE, clock=lambda: from_us(NOW)) as http:
        names = [*VENUES, "coingecko", "fred"]
        sources = build_sources(base_url=server.root, keys={"coingecko": "k"})
        got = {e.about.name: e for e in await examine({n: sources[n] for n in names}, http, now_us=NOW)}
    assert {name: e.state for name, e in got.items()} == {
        "binance": State.REACHABLE,
        "coinbase": State.LIMITED,
        "kraken": State.BLOCKED,
        "okx": State.WRONG,
        "bybit": State.UNREACHABLE,
        "coingecko": State.REACHABLE,
        "fred": State.REACHABLE,
    }
    assert got["binance"].records == 48
    assert got["binance"].latency_s is not None
    assert got["coingecko"].has_key
    assert "100 a minute" in got["coingecko"].quota
    assert got["kraken"].about.loses
    assert "does not serve this region" in got["kraken"].detail


async def test_the_played_world_answers_for_every_source() -> None:
    """One call of each dataset of each source over sockets, through the real planning, fetching and parsing."""
    server = FaultServer(hour_world(("NEAR", "TAO")), lambda: NOW)
    async with server.running():
        sources = build_sources(base_url=server.root, only=(*build_sources(), "coinmetrics"))
        free = {
            source.limit: HostLimit(1e6, 1e6, "test") for source in sources.values() if isinstance(source, RestSource)
        }
        async with HttpClient(timeouts=QUICK, limits=free, clock=lambda: from_us(NOW)) as http:
            got = await examine(sources, http, now_us=NOW)
            assert {e.about.name: (e.state, e.detail) for e in got if e.state is not State.REACHABLE} == {}
            assert all(e.records > 0 for e in got)
            for dataset in (Dataset.OPEN_INTEREST, Dataset.LIQUIDATIONS):
                for name in [e.about.name for e in got if dataset in e.about.datasets]:
                    symbol = "TAO-USDT-SWAP" if name.startswith("okx") else "TAOUSDT"
                    ask = Ask(dataset, (symbol,), NOW - 6 * HOUR_US, NOW, NOW, contract_size=0.1)
                    (call,) = sources[name].calls(ask)
                    assert sources[name].parse(call, await sources[name].fetch(call, http)).count >= 6, name


async def test_a_missing_library_is_not_installed() -> None:
    if importlib.util.find_spec("ccxt"):
        pytest.skip("the ccxt library is installed here")
    sources = build_sources(only=("ccxt",))
    async with HttpClient() as http:
        got = await examine({"ccxt": sources["ccxt"]}, http, now_us=NOW)
    assert got[0].state is State.NOT_INSTALLED
