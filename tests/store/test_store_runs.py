"""The run log and the leases: a key is done once, a crash is taken up again, one holder at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from seeds import START

from indexer.store.db import Store
from indexer.store.runs import finish_run, last_update, read_runs, release_lease, start_run, take_lease
from indexer.store.tables import Lease
from indexer.times import to_us


def test_a_done_key_is_not_run_again(store: Store) -> None:
    run = start_run(store, kind="import", key="import:abc", now=START)
    assert run is not None
    finish_run(store, run, now=START, outcome="done", detail={"rows": 3})
    assert start_run(store, kind="import", key="import:abc", now=START) is None
    assert read_runs(store)[0].detail == {"rows": 3}
    assert {run.outcome for run in read_runs(store)} == {"done"}


def test_a_crashed_run_is_taken_up_under_its_id_and_known_from_then_on(store: Store) -> None:
    run = start_run(store, kind="update", key="k", now=START, due_at=START)
    assert [one.id for one in read_runs(store)] == [run]
    later = START + timedelta(hours=1)
    assert start_run(store, kind="update", key="k", now=later) == run
    found = read_runs(store, kind="update")[0]
    assert (found.started_at, found.due_at, found.outcome) == (later, START, "running")


def test_a_failed_run_is_run_again(store: Store) -> None:
    run = start_run(store, kind="import", key="k", now=START)
    assert run is not None
    finish_run(store, run, now=START, outcome="failed", detail={"error": "no"})
    assert start_run(store, kind="import", key="k", now=START) == run


def test_an_update_by_a_clock_of_2036_is_not_the_last_one(store: Store) -> None:
    for key, now in (("a", START), ("b", START.replace(year=2036))):
        run = start_run(store, kind="update", key=key, now=now)
        assert run is not None
        finish_run(store, run, now=now)
    last = last_update(store, now=START + timedelta(hours=1))
    assert last is not None and last[1] == to_us(START)


def test_starting_the_same_key_from_many_threads_makes_one_run(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: start_run(store, kind="x", key="same", now=START), range(16)))
    assert len(set(found)) == 1
    assert len(read_runs(store)) == 1


def test_a_lease_has_one_holder_until_it_expires(store: Store) -> None:
    seconds = 1_000_000.0

    def take(holder: str, after_s: float) -> bool:
        """An embedded store is told the machine's seconds; a server has a time of its own, so its lease is aged."""
        nonlocal seconds
        seconds += after_s
        with store.writing_session() as session:
            lease = session.get(Lease, "scheduler")
            if lease is not None and not store.is_sqlite:
                lease.expires_at -= timedelta(seconds=after_s)
        return take_lease(store, "scheduler", holder, 60, elapsed_s=seconds)

    assert take("a", 0)
    assert not take("b", -2), "who looked at the time before waiting for its turn"
    assert not take("b", 59)
    assert take("a", 2.5)
    assert not take("b", 59)
    assert take("b", 1)
    release_lease(store, "scheduler", "a")
    assert not take("a", 1)
    release_lease(store, "scheduler", "b")
    assert take("a", 1)
    with store.writing_session() as session:  # of a clock that lied, or from before the machine started
        session.get_one(Lease, "scheduler").expires_at = START + timedelta(days=40_000)
    assert take("b", 0)


def test_of_many_who_ask_at_once_one_gets_the_lease(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda n: take_lease(store, "leader", f"h{n}", 60, elapsed_s=5.0), range(16)))
    assert sum(got) == 1
