"""The daily look into the venues' own lists: what is gone, what came, what is to end, who has no venue left."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fault_server import Fault
from played import at

from indexer.errors import SourceUnavailable
from indexer.live.context import LISTINGS, Live, trading_pairs
from indexer.live.listings import check_listings, compare_listings, without_venue
from indexer.registry import Registry, VenueListing, load_registry
from indexer.registry.read import read_registry
from indexer.sources.records import Instrument
from indexer.store.quality import read_open_quality
from indexer.store.runs import finish_run, start_run
from indexer.times import to_us

NOW_US = to_us(at("2026-11-30T00:00:00Z"))
BTC = Instrument("BTC-USDT", "BTC", "USDT", "trading")


def pair(symbol: str, *, state: str = "trading") -> Instrument:
    base, quote = symbol.split("-")
    return Instrument(symbol, base, quote, state)


def okx(**changes: str) -> Registry:
    """Three tokens at OKX: two trusted listings and one that waits for the venue's list."""
    entries = "\n".join(
        f'[[asset]]\nslug = "{slug}"\nname = "{slug}"\nsymbols = [{{ symbol = "{slug.upper()}" }}]\n'
        f'status = "core"\nsub_sector = "a"\nchain = "{slug}"\ncontract = "native"\ndecimals = 9\nsource = "x"\n'
        f'venues = [{{ venue = "okx", symbol = "{slug.upper()}-USDT", status = "{status}" }}]\n'
        for slug, status in {"tao": "verified", "near": "seen", "kite": "unverified"}.items()
    )
    return read_registry(f'[sub_sectors]\na = "A"\n{entries}', source="own.toml")


def test_all_as_the_registry_says_gives_no_entry_and_a_waiting_listing_is_taken_up() -> None:
    entries, trading = compare_listings(
        okx(), {"okx": [BTC, *map(pair, ("TAO-USDT", "NEAR-USDT", "KITE-USDT"))]}, at_us=NOW_US
    )
    assert trading == {"okx": ["TAO-USDT", "NEAR-USDT", "KITE-USDT"]}
    assert entries == {
        "unlisted": {},
        "delisting": {},
        "newly_listed": {"okx/kite": "KITE-USDT is in the venue's list now and is asked for"},
    }


def test_a_pair_that_vanished_moved_or_is_to_end_is_named() -> None:
    pairs = [BTC, pair("TAO-USDC"), pair("TAO-EUR"), pair("NEAR-USDT", state="ending")]
    entries, trading = compare_listings(okx(), {"okx": pairs}, at_us=NOW_US)
    assert trading == {"okx": ["NEAR-USDT"]}, "it trades until its end"
    text = "TAO-USDT is not in the venue's list; it lists TAO-EUR, TAO-USDC instead; it is not asked for"
    assert entries["unlisted"] == {"okx/tao": text}
    assert entries["delisting"] == {"okx/near": "the venue restricts NEAR-USDT or has announced its end"}
    entries, trading = compare_listings(okx(), {"okx": [BTC, pair("TAO-USDT", state="closed")]}, at_us=NOW_US)
    assert "does not trade" in entries["unlisted"]["okx/tao"]
    assert without_venue(okx(), {"okx": None}, trading).keys() == {"tao", "near", "kite"}


def test_a_pair_that_the_registry_lacks_is_for_a_person_to_judge() -> None:
    entries, trading = compare_listings(
        load_registry(), {"bybit": [BTC, pair("GLM-USDT"), pair("GLM-EUR")]}, at_us=NOW_US
    )
    text = "bybit lists GLM-USDT; if it is this token, add the pair to the registry"
    assert entries["newly_listed"] == {"bybit/glm": text}
    assert "GLM-USDT" not in trading["bybit"], "a ticker is no identity"


def test_what_is_gone_is_not_asked_for_and_comes_back(live: Live) -> None:
    near = live.registry.by_slug["near"]
    gone = replace(near, venues=(*near.venues[1:], VenueListing("binance", "NEARXUSDT", "verified")))
    assets = tuple(gone if asset is near else asset for asset in live.registry.assets)
    changed = replace(live, registry=replace(live.registry, assets=assets))
    assert ("binance", "NEARXUSDT") in {(row.source, row.symbol) for row in changed.venues()}
    look(changed, 1)
    assert ("binance", "NEARXUSDT") not in {(row.source, row.symbol) for row in changed.venues()}
    (entry,) = read_open_quality(live.store, ("unlisted",))
    assert entry.subject == "binance/near" and "it lists NEARUSDT instead" in entry.detail
    look(live, 2)
    assert read_open_quality(live.store, ("unlisted",)) == []
    assert ("binance", "NEARUSDT") in {(row.source, row.symbol) for row in live.venues()}


def look(live: Live, number: int) -> dict[str, object]:
    due = live.clock() + timedelta(minutes=number)
    run_id = start_run(live.store, kind=LISTINGS, key=f"{LISTINGS}:{number}", now=live.clock(), due_at=due)
    assert run_id is not None
    detail = dict(check_listings(live, live.clock(), run_id))
    finish_run(live.store, run_id, now=live.clock(), detail=detail)
    return detail


def test_a_token_without_any_venue_is_an_alarm_in_status(live: Live) -> None:
    near = live.registry.by_slug["near"]
    lost = replace(near, venues=tuple(replace(one, symbol=f"X{one.symbol}") for one in near.venues))
    assets = tuple(lost if asset is near else asset for asset in live.registry.assets)
    assert look(replace(live, registry=replace(live.registry, assets=assets)), 1)["no_venue"] == ["near"]
    (entry,) = read_open_quality(live.store, ("no_venue",))
    assert "no venue in use lists NEAR (it had: binance, bybit, coinbase, kraken, okx)" in entry.detail
    assert look(live, 2)["no_venue"] == []
    assert read_open_quality(live.store, ("no_venue",)) == []


def test_half_a_list_is_no_list_and_an_old_one_counts_for_a_week(live: Live, world) -> None:  # type: ignore[no-untyped-def]
    look(live, 1)
    assert set(trading_pairs(live.store, now=live.clock())) == {"binance", "coinbase", "kraken", "okx", "bybit"}
    assert trading_pairs(live.store, now=live.clock() + timedelta(days=8)) == {}
    world.faults.append(Fault("okx", "html"))
    detail = look(live, 2)
    assert detail["unread"] == ["okx"]
    assert "okx" in trading_pairs(live.store, now=live.clock()), "what was read before still counts"
    world.faults[:] = [Fault(venue, "html") for venue in ("binance", "coinbase", "kraken", "okx", "bybit")]
    with pytest.raises(SourceUnavailable, match="no venue gave its list of pairs"):
        look(live, 3)
