"""The other live jobs against the played providers: supplies, benchmarks, stress, cross-check, retention, ledger."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import orjson
import pytest
from fastapi.testclient import TestClient
from fault_server import Fault
from played import NOON, SLUGS, VENUES, Played, at, live_through, run_of, small_registry

from api.app import create_app
from indexer.errors import InputError, NotEnoughDataError, Stopped
from indexer.levels.markets import supplies_in_force
from indexer.live.context import Live, archive_of, live_of
from indexer.live.crosscheck import check
from indexer.live.fixing import Remembered, fix, from_plain
from indexer.live.history import catch_up
from indexer.live.jobs import sweep
from indexer.live.mapping import base_and_quote, ids_at, quote_mappings, spelled, venue_mappings
from indexer.live.measures import perpetual
from indexer.live.quality_log import settle
from indexer.live.supply import IMPLIED, read_reported, write_facts
from indexer.registry import VenueListing, load_registry, supply_facts
from indexer.sources.base import Ask, Call, Dataset
from indexer.sources.coingecko import implied_supplies
from indexer.sources.http import Answer, Breaker, HostLimit, HttpClient, Timeouts
from indexer.sources.registry import build_sources
from indexer.sources.venues import same_pair
from indexer.store.archive import read_payloads
from indexer.store.quality import read_open_quality, read_quality
from indexer.store.runs import finish_run, start_run
from indexer.store.supplies import read_supplies
from indexer.times import DAY_US, HOUR_US, from_us, parse_instant

# --- mapping


def test_only_trusted_listings_are_asked_for_and_each_by_its_own_spelling() -> None:
    registry, sources = load_registry(), build_sources()
    rows = venue_mappings(registry, sources)
    assert {row.source for row in rows} == set(VENUES), "only venues make a rate"
    kite = {row.source: (row.symbol, row.quote) for row in rows if row.asset == "kite"}
    assert kite == {"binance": ("KITEUSDT", "USDT"), "coinbase": ("KITE-USD", "USD")}, "OKX's listing is unverified"
    assert [row.symbol for row in rows if (row.asset, row.source) == ("btc", "kraken")] == ["XBTUSD"]
    assert "ai16z" not in {row.asset for row in rows}
    assert "ai16z" in {row.asset for row in venue_mappings(registry, sources, legacy=True)}
    quotes = quote_mappings(sorted({row.quote for row in rows}), sources)
    assert [(row.asset, row.source, row.symbol, row.quote) for row in quotes] == [
        ("USDT", "kraken", "USDTUSD", "USD"),
        ("USDT", "coinbase", "USDT-USD", "USD"),
    ]
    assert ids_at(registry, "coingecko")["bittensor"].slug == "tao"


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [
        ("NEARUSDT", ("NEAR", "USDT")),
        ("NEAR-USD", ("NEAR", "USD")),
        ("near/usd", ("NEAR", "USD")),
        ("NEAR-USDT", ("NEAR", "USDT")),
        ("BTCUSDC", ("BTC", "USDC")),
        ("ETHBTC", ("ETH", "BTC")),
    ],
)
def test_the_quote_is_read_from_the_symbol(symbol: str, parts: tuple[str, str]) -> None:
    assert base_and_quote(symbol) == parts


def test_a_price_in_an_unknown_currency_is_refused() -> None:
    for symbol in ("NEARXYZ", "USDT", "NEAR-"):
        with pytest.raises(InputError, match="is not priced in a currency we know"):
            base_and_quote(symbol)


def test_kraken_spells_old_and_new_pairs() -> None:
    assert spelled("kraken", "BTC/USD") == "XBTUSD"
    assert spelled("coinbase", "BTC-USD") == "BTC-USD"
    assert same_pair("USDTZUSD", "USDTUSD")
    assert same_pair("XXBTZUSD", "XBTUSD")
    assert not same_pair("USDCZUSD", "USDTUSD")
    assert not same_pair("XUSDTZUSD", "USDTUSD")
    assert perpetual("okx", "FET-USDT") == "FET-USDT-SWAP"
    assert perpetual("bybit", "FETUSDT") == "FETUSDT"


# --- supplies


def test_supplies_are_kept_by_kind_as_reported_and_implied_ones_apart(live: Live) -> None:
    due = at("2025-01-28T00:00:00Z")
    assert read_reported(live, due, run_of(live, "supply")) == {"readings": 6, "owed": []}
    assert len(read_payloads(live.store, 1)) == 2, "one answer for all, with the record of its call"
    catch_up(replace(live, history_since_us=live.history_since_us - 6 * DAY_US), due, run_of(live, "history"))
    rows = read_supplies(live.store)
    reported = {(row.asset, row.kind): row.amount for row in rows if row.source == "coingecko"}
    assert reported == {(s, k): n * 10**9 * 10 ** decimals(live, s) for s in SLUGS for k, n in KINDS}
    assert {row.origin for row in rows} == {"reported"}
    implied = [row for row in rows if row.source == IMPLIED]
    assert {(row.asset, row.kind) for row in implied} == {(slug, "circulating") for slug in SLUGS}


KINDS = (("circulating", 1), ("total", 2))


def decimals(live: Live, slug: str) -> int:
    return live.registry.by_slug[slug].decimals


def test_supplies_of_a_day_are_read_once(live: Live) -> None:
    due = at("2025-01-28T00:00:00Z")
    read_reported(live, due, run_of(live, "supply"))
    before = read_supplies(live.store)
    again = read_reported(live, due, run_of(live, "supply"))
    assert again["readings"] == 0
    assert read_supplies(live.store) == before


def chart(prices: list[list[float]], caps: list[list[float]], now: str = "2025-03-01") -> list[tuple[str, float]]:
    ask = Ask(Dataset.BARS, ("near",), 0, parse_instant(now), parse_instant(now), "1d")
    body = orjson.dumps({"prices": prices, "market_caps": caps, "total_volumes": []})
    answer = Answer("u", 200, {}, body, from_us(parse_instant(now)))
    found = implied_supplies(Call("coingecko", "/c", {}, ask), answer)
    return [(from_us(one.observed_us).date().isoformat(), one.tokens) for one in found]


def test_implied_supply_is_market_value_over_price_once_a_week() -> None:
    days = [parse_instant("2025-01-01") // 1000 + n * DAY_US // 1000 for n in range(30)]
    prices = [[float(t), 4.0] for t in days]
    caps = [[float(t), 4.0e9 + 4.0e6 * n] for n, t in enumerate(days)]
    found = chart(prices, caps)
    assert [day for day, _ in found] == ["2025-01-02", "2025-01-09", "2025-01-16", "2025-01-23", "2025-01-30"]
    assert found[1][1] == pytest.approx(1.0e9 + 1.0e6 * 8)
    caps[8][1] *= 3.0  # a broken point on a kept day
    assert [day for day, _ in chart(prices, caps)] == ["2025-01-02", "2025-01-16", "2025-01-23", "2025-01-30"]
    assert chart(prices, [[t, 0.0] for t, _ in caps]) == [], "a market value of nought is no supply"
    assert chart(prices, []) == []


# --- benchmarks


# --- cross-check


def test_an_aggregator_that_differs_is_in_the_ledger_until_it_agrees(world: Played) -> None:
    world.sources = (*VENUES, "defillama", "coingecko")
    store = world.open()
    scheduler = world.scheduler(store)
    live_through(world, scheduler, until=at("2025-01-28T12:10:00Z"), step=timedelta(minutes=5))
    differing = read_open_quality(store, ("disagreement",))
    assert {row.subject for row in differing} == {"defillama/fet", "defillama/near", "defillama/grt"}
    text = orjson.loads(differing[0].detail)["text"]
    assert "defillama says 2, our newest median is" in text
    scheduler.stop()


def test_the_library_of_venues_is_asked_when_it_is_named_and_compared_in_dollars(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of the library's name stands for it; NEAR costs 99 USDT there."""
    (tmp_path / "ccxt.py").write_text(
        "class BaseError(Exception): pass\nclass NetworkError(BaseError): pass\nclass gate:\n"
        "    def __init__(self, options): pass\n"
        "    def fetch_tickers(self, pairs): return {pair: {'last': 99.0} for pair in pairs}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    near = live.registry.by_slug["near"]
    listed = replace(near, venues=(*near.venues, VenueListing("gate", "NEAR/USDT", "seen")))
    assets = tuple(listed if asset is near else asset for asset in live.registry.assets)
    named = replace(live, registry=replace(live.registry, assets=assets))
    live.upstream.sources.update(build_sources(only=("ccxt",)))
    due = at("2025-01-28T12:00:00Z")
    run = start_run(live.store, kind="fixing", key="fixing:1", now=live.clock(), due_at=due)
    assert run is not None
    finish_run(live.store, run, now=live.clock(), detail=dict(fix(named, due, run)))
    assert check(named, due, run_of(live, "cross-check"))["compared"] >= 1
    apart = {row.subject: row.detail for row in read_open_quality(live.store, ("disagreement",))}
    assert "gate says 9" in apart["gate/near"]
    sys.modules.pop("ccxt", None)  # monkeypatch would put the stand-in back


def test_without_a_recent_fixing_there_is_nothing_to_compare(live: Live) -> None:
    with pytest.raises(NotEnoughDataError, match="no fixing of the last 2 hours"):
        check(live, NOON, run_of(live, "cross-check"))


# --- the rest


def test_the_ledger_opens_once_and_closes_what_recovered(live: Live) -> None:
    run = run_of(live, "x")

    def now(**wrong: str) -> None:
        settle(live, run, "stale", wrong, concerns=lambda subject: subject != "other")

    now(fet="old", other="old")
    now(fet="older", other="old")
    (fet, other) = read_open_quality(live.store, ("stale",))
    assert orjson.loads(fet.detail) == {"text": "old"}
    now()
    assert [row.subject for row in read_open_quality(live.store)] == ["other"], "another job's entry is left alone"
    assert [row.closed_at for row in read_quality(live.store, kind="stale") if row.subject == "fet"] == [NOON]
    assert other.opened_at == NOON


def test_answers_go_when_their_time_is_over_but_the_next_fixing_keeps_its_memory(world: Played) -> None:
    world.sources = (*VENUES, "coingecko")
    store = world.open()
    scheduler = world.scheduler(store)
    scheduler.tick()
    scheduler.stop()
    upstream = world.upstream()
    world.now = at("2040-01-01")  # far after the files' own time
    registry = load_registry(world.folder / "registry.toml")
    live = live_of(store, world.settings, registry=registry, upstream=upstream, clock=world.clock)
    archive = archive_of(world.settings)
    before = list(archive.names())
    swept = sweep(replace(live, archive_days=30), world.now, run_of(live, "retention", 9))
    assert swept["files"] == len(before) - 1
    assert swept["links"] >= swept["files"]
    (left,) = archive.names()
    assert b'"kind":"fixing"' in archive.get(left)
    upstream.close()


def test_memory_survives_json_and_a_changed_registry() -> None:
    plain = {
        "at_us": HOUR_US,
        "assets": {"fet": {"out": ["okx"], "recent": [1.0, None] + [2.0] * 10, "rate": 1.5, "age_s": 0.0}},
        "quotes": {"USDT": [HOUR_US, 0.999]},
    }
    known = from_plain(plain)
    assert orjson.loads(orjson.dumps(known)) == plain
    again = known.memory(("near", "fet"), ("kraken", "okx"), at_us=3 * HOUR_US)
    assert again is not None
    assert again.out.tolist() == [[False, False], [False, True]]
    assert np.isnan(again.rate[0])
    assert again.age_s[1] == 7200.0
    assert np.isnan(again.recent[1, 1])
    assert known.last_rates()["USDT"].close.tolist() == [0.999]
    assert Remembered().memory(("fet",), ("okx",), at_us=0) is None


def test_closing_ends_what_waits(world: Played) -> None:
    world.faults.append(Fault("binance", "timeout"))
    upstream = world.upstream()
    asked, ended = threading.Event(), threading.Event()

    async def wait(http: HttpClient) -> None:
        asked.set()
        await http.get(f"{world.server.root}/binance/api", name="binance")

    def work() -> None:
        with pytest.raises(Stopped, match="stopped while waiting for the sources"):
            upstream.run(wait)
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert asked.wait(5)
    upstream.close()
    assert ended.wait(5)
    thread.join()
    with pytest.raises(Stopped, match="stopped while waiting for the sources"):
        upstream.run(wait)


async def test_a_queue_behind_a_breaker_that_opens_ends_at_once_and_says_the_last_reason() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    slow = {"kraken": HostLimit(1e-3, 3, "one in a thousand seconds")}
    once = Timeouts(connect=1.0, attempts=1, patience=0)
    async with HttpClient(
        timeouts=once, limits=slow, breaker=lambda: Breaker(failures=3), monotonic=lambda: 0.0, sleep=sleep
    ) as http:
        calls = (http.get("http://127.0.0.1:9/x", name="kraken") for _ in range(20))
        errors = await asyncio.gather(*calls, return_exceptions=True)
    said = [str(error) for error in errors]
    assert sum("could not be reached" in text and "left alone" not in text for text in said) <= 4
    refused = [text for text in said if "left alone" in text]
    assert len(refused) >= 16
    assert all("another source is used meanwhile (last: kraken could not be reached" in text for text in refused)


# --- the API


def test_the_api_tells_of_sources_and_quality(world: Played) -> None:
    world.sources = ("binance", "coinbase", "kraken")
    world.faults.append(Fault("binance", "451"))
    store = world.open()
    scheduler = world.scheduler(store)
    scheduler.tick()
    scheduler.stop()
    client = TestClient(create_app(store, settings=world.settings, clock=world.clock))
    body = client.get("/v1/sources").json()
    found = {one["name"]: one for one in body["data"]}
    assert (body["down"], found["binance"]["state"], found["kraken"]["state"]) == (1, "down", "answering")
    assert "does not serve this region" in found["binance"]["said"]
    assert found["binance"]["down_since"] == "2025-01-28T12:05:00Z"
    assert found["kraken"]["last_answer"] == "2025-01-28T12:05:00Z"
    assert found["okx"]["state"] == "not_used"
    quality = client.get("/v1/quality", params={"kind": "source_down"}).json()
    assert (quality["open"], quality["data"][0]["subject"]) == (1, "binance")
    assert "does not serve this region" in quality["data"][0]["detail"]["text"]
    assert client.get("/v1/quality", params={"kind": "gap"}).json()["count"] == 0


def test_the_small_registry_is_whole(tmp_path: Path) -> None:
    assert [asset.slug for asset in load_registry(small_registry(tmp_path)).assets] == list(SLUGS)


def test_finished_runs_are_not_started_again(live: Live) -> None:
    finish_run(live.store, run_of(live, "x"), now=live.clock())
    assert start_run(live.store, kind="x", key="x:0", now=live.clock()) is None


# --- shipped supplies


def test_shipped_supplies_are_written_once_and_give_way_to_a_provider(live: Live) -> None:
    due = at("2025-01-28T00:00:00Z")
    first = write_facts(live, due, run_of(live, "facts"))
    rows = [row for row in read_supplies(live.store) if row.source == supply_facts.SOURCE]
    assert first["facts"] == len(rows) > 0
    assert max(row.observed_at for row in rows) <= due, "nothing of the future"
    assert {row.origin for row in rows} == {"reported"}
    fet = next(row for row in rows if row.asset == "fet" and row.observed_at == at("2025-01-01T00:00:00Z"))
    assert fet.amount == 2_440_000_000 * 10**18
    assert write_facts(live, due, run_of(live, "facts", 1))["facts"] == 0
    read_reported(live, due, run_of(live, "supply"))
    stored = [row for row in read_supplies(live.store) if row.asset == "fet" and row.kind == "circulating"]
    begins = min(row.observed_at for row in stored if row.source != supply_facts.SOURCE)
    in_force = {row.observed_at for row in supplies_in_force(stored) if row.source == supply_facts.SOURCE}
    assert in_force == {row.observed_at for row in rows if row.asset == "fet" and row.observed_at < begins}
    late = replace(next(row for row in rows if row.asset == "fet"), observed_at=begins)
    assert late not in supplies_in_force([*stored, late]), "from its first reading on the provider speaks"
