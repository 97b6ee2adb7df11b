"""A clock that lies once: nothing is done or removed meanwhile, and nothing stays blocked afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from played import FREE, QUICK

from indexer.live.clock import ClockWatch
from indexer.live.scheduler import Job, Scheduler
from indexer.live.standing import accept_clock, clock_doubt, standing_of
from indexer.live.upstream import Upstream
from indexer.sources.http import HttpClient
from indexer.sources.registry import build_sources
from indexer.store.db import Store, open_store
from indexer.store.runs import finish_run, read_runs, start_run

NOON = datetime(2026, 11, 24, 12, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIE = datetime(2036, 2, 3, tzinfo=UTC)


class Machine:
    """Its clock, its seconds since it started, and a provider whose clock is right; all moved by hand."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = self.true = NOON
        self.seconds = 100.0
        self.done: list[datetime] = []

    def pass_by(self, span: timedelta) -> None:
        self.now, self.true, self.seconds = self.now + span, self.true + span, self.seconds + span.total_seconds()

    def scheduler(self, sources: Mapping[str, object], holder: str = "") -> Scheduler:
        """A process that starts now."""
        http = lambda: HttpClient(timeouts=QUICK, limits=FREE, clock=lambda: self.now)  # noqa: E731
        upstream = Upstream(sources, http)  # type: ignore[arg-type]  # sources by name
        watch = ClockWatch(self.store, upstream, clock=lambda: self.now, monotonic=lambda: self.seconds)
        jobs = [Job("fixing", HOUR, timedelta(0), self.work)]
        return Scheduler(self.store, jobs, clock=lambda: self.now, holder=holder, closing=upstream.close, watch=watch)

    def work(self, due: datetime, run: int) -> dict[str, object]:
        self.done.append(due)
        return {}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    store = open_store(f"sqlite:///{tmp_path}/deai.sqlite")
    store.migrate()
    yield Machine(store)
    store.close()


@pytest.fixture
def sources(machine: Machine) -> Iterator[Mapping[str, object]]:
    """Three providers behind one real server that says its own time."""

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(404)
            self.send_header("Date", format_datetime(machine.true, usegmt=True))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    root = f"http://127.0.0.1:{server.server_port}"
    yield build_sources(base_url=root, only=("binance", "kraken"))
    server.shutdown()
    server.server_close()
    thread.join()


def hours(*numbers: int) -> list[datetime]:
    return [NOON.replace(hour=number, minute=0) for number in numbers]


@pytest.mark.parametrize("lie", [LIE, NOON - timedelta(days=365)], ids=["2036", "a year ago"])
@pytest.mark.parametrize("online", [True, False])
def test_one_tick_at_a_wrong_time_does_nothing_and_blocks_nothing(
    machine: Machine, sources: Mapping[str, object], lie: datetime, online: bool
) -> None:
    scheduler = machine.scheduler(sources if online else {})
    assert scheduler.tick() == 1
    machine.now = lie
    assert scheduler.tick() == 0 and scheduler.tick() == 0
    assert machine.done == hours(12)
    doubt = clock_doubt(machine.store, now=lie)
    assert ("the providers' clocks differ" in doubt) == online and doubt
    assert standing_of(machine.store, now=machine.true).clock_suspect == doubt  # in any other process
    machine.now = machine.true
    machine.pass_by(HOUR)
    assert scheduler.tick() == 1
    scheduler.stop()
    other = machine.scheduler({}, "other")
    machine.pass_by(HOUR)
    assert other.tick() == 1
    assert machine.done == hours(12, 13, 14)
    assert clock_doubt(machine.store, now=machine.now) == ""
    assert {run.kind: run.outcome for run in read_runs(machine.store)} == {"fixing": "done", "clock": "done"}
    other.stop()


def test_a_process_that_starts_at_a_wrong_time_does_nothing(machine: Machine, sources: Mapping[str, object]) -> None:
    first = machine.scheduler({})
    assert first.tick() == 1
    first.stop()
    machine.pass_by(HOUR)
    machine.now += 3 * HOUR  # a zone taken for another: too little for the run log to tell
    scheduler = machine.scheduler(sources)
    assert scheduler.tick() == 0 and machine.done == hours(12)
    accept_clock(machine.store, now=machine.now)
    assert scheduler.tick() == 4  # by a person's word
    scheduler.stop()


def test_a_machine_that_slept_works_at_once_where_a_provider_agrees(
    machine: Machine, sources: Mapping[str, object]
) -> None:
    scheduler = machine.scheduler(sources)
    assert scheduler.tick() == 1
    machine.now = machine.true = NOON + 8 * HOUR  # its seconds stood still
    machine.seconds += 100
    assert scheduler.tick() == 8
    assert read_runs(machine.store, kind="clock") == []
    scheduler.stop()


def test_what_a_clock_did_in_what_is_still_to_come_stops_nothing(machine: Machine) -> None:
    """A store of before: a job done at 2036, its caught-up hours entered too."""
    for due in (NOON.replace(hour=13, minute=0), LIE):
        run = start_run(machine.store, kind="fixing", key=f"fixing:{due.isoformat()[:19]}Z", now=LIE, due_at=due)
        assert run is not None
        finish_run(machine.store, run, now=LIE)
    scheduler = machine.scheduler({})
    machine.pass_by(HOUR)
    assert scheduler.tick() == 0 and "the run log reaches 2036-02-03" in clock_doubt(machine.store, now=machine.now)
    accept_clock(machine.store, now=machine.now)
    machine.pass_by(HOUR)
    assert scheduler.tick() == 1
    machine.pass_by(HOUR)
    assert scheduler.tick() == 1
    assert machine.done == hours(14, 15)
    scheduler.stop()
