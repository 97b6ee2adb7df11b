"""The tail way gives the store that computing everything gives, bit for bit, whatever comes in which order."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small import FIXED, Small, registry

from indexer.levels import pipeline
from indexer.levels.pipeline import UpdateReport, update
from indexer.levels.rules import Rules, decide, load_rules
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.store.assets import ensure_listings
from indexer.store.bars import write_bars
from indexer.store.columnar import table_of
from indexer.store.db import open_store
from indexer.store.indices import SPELLS, read_notes
from indexer.store.rows import BarColumns, ListingRow, OverrideRow
from indexer.store.runs import finish_run, read_runs, start_run
from indexer.store.seals import altered_rows
from indexer.store.tables import (
    Announcement,
    Bar,
    Event,
    IndexInfo,
    Level,
    Listing,
    Membership,
    MethodologyVersion,
    Override,
    QualityEntry,
    Rate,
    Rebalancing,
    RebalancingItem,
    ReviewNote,
    Supply,
)  # fmt: skip
from indexer.times import HOUR_US, iso, to_us
from indexer.verify.store import verify_all

SLUGS = ("aaa", "bbb", "ccc", "ddd")
VENUES = {"aaa": ("spot", "other", "third"), "bbb": ("spot", "other"), "ccc": ("spot", "futures"), "ddd": ("spot",)}
BEGIN = datetime(2023, 12, 24, tzinfo=UTC)
HOURS = 24 * 16 + 12  # there before: to Tuesday noon; the next reference is on Saturday
CAPS = """
id = "caps"
name = "Caps"
version = "1.0.0"
base_date = 2024-01-01T00:00:00Z
effective_from = 2023-01-01T00:00:00Z
[schedule]
weekday = "monday"
reference_days_before = 2
[universe]
assets = ["aaa", "bbb", "ccc", "ddd"]
[[eligibility]]
effective_from = 2023-01-01T00:00:00Z
min_history_days = 0
min_median_adv_usd = 0
min_atvr = 0
min_free_float = 0
min_venues = 1
price_max_age_hours = 240
[selection]
min_constituents = 2
[weighting]
scheme = "free_float_cap"
"""
TABLES = (
    Announcement, Bar, Event, IndexInfo, Level, Listing, Membership, MethodologyVersion, Override, QualityEntry, Rate,
    Rebalancing, RebalancingItem, ReviewNote, Supply,
)  # fmt: skip


@dataclass
class World(Small):
    """Four tokens at up to three venues, two indices, and what happens hour by hour."""

    at: datetime = BEGIN + timedelta(hours=HOURS)
    registry: object = field(default_factory=lambda: registry(*SLUGS))
    seed: int = 0

    @property
    def methodologies(self) -> dict[str, Methodology]:
        loaded = (load_methodology(text, source="x", registry=self.registry) for text in (self.rules, CAPS))
        return {one.id: one for one in loaded}

    def price(self, slug: str, at: datetime, *, venue: str = "spot") -> float:
        hour = int(to_us(at) // HOUR_US)
        walk = np.random.default_rng((hour, SLUGS.index(slug), self.seed)).normal(0, 0.01)
        apart = np.random.default_rng((hour, len(venue), SLUGS.index(slug))).choice([0.0, 0.001, 0.004, 0.013, 0.03])
        return float((2.0 + SLUGS.index(slug)) * (1.0 + walk) * (1.0 + (apart if venue != "spot" else 0.0)))

    def hours(
        self,
        instants: list[datetime],
        slugs: tuple[str, ...] = SLUGS,
        *,
        factor: float = 1.0,
        run_id: int = 0,
        outcome: str = "done",
    ) -> None:
        """Bars of tokens at all their venues, as one run."""
        run_id = run_id or self.run()
        places = [(slug, venue) for slug in slugs for venue in VENUES[slug]]
        numbers = ensure_listings(
            self.store, [ListingRow(slug, venue, "test", slug, "1h", "bar_close") for slug, venue in places]
        )
        close = np.array([factor * self.price(slug, at, venue=venue) for slug, venue in places for at in instants])
        unknown = np.full(len(close), np.nan)
        times = np.tile(np.array([to_us(at) for at in instants]), len(places))
        listing = np.repeat(np.array(numbers), len(instants))
        write_bars(self.store, run_id, BarColumns(listing, times, unknown, unknown, unknown, close, unknown, unknown))
        finish_run(self.store, run_id, now=self.now, outcome=outcome)

    def update(self, rules: Rules | None = None, beside: Callable[[], UpdateReport] | None = None) -> UpdateReport:
        self.now = max(self.now, self.at) + timedelta(minutes=1)
        loaded = load_rules(self.registry)
        loaded = replace(loaded, policy=replace(loaded.policy, setup_hours=0))
        return update(
            self.store,
            registry=self.registry,
            methodologies=self.methodologies,
            clock=lambda: self.now,
            rules=rules or loaded,
            beside=beside,
        )

    def happens(self, kind: str, hours: int, slug: str) -> None:
        """One thing that comes into the store; time goes on where it is an hour."""
        back = self.at - timedelta(hours=hours)
        self.now = max(self.now, self.at)
        if kind in ("hour", "gap", "some"):
            self.at += timedelta(hours=hours if kind == "gap" else 1)
            self.hours([self.at], SLUGS if kind != "some" else tuple(one for one in SLUGS if one != slug))
        elif kind == "late":
            self.bars(slug, {iso(to_us(back)): self.price(slug, back)}, venue="late")
        elif kind == "correction":
            self.hours([back], (slug,), factor=1.02)
        elif kind == "supply":
            self.supplies(slug, {f"{back:%Y-%m-%d}": 1e6 + hours * 10_000})
        elif kind == "event":
            detail = '{"effect": "remove"}'
            until = self.at + timedelta(days=9)
            self.now += timedelta(minutes=1)
            starts = self.at + timedelta(hours=hours)
            row = OverrideRow(
                kind="event", asset=slug, starts_at=starts, expires_at=until, detail=detail, reason="it is gone now",
                proposed_by="A", proposed_at=self.now,
            )  # fmt: skip
            decide(self.store, row, registry=self.registry, now=self.now)


def ways(world: World) -> list[str]:
    """Of every update the way that was taken, and why it was the full one."""
    return [run.detail.get("why", "tail") for run in read_runs(world.store, kind="update")][::-1]


def contents(world: World) -> dict[str, list[tuple[object, ...]]]:
    tables = [table_of(model) for model in TABLES]
    with world.store.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(table.select().order_by(*table.primary_key))]
            for table in tables
        }


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with sixteen days of hours and two indices."""
    path = tmp_path_factory.mktemp("tail") / "begun.sqlite"
    store = open_store(f"sqlite:///{path}")
    store.migrate()
    world = World(store, now=BEGIN + timedelta(hours=HOURS))
    world.hours([BEGIN + timedelta(hours=n) for n in range(1, HOURS + 1)])
    for slug in SLUGS:
        world.supplies(slug, {"2023-12-10": 1e6})
    assert [one.new for one in world.update().indices] == [205, 205]
    store.close()
    return path


