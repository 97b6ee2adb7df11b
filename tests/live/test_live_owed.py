"""What a source could not answer at the first start is owed: it comes by itself when the source is back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_server import Fault
from played import SLUGS, Played, at, played

from indexer.live import filling
from indexer.live.context import Live, live_of
from indexer.live.filling import Filling
from indexer.live.history import catch_up
from indexer.live.upstream import sources_of
from indexer.store.assets import read_listings
from indexer.store.bars import read_bars
from indexer.store.db import Store
from indexer.store.quality import read_open_quality
from indexer.store.runs import finish_run, read_runs, start_run
from indexer.times import DAY_US, to_us
from indexer.workflow.work import registry_of

START = at("2025-01-28T12:05:00Z")
HISTORY_DAYS = 8
# The played world begins on 2025-01-22; the two days before are emptiness, as before a listing.
HOURS = 24 * 6 + 12
OLDEST = "2025-01-20T00:00:00Z"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Played]:
    with played(tmp_path, start=START, sources=("binance", "coinbase", "kraken"), history_days=HISTORY_DAYS) as made:
        yield made


def tick(world: Played, store: Store, *, hours: float = 0.0) -> dict[str, Any]:
    """A new process's tick some hours later; what its history run kept, and the requests it made by source."""
    world.now += timedelta(hours=hours)
    world.server.requests.clear()
    scheduler = world.scheduler(store)
    scheduler.tick()
    scheduler.stop()
    runs = [run for run in read_runs(store, kind="history") if run.outcome == "done"]
    return dict(max(runs, key=lambda run: run.due_at or START).detail)


def hours_of(store: Store, venue: str) -> dict[str, int]:
    """How many hours of each asset are stored from a venue, up to the first instant."""
    rows = read_listings(store, interval="1h")
    bars = read_bars(store, interval="1h", since_us=0, until_us=to_us(at("2025-01-28T12:00:00Z")) + 1)
    return {row.asset: int(np.sum(bars.listing_id == row.id)) for row in rows if row.venue == venue}


def test_a_source_that_was_down_at_the_first_start_gives_its_history_when_it_is_back(world: Played) -> None:
    world.faults.append(Fault("binance", "drop"))
    store = world.open()
    first = tick(world, store)
    assert first["failed"] > 0
    assert first["owed"] == {f"{slug}@binance": OLDEST for slug in SLUGS}
    assert hours_of(store, "binance") == {}
    assert hours_of(store, "coinbase") == dict.fromkeys(SLUGS, HOURS)
    for _ in range(3):  # days pass: what is owed is not forgotten beyond the two days that are always asked again
        still = tick(world, store, hours=24)
    assert still["owed"] == {f"{slug}@binance": OLDEST for slug in SLUGS}
    world.faults.clear()
    last = tick(world, store, hours=1)
    assert (last["failed"], last["owed"]) == (0, {})
    assert hours_of(store, "binance") == dict.fromkeys(SLUGS, HOURS)
    assert [row for row in read_open_quality(store) if row.kind == "source_down"] == []


@pytest.fixture
def live(world: Played) -> Iterator[Live]:
    store, upstream = world.open(), world.upstream()
    yield live_of(store, world.settings, registry=registry_of(world.settings), upstream=upstream, clock=world.clock)
    upstream.close()


def history(world: Played, live: Live) -> dict[str, Any]:
    """The history job once, an hour after the last time; what it kept. `world.server.requests` are this run's."""
    world.now += timedelta(hours=1)
    world.server.requests.clear()
    due = world.now.replace(minute=0)
    run = start_run(live.store, kind="history", key=f"history:{due.isoformat()}", now=world.now, due_at=due)
    assert run is not None
    kept = dict(catch_up(live, due, run))
    finish_run(live.store, run, now=world.now, detail=kept)
    return kept


def test_only_what_failed_is_asked_again_and_the_emptiness_before_a_listing_is_not(world: Played, live: Live) -> None:
    world.sources = ("okx", "coinbase")  # eight days are one call of OKX for each asset
    live.upstream.sources.clear()
    live.upstream.sources.update(sources_of(world.settings))
    world.faults.append(Fault("okx", "html", times=1))
    first = history(world, live)
    assert (first["failed"], world.server.requests) == (1, {"okx": 3, "coinbase": 4})
    (key,) = first["owed"]
    again = history(world, live)
    assert (again["failed"], again["owed"]) == (0, {})
    assert world.server.requests["okx"] in (3, 4), "the newest hour of three assets, and the call that failed"
    history(world, live)
    assert world.server.requests == {"okx": 3, "coinbase": 4}, "nothing is owed: the newest hour alone"
    assert hours_of(live.store, "okx")[key.partition("@")[0]] == HOURS


