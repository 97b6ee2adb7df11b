"""The administration on both databases: policy, seals, decisions, explanations and proofs give the same."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from indexer.administration.explain import explain
from indexer.levels.lifecycle import change_state
from indexer.levels.rules import decide
from indexer.store.administration import (
    read_announcements,
    read_overrides,
    write_announcements,
)
from indexer.store.db import Store
from indexer.store.rows import AnnouncementRow, OverrideRow
from indexer.store.seals import altered_rows, read_heads
from indexer.verify.proof import check_proof, export_proof

sys.path.insert(0, str(Path(__file__).parents[1] / "administration"))
from test_restatement import HOUR, corrected, heaviest
from worlds import START_US, World


def test_the_whole_administration_works_on_both_databases(store: Store, tmp_path: Path) -> None:
    one = World(store)
    one.fill()
    one.update()
    one.now += timedelta(hours=50)
    corrected(one, heaviest(one, HOUR), HOUR, 0.004)
    one.update()
    corrected(one, heaviest(one, HOUR + 9), HOUR + 9, 0.02)
    one.update()
    assert [row.kind for row in read_announcements(store)] == ["restatement", "deferred"]
    row = OverrideRow(
        "membership", "token-1", one.now, one.now + timedelta(days=3), "found to be a copy", "A", one.now, "small"
    )
    decide(store, row, registry=one.registry, now=one.tick())
    change_state(store, "small", state="suspended", reason="only for the test", by="A", now=one.tick())
    one.update()
    found = one.verify()
    assert found.ok, found.problem
    said = explain(store, one.registry, index_id="small", at_us=START_US + (HOUR + 9) * 3_600_000_000)
    assert said.inputs_hold
    assert [each["revision"] for each in said.revisions] == [2, 1]
    export_proof(store, one.registry, path=tmp_path / "proof.zip")
    [verdict] = check_proof(tmp_path / "proof.zip")
    assert verdict.ok, verdict.problem


def test_a_changed_row_is_named_on_both_databases(store: Store) -> None:
    one = World(store)
    one.fill(until=24 * 20)
    one.update()
    assert altered_rows(store) == []
    assert read_heads(store)["seals"]["count"] > 10
    with store.writing() as connection:
        connection.execute(text("UPDATE rate SET rate = rate * 1.0000001 WHERE asset_id = 2 AND time % 7200000000 = 0"))
    named = altered_rows(store)
    assert named
    assert named[0].startswith("rate: row asset_id 2, time 202")


def test_announcements_are_said_once_and_numbered_upwards(store: Store) -> None:
    one = World(store)
    run = one.run()
    rows = [AnnouncementRow(f"k{n}", "test", f"said {n}", one.now, "small" if n % 2 else None) for n in range(4)]
    write_announcements(store, run, rows)
    write_announcements(store, run, rows)
    assert [row.title for row in read_announcements(store)] == ["said 3", "said 2", "said 1", "said 0"]
    assert [row.title for row in read_announcements(store, index_id="other")] == ["said 2", "said 0"]
    newest = read_announcements(store)[0].id
    assert newest is not None
    assert [row.title for row in read_announcements(store, after_id=newest - 1)] == ["said 3"]


def test_an_override_is_in_force_from_when_it_was_made(store: Store) -> None:
    one = World(store)
    row = OverrideRow(
        "value", "token-1", one.now, one.now + timedelta(days=3), "a stuck feed there", "A", one.now,
        detail='{"value": 2.0}',
    )  # fmt: skip
    before = one.now
    number = decide(store, row, registry=one.registry, now=one.tick())
    assert [each.id for each in read_overrides(store)] == [number]
    assert read_overrides(store, as_of_us=int(before.timestamp() * 1e6)) == []
    assert [each.id for each in read_overrides(store, as_of_us=int(one.tick().timestamp() * 1e6))] == [number]