def world_at(path: Path, folder: Path, name: str) -> World:
    copy = folder / f"{name}.sqlite"
    for old in folder.glob(f"{copy.name}*"):
        old.unlink()
    shutil.copy(path, copy)
    world = World(open_store(f"sqlite:///{copy}"), now=BEGIN + timedelta(hours=HOURS, minutes=30))
    world.numbers = iter(range(1000, 9000))
    return world


KINDS = st.sampled_from(["hour", "hour", "hour", "hour", "some", "gap", "late", "correction", "supply", "event"])
STEPS = st.lists(st.tuples(KINDS, st.integers(1, 60), st.sampled_from(SLUGS), st.booleans()), min_size=4, max_size=7)


@settings(max_examples=4, derandomize=True, phases=[Phase.generate])  # two worlds each: shrinking takes minutes
@given(steps=STEPS)
def test_any_stream_gives_the_store_of_computing_everything(
    begun: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str, bool]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    by_tail, in_full = (world_at(begun, folder, name) for name in ("by_tail", "in_full"))
    with pytest.MonkeyPatch.context() as patch:
        for kind, hours, slug, killed in steps:
            for world in (by_tail, in_full):
                world.happens(kind, hours, slug)
            with patch.context() as full:
                full.setattr(pipeline, "tail_of", lambda walk: "the reference")
                in_full.update()
            if killed:
                with patch.context() as kill:
                    kill.setattr(pipeline, "finish_run", die)
                    with pytest.raises(KeyboardInterrupt):
                        by_tail.update()
                by_tail.now -= timedelta(minutes=1)
            by_tail.update()
            assert contents(by_tail) == contents(in_full), ways(by_tail)
    assert altered_rows(by_tail.store) == []
    by_tail.store.close()
    in_full.store.close()


