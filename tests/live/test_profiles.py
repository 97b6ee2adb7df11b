"""Situations of the simulated providers in short: six tokens, a few hours, what is published and what is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from played import INDEX, Played, at, small_registry
from simulation import control, providers

from indexer.engine.market import Status
from indexer.live.upstream import Upstream, sources_of
from indexer.reference.rules import FixingRules
from indexer.sources.http import HostLimit, HttpClient, Timeouts
from indexer.store.assets import read_assets
from indexer.store.db import Store
from indexer.store.levels import read_levels
from indexer.store.quality import read_open_quality
from indexer.store.rates import read_rates
from indexer.store.runs import last_run_before
from indexer.times import iso

NOON = at("2026-11-30T12:10:00Z")
HOUR = timedelta(hours=1)
HOURS = tuple(f"2026-11-30T{hour}:00:00Z" for hour in (12, 13, 14, 15))
TOKENS = ("near", "render", "icp", "nmr", "lpt", "kaito")
VENUES = ("binance", "coinbase", "okx", "bybit")  # without Kraken, which is asked once a second
WAITS = Timeouts(connect=5.0, read=3.0, total=3.0, patience=0.5, attempts=2, first_wait=0.01)
HURRY = {"coingecko": HostLimit(100.0, 10, "more than is allowed: what is refused is owed")}


class Small(Played):
    """An installation with six tokens and an index of them, each in equal parts."""

    def upstream(self) -> Upstream:
        def http() -> HttpClient:
            return HttpClient(timeouts=WAITS, limits=HURRY, clock=self.clock)

        return Upstream(sources_of(self.settings), http)

    def tick(self, store: Store, *, hours: int = 0) -> None:
        """What a new process does that much later, once."""
        self.now += hours * HOUR
        control(self.server.root, "now?frozen", self.now.isoformat())
        scheduler = self.scheduler(store)
        scheduler.tick()
        scheduler.stop()


@dataclass(frozen=True)
class Outcome:
    """What was published at an hour, and what is said: kind of entry → subject → words."""

    level: float
    status: Status
    rates: dict[str, float]
    verdicts: dict[str, dict[str, str]]
    entries: dict[str, dict[str, str]]


def outcome(store: Store, *, hour: str) -> Outcome:
    levels, rates = read_levels(store, "trio"), read_rates(store, evidence=True)
    assert rates.verdicts is not None
    slugs = {asset.id: asset.slug for asset in read_assets(store)}
    (n,) = [n for n, time in enumerate(levels.times_us) if iso(int(time)) == hour]
    own = [n for n, time in enumerate(rates.time_us) if iso(int(time)) == hour]
    entries: dict[str, dict[str, str]] = {}
    for row in read_open_quality(store):
        entries.setdefault(row.kind, {})[row.subject] = row.detail
    return Outcome(
        level=float(levels.levels[n]),
        status=Status(int(levels.status[n])),
        rates={slugs[int(rates.asset_id[n])]: float(rates.rate[n]) for n in own},
        verdicts={slugs[int(rates.asset_id[n])]: json.loads(rates.verdicts[n]) for n in own},
        entries=entries,
    )


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    """All providers, their time standing still."""
    with providers("healthy", now=NOON.isoformat()) as address:
        yield address


@contextmanager
def installation(
    folder: Path, root: str, profile: str, *, sources: tuple[str, ...] = VENUES
) -> Iterator[tuple[Small, Store]]:
    """An installation at noon in a situation, and its store."""
    small_registry(folder, TOKENS)
    (folder / "own").mkdir()
    text = INDEX.replace("2025-01-27", "2026-11-28").replace("= [1]\n", "= [11]\n").replace("day = 27", "day = 28")
    (folder / "own" / "trio.toml").write_text(text.replace("= 3\n", "= 6\n"))
    control(root, "profile", profile)
    since = (NOON - timedelta(days=5)).date()
    world = Small(folder, NOON, SimpleNamespace(root=root), [], sources, since)  # type: ignore[arg-type]
    try:
        yield world, world.open()
    finally:
        world.close()
        control(root, "profile", "healthy")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory, root: str) -> dict[str, Outcome]:
    """A good day: noon, and three hours more."""
    with installation(tmp_path_factory.mktemp("healthy"), root, "healthy") as (world, store):
        for later in (0, 1, 1, 1):
            world.tick(store, hours=later)
        return {hour: outcome(store, hour=hour) for hour in HOURS}


def near_healthy(made: Outcome, healthy: Outcome) -> None:
    """Of tokens that three venues price now, the rates are within a basis point of a good day's."""
    three = [slug for slug, words in made.verdicts.items() if list(words.values()).count("used") >= 3]
    assert three
    assert {slug: made.rates[slug] for slug in three} == pytest.approx(
        {slug: healthy.rates[slug] for slug in three}, rel=1e-4
    )


