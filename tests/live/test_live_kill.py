"""Killed (SIGKILL) at any moment of a day of ticks, again and again: in the end nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from played import Played, at, played

from indexer.store.levels import read_levels
from indexer.store.rates import read_rates
from indexer.store.runs import read_runs

# Without Kraken, which serves the last 720 minutes before now only: here the server's now is the evening.
SOURCES = ("binance", "coinbase", "okx", "bybit", "coingecko")
PROGRAM = """
import os, sys
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
import structlog
from played import Played, at
from indexer.live.scheduler import LEASE_S
from indexer.times import iso, to_us
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
folder, root, *sources = sys.argv[1:]
clock, beside = Path(folder, "clock"), Path(folder, "clock.new")
now = at(clock.read_text() if clock.exists() else "2025-01-26T22:05:00Z")
world = Played(Path(folder), now, SimpleNamespace(root=root), [], tuple(sources), date(2025, 1, 22))
store = world.open()
scheduler = world.scheduler(store)
sys.stdout.write("began\\n"); sys.stdout.flush()
while world.now <= at("2025-01-27T08:40:00Z"):
    beside.write_text(iso(to_us(world.now)))
    os.replace(beside, clock)
    scheduler.tick()
    world.now += timedelta(minutes=10) if scheduler.leads else timedelta(seconds=LEASE_S)
scheduler.stop()
store.close()
"""


def start(world: Played) -> subprocess.Popen[bytes]:
    """A process that takes the day up where the last one was killed: time never goes back, the lease runs out."""
    here = Path(__file__).parent
    paths = os.pathsep.join(map(str, (here, here.parent / "sources", here.parents[1])))
    command = [sys.executable, "-c", PROGRAM, str(world.folder), world.server.root, *SOURCES]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Played]:
    with played(tmp_path, start=at("2025-01-28T12:00:00Z"), sources=SOURCES, history_days=4) as made:
        yield made


def whole(world: Played) -> tuple[list[int], list[float], list[float]]:
    """The day to its end, in a process that is left alone."""
    process = start(world)
    process.communicate(timeout=120)
    assert process.returncode == 0
    store = world.open()
    levels, rates = read_levels(store, "trio"), read_rates(store)
    with store.reading() as connection:
        for table in ("bar", "rate", "level", "supply"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table} WHERE revision > 1").scalar() == 0
        twice = (
            "SELECT count(*) FROM (SELECT 1 FROM quality_entry GROUP BY kind, subject, opened_at HAVING count(*) > 1)"
        )
        assert connection.exec_driver_sql(twice).scalar() == 0
    fixings = [run for run in read_runs(store, kind="fixing") if run.due_at]
    assert {run.outcome for run in fixings} == {"done"}
    assert len({run.due_at for run in fixings}) == len(fixings) == 11
    return levels.times_us.tolist(), levels.levels.tolist(), rates.rate.tolist()


def test_killed_at_many_moments_the_day_is_the_same(world: Played, tmp_path_factory: pytest.TempPathFactory) -> None:
    (calm := tmp_path_factory.mktemp("calm")).mkdir(exist_ok=True)
    with played(calm, start=world.now, sources=SOURCES, history_days=4) as undisturbed:
        times, levels, rates = whole(undisturbed)
    assert len(times) == 9
    killed = 0
    for milliseconds in (1, 60, 160, 300, 460, 640, 900):
        process = start(world)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(milliseconds / 1000)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.wait(10)
        process.stdout.close()
    assert killed > 3
    again = whole(world)
    assert again[0] == times
    np.testing.assert_array_equal(again[1], levels)
    np.testing.assert_array_equal(again[2], rates)
