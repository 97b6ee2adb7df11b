"""Equity closes from the simulated providers: who is asked, who stands in, and what is checked against whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from played import run_of
from simulation import providers
from sqlmodel import select

from indexer.config import Settings
from indexer.live.benchmarks import refresh
from indexer.live.context import Live, live_of
from indexer.live.upstream import Upstream, sources_of
from indexer.registry import load_registry
from indexer.sources.http import HostLimit, HttpClient
from indexer.store.bars import read_benchmark_bars
from indexer.store.db import open_store
from indexer.store.quality import read_open_quality
from indexer.store.tables import Benchmark, BenchmarkBar

NOW = datetime(2026, 11, 30, 22, tzinfo=UTC)
# The providers of the simulation keep their real limits, by real seconds, so ours hold too; who refuses needs none.
HURRY = {"yahoo": HostLimit(1e6, 1e6, "none: it refuses")}


@contextmanager
def living(folder: Path, profile: str, *sources: str) -> Iterator[Live]:
    with providers(profile, now="2026-11-30T22:00:00Z") as root:
        settings = Settings(data_dir=folder, sources=sources, source_base_url=root)
        store = open_store(settings.store_url)
        store.migrate()
        upstream = Upstream(sources_of(settings), lambda: HttpClient(limits=HURRY, clock=lambda: NOW))
        try:
            yield live_of(store, settings, registry=load_registry(), upstream=upstream, clock=lambda: NOW)
        finally:
            upstream.close()
            store.close()


def test_with_yahoo_refusing_closes_come_from_cboe_checked_by_nasdaq(tmp_path: Path):
    with living(tmp_path, "yahoo-refuses", "cboe", "nasdaq", "yahoo", "fred") as live:
        outcome = refresh(live, NOW, run_of(live, "benchmarks"))
        assert outcome["failed_sources"] == ["yahoo"]
        for symbol, source in (("QQQ", "cboe"), ("NVDA", "cboe"), ("^NDX", "cboe"), ("^IXIC", "fred")):
            assert len(read_benchmark_bars(live.store, symbol)[0]) > 900, symbol
            with live.store.session() as session:
                number = session.scalars(select(Benchmark.id).where(Benchmark.symbol == symbol)).one()
                chosen = select(BenchmarkBar.source).where(BenchmarkBar.benchmark_id == number).distinct()
                assert session.scalars(chosen).all() == [source], symbol
        assert not read_open_quality(live.store, ("disagreement",)), "all tell the same closes"


def test_without_cboe_the_next_in_the_list_takes_its_turn(tmp_path: Path):
    with living(tmp_path, "yahoo-refuses", "nasdaq", "yahoo", "fred") as live:
        refresh(live, NOW, run_of(live, "benchmarks"))
        assert len(read_benchmark_bars(live.store, "QQQ")[0]) > 900
        assert len(read_benchmark_bars(live.store, "^NDX")[0]) > 900
        assert not len(read_benchmark_bars(live.store, "NQ=F")[0]), "a future is at Yahoo alone, which refuses"