def die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def both(folder: Path, begun: Path, steps: list[tuple[str, int]], *, rules: str) -> World:
    """A world by the tail, held against one that is computed in full, after each step."""
    by_tail, in_full = (world_at(begun, folder, name) for name in ("by_tail", "in_full"))
    by_tail.rules = in_full.rules = rules
    for kind, hours in steps:
        for world in (by_tail, in_full):
            world.happens(kind, hours, "aaa")
        with pytest.MonkeyPatch.context() as full:
            full.setattr(pipeline, "tail_of", lambda walk: "the reference")
            wanted = in_full.update()
        assert by_tail.update().indices == wanted.indices
        assert contents(by_tail) == contents(in_full), ways(by_tail)
    return by_tail


def test_an_impaired_and_then_suspended_index_keeps_nobody_from_the_tail(begun: Path, tmp_path: Path) -> None:
    rules = FIXED.replace("[health]", "[health]\nimpaired_days = 2")
    steps = [("event", 1), ("hour", 1), ("hour", 1), ("gap", 10), ("hour", 1), ("gap", 23), ("hour", 1), ("hour", 1)]
    world = both(tmp_path, begun, steps, rules=rules)
    notes = read_notes(world.store, "small", kinds=SPELLS)
    assert [(note.kind, f"{note.start_at:%d %H}") for note in notes] == [("impaired", "09 13"), ("suspended", "11 00")]
    assert [why.partition(" from ")[0] for why in ways(world)][2:] == [
        "a review, an event or the age of a supply is due",
        "tail",
        "tail",
        "tail",
        "the basket or the health of small changes",
        "tail",
        "tail",
    ]


def test_all_is_computed_beside_and_an_hour_that_follows_is_not(begun: Path, tmp_path: Path) -> None:
    world = world_at(begun, tmp_path, "beside")
    outcomes: list[str] = []

    def beside() -> UpdateReport:
        outcomes.append(read_runs(world.store, kind="update", limit=1)[0].outcome)
        return world.update()

    world.happens("correction", 2, "aaa")
    before = len(read_runs(world.store, kind="update"))
    assert world.update(beside=beside).rates.revised > 0
    newest, *_ = runs = read_runs(world.store, kind="update")
    assert (outcomes, newest.outcome, len(runs)) == (["interrupted"], "done", before + 1), "one run, taken up beside"
    world.happens("hour", 1, "aaa")
    world.update(beside=beside)
    assert (ways(world)[-1], len(outcomes)) == ("tail", 1)


def test_hours_that_follow_go_by_the_tail_and_what_reaches_back_does_not(begun: Path, tmp_path: Path) -> None:
    world = world_at(begun, tmp_path, "ways")
    given_up = start_run(world.store, kind="backfill", key="given up", now=world.now)
    assert given_up is not None
    world.hours([world.at - timedelta(hours=60)], ("bbb",), factor=1.001, run_id=given_up, outcome="failed")
    for kind, hours in [("hour", 1), ("late", 30), ("hour", 1), ("correction", 2), ("supply", 1), ("hour", 1)]:
        world.happens(kind, hours, "aaa")
        report = world.update()
        assert [one.levels for one in report.indices] == [len(world.levels())] * 2
    assert [why.split(" 2024-")[0] for why in ways(world)] == [
        "the last update left nothing to go on from",
        "a bar came of before",
        "a bar came of before",
        "tail",
        "a rate of",
        "a supply came",
        "tail",
    ]
    assert start_run(world.store, kind="backfill", key="given up", now=world.now) == given_up
    world.hours([world.at - timedelta(hours=60)], ("bbb",), factor=1.02, run_id=given_up)
    world.update()
    assert ways(world)[-1].startswith("a bar came of before"), "an older run was begun again"
    assert [verdict.problem for verdict in verify_all(world.store, world.registry)] == ["", ""]
