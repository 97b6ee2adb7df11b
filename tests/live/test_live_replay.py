"""A published level from the archive alone: answers, memory and rules give the same rates to the last bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from fault_server import Fault
from played import SLUGS, VENUES, Played, at, live_through, played
from sqlalchemy import text

from indexer.config import Settings
from indexer.errors import InputError, NotFoundError, VerificationError
from indexer.live.context import archive_of, live_of
from indexer.live.fixing import replay_fixing
from indexer.live.jobs import sweep
from indexer.store.archive import Archive, read_payloads
from indexer.store.assets import read_assets
from indexer.store.db import Store, open_store
from indexer.store.levels import read_latest_level, read_levels
from indexer.store.rates import read_rates
from indexer.store.rebalancings import read_constituents
from indexer.store.runs import finish_run, read_runs, start_run
from indexer.store.seals import altered_rows, seal_runs
from indexer.times import to_us
from indexer.verify.replay import Replayed, replay
from indexer.workflow.work import registry_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Played, Store]]:
    faults = [
        Fault("okx", "scale", to_us(at("2025-01-27T01:00:00Z")), to_us(at("2025-01-27T02:00:00Z")), factor=1.3),
        Fault("okx", "scale", to_us(at("2025-01-27T02:00:00Z")), to_us(at("2025-01-27T03:00:00Z")), factor=1.04),
        Fault("kraken", "500", to_us(at("2025-01-27T02:55:00Z"))),
    ]
    with played(
        tmp_path_factory.mktemp("replay"),
        start=at("2025-01-26T22:05:00Z"),
        faults=faults,
        sources=(*VENUES, "coingecko"),
        history_days=4,
    ) as made:
        store = made.open()
        scheduler = made.scheduler(store)
        live_through(made, scheduler, until=at("2025-01-27T03:10:00Z"))
        scheduler.stop()
        yield made, store


def test_every_fixing_is_computed_again_from_its_manifest(world: tuple[Played, Store]) -> None:
    made, store = world
    archive = archive_of(made.settings)
    slugs = {int(asset.id): asset.slug for asset in read_assets(store)}
    rows = read_rates(store)
    stored = {(slugs[int(a)], int(t)): float(r) for a, t, r in zip(rows.asset_id, rows.time_us, rows.rate, strict=True)}
    runs = [run for run in read_runs(store, kind="fixing") if "manifest" in run.detail]
    assert len(runs) == 6
    for run in runs:
        again = replay_fixing(archive, run.detail["manifest"]).fixed
        for slug, rate in zip(again.assets, again.rates.rate.tolist(), strict=True):
            assert rate == stored[slug, again.at_us]
    last = replay_fixing(archive, runs[0].detail["manifest"]).fixed
    okx = last.venues.index("okx")
    assert last.rates.verdicts[:, okx].tolist() == [2, 2, 2], "the gate's memory is in the manifest"


def test_a_level_is_derived_from_the_archive(world: tuple[Played, Store]) -> None:
    made, store = world
    level = read_latest_level(store, "trio")
    at_us = int(level.times_us[0])
    (run,) = [run for run in read_runs(store, kind="fixing") if run.due_at and to_us(run.due_at) == at_us]
    again = replay_fixing(archive_of(made.settings), run.detail["manifest"]).fixed
    rates = dict(zip(again.assets, again.rates.rate.tolist(), strict=True))
    parts = read_constituents(store, "trio", at_us)
    assert {part.asset for part in parts} == set(SLUGS)
    value = sum(part.units * rates[part.asset] for part in parts) / parts[0].divisor
    np.testing.assert_allclose(value, level.levels[0], rtol=1e-9)


def test_every_answer_that_fed_a_number_is_linked_to_its_run(world: tuple[Played, Store]) -> None:
    made, store = world
    archive = archive_of(made.settings)
    for run in read_runs(store, kind="fixing"):
        rows = read_payloads(store, run.id)
        assert len(rows) == run.detail["answers"] + 1
        assert rows[-1].source == "manifest"
        for row in rows:
            assert len(archive.get(row.sha256)) == row.bytes


def derived(made: Played, store: Store, path: Path, archive: Archive | None = None) -> Replayed:
    """All facts again in a new store."""
    empty = open_store(f"sqlite:///{path}")
    empty.migrate()
    try:
        archive = archive or archive_of(made.settings)
        return replay(store, empty, registry=registry_of(made.settings), archive=archive, updates=False)
    finally:
        empty.close()


def test_stored_rates_and_bars_are_held_against_the_archived_answers(
    world: tuple[Played, Store], tmp_path: Path
) -> None:
    made, store = world
    found = derived(made, store, tmp_path / "0.sqlite")
    assert found.problems == ()
    assert (found.derived, found.over) == ({"fixing": 6, "history": 1, "supply": 2}, 0)
    assert found.answers == len(list(archive_of(made.settings).names()))
    at_us = to_us(at("2025-01-27T01:00:00Z"))
    fixed = "run_id IN (SELECT id FROM run WHERE kind = 'fixing')"
    for table, column, said in (
        ("rate", "rate", "rate of fet at 2025-01-27T01:00:00Z: rate is stored as 0.1, the archive gives "),
        ("bar", "close", "bar of fet (binance, 1h, binance) at 2025-01-27T01:00:00Z: close is stored as 0.1, "),
    ):
        where = f"{fixed} AND time = :at AND {column} = :old"
        with store.writing() as connection:
            pick = f"SELECT {column} FROM {table} WHERE {fixed} AND time = :at LIMIT 1"
            old = connection.execute(text(pick), {"at": at_us}).scalar_one()
            change = text(f"UPDATE {table} SET {column} = :new WHERE {where}")
            connection.execute(change, {"new": 0.1, "at": at_us, "old": old})
        (problem,) = derived(made, store, tmp_path / f"{table}.sqlite").problems
        assert problem.startswith(said)
        with store.writing() as connection:
            connection.execute(change, {"new": old, "at": at_us, "old": 0.1})
    assert derived(made, store, tmp_path / "1.sqlite").ok


def test_history_is_done_again_from_archived_answers(world: tuple[Played, Store], tmp_path: Path) -> None:
    made, store = world
    empty = open_store(f"sqlite:///{tmp_path / 'again.sqlite'}")
    empty.migrate()
    again = replay(store, empty, registry=registry_of(made.settings), archive=archive_of(made.settings))
    assert again.problems == ()
    assert again.updates > 0
    assert read_levels(store, "trio").hash == read_levels(empty, "trio").hash
    empty.close()


def test_answers_whose_time_is_over_are_said_and_break_no_seal(world: tuple[Played, Store], tmp_path: Path) -> None:
    made, _ = world
    shutil.copytree(made.settings.data_dir, tmp_path, dirs_exist_ok=True)
    settings = Settings(data_dir=tmp_path)
    store = open_store(settings.store_url)
    seal_runs(store)
    later = at("2040-01-01")  # far after the files' own time
    upstream = made.upstream()
    live = live_of(store, settings, registry=registry_of(made.settings), upstream=upstream, clock=lambda: later)
    run = start_run(store, kind="retention", key="retention:test", now=later)
    assert run is not None
    finish_run(store, run, now=later, detail=dict(sweep(replace(live, archive_days=30), later, run)))
    seal_runs(store)
    found = derived(made, store, tmp_path / "again.sqlite", archive_of(settings))
    assert (found.problems, found.derived.get("fixing"), found.over) == ((), None, 6)
    assert altered_rows(store) == [], "links that retention took are not missed"
    with store.writing() as connection:
        connection.execute(text("UPDATE run SET detail = '{}' WHERE kind = 'retention'"))
    assert any(said.startswith("payload: ") for said in altered_rows(store)), "without a sweep they are"
    upstream.close()
    store.close()


def test_a_fixing_of_the_first_version_is_computed_again_by_its_own_rules(world: tuple[Played, Store]) -> None:
    """Its manifest knows no threshold for pairs and no minutes in common, so venues were judged without."""
    made, store = world
    archive = archive_of(made.settings)
    record = orjson.loads(archive.get(read_runs(store, kind="fixing")[0].detail["manifest"]))
    rules = {name: value for name, value in record["rules"].items() if name not in ("pair_theta", "aligned")}
    old = archive.put(orjson.dumps({**record, "rules": {**rules, "method": "partition-vwm/1", "theta": 0.07}})).sha256
    found = replay_fixing(archive, old)
    assert found.fixed.rates.method == "partition-vwm/1" and (found.rules.pair_theta, found.rules.aligned) == (
        0.07,
        False,
    )


def test_what_cannot_be_replayed_is_said(world: tuple[Played, Store]) -> None:
    made, store = world
    archive = archive_of(made.settings)
    run = read_runs(store, kind="fixing")[0]
    other = archive.put(b'{"kind": "meal"}').sha256
    with pytest.raises(InputError, match="is not the manifest of a fixing but of 'meal'"):
        replay_fixing(archive, other)
    with pytest.raises(NotFoundError, match="is not in the archive"):
        replay_fixing(archive, "0" * 64)
    answer = read_payloads(store, run.id)[0].sha256
    path = made.settings.data_dir / "archive" / answer[:2] / f"{answer}.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-4] + b"\0\0\0\0")
    with pytest.raises(VerificationError, match="is damaged"):
        replay_fixing(archive, run.detail["manifest"])
    path.write_bytes(whole)


def test_the_other_method_is_a_setting_and_is_said_with_every_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEAI_FIXING_METHOD", "linear-twap/2")
    with played(tmp_path, start=at("2025-01-27T02:05:00Z"), history_days=1) as made:
        store = made.open()
        scheduler = made.scheduler(store)
        scheduler.tick()
        scheduler.stop()
        rows = read_rates(store, evidence=True)
        assert rows.method is not None
        fixed = {(int(a), r) for a, r, m in zip(rows.asset_id, rows.rate, rows.method, strict=True) if "twap" in m}
        (run,) = [run for run in read_runs(store, kind="fixing") if "manifest" in run.detail]
        archive = archive_of(made.settings)
        again = replay_fixing(archive, run.detail["manifest"]).fixed
        assert again.rates.method == "linear-twap/2"
        assert sorted(again.rates.rate.tolist()) == sorted(rate for _, rate in fixed)
