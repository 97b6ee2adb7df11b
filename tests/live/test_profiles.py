"""Each situation of the simulated providers in short: six tokens, three days, what is published and what is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from played import INDEX, Played, at, small_registry
from simulation import control, providers

from indexer.live.health import source_states
from indexer.live.upstream import Upstream, sources_of
from indexer.sources.http import HttpClient, Timeouts
from indexer.store.assets import read_assets
from indexer.store.bars import read_benchmark_closes
from indexer.store.db import Store
from indexer.store.levels import read_levels
from indexer.store.quality import read_open_quality
from indexer.store.rates import read_rates
from indexer.store.runs import read_runs
from indexer.times import iso
from indexer.workflow.work import make_schedulers

NOON = at("2026-11-30T12:10:00Z")
TOKENS = ("near", "render", "icp", "numeraire", "livepeer", "kaito")
# Without Kraken, which takes a call a second, but for its list of pairs.
SOURCES = ("binance", "coinbase", "okx", "bybit", "coingecko", "defillama", "cboe", "nasdaq", "fred", "kraken")
WAITS = Timeouts(connect=5.0, read=3.0, total=3.0, patience=0.5, attempts=2, first_wait=0.01)


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    """All providers, their time standing still."""
    with providers("healthy", now=iso_of(NOON)) as address:
        yield address


def iso_of(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class Small(Played):
    """One installation with six tokens and an index of them."""

    def upstream(self) -> Upstream:
        return Upstream(sources_of(self.settings), lambda: HttpClient(timeouts=WAITS, clock=self.clock))


@dataclass(frozen=True)
class Outcome:
    """What was published and said."""

    levels: dict[str, float]
    rates: dict[str, float]
    verdicts: dict[str, dict[str, str]]


@contextmanager
def installation(folder: Path, root: str, profile: str) -> Iterator[tuple[Small, Store]]:
    """An installation and its store, in a situation at noon."""
    small_registry(folder, TOKENS)
    (folder / "own").mkdir()
    text = INDEX.replace("2025-01-27", "2026-11-29").replace("= [1]\n", "= [11]\n").replace("day = 27", "day = 29")
    (folder / "own" / "six.toml").write_text(text.replace('"trio"', '"six"').replace("= 3\n", "= 6\n"))
    control(root, "now?frozen", iso_of(NOON))
    control(root, "profile", profile)
    world = Small(folder, NOON, SimpleNamespace(root=root), [], SOURCES, NOON.date())  # type: ignore[arg-type]
    yield world, world.open()
    world.close()
    control(root, "profile", "healthy")
