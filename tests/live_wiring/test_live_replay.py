"""A published level from the archive alone: answers, memory and rules give the same rates to the last bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from fault_server import Fault
from played import SLUGS, VENUES, Played, at, live_through, played

from indexer.errors import InputError, NotFoundError, VerificationError
from indexer.live.context import archive_of
from indexer.live.replay import replay_fixing
from indexer.store.db import Store
from indexer.store.read import (
    read_assets,
    read_constituents,
    read_latest_level,
    read_payloads,
    read_rates,
    read_runs,
)
from indexer.times import to_us


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
        again = replay_fixing(archive, run.detail["manifest"])
        for slug, rate in zip(again.assets, again.rates.rate.tolist(), strict=True):
            assert rate == stored[slug, again.at_us]
    last = replay_fixing(archive, runs[0].detail["manifest"])
    okx = last.venues.index("okx")
    assert last.rates.verdicts[:, okx].tolist() == [2, 2, 2], "the gate's memory is in the manifest"


def test_a_level_is_derived_from_the_archive(world: tuple[Played, Store]) -> None:
    made, store = world
    level = read_latest_level(store, "trio")
    at_us = int(level.times_us[0])
    (run,) = [run for run in read_runs(store, kind="fixing") if run.due_at and to_us(run.due_at) == at_us]
    again = replay_fixing(archive_of(made.settings), run.detail["manifest"])
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
