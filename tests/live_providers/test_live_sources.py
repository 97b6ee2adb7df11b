"""Each provider's real shape, asked once and gently. Run with a connection: `pytest -m live tests/live_providers`.

A source that refuses this address or region is reported as such (xfail), because that is a fact about the place;
an answer that does not parse, or parses to nothing, is a failure: the provider has changed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from indexer.errors import ConfigError, SourceRefused, SourceUnavailable
from indexer.live.health import probe
from indexer.sources.base import Ask, Call, Dataset
from indexer.sources.http import Answer, HttpClient
from indexer.sources.registry import REGISTRY
from indexer.sources.usage import USAGE
from indexer.times import DAY_US, HOUR_US, iso, to_us, utc_now
from onchain import snapshot
from onchain.chains import load_chains
from onchain.health import by_chain, doctor
from onchain.tokens import load_tokens

pytestmark = pytest.mark.live


@pytest_asyncio.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient() as client:
        yield client


SPOT = {"binance": "NEARUSDT", "coinbase": "NEAR-USD", "kraken": "NEARUSD", "okx": "NEAR-USDT", "bybit": "NEARUSDT"}
OTHERS = {"binance": "FETUSDT", "coinbase": "FET-USD", "kraken": "FETUSD", "okx": "FET-USDT", "bybit": "FETUSDT"}
SWAPS = {"binance-derivatives": "NEARUSDT", "okx-derivatives": "NEAR-USDT-SWAP", "bybit-derivatives": "NEARUSDT"}
SYMBOLS = (
    {"coingecko": "near", "defillama": "coingecko:near", "coinmetrics": "near", "ccxt": "gate:TAO/USDT"} | SPOT | SWAPS
)
EQUITIES = {"cboe": ("QQQ", "^NDX"), "nasdaq": ("QQQ",), "yahoo": ("QQQ", "^NDX", "NQ=F"), "yfinance": ("QQQ",)}
EQUITIES |= {"fred": ("NASDAQ100", "DFF")}


def every_call() -> Iterator[tuple[str, Dataset, tuple[str, ...], str]]:
    """Source, dataset, symbols and interval of each kind of call that the product makes."""
    for name, cls in REGISTRY.items():
        about = cls.about
        for dataset in sorted(about.datasets):
            usual = (SYMBOLS.get(name, ""),)
            if dataset is Dataset.BENCHMARK:
                yield from ((name, dataset, (one,), step) for one in EQUITIES[name] for step in about.history)
            elif dataset is Dataset.BARS:
                yield from ((name, dataset, usual, step) for step in about.history)
            elif dataset is Dataset.INSTRUMENTS:
                yield name, dataset, (), "1d"
            elif dataset is Dataset.USAGE:
                own = (f"{key}:{series.asset}" for key, series in USAGE.services[name].series.items() if series.asset)
                yield from (
                    (name, dataset, (symbol,), "1d") for symbol in dict.fromkeys([*own, *probe(name, 0).symbols])
                )
            elif dataset is Dataset.SENTIMENT:
                yield name, dataset, probe(name, 0).symbols, "1d"
            else:
                yield name, dataset, usual, "1h"
                if dataset is Dataset.QUOTES and name in OTHERS:
                    yield name, dataset, (SPOT[name], OTHERS[name]), "1h"


@pytest.mark.parametrize(("name", "dataset", "symbols", "interval"), list(every_call()))
async def test_the_real_answer_parses_to_recent_records(
    name: str, dataset: Dataset, symbols: tuple[str, ...], interval: str, http: HttpClient
) -> None:
    mirror = os.environ.get("DEAI_SOURCE_BASE_URL", "")
    key = os.environ.get(f"DEAI_{name.upper()}_KEY", "")
    source = REGISTRY[name](key=key, base_url=f"{mirror}/{name}" if mirror else "")
    now = to_us(utc_now())
    end = now // HOUR_US * HOUR_US
    reach = {"1m": HOUR_US, "1h": 5 * DAY_US, "1d": 14 * DAY_US}[interval]
    ask = Ask(dataset, symbols, end - reach, end, now, interval, contract_size=1.0)
    calls = source.calls(ask)
    assert calls, "the product plans no such call"
    call = calls[-1]
    try:
        answer = await source.fetch(call, http)
        record(call, answer)
        parsed = source.parse(call, answer)
    except (SourceRefused, SourceUnavailable, ConfigError) as cause:
        pytest.xfail(f"{name} cannot be asked from here: {cause}")
    assert parsed.count > 0 or dataset is Dataset.LIQUIDATIONS, answer.body[:500]
    assert not [r for r in parsed.rejects if "asked" not in r.reason], parsed.rejects[:5]
    for part in (parsed.bars, parsed.benchmark, *parsed.series):
        if part is not None and len(part):
            assert now - part.time_us[-1] < 6 * DAY_US, "the newest record is old"


def record(call: Call, answer: Answer) -> None:
    """Keep an answer as it came, where DEAI_RECORD names a folder (README beside this file)."""
    if not (folder := os.environ.get("DEAI_RECORD")):
        return
    ask = call.ask
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{ask.dataset}_{'+'.join(ask.symbols[:2]) or 'all'}_{ask.interval}")
    place = Path(folder) / call.source / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.with_name(f"{name}.body").write_bytes(answer.body)
    about = {
        "url": answer.url,
        "fetched_at": answer.fetched_at.isoformat(),
        "start": iso(ask.start_us),
        "end": iso(ask.end_us),
    }
    place.with_name(f"{name}.json").write_text(json.dumps(about, indent=2) + "\n")


@pytest.mark.parametrize(
    ("name", "symbol"),
    [("binance", "NEARUSDT"), ("coinbase", "NEAR-USD"), ("okx", "NEAR-USDT"), ("bybit", "NEARUSDT")],
)
@pytest.mark.parametrize("interval", ["1m", "1h", "1d"])
async def test_a_past_window_comes_whole(name: str, symbol: str, interval: str, http: HttpClient) -> None:
    source = REGISTRY[name]()
    now = to_us(utc_now())
    step = {"1m": HOUR_US // 60, "1h": HOUR_US, "1d": DAY_US}[interval]
    end = now // DAY_US * DAY_US - 30 * DAY_US
    ask = Ask(Dataset.BARS, (symbol,), end - 60 * step, end, now, interval)
    (call,) = source.calls(ask)
    try:
        parsed = source.parse(call, await source.fetch(call, http))
    except (SourceRefused, SourceUnavailable) as cause:
        pytest.xfail(f"{name} cannot be asked from here: {cause}")
    assert parsed.bars is not None
    assert 50 <= len(parsed.bars) <= 60  # absent minutes are gaps on Coinbase
    assert parsed.bars.time_us[-1] <= end
    assert parsed.bars.time_us[0] > end - 60 * step


@pytest.mark.parametrize("name", list(load_chains()))
def test_what_each_chain_answers(name: str) -> None:
    """Lists the operators that answer, the supplies of the chain's tokens and what it states of its use."""
    (health,) = by_chain(doctor(chains={name: load_chains()[name]}))
    print(f"{name}: {len(health.answering)} of {health.operators} operators; {health.verdict}")
    if not health.answering:
        pytest.xfail(f"{name} cannot be asked from here: {health.verdict}")
    shot = snapshot([symbol for symbol, token in load_tokens().items() if token.legs and token.legs[0].chain == name])
    for symbol, supply in shot.supplies.items():
        figures = {
            usage.metric: reading.amount for usage, reading in shot.usage.get(symbol, ()) if not reading.read.holder
        }
        print(symbol, supply.status, supply.tokens("total"), supply.tokens("free_float"), supply.reason, figures)
    assert all(supply.status == "on_chain" for supply in shot.supplies.values())


async def test_the_365_day_wall_of_coingecko_is_where_we_say(http: HttpClient) -> None:
    source = REGISTRY["coingecko"]()
    now = to_us(utc_now())
    ask = Ask(Dataset.BARS, ("bittensor",), now - 400 * DAY_US, now - 380 * DAY_US, now, "1d")
    assert source.calls(ask) == ()
    ask = Ask(Dataset.BARS, ("bittensor",), now - 400 * DAY_US, now, now, "1d")
    assert source.calls(ask)[0].ask.start_us >= now - 365 * DAY_US
