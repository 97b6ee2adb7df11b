"""A small real store: eight tokens with hourly bars of three months, supplies, one index. Facts come in runs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from indexer.config import Settings
from indexer.levels.pipeline import UpdateReport, update
from indexer.levels.rules import Rules, load_rules
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.registry import Asset, Label, Registry, Succession
from indexer.store.assets import ensure_listings, write_registry
from indexer.store.bars import write_bars
from indexer.store.db import Store, open_store
from indexer.store.levels import read_levels
from indexer.store.rows import BarColumns, LevelRows, ListingRow, SupplyRow
from indexer.store.runs import finish_run, start_run
from indexer.store.supplies import write_supplies
from indexer.times import DAY_US, HOUR_US, from_us, parse_instant, to_us
from indexer.verify.store import Verification, verify_all

START = datetime(2023, 12, 20, tzinfo=UTC)
START_US = to_us(START)
HOURS = 24 * 104
SLUGS = tuple(f"token-{n}" for n in range(8))
SECTORS = ("compute", "agents")

RULES = """
id = "small"
name = "Small index"
version = "1.0.0"
description = "for tests"
base_date = 2024-01-01T00:00:00Z
base_level = 1000
decimals = 6
effective_from = 2023-01-01T00:00:00Z
[schedule]
reconstitution_months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
effective_day = 1
reference_days_before = 2
[[eligibility]]
effective_from = 2023-01-01T00:00:00Z
min_history_days = 3
min_median_adv_usd = 0
min_atvr = 0
min_free_float = 0
min_venues = 1
incumbent_min_venues = 1
[selection]
target = 6
entry_rank = 5
exit_rank = 7
min_constituents = 3
[weighting]
scheme = "free_float_cap"
[caps]
single = 0.4
"""


def registry(*, successions: tuple[Succession, ...] = (), slugs: tuple[str, ...] = SLUGS) -> Registry:
    """Invented tokens on an invented chain."""
    assets = tuple(
        Asset(
            slug=slug,
            name=slug.title(),
            chain="invented",
            contract=slug,
            decimals=6,
            sub_sector=SECTORS[n % 2],
            status="core",
            symbols=(Label(slug.upper()),),
            line=slug,
        )
        for n, slug in enumerate(slugs)
    )
    return Registry(assets, successions, {one: one for one in SECTORS}, source="test")


def prices(slugs: tuple[str, ...] = SLUGS, *, hours: int = HOURS) -> dict[str, np.ndarray]:
    """Hourly closes (hours,) of each token, the same on every call."""
    rng = np.random.default_rng(11)
    first = rng.normal(0, 1, len(slugs))
    walk = np.exp(first + np.cumsum(rng.normal(0, 0.004, (hours, len(slugs))), axis=0))
    return {slug: walk[:, n].copy() for n, slug in enumerate(slugs)}


@dataclass
class World:
    """A store with a clock of its own; each call that brings facts is a run."""

    store: Store
    registry: Registry = field(default_factory=registry)
    now: datetime = START + timedelta(days=110)
    methodology: Methodology = field(default_factory=lambda: load_methodology(RULES, source="small.toml"))
    rules: Rules | None = None
    numbers: itertools.count = field(default_factory=itertools.count)

    def run(self) -> int:
        run_id = start_run(self.store, kind="import", key=f"import:{next(self.numbers)}", now=self.tick())
        assert run_id is not None
        return run_id

    def tick(self, hours: float = 1 / 60) -> datetime:
        self.now += timedelta(hours=hours)
        return self.now

    def bars(
        self, slug: str, closes: np.ndarray | list[float], *, first: int = 0, venue: str = "test", full: bool = False
    ) -> None:
        """Hourly bars of one token from hour number `first` on (bar ends); `full` ones have every column."""
        run_id = self.run()
        write_registry(self.store, self.registry)
        [listing] = ensure_listings(self.store, [ListingRow(slug, venue, "test", slug, "1h", "bar_close")])
        close = np.asarray(closes, dtype=np.float64)
        unknown = np.full(len(close), np.nan)
        keep = np.isfinite(close)
        times = START_US + (first + np.arange(len(close), dtype=np.int64)) * HOUR_US
        ohl, base = ((close, close * 1.01, close * 0.99), 1e7 / close) if full else ((unknown,) * 3, unknown)
        columns = (np.full(len(close), listing, dtype=np.int64), times, *ohl, close, base)
        write_bars(self.store, run_id, BarColumns(*(part[keep] for part in columns), np.full(int(keep.sum()), 1e7)))
        finish_run(self.store, run_id, now=self.now)

    def supply(
        self, slug: str, tokens: float, *, day: int = -5, source: str = "test", block: int | None = None
    ) -> None:
        """A reading of a token's circulating supply, true so many days after the start; or as it was at a block."""
        run_id = self.run()
        write_registry(self.store, self.registry)
        at = from_us(START_US + day * DAY_US)
        row = SupplyRow(slug, "circulating", "imported", source, at, int(tokens * 10**6))
        if block is not None:
            found = {"chain": "invented", "block_number": block, "block_hash": "0xab", "finality": "finalized"}
            row = replace(row, **found)
        write_supplies(self.store, run_id, [row])
        finish_run(self.store, run_id, now=self.now)

    def fill(self, *, until: int = HOURS) -> None:
        """Every token's bars up to an hour number, and their supplies."""
        for n, (slug, closes) in enumerate(prices().items()):
            self.bars(slug, closes[:until])
            self.supply(slug, (n + 1) * 1e6)

    def update(self, *, rebuild: str = "") -> UpdateReport:
        return update(
            self.store,
            registry=self.registry,
            methodologies={self.methodology.id: self.methodology},
            clock=self.tick,
            rules=self.rules or load_rules(self.registry),
            rebuild=rebuild,
        )

    def levels(self, *, as_of: datetime | None = None) -> LevelRows:
        return read_levels(self.store, self.methodology.id, as_of_us=None if as_of is None else to_us(as_of))

    def verify(self) -> Verification:
        [found] = verify_all(self.store, self.registry, rules=self.rules)
        return found


def world(folder: Path, **more: object) -> World:
    """An empty world in a folder."""
    store = open_store(f"sqlite:///{folder / 'small.sqlite'}")
    store.migrate()
    return World(store, **more)  # type: ignore[arg-type]


def settings_of(small: World) -> Settings:
    """Settings with the registry of a small world, written as a file beside its store."""
    folder = small.store.path.parent
    body = '[sub_sectors]\ncompute = "c"\nagents = "a"\n'
    for asset in small.registry.assets:
        fields = {
            "slug": asset.slug, "name": asset.name, "status": "core", "sub_sector": asset.sub_sector,
            "chain": "invented", "contract": asset.contract, "source": "test",
        }  # fmt: skip
        body += "[[asset]]\ndecimals = 6\n" + "".join(f'{name} = "{value}"\n' for name, value in fields.items())
        body += f'symbols = [{{ symbol = "{asset.symbol}" }}]\n'
    (folder / "assets.toml").write_text(body, encoding="utf-8")
    return Settings(registry=folder / "assets.toml", data_dir=folder)


APRIL = parse_instant("2024-04-01")
TO_APRIL = (APRIL - START_US) // HOUR_US


def live(folder, hours, **more):
    """A world whose clock stands right after its last bar."""
    one = world(folder, **more)
    one.now = START + timedelta(hours=hours)
    one.fill(until=hours + 1)
    one.update()
    return one
