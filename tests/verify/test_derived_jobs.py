"""What the jobs fetched is derived again from their archived answers: closes, supplies, stress; bars are elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fault_more_providers import equities
from played import EVERYTHING, NOON, Played, at, played
from sqlalchemy import text

from indexer.live.benchmarks import refresh
from indexer.live.context import Live, archive_of, live_of
from indexer.live.history import backfill
from indexer.live.measures import read_stress, read_usage
from indexer.live.plan import plan_range
from indexer.live.supply import read_reported
from indexer.registry import load_registry
from indexer.store.db import open_store
from indexer.store.runs import finish_run, start_run
from indexer.times import to_us
from indexer.verify.replay import Replayed, replay

DUE = at("2025-01-28T12:00:00Z")


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Played, Live]]:
    """A day with every job done twice; between the two a dividend restates a benchmark's adjusted closes."""
    with played(tmp_path_factory.mktemp("derived"), start=NOON, sources=EVERYTHING) as world:
        store, upstream = world.open(), world.upstream()
        registry = load_registry(world.folder / "registry.toml")
        live = live_of(store, world.settings, registry=registry, upstream=upstream, clock=world.clock)
        known = equities()
        before = known["NVDA"]
        for due in (DUE, DUE + timedelta(hours=6)):
            jobs = {"benchmarks": refresh, "supply": read_reported, "stress": read_stress, "usage": read_usage}
            for kind, work in jobs.items():
                run = start_run(store, kind=kind, key=f"{kind}:{due}", now=world.now, due_at=due)
                finish_run(store, run, now=world.now, detail=dict(work(live, due, run)))
            world.now += timedelta(hours=6)
            known["NVDA"] = [(time, close, adjusted * 0.99, volume) for time, close, adjusted, volume in before]
        known["NVDA"] = before
        plan = plan_range(live, start_us=to_us(DUE - timedelta(hours=30)), end_us=to_us(DUE))
        assert backfill(live, plan).venues.bars > 0
        yield world, live
        upstream.close()


def derived(live: Live, world: Played, path: Path) -> Replayed:
    empty = open_store(f"sqlite:///{path}")
    empty.migrate()
    try:
        return replay(live.store, empty, registry=live.registry, archive=archive_of(world.settings), updates=False)
    finally:
        empty.close()


def test_every_job_is_derived_again_from_its_answers(worked: tuple[Played, Live], tmp_path: Path) -> None:
    world, live = worked
    found = derived(live, world, tmp_path / "again.sqlite")
    assert found.problems == ()
    assert found.derived == {"benchmarks": 2, "supply": 2, "stress": 2, "usage": 2, "backfill": 1}
    assert (found.taken_over, found.over) == (0, 0)
    with live.store.reading() as connection:
        tables = ("bar", "benchmark_bar", "supply", "metric")
        counts = [connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables]
        assert connection.execute(text("SELECT max(revision) FROM benchmark_bar")).scalar_one() == 2
    assert all(counts)
    assert found.rows == sum(counts)


FORGED = [
    ("UPDATE benchmark_bar SET close = close * 1.1 WHERE time = (SELECT max(time) FROM benchmark_bar)",
     "close is stored as "),
    ("UPDATE supply SET amount = '1' WHERE id = 1", "amount is stored as '1', the archive gives "),
    ("UPDATE metric SET value = 9 WHERE name = 'funding_rate' AND time = (SELECT max(time) FROM metric "
     "WHERE name = 'funding_rate')", "value is stored as 9.0, the archive gives "),
    ("UPDATE metric SET value = 9 WHERE name = 'fees_usd' AND time = (SELECT max(time) FROM metric "
     "WHERE name = 'fees_usd')", "value is stored as 9.0, the archive gives 5000.0"),
    ("UPDATE metric SET value = 9 WHERE name = 'fed_funds_percent'", "metric of us fed_funds_percent fred at "),
    ("UPDATE bar SET volume_usd = volume_usd + 1 WHERE listing_id = 1", "volume_usd is stored as "),
    ("DELETE FROM bar WHERE listing_id = 1 AND time = (SELECT max(time) FROM bar WHERE listing_id = 1)",
     "is given by the archive, but it is not stored"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "problem"), FORGED)
def test_a_forged_fact_is_named(worked: tuple[Played, Live], tmp_path: Path, statement: str, problem: str) -> None:
    world, live = worked
    live.store.close()
    whole = live.store.path.read_bytes()
    with live.store.writing() as connection:
        assert connection.execute(text(statement)).rowcount >= 1
    try:
        problems = derived(live, world, tmp_path / "again.sqlite").problems
        assert problem in problems[0], problems
    finally:
        live.store.close()
        for name in ("-wal", "-shm"):
            Path(f"{live.store.path}{name}").unlink(missing_ok=True)
        live.store.path.write_bytes(whole)
