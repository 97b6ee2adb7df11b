"""The level between fixings: from the venues' prices of now, by the fixing's own gates, stored nowhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from fastapi.testclient import TestClient
from fault_server import Fault
from played import VENUES, Played, at, live_through

from api.app import create_app
from api.routes.stream import _tell_live
from indexer.errors import NotEnoughDataError, NotFoundError
from indexer.live.context import Live
from indexer.live.ticker import SPACING_S, Ticker
from indexer.store.levels import count_levels, read_levels
from indexer.times import from_us

FROZEN_FROM = at("2025-01-28T13:00:00Z")


@pytest.fixture
def frozen(world: Played, live: Live) -> Live:
    """Levels up to 13:00; from then on each venue keeps its own price, a little beside the others'."""
    world.sources, world.since = VENUES, date(2025, 1, 22)
    kept = world.server._providers.change

    def still(rows: np.ndarray, venue: str, asset: str) -> np.ndarray:
        rows = kept(rows, venue, asset)
        later = rows[:, 0] >= FROZEN_FROM.timestamp() * 1e6
        if later.any():
            prices = {"FET": 1.25, "NEAR": 4.5, "GRT": 0.2, "USDT": 0.9996, "BTC": 1e5}
            rows[later, 1:5] = prices[asset] * (1.0 + 1e-4 * VENUES.index(venue) * (asset != "USDT"))
            rows[later, 5] = 1000.0 + np.arange(later.sum()) % 7  # or the venues would repeat themselves: stale
            rows[later, 6] = rows[later, 5] * rows[later, 4]
        return rows

    world.server._providers.change = still
    scheduler = world.scheduler(live.store)
    live_through(world, scheduler, until=at("2025-01-28T14:10:00Z"), step=timedelta(minutes=5))
    scheduler.stop()
    live.upstream.sources.clear()
    live.upstream.sources.update(world.upstream().sources)
    return live


def test_on_prices_that_stand_still_it_is_the_next_fixing(world: Played, frozen: Live) -> None:
    before = count_levels(frozen.store, "trio")
    now = Ticker(frozen, monotonic=world.monotonic).level("trio")
    assert count_levels(frozen.store, "trio") == before, "never stored"
    assert (now.final, now.carried_weight, now.three_venues) == (False, 0.0, 1.0)
    assert set(now.venues) == set(VENUES)
    assert now.age_s == 0.0
    scheduler = world.scheduler(frozen.store)
    live_through(world, scheduler, until=at("2025-01-28T15:10:00Z"), step=timedelta(minutes=5))
    scheduler.stop()
    rows = read_levels(frozen.store, "trio")
    assert from_us(int(rows.times_us[-1])) == at("2025-01-28T15:00:00Z")
    assert now.level == pytest.approx(float(rows.levels[-1]), rel=1e-9)


def test_venues_are_asked_once_in_some_seconds_and_only_on_demand(world: Played, frozen: Live) -> None:
    ticker = Ticker(frozen, monotonic=world.monotonic)
    world.server.requests.clear()
    first = ticker.level("trio")
    asked = dict(world.server.requests)
    assert asked == {"binance": 1, "kraken": 1, "okx": 1, "bybit": 1, "coinbase": 4}
    world.now += timedelta(seconds=SPACING_S / 2)
    assert ticker.level("trio").age_s == SPACING_S / 2
    assert dict(world.server.requests) == asked
    world.now += timedelta(seconds=SPACING_S)
    assert ticker.level("trio").time > first.time
    assert world.server.requests["binance"] == 2


def test_a_dark_venue_costs_only_itself(world: Played, frozen: Live) -> None:
    honest = Ticker(frozen, monotonic=world.monotonic).level("trio")
    world.faults.append(Fault("okx", "html"))
    world.now += timedelta(seconds=5)
    one_dark = Ticker(frozen, monotonic=world.monotonic).level("trio")
    assert "okx" not in one_dark.venues
    assert one_dark.level == pytest.approx(honest.level, rel=3e-4)
    world.faults[:] = [Fault(venue, "html") for venue in VENUES]
    with pytest.raises(Exception, match="no venue gave a price now"):
        Ticker(frozen, monotonic=world.monotonic).level("trio")


def test_without_a_level_there_is_nothing_to_go_on(world: Played, live: Live) -> None:
    ticker = Ticker(replace(live), monotonic=world.monotonic)
    with pytest.raises((NotFoundError, NotEnoughDataError)):
        ticker.level("trio")


async def test_the_api_answers_it_and_streams_it_as_an_event_of_its_own(world: Played, frozen: Live) -> None:
    app = create_app(frozen.store, settings=world.settings, clock=world.clock)
    client = TestClient(app)
    answer = client.get("/v1/indices/trio/live")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body["final"] is False and body["simulated"] is False
    assert body["since_fixing"] == pytest.approx(body["level"] / read_levels(frozen.store, "trio").levels[-1] - 1.0)
    assert client.get("/v1/indices/none/live").status_code == 404
    events: list[bytes] = []
    told = asyncio.Event()

    async def write(event: bytes) -> None:
        events.append(event)
        told.set()

    telling = asyncio.create_task(_tell_live(app.state.services, "trio", write))
    await asyncio.wait_for(told.wait(), 20)
    telling.cancel()
    assert events[0].startswith(b'event: live\ndata: {"index":"trio"')
    app.state.services.live.close()
    world.faults[:] = [Fault(venue, "html") for venue in VENUES]
    refused = client.get("/v1/indices/trio/live")
    assert (refused.status_code, refused.json()["code"]) == (502, "source_error")
    app.state.services.live.close()