def test_a_good_day_is_final(healthy: dict[str, Outcome]) -> None:
    assert {made.status for made in healthy.values()} == {Status.FINAL}
    assert "source_down" not in healthy[HOURS[-1]].entries


def test_a_laptop_in_the_united_states(tmp_path: Path, root: str, healthy: dict[str, Outcome]) -> None:
    with installation(tmp_path, root, "us-laptop") as (world, store):
        world.tick(store)
        made = outcome(store, hour=HOURS[0])
        near_healthy(made, healthy[HOURS[0]])
        assert "HTTP 403" in made.entries["source_down"]["bybit"]


def test_one_venue_lies(tmp_path: Path, root: str, healthy: dict[str, Outcome]) -> None:
    with installation(tmp_path, root, "one-venue-lies") as (world, store):
        world.tick(store)
        made = outcome(store, hour=HOURS[0])
        near_healthy(made, healthy[HOURS[0]])
        assert {words["bybit"] for words in made.verdicts.values() if "bybit" in words} == {"outlier"}


def test_pairs_that_are_gone_are_said_and_a_token_without_a_venue_is_an_alarm(tmp_path: Path, root: str) -> None:
    with installation(tmp_path, root, "delisted", sources=(*VENUES, "kraken")) as (world, store):
        world.tick(store)
        said = outcome(store, hour=HOURS[0]).entries
        kaito = {f"{venue}/kaito" for venue in ("binance", "coinbase", "okx", "kraken")}
        assert said["unlisted"].keys() == {"binance/nmr", "coinbase/nmr", "kraken/lpt", *kaito}
        assert said["no_venue"].keys() == {"kaito"}


def test_a_scarce_aggregator_owes_its_part_and_holds_nothing_up(
    tmp_path: Path, root: str, healthy: dict[str, Outcome]
) -> None:
    with installation(tmp_path, root, "coingecko-scarce", sources=(*VENUES, "coingecko")) as (world, store):
        world.tick(store)
        assert outcome(store, hour=HOURS[0]).level == pytest.approx(healthy[HOURS[0]].level, rel=1e-9)
        history = last_run_before(store, "history", world.now)
        assert history is not None
        assert {key.partition("@")[2] for key in history.detail["owed"]} == {"coingecko/1d"}


def test_rubbish_from_all_but_one_venue(tmp_path: Path, root: str, healthy: dict[str, Outcome]) -> None:
    with installation(tmp_path, root, "garbage", sources=(*VENUES, "coingecko")) as (world, store):
        world.tick(store)
        made, good = outcome(store, hour=HOURS[0]), healthy[HOURS[0]].rates
        theirs = {slug: good[slug] for slug in made.rates}
        assert made.rates and made.rates == pytest.approx(theirs, rel=FixingRules().theta), "no liar came through"
        assert "bybit" in made.entries["source_down"]


def test_after_hours_in_the_dark_all_comes_back(tmp_path: Path, root: str, healthy: dict[str, Outcome]) -> None:
    """The last level stays meanwhile; then the missed hours are made, one by one, and nothing is lost."""
    with installation(tmp_path, root, "healthy") as (world, store):
        world.tick(store)
        control(root, "profile", "dark-3h")
        for _ in range(2):
            world.tick(store, hours=1)
        assert iso(int(read_levels(store, "trio").times_us[-1])) == HOURS[0]
        assert set(VENUES) <= outcome(store, hour=HOURS[0]).entries["source_down"].keys()
        control(root, "profile", "healthy")
        world.tick(store, hours=1)
        for hour in HOURS[1:]:
            made = outcome(store, hour=hour)
            assert (made.level, made.rates) == (healthy[hour].level, healthy[hour].rates)
        assert "source_down" not in made.entries