@pytest.mark.parametrize("killed", [False, True])
def test_bars_without_a_dollar_rate_are_owed_and_priced_later_and_not_asked_again(
    world: Played, live: Live, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a process that starts after one that was killed in the middle: what had been answered is in the archive.

    What Binance gave is then only priced; of it the newest hour of three assets is asked for, and after a kill the
    emptiness before their listing.
    """
    world.faults += [Fault("coinbase", "drop"), Fault("kraken", "drop")]  # the two that price USDT
    if killed:
        monkeypatch.setattr(filling, "KEEP_S", 0.0)
        with monkeypatch.context() as end:
            end.setattr(Filling, "finish", die)
            end.setattr(Filling, "__exit__", die)
            with pytest.raises(SystemExit):
                history(world, live)
    else:
        first = history(world, live)
        assert first["unpriced"] == 3 * HOURS + 3
        assert {key for key in first["owed"] if key.endswith("@binance")} == {f"{slug}@binance" for slug in SLUGS}
    world.faults.clear()
    world.now += timedelta(minutes=30)  # the breakers let a probe through
    again = history(world, live)
    assert (again["unpriced"], again["owed"]) == (0, {})
    assert world.server.requests["binance"] == (6 if killed else 3)
    assert hours_of(live.store, "binance") == dict.fromkeys(SLUGS, HOURS)


def die(filling: Filling, *how: object) -> None:
    raise SystemExit("killed")


def test_a_source_that_refuses_this_address_is_asked_once_a_run_and_its_history_is_owed(
    world: Played, live: Live
) -> None:
    world.faults.append(Fault("binance", "451"))
    first = history(world, live)
    assert set(first["owed"]) == {f"{slug}@binance" for slug in SLUGS}
    assert world.server.requests["binance"] <= 4, "the lanes that were under way, and no more"
    world.faults.clear()
    assert history(world, live)["owed"] == {}
    assert hours_of(live.store, "binance") == dict.fromkeys(SLUGS, HOURS)


def test_one_venue_that_is_down_does_not_fail_the_job_when_the_others_have_all_their_bars(world: Played) -> None:
    """Every hour the fixing has written the others' bars before; only this venue's are missing."""
    world.faults.append(Fault("kraken", "drop"))
    store = world.open()
    for _ in range(3):
        kept = tick(world, store, hours=1)
        assert [run.outcome for run in read_runs(store, kind="history")].count("failed") == 0
    assert (kept["calls"], kept["failed"] > 0) == (0, True)
    assert set(kept["owed"]) == {f"{slug}@kraken" for slug in SLUGS}


def test_a_question_that_is_refused_is_answered_and_owes_nothing(world: Played, live: Live) -> None:
    del live.upstream.sources["kraken"]
    world.server.world.series.pop(("GRT", "1h"))  # a symbol that the venues do not know (any more)
    kept = history(world, live)
    assert kept["failed"] == 2
    assert kept["owed"] == {}


def test_a_source_or_a_length_that_is_new_is_asked_for_the_whole_past(world: Played, live: Live) -> None:
    binance = live.upstream.sources.pop("binance")
    history(world, live)
    assert hours_of(live.store, "binance") == {}
    live.upstream.sources["binance"] = binance
    history(world, live)
    assert hours_of(live.store, "binance") == dict.fromkeys(SLUGS, HOURS)
    longer = replace(live, history_since_us=live.history_since_us - DAY_US)
    world.server.requests.clear()
    assert history(world, longer)["wanted"] != history(world, live)["wanted"]


def test_without_any_market_of_tether_its_price_at_an_aggregator_serves_in_each_step(tmp_path: Path) -> None:
    """The fixing, the days and all the hours: every step asks for the time that is its own."""
    sources = ("binance", "defillama")
    with played(tmp_path, start=START, sources=sources, history_days=HISTORY_DAYS) as world:
        store = world.open()
        kept = tick(world, store)
        assert (kept["unpriced"], kept["owed"]) == (0, {})
        assert hours_of(store, "binance") == dict.fromkeys(SLUGS, HOURS)
        (entry,) = [row for row in read_open_quality(store) if row.kind == "stale" and row.subject == "USDT"]
        assert "USDT at defillama's price of it, 0.99" in entry.detail
