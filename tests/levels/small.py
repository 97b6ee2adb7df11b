"""A store with invented tokens, bars of named venues and one index: for scenarios counted by hand."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from indexer.levels.pipeline import UpdateReport, update
from indexer.levels.rules import Rules
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.registry import Asset, Label, Registry
from indexer.store.assets import ensure_listings, write_registry
from indexer.store.bars import write_bars
from indexer.store.db import Store, open_store
from indexer.store.levels import read_levels
from indexer.store.rows import BarColumns, LevelRows, ListingRow, SupplyRow
from indexer.store.runs import finish_run, start_run
from indexer.store.supplies import write_supplies
from indexer.times import parse_instant
from indexer.verify.store import verify_all

FIXED = """
id = "small"
name = "Small"
version = "1.0.0"
base_date = 2024-01-01T00:00:00Z
base_level = 1000
effective_from = 2023-01-01T00:00:00Z
[universe]
assets = ["aaa", "bbb"]
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
[health]
min_priced_weight = 0.4
[weighting]
scheme = "fixed"
weights = { aaa = 0.5, bbb = 0.5 }
"""


def registry(*slugs: str) -> Registry:
    """Invented tokens of 6 decimals; a venue named futures is a perpetual one."""
    assets = tuple(
        Asset(slug, slug, "invented", slug, 6, "compute", "core", (Label(slug.upper()),), line=slug) for slug in slugs
    )
    return Registry(assets, (), {"compute": "x"}, source="test", venues={"futures": "perpetual"})


@dataclass
class Small:
    """A store with a clock of its own; each call that brings facts is a run."""

    store: Store
    rules: str = FIXED
    registry: Registry = field(default_factory=lambda: registry("aaa", "bbb"))
    now: datetime = datetime(2024, 6, 1, tzinfo=UTC)
    numbers: itertools.count = field(default_factory=itertools.count)

    @property
    def methodology(self) -> Methodology:
        return load_methodology(self.rules, source="small.toml", registry=self.registry)

    def run(self) -> int:
        write_registry(self.store, self.registry)
        self.now += timedelta(minutes=1)
        run_id = start_run(self.store, kind="import", key=f"import:{next(self.numbers)}", now=self.now)
        assert run_id is not None
        return run_id

    def bars(self, slug: str, closes: dict[str, float], *, venue: str = "spot", interval: str = "1h") -> None:
        """Bars by the instant of their close."""
        run_id = self.run()
        [listing] = ensure_listings(self.store, [ListingRow(slug, venue, "test", slug, interval, "bar_close")])
        times = np.array([parse_instant(text) for text in closes], dtype=np.int64)
        unknown = np.full(len(times), np.nan)
        close = np.array(list(closes.values()))
        numbers = np.full(len(times), listing, dtype=np.int64)
        write_bars(self.store, run_id, BarColumns(numbers, times, unknown, unknown, unknown, close, unknown, unknown))
        finish_run(self.store, run_id, now=self.now)

    def supplies(
        self,
        slug: str,
        tokens: dict[str, float],
        *,
        source: str = "vendor",
        kind: str = "circulating",
        origin: str = "imported",
    ) -> None:
        """Supplies in tokens by the instant they were true."""
        run_id = self.run()
        rows = [
            SupplyRow(slug, kind, origin, source, datetime.fromisoformat(f"{day}T00:00:00+00:00"), int(amount * 10**6))
            for day, amount in tokens.items()
        ]
        write_supplies(self.store, run_id, rows)
        finish_run(self.store, run_id, now=self.now)

    def update(self, rules: Rules | None = None) -> UpdateReport:
        self.now += timedelta(minutes=1)
        return update(
            self.store,
            registry=self.registry,
            methodologies={"small": self.methodology},
            clock=lambda: self.now,
            rules=rules,
        )

    def levels(self) -> LevelRows:
        return read_levels(self.store, "small")

    def verified(self) -> str:
        """The first problem that verification finds, or ''."""
        [verdict] = verify_all(self.store, self.registry)
        return verdict.problem


def small(path: Path, **given: object) -> Small:
    """An empty world in a folder."""
    store = open_store(f"sqlite:///{path / 'small.sqlite'}")
    store.migrate()
    return Small(store, **given)  # type: ignore[arg-type]
