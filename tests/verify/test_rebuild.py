"""History rebuilt on an empty database is the same to the bit, and tampering is named (criteria 1 and 2)."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta

import numpy as np
import pytest
from eventful import eventful
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import SQLModel
from test_restatement import HOUR
from worlds import START_US, world

from indexer.errors import VerificationError
from indexer.store.archive import Archive
from indexer.store.db import open_store
from indexer.store.levels import published_rows, read_levels
from indexer.store.quality import write_quality
from indexer.store.rows import QualityRow
from indexer.store.runs import finish_run, start_run
from indexer.store.sealed import EARLIER, EARLIER_RUN, RUNS, STATES, pack_keys, unpack_keys
from indexer.store.seals import altered_rows, seal_runs, unsealed_runs
from indexer.store.tables import AlertMessage
from indexer.times import DAY_US, HOUR_US, iso
from indexer.verify.replay import replay
from indexer.verify.store import broken_chain, verify_all


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    one = eventful(tmp_path_factory.mktemp("eventful"))
    yield one
    one.store.close()


def test_criterion_1_history_rebuilt_on_an_empty_database_is_identical_bit_for_bit(made, tmp_path):
    assert made.verify().ok, made.verify().problem
    empty = open_store(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    empty.migrate()
    archive = Archive(made.store.path.parent / "archive")
    assert replay(made.store, empty, registry=made.registry, archive=archive, rules=made.rules).problems == ()
    mine, theirs = read_levels(made.store, "small"), read_levels(empty, "small")
    assert mine.hash == theirs.hash
    assert mine.revision.max() == 2
    assert (mine.levels.view(np.int64) == theirs.levels.view(np.int64)).all()
    empty.close()


def test_a_rebuild_is_replayed_too(tmp_path):
    one = world(tmp_path)
    one.fill()
    one.update()
    one.now += timedelta(hours=50)
    one.supply("token-1", 9e6)
    one.update()
    one.update(rebuild="misread supply")
    empty = open_store(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    empty.migrate()
    assert replay(one.store, empty, registry=one.registry, archive=Archive(tmp_path)).problems == ()
    empty.close()
    one.store.close()


def test_criterion_2_one_changed_input_revises_only_dependent_levels_and_the_chain_shows_it(made):
    rows, chain = made.levels(), published_rows(made.store, "small")
    hours = (rows.times_us[rows.revision == 2] - START_US) // HOUR_US
    assert hours.tolist() == [HOUR + 30]
    at = [n for n, revision in enumerate(chain["revision"].tolist()) if revision == 2]
    assert len(at) == 1
    assert chain["time"][at[0]] < chain["time"][at[0] - 1], "the correction is chained after what was out before"
    old = next(n for n, time in enumerate(chain["time"].tolist()) if time == chain["time"][at[0]])
    assert chain["revision"][old] == 1
    assert chain["inputs_hash"][old] != chain["inputs_hash"][at[0]]
    assert broken_chain(chain) == ""


EMPTY = {"challenge", "event"}  # tables that nothing writes to any more, or not here
TABLES = [table for table in (*RUNS, *STATES) if table.name not in ("challenge", "event", "review_note")]  # empty here


def test_every_column_of_every_table_is_sealed_but_caches():
    sealed = {(table.name, name) for table in (*RUNS, *STATES) for name in (*table.key, *table.values)}
    unsealed = {
        f"{table.name}.{column.name}"
        for table in SQLModel.metadata.tables.values()
        for column in table.columns
        if (table.name, column.name) not in sealed
    }
    named = {name for name in unsealed if not name.endswith(".run_id")}
    assert named == {
        *("run.id", "seal.about", "seal.digest", "seal.hash", "seal.id", "seal.keys", "seal.marks", "seal.prev_hash"),
        *("alert_state.rule", "alert_state.subject", "alert_state.side", "alert_state.seen"),
        *(f"alert_message.{name}" for name in AlertMessage.model_fields),
        *("seal.rows", "lease.name", "lease.holder", "lease.expires_at"),
        *("data_version.id", "data_version.token", "data_version.pending"),
    }, "runs and items are sealed by their run, seals are chained, a lease is who works now, alerts are sent"


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_any_changed_byte_of_a_stored_row_is_found_and_named(made, table):
    keys = ["id"] if table.name == "run" else list(table.key)
    for name in (*table.key, *table.values):
        if (table.name, name) == ("run", "run_id"):
            continue
        where = "WHERE outcome = 'done'" if table.name == "run" else f"ORDER BY {name} IS NULL"
        with closing(sqlite3.connect(made.store.path)) as raw:
            row = raw.execute(f"SELECT {', '.join(keys)}, {name} FROM {table.name} {where} LIMIT 1").fetchone()
            assert row is not None, f"no {table.name} is here"
            key, value = dict(zip(keys, row[:-1], strict=True)), row[-1]
            changed = _flipped(value)
            _set(raw, table.name, name, changed, key)
        try:
            found = altered_rows(made.store)
            assert any(one.startswith(f"{table.name}: row ") for one in found), (name, found)
            if name in key:  # under another key it is another row: the one that was sealed is gone
                assert any(one.endswith(" wrote is gone") for one in found), (name, found)
            if name == table.values[0]:
                assert verdict_of(made) == "; ".join(found)
        finally:
            with closing(sqlite3.connect(made.store.path)) as raw:
                _set(raw, table.name, name, value, {**key, **({name: changed} if name in key else {})})
    assert altered_rows(made.store) == []


def verdict_of(made):
    """What verification says, of the index or, where it cannot even be named any more, as it ends."""
    try:
        return made.verify().problem
    except VerificationError as error:
        return str(error)


def _set(raw, table, name, value, key):
    match = " AND ".join(f"{one} = ?" for one in key)
    assert raw.execute(f"UPDATE {table} SET {name} = ? WHERE {match}", [value, *key.values()]).rowcount == 1
    raw.commit()


def _flipped(value):
    if isinstance(value, float):
        return math.nextafter(value, math.inf)
    if isinstance(value, int):
        return value + 1_000_003
    if value is None:
        return 7
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    return chr(ord(value[0]) ^ 1) + value[1:] if value else "x"


def test_a_row_taken_away_or_added_is_found(made):
    with made.store.writing() as connection:
        row = connection.execute(text("SELECT * FROM bar LIMIT 1")).mappings().one()
        connection.execute(
            text("DELETE FROM bar WHERE listing_id = :listing_id AND time = :time AND revision = :revision"), dict(row)
        )
    key = f"listing_id {row['listing_id']}, time {iso(row['time'])}, revision {row['revision']}"
    assert altered_rows(made.store) == [f"bar: row {key} that run {row['run_id']} wrote is gone"]
    with made.store.writing() as connection:
        names = ", ".join(row)
        connection.execute(text(f"INSERT INTO bar ({names}) VALUES ({', '.join(':' + one for one in row)})"), dict(row))
        connection.execute(
            text(f"INSERT INTO bar ({names}) VALUES ({', '.join(':' + one for one in row)})"), {**row, "revision": 9}
        )
    [found] = altered_rows(made.store)
    assert "revision 9 was changed or added after run" in found
    with made.store.writing() as connection:
        connection.execute(text("DELETE FROM bar WHERE revision = 9"))
    assert altered_rows(made.store) == []


def test_every_row_that_is_gone_is_named_a_few_and_the_others_counted(made):
    with made.store.writing() as connection:
        rows = connection.execute(text("SELECT * FROM level WHERE time < :at"), {"at": START_US + 20 * DAY_US})
        kept = [dict(row) for row in rows.mappings()]
        connection.execute(text("DELETE FROM level WHERE time < :at"), {"at": START_US + 20 * DAY_US})
    found = altered_rows(made.store)
    assert found[0].startswith("level: row index_id small, time 2024-01-01T00:00:00Z, revision 1 that run ")
    assert len(found) == 6
    assert found[-1].startswith(f"level: {len(kept) - 5} more rows that run ")
    assert made.verify().problem == "; ".join(found)
    with made.store.writing() as connection:
        names = ", ".join(kept[0])
        values = ", ".join(":" + one for one in kept[0])
        connection.execute(text(f"INSERT INTO level ({names}) VALUES ({values})"), kept)
    assert altered_rows(made.store) == []


@given(
    st.lists(st.tuples(st.integers(-(2**62), 2**62), st.text(max_size=5), st.integers(0, 3)), min_size=1, max_size=30),
    st.data(),
)
def test_keys_come_back_from_their_packed_form(rows, data):
    time, name, number = zip(*rows, strict=True)
    packed = pack_keys({"time": np.array(time), "name": np.array(name, dtype=object), "number": np.array(number)})
    some = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    assert unpack_keys(packed, some) == [dict(zip(("time", "name", "number"), rows[n], strict=True)) for n in some]


def test_the_keys_of_a_year_of_bars_take_little_room():
    times = START_US + np.arange(8760, dtype=np.int64) * HOUR_US
    keys = {"listing_id": np.repeat(np.arange(20), 8760), "time": np.tile(times, 20), "revision": np.ones(175_200)}
    packed = pack_keys({name: column.astype(np.int64) for name, column in keys.items()})
    assert len(packed) < 0.02 * 8 * 175_200, "a fiftieth of the marks"


def test_a_changed_seal_is_found(made):
    with made.store.writing() as connection:
        old = connection.execute(text("SELECT digest FROM seal WHERE id = 3")).scalar_one()
        connection.execute(text("UPDATE seal SET digest = :d WHERE id = 3"), {"d": bytes(32)})
    found = altered_rows(made.store)
    assert found[0].startswith("seal 3 (of what run ")
    with made.store.writing() as connection:
        connection.execute(text("UPDATE seal SET digest = :d WHERE id = 3"), {"d": old})
    assert altered_rows(made.store) == []
    assert seal_runs(made.store) == 0


@pytest.fixture
def copied(made, tmp_path):
    """A copy of the store with its head file, to be written to."""
    made.store.close()
    for path in made.store.path.parent.glob(f"{made.store.path.name}*"):
        shutil.copy(path, tmp_path / path.name)
    store = open_store(f"sqlite:///{tmp_path / made.store.path.name}")
    yield store
    store.close()


def changed(store, *statements):
    with store.writing() as connection:
        for statement in statements:
            assert connection.execute(text(statement)).rowcount >= 1, statement


def test_seals_that_a_killed_process_left_out_are_missed_until_the_next_update_makes_them(made, copied):
    last = max(run for run in unsealed_and_sealed(copied))
    changed(copied, f"DELETE FROM seal WHERE run_id = {last}")
    copied.head_files[0].unlink()  # the process was killed before it wrote the file too
    assert unsealed_runs(copied, before_an_update=True) == [last]
    [verdict] = verify_all(copied, made.registry, rules=made.rules)
    assert f"run {last} is done and not sealed" in verdict.problem
    assert seal_runs(copied) == 1
    assert altered_rows(copied) == []
    assert verify_all(copied, made.registry, rules=made.rules)[0].ok


def unsealed_and_sealed(store):
    with store.reading() as connection:
        return connection.execute(text("SELECT id FROM run WHERE outcome = 'done'")).scalars().all()


CUTS = {
    "the newest": "DELETE FROM seal WHERE run_id >= (SELECT max(run_id) FROM level)",
    "all": "DELETE FROM seal",
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_seals_that_were_cut_off_are_missed_even_after_they_are_made_again(made, copied, cut):
    known = json.loads(copied.head_files[0].read_text())["seals"]["count"]
    changed(copied, cut, "UPDATE level SET published_at = published_at - 86400000000 WHERE run_id = "
                         "(SELECT max(run_id) FROM level)")  # fmt: skip
    assert any(f"it knows {known} seals" in problem for problem in altered_rows(copied))
    assert seal_runs(copied) > 0
    problems = altered_rows(copied)
    assert any(".sqlite.head: " in problem for problem in problems), problems
    assert json.loads(copied.head_files[0].read_text())["seals"]["count"] == known, "the file is evidence"


def test_a_second_head_file_is_enough(made, copied, tmp_path):
    copied.head_files[0].unlink()
    elsewhere = open_store(copied.url, head_file=tmp_path / "safe" / "head.json")
    assert seal_runs(elsewhere) == 0
    changed(elsewhere, "DELETE FROM seal")
    elsewhere.head_files[0].unlink()
    seal_runs(elsewhere)
    assert ["head.json: " in problem for problem in altered_rows(elsewhere)] == [True]
    elsewhere.close()


def test_a_table_without_runs_is_not_sealed_over_what_may_not_change(made, copied):
    changed(copied, "UPDATE listing SET quote = 'EUR' WHERE id = 1")
    later = made.now + timedelta(minutes=1)
    run = start_run(copied, kind="import", key="import:later", now=later)
    finish_run(copied, run, now=later)
    assert seal_runs(copied) == 1
    assert altered_rows(copied)[0].startswith("listing: row id 1 "), "an honest run after it does not hide it"


def test_what_a_working_run_changes_is_no_finding(made, copied):
    later = made.now + timedelta(minutes=1)
    run = start_run(copied, kind="history", key="history:now", now=later)
    write_quality(copied, run, [QualityRow("gap", "token-2/1h", later, None, "{}")])
    assert altered_rows(copied) == []
    finish_run(copied, run, now=later)
    assert altered_rows(copied) == []
    assert seal_runs(copied) == 1
    changed(copied, "UPDATE quality_entry SET closed_at = opened_at WHERE subject = 'token-2/1h'")
    assert altered_rows(copied)[0].startswith("quality_entry: row kind gap, subject token-2/1h")


def test_what_was_sealed_by_fewer_columns_is_still_held(made, copied, monkeypatch):
    """A store of the release before: its seals are about fewer columns, and about no tables without runs."""
    monkeypatch.setattr("indexer.store.seals.RUNS", EARLIER)
    monkeypatch.setattr("indexer.store.seals.RUN", EARLIER_RUN)
    monkeypatch.setattr("indexer.store.seals.STATES", ())
    changed(copied, "DELETE FROM seal")
    copied.head_files[0].unlink()
    seal_runs(copied)
    monkeypatch.undo()
    assert altered_rows(copied) == []
    assert seal_runs(copied) == 0
    changed(copied, "UPDATE rate SET verdicts = 'forged' WHERE asset_id = 2")
    assert altered_rows(copied)[0].startswith("rate: row asset_id 2, ")


def test_a_large_run_is_sealed_in_parts_and_one_that_was_sealed_whole_is_still_held(made, copied, monkeypatch):
    close = "UPDATE bar SET close = {} WHERE listing_id = 1 AND time = (SELECT min(time) FROM bar WHERE listing_id = 1)"
    monkeypatch.setattr("indexer.store.sealed.PART_ROWS", 40)
    assert altered_rows(copied) == [], "sealed whole, as earlier programs did"
    changed(copied, close.format(77))
    assert [text.split(",")[0] for text in altered_rows(copied)] == ["bar: row listing_id 1"]
    changed(copied, "DELETE FROM seal")
    copied.head_files[0].unlink()
    seal_runs(copied)
    assert altered_rows(copied) == []
    changed(copied, close.format(78))
    assert [text.split(",")[0] for text in altered_rows(copied)] == ["bar: row listing_id 1"]
    changed(copied, close.format(77))
    monkeypatch.undo()
    assert any("is not in the order or form it was sealed in" in text for text in altered_rows(copied)), "by parts"
