"""Missed instants done one by one, rests after failures, what follows a tick, and stopping in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from indexer.errors import SourceUnavailable, Stopped
from indexer.live import scheduler as scheduling
from indexer.live.context import Live
from indexer.live.jobs import with_rest
from indexer.live.scheduler import MAX_REST_S, Job, Scheduler
from indexer.store.db import Store, open_store
from indexer.store.runs import read_runs, take_lease

NOON = datetime(2026, 11, 24, 12, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


class HandClock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{tmp_path}/deai.sqlite")
    made.migrate()
    yield made
    made.close()


def test_missed_instants_are_done_one_by_one_and_older_ones_covered(store: Store) -> None:
    clock = HandClock()
    done: list[int] = []

    def work(due: datetime, run_id: int) -> dict[str, object]:
        done.append(due.hour)
        return {}

    job = Job("fixing", HOUR, timedelta(0), work, singly=3)
    Scheduler(store, [job], clock=clock).tick()
    clock.now += 6 * HOUR
    assert Scheduler(store, [job], clock=clock, holder="other").tick() == 6
    assert done == [12, 16, 17, 18]
    covered = [run.detail for run in read_runs(store, kind="fixing") if run.detail]
    assert covered == [{"caught_up_by": "fixing:2026-11-24T16:00:00Z"}] * 3


def test_when_one_of_them_fails_the_later_ones_wait(store: Store) -> None:
    clock = HandClock()
    tried: list[int] = []

    def work(due: datetime, run_id: int) -> dict[str, object]:
        tried.append(due.hour)
        if due.hour == 14 and tried.count(14) < 3:
            raise SourceUnavailable("nothing at two")
        return {}

    job = Job("fixing", HOUR, timedelta(0), work, singly=12)
    scheduler = Scheduler(store, [job], clock=clock)
    scheduler.tick()
    clock.now += 3 * HOUR
    assert scheduler.tick() == 1
    assert scheduler.failed == {"fixing": "nothing at two"}
    scheduler.tick()
    clock.now += timedelta(minutes=1)
    assert scheduler.tick() == 2
    assert tried == [12, 13, 14, 14, 14, 15]
    assert scheduler.failed == {}


def test_work_that_fails_rests_ever_longer_while_other_work_goes_on(store: Store) -> None:
    clock = HandClock()
    tries: list[datetime] = []
    others: list[datetime] = []

    def bad(due: datetime, run_id: int) -> dict[str, object]:
        tries.append(clock.now)
        raise SourceUnavailable("no network")

    def good(due: datetime, run_id: int) -> dict[str, object]:
        others.append(due)
        return {}

    jobs = [Job("bad", HOUR, timedelta(0), bad), Job("good", HOUR, timedelta(0), good)]
    scheduler = Scheduler(store, jobs, clock=clock)
    for _ in range(4 * 120):
        scheduler.tick()
        clock.now += timedelta(seconds=15)
    rests = [(b - a).total_seconds() for a, b in pairwise(tries)]
    assert rests[:5] == [15, 30, 60, 120, 240]
    assert set(rests[7:]) == {MAX_REST_S}
    assert len(others) == 3


def test_a_part_that_is_owed_is_asked_for_again_alone(live: Live) -> None:
    """One token's missing supply costs it minutes; what nobody gives waits for the next due instant."""
    asked: list[tuple[str, ...]] = []

    def piece(live: Live, due: datetime, run_id: int, *, only: Sequence[str]) -> Mapping[str, Any]:
        asked.append(tuple(only))
        return {"owed": ["near"] if len(asked) != 2 else ["grt"]}

    clock, day = HandClock(), timedelta(days=1)
    scheduler = Scheduler(live.store, [Job("supply", day, timedelta(0), with_rest(live, piece))], clock=clock)
    for _ in range(8):
        scheduler.tick()
        clock.now += timedelta(minutes=10)
    assert asked == [(), ("near",), ("grt",), ("near",), ("near",)]
    (run,) = read_runs(live.store, kind="supply")
    assert (run.outcome, run.detail["owed"], run.detail["tries"]) == ("done", ["near"], 5)


def test_what_follows_is_done_after_work_and_at_the_first_tick_only(store: Store) -> None:
    clock = HandClock()
    updates: list[datetime] = []
    job = Job("fixing", HOUR, timedelta(0), lambda due, run_id: {})
    scheduler = Scheduler(store, [job], clock=clock, afterwards=lambda: updates.append(clock.now))
    scheduler.tick()
    scheduler.tick()
    clock.now += HOUR
    scheduler.tick()
    assert updates == [NOON, NOON + HOUR]
    scheduler.stop()
    Scheduler(store, [job], clock=clock, afterwards=lambda: updates.append(clock.now)).tick()
    assert len(updates) == 3, "a process that was killed before it came to it does it at its start"


def test_what_follows_is_tried_again_when_it_fails(store: Store) -> None:
    clock = HandClock()
    tries: list[int] = []

    def afterwards() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise SourceUnavailable("busy")

    scheduler = Scheduler(store, [], clock=clock, afterwards=afterwards)
    for _ in range(4):
        scheduler.tick()
    assert len(tries) == 2


def test_stopped_work_counts_as_interrupted_and_the_rest_is_left(store: Store) -> None:
    later: list[datetime] = []

    def work(due: datetime, run_id: int) -> dict[str, object]:
        raise Stopped("the process is stopping")

    def other(due: datetime, run_id: int) -> dict[str, object]:
        later.append(due)
        return {}

    closed: list[bool] = []
    scheduler = Scheduler(
        store,
        [Job("first", HOUR, timedelta(0), work), Job("second", HOUR, timedelta(0), other)],
        clock=HandClock(),
        closing=lambda: closed.append(True),
    )
    assert scheduler.tick() == 0
    scheduler.stop()
    assert (later, closed) == ([], [True])
    assert [run.outcome for run in read_runs(store)] == ["interrupted"]


def test_a_leader_that_stops_keeps_its_lease_until_its_work_has_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, stopping, prolonged = threading.Event(), threading.Event(), threading.Event()

    def take(*args: Any, **kwargs: Any) -> bool:
        if stopping.is_set():
            prolonged.set()
        return take_lease(*args, **kwargs)

    def work(due: datetime, run_id: int) -> dict[str, object]:
        begun.set()
        assert stopping.wait(10)
        prolonged.clear()
        return {"kept": prolonged.wait(10)}

    monkeypatch.setattr(scheduling, "LOOK_S", 0.01)
    monkeypatch.setattr(scheduling, "take_lease", take)
    leader = Scheduler(store, [Job("fixing", HOUR, timedelta(0), work)], clock=HandClock(), closing=stopping.set)
    leader.start()
    assert begun.wait(10)
    leader.stop()
    assert [run.detail for run in read_runs(store, kind="fixing")] == [{"kept": True}]
