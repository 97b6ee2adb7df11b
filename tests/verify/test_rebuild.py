"""History rebuilt on an empty database is the same to the bit, and tampering is named (criteria 1 and 2)."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from datetime import timedelta

import numpy as np
import pytest
from eventful import eventful
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from test_restatement import HOUR
from worlds import START_US, world

from indexer.store.archive import Archive
from indexer.store.db import open_store
from indexer.store.digests import pack_keys, unpack_keys
from indexer.store.levels import published_rows
from indexer.store.read import read_levels
from indexer.store.seals import SEALED, altered_rows, seal_runs
from indexer.times import DAY_US, HOUR_US, iso
from indexer.verify.replay import replay
from indexer.verify.store import broken_chain


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
    at = [n for n, revision in enumerate(chain.revision.tolist()) if revision == 2]
    assert len(at) == 1
    assert chain.times_us[at[0]] < chain.times_us[at[0] - 1], "the correction is chained after what was out before"
    old = next(n for n, time in enumerate(chain.times_us.tolist()) if time == chain.times_us[at[0]])
    assert chain.revision[old] == 1
    assert chain.inputs_hash[old] != chain.inputs_hash[at[0]]
    assert broken_chain(chain) == ""


CASES = [
    (table, name)
    for table in SEALED
    for name in (*table.key, *table.values)
    if not (table.name == "run" and name == "run_id")
]


@pytest.mark.parametrize(("table", "name"), CASES, ids=[f"{table.name}.{name}" for table, name in CASES])
def test_any_changed_byte_of_a_stored_row_is_found_and_named(made, table, name):
    keys = ["id"] if table.name == "run" else list(table.key)
    where = "WHERE outcome = 'done'" if table.name == "run" else f"WHERE {name} IS NOT NULL"
    with closing(sqlite3.connect(made.store.path)) as raw:
        row = raw.execute(f"SELECT {', '.join(keys)}, {name} FROM {table.name} {where} LIMIT 1").fetchone()
        assert row is not None, f"no {table.name} has a {name} here"
        key, value = dict(zip(keys, row[:-1], strict=True)), row[-1]
        changed = _flipped(value)
        _set(raw, table.name, name, changed, key)
    try:
        found = altered_rows(made.store)
        assert any(one.startswith(f"{table.name}: row ") for one in found), found
        if name in key:  # under another key it is another row: the one that was sealed is gone
            assert any(one.endswith(" wrote is gone") for one in found), found
        if name == table.values[0]:
            assert made.verify().problem == "; ".join(found)
    finally:
        with closing(sqlite3.connect(made.store.path)) as raw:
            _set(raw, table.name, name, value, {**key, **({name: changed} if name in key else {})})
    assert altered_rows(made.store) == []


def _set(raw, table, name, value, key):
    match = " AND ".join(f"{one} = ?" for one in key)
    assert raw.execute(f"UPDATE {table} SET {name} = ? WHERE {match}", [value, *key.values()]).rowcount == 1
    raw.commit()


def _flipped(value):
    if isinstance(value, float):
        return math.nextafter(value, math.inf)
    if isinstance(value, int):
        return value + 1_000_003
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
