"""Killed at any moment while updating, or run by two processes at once: nothing is lost, nothing is doubled."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from indexer.demo import START_US, build_demo
from indexer.registry.read import simulated_registry
from indexer.store.db import open_store
from indexer.store.levels import count_levels, published_rows, read_levels
from indexer.store.rebalancings import read_rebalancings
from indexer.times import DAY_US, from_us
from indexer.verify.store import broken_chain, verify_all

pytestmark = pytest.mark.slow
UNTIL = from_us(START_US + 200 * DAY_US)
PROGRAM = """
import sys
from datetime import datetime
from indexer.demo import build_demo
from indexer.store.db import open_store
store = open_store(sys.argv[1])
store.migrate()
sys.stdout.write("began\\n"); sys.stdout.flush()
build_demo(store, clock=lambda: datetime.fromisoformat(sys.argv[2]))
"""


def start(url):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, UNTIL.isoformat()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('whole')}/deai.sqlite")
    store.migrate()
    build_demo(store, clock=lambda: UNTIL)
    rows = read_levels(store, "demo")
    yield rows.times_us.tolist(), rows.levels.tolist(), rows.inputs_hash
    store.close()


def check_whole(url, undisturbed):
    store = open_store(url)
    rows = read_levels(store, "demo")
    assert (rows.times_us.tolist(), rows.levels.tolist(), rows.inputs_hash) == undisturbed
    assert set(rows.revision.tolist()) == {1}
    assert count_levels(store, "demo") == len(rows) == len(published_rows(store, "demo")["hash"])
    assert broken_chain(published_rows(store, "demo")) == ""
    assert all(result.ok for result in verify_all(store, simulated_registry()))
    assert len({(r.effective_at, r.kind) for r in read_rebalancings(store, "demo")}) == len(
        read_rebalancings(store, "demo")
    )
    store.close()


def test_killed_again_and_again_then_completed(tmp_path, undisturbed):
    url = f"sqlite:///{tmp_path}/deai.sqlite"
    for milliseconds in (5, 60, 150, 300, 500, 700):
        process = start(url)
        process.stdout.readline()
        try:
            process.wait(milliseconds / 1000)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    store = open_store(url)
    build_demo(store, clock=lambda: UNTIL)
    store.close()
    check_whole(url, undisturbed)


def test_two_processes_at_once_do_the_work_once(tmp_path, undisturbed):
    url = f"sqlite:///{tmp_path}/deai.sqlite"
    both = [start(url), start(url)]
    for process in both:
        process.stdout.read()
        process.stdout.close()
        assert process.wait(60) == 0
    check_whole(url, undisturbed)


def test_the_simulated_market_only_grows(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/deai.sqlite")
    store.migrate()
    build_demo(store, clock=lambda: UNTIL)
    before = read_levels(store, "demo")
    build_demo(store, clock=lambda: UNTIL.replace(tzinfo=UTC) + (datetime(2025, 1, 3) - datetime(2025, 1, 1)))
    after = read_levels(store, "demo")
    assert after.hash[: len(before)] == before.hash
    assert len(after) == len(before) + 48
    store.close()
