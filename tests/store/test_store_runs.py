"""The run log and the leases: a key is done once, a crash is taken up again, one holder at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from seeds import START

from indexer.store.db import Store
from indexer.store.runs import finish_run, read_runs, release_lease, start_run, take_lease


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


def test_starting_the_same_key_from_many_threads_makes_one_run(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: start_run(store, kind="x", key="same", now=START), range(16)))
    assert len(set(found)) == 1
    assert len(read_runs(store)) == 1


def test_a_lease_has_one_holder_until_it_expires(store: Store) -> None:
    assert take_lease(store, "scheduler", "a", START, 60)
    assert not take_lease(store, "scheduler", "b", START + timedelta(seconds=59), 60)
    assert take_lease(store, "scheduler", "a", START + timedelta(seconds=30), 60)
    assert not take_lease(store, "scheduler", "b", START + timedelta(seconds=89), 60)
    assert take_lease(store, "scheduler", "b", START + timedelta(seconds=90), 60)
    release_lease(store, "scheduler", "a")
    assert not take_lease(store, "scheduler", "a", START + timedelta(seconds=91), 60)
    release_lease(store, "scheduler", "b")
    assert take_lease(store, "scheduler", "a", START + timedelta(seconds=92), 60)


def test_of_many_who_ask_at_once_one_gets_the_lease(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda n: take_lease(store, "leader", f"h{n}", START, 60), range(16)))
    assert sum(got) == 1
