"""Each provider's real shape, asked once and gently. Run with a connection: `pytest -m live tests/live_providers`.

A source that refuses this address or region is reported as such (xfail), because that is a fact about the place;
an answer that does not parse, or parses to nothing, is a failure: the provider has changed.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from indexer.errors import ConfigError, SourceRefused, SourceUnavailable
from indexer.live.health import probe
from indexer.sources.base import Ask, Dataset
from indexer.sources.http import HttpClient
from indexer.sources.registry import REGISTRY
from indexer.times import DAY_US, HOUR_US, to_us, utc_now

pytestmark = pytest.mark.live


@pytest_asyncio.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient() as client:
        yield client


@pytest.mark.parametrize("name", REGISTRY)
async def test_the_real_answer_parses_to_recent_records(name: str, http: HttpClient) -> None:
    source = REGISTRY[name](key=os.environ.get(f"DEAI_{name.upper()}_KEY", ""))
    now = to_us(utc_now())
    call = source.calls(probe(name, now))[-1]
    try:
        answer = await source.fetch(call, http)
        parsed = source.parse(call, answer)
    except (SourceRefused, SourceUnavailable, ConfigError) as cause:
        pytest.xfail(f"{name} cannot be asked from here: {cause}")
    assert parsed.count > 0, answer.body[:500]
    assert not [r for r in parsed.rejects if "asked" not in r.reason], parsed.rejects[:5]
    for part in (parsed.bars, parsed.benchmark, *parsed.series):
        if part is not None and len(part):
            assert now - part.time_us[-1] < 6 * DAY_US, "the newest record is old"


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


async def test_the_365_day_wall_of_coingecko_is_where_we_say(http: HttpClient) -> None:
    source = REGISTRY["coingecko"]()
    now = to_us(utc_now())
    ask = Ask(Dataset.BARS, ("bittensor",), now - 400 * DAY_US, now - 380 * DAY_US, now, "1d")
    assert source.calls(ask) == ()
    ask = Ask(Dataset.BARS, ("bittensor",), now - 400 * DAY_US, now, now, "1d")
    assert source.calls(ask)[0].ask.start_us >= now - 365 * DAY_US
