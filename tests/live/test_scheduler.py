"""Due work, catch-up from the ledger of runs, and one leader at a time."""

import select
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from indexer.errors import SourceUnavailable
from indexer.live.scheduler import LEASE_S, LOOK_S, Job, Scheduler, due_instants
from indexer.store.db import open_store
from indexer.store.runs import fact_runs_after, fact_runs_known, read_runs, start_run, write_progress
from indexer.times import to_us

NOON = datetime(2026, 11, 24, 12, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


class HandClock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def store(tmp_path):
    made = open_store(f"sqlite:///{tmp_path}/deai.sqlite")
    made.migrate()
    yield made
    made.close()


def job(done, name="fixing"):
    def work(due, run_id):
        done.append(due)
        return {"levels_written": 1}

    return Job(name=name, every=HOUR, delay=timedelta(minutes=2), work=work)


def hours(*numbers):
    return [datetime(2026, 11, 24, h, tzinfo=UTC) for h in numbers]


def test_what_is_due_waits_for_the_bars_to_close():
    one = job([])
    assert due_instants(one, last_done=None, now=NOON) == hours(12)
    assert due_instants(one, last_done=hours(11)[0], now=NOON - timedelta(minutes=4)) == []
    assert due_instants(one, last_done=hours(9)[0], now=NOON) == hours(10, 11, 12)


def test_a_tick_does_due_work_once(store):
    done, clock = [], HandClock(NOON)
    scheduler = Scheduler(store, [job(done)], clock=clock)
    assert [scheduler.tick(), scheduler.tick()] == [1, 0]
    clock.now += HOUR
    assert scheduler.tick() == 1
    assert done == hours(12, 13)


def test_missed_instants_are_caught_up_by_one_piece_of_work_and_entered_in_the_ledger(store):
    done, clock = [], HandClock(NOON)
    Scheduler(store, [job(done)], clock=clock, holder="first").tick()
    clock.now += 5 * HOUR
    restarted = Scheduler(store, [job(done)], clock=clock, holder="second")
    assert restarted.tick() == 5
    assert done == hours(12, 17)
    runs = {run.due_at: run for run in read_runs(store, kind="fixing")}
    assert sorted(runs) == hours(12, 13, 14, 15, 16, 17)
    assert runs[hours(14)[0]].detail == {"caught_up_by": "fixing:2026-11-24T17:00:00Z"}
    assert restarted.tick() == 0


def test_of_two_schedulers_one_works_and_the_other_takes_over_when_the_lease_expires(store):
    done, clock = [], HandClock(NOON)
    first = Scheduler(store, [job(done)], clock=clock, holder="first")
    second = Scheduler(store, [job(done)], clock=clock, holder="second")
    assert [first.tick(), second.tick()] == [1, 0]
    clock.now += HOUR - timedelta(seconds=LEASE_S / 2)
    first.tick()
    clock.now += timedelta(seconds=LEASE_S / 2)
    assert second.tick() == 0, "the first one's lease still holds"
    clock.now += HOUR
    assert second.tick() == 1
    assert done == hours(12, 13, 14)


def test_a_leader_that_works_long_keeps_its_lease(store):
    clock = HandClock(NOON)
    first = Scheduler(store, [], clock=clock, holder="first")
    first.tick()
    clock.now += timedelta(seconds=LEASE_S * 0.9)
    first.beat()
    clock.now += timedelta(seconds=LEASE_S * 0.9)
    second = Scheduler(store, [job([])], clock=clock, holder="second")
    second.beat()
    assert second.tick() == 0, "a beat of the leader prolongs, a beat of the other takes nothing"


def test_work_done_once_gives_the_lease_back_and_leaves_another_leaders_alone(store):
    done, clock = [], HandClock(NOON)
    once = Scheduler(store, [job(done)], clock=clock, holder="once")
    assert once.work_once() == 1 and once.leads
    other = Scheduler(store, [job(done)], clock=clock, holder="other")
    clock.now += HOUR
    assert other.tick() == 1, "the lease was free"
    clock.now += HOUR
    other.beat()
    assert once.work_once() == 0 and not once.leads
    assert other.tick() == 1, "and is still the other's"


def test_a_stopped_leader_gives_the_lease_back_at_once(store):
    done, clock = [], HandClock(NOON)
    first = Scheduler(store, [job(done)], clock=clock, holder="first")
    first.tick()
    first.stop()
    clock.now += HOUR
    assert Scheduler(store, [job(done)], clock=clock, holder="second").tick() == 1


def test_who_works_beside_a_leader_works_under_its_lease(store):
    """Of two processes with two schedulers each, one does the work of both, until it stops."""
    done, clock = [], HandClock(NOON)
    first, other = (Scheduler(store, [], clock=clock, holder=holder) for holder in ("first", "other"))
    beside, others = (Scheduler(store, [job(done)], clock=clock, beside=leader) for leader in (first, other))
    first.tick()
    assert [beside.tick(), others.tick(), other.tick(), other.leads] == [1, 0, 0, False]
    beside.stop()
    clock.now += HOUR
    first.tick()
    assert others.tick() == 0, "the leader's own work may go on"
    first.stop()
    assert others.tick() == 1
    assert done == hours(12, 13)


def test_work_goes_on_after_the_clock_was_wrong_once(store, monkeypatch):
    """A dead clock battery, a virtual machine restored: what was done in 2036 makes nothing of today done."""
    monkeypatch.setattr("indexer.live.scheduler.MAX_CAUGHT_UP", 12)
    done, clock = [], HandClock(NOON)
    scheduler = Scheduler(store, [job(done)], clock=clock, holder="A")
    scheduler.tick()
    clock.now = datetime(2036, 1, 19, 3, 14, tzinfo=UTC)
    scheduler.tick()
    done.clear()
    clock.now = NOON + HOUR
    scheduler.tick()
    assert done == hours(13)
    clock.now = datetime(2036, 1, 19, 5, 14, tzinfo=UTC)
    scheduler.tick()
    done.clear()
    other = Scheduler(store, [job(done)], clock=clock, holder="B")  # A dies with a lease taken in 2036
    clock.now = NOON + 2 * HOUR
    other.tick()
    clock.now += HOUR / 2
    other.tick()
    assert done == hours(14)


KEEPER = """
import sys, threading
from datetime import timedelta
from indexer.live import scheduler
from indexer.store.db import open_store
from indexer.times import utc_now
scheduler.LEASE_S, scheduler.LOOK_S = 1.4, 0.4
hourly = scheduler.Job("x", timedelta(hours=1), timedelta(0), lambda due, run: {})
leader = scheduler.Scheduler(open_store(sys.argv[1]), [hourly], clock=utc_now)
leader.start()
while not leader.leads:
    threading.Event().wait(0.05)
print("leads", flush=True)
threading.Event().wait()
"""


def test_a_killed_leader_is_replaced_within_lease_and_look_and_never_before(store):
    """With a tenth of the real times, which sum up to less than 20 s."""
    assert LEASE_S + LOOK_S <= 18
    start = partial(subprocess.Popen, [sys.executable, "-c", KEEPER, store.url], stdout=subprocess.PIPE)
    with start() as leader, start() as other:
        try:
            [first], _, _ = select.select([leader.stdout, other.stdout], [], [], 30.0)
            first, second = (leader, other) if first is leader.stdout else (other, leader)
            assert not select.select([second.stdout], [], [], 4.0)[0], "a leader keeps its lease as long as it lives"
            first.kill()
            assert select.select([second.stdout], [], [], 2.5)[0]
        finally:
            leader.kill()
            other.kill()


def test_failed_work_is_written_down_and_tried_again(store):
    clock, tries = HandClock(NOON), []

    def work(due, run_id):
        tries.append(due)
        if len(tries) == 1:
            raise SourceUnavailable("no route to any source")
        return {}

    scheduler = Scheduler(store, [Job("fixing", HOUR, timedelta(0), work)], clock=clock)
    assert scheduler.tick() == 0
    assert [(r.outcome, r.detail) for r in read_runs(store)] == [("failed", {"error": "no route to any source"})]
    assert scheduler.tick() == 1
    assert [r.outcome for r in read_runs(store)] == ["done"]


def test_a_defect_in_one_job_stops_no_other(store):
    def broken(due, run_id):
        raise IndexError("list index out of range")

    jobs = [Job("benchmarks", HOUR, timedelta(0), broken), Job("fixing", HOUR, timedelta(0), lambda due, run_id: {})]
    scheduler = Scheduler(store, jobs, clock=HandClock(NOON))
    assert scheduler.tick() == 1
    assert {run.kind: run.outcome for run in read_runs(store)} == {"benchmarks": "failed", "fixing": "done"}
    assert scheduler.failed == {"benchmarks": "list index out of range"}


def test_interrupted_work_is_marked_and_taken_up_again(store):
    clock, tries = HandClock(NOON), []

    def work(due, run_id):
        tries.append(due)
        if len(tries) == 1:
            raise KeyboardInterrupt
        return {}

    scheduler = Scheduler(store, [Job("fixing", HOUR, timedelta(0), work)], clock=clock)
    with pytest.raises(KeyboardInterrupt):
        scheduler.tick()
    assert [r.outcome for r in read_runs(store)] == ["interrupted"]
    assert scheduler.tick() == 1


def test_start_ticks_on_its_own_thread_and_stop_waits_for_it(store):
    import threading

    began = threading.Event()

    def work(due, run_id):
        began.set()
        return {}

    scheduler = Scheduler(store, [Job("fixing", HOUR, timedelta(0), work)], clock=HandClock(datetime.now(UTC)))
    scheduler.start()
    assert began.wait(10)
    scheduler.stop()
    assert [r.outcome for r in read_runs(store)] == ["done"]


def test_runs_of_a_process_that_is_gone_are_closed_by_who_takes_its_work_over(store):
    clock = HandClock(NOON)
    kinds = [("fixing", 1, NOON), ("import", 1, None), ("import", 25, None), ("first-fill", 30, None)]
    kinds += [("fixing", 2, None), ("update", 1, None)]  # one by hand, and what only who computes afterwards closes
    began = [
        (kind, start_run(store, kind=kind, key=f"{kind}:{hours}", now=NOON - timedelta(hours=hours), due_at=due))
        for kind, hours, due in kinds
    ]
    write_progress(store, began[0][1], {"owed": ["fet"]})
    Scheduler(store, [job([])], clock=clock, holder="one").tick()
    runs = {run.id: run for run in read_runs(store)}
    outcomes = ["failed", "running", "failed", "running", "running", "running"]
    assert [runs[number].outcome for _, number in began] == outcomes
    assert runs[began[0][1]].detail["owed"] == ["fet"]
    assert runs[began[0][1]].detail["error"].startswith("its process ended before the work was done")
    assert fact_runs_known(store)[1] == [began[place][1] for place in (1, 3, 4)]
    assert set(fact_runs_after(store, 99, [], since_us=to_us(NOON))) >= {began[0][1]}, "what it left is looked at once"
    Scheduler(store, [job([])], clock=clock, holder="one", afterwards=lambda: None).tick()
    assert read_runs(store, kind="update", limit=1)[0].outcome == "failed"
    other = Scheduler(store, [job([])], clock=clock, holder="other")
    assert start_run(store, kind="fixing", key="fixing:now", now=NOON) and other.tick() == 0
    assert read_runs(store, kind="fixing", limit=1)[0].outcome == "running", "a stand-by closes nothing"
