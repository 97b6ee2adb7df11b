"""Many rows come by Arrow, few by the cursor: the same answer, one state, and no harm to writers meanwhile."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from seeds import START_US, bars, begin, seed
from sqlalchemy import func
from sqlmodel import select

from indexer.errors import StoreError
from indexer.store import columnar
from indexer.store.assets import ensure_listings, read_assets, read_listings
from indexer.store.bars import read_bars, write_bars
from indexer.store.db import Store, open_store
from indexer.store.rows import BarColumns
from indexer.store.tables import Bar
from indexer.times import HOUR_US


def _many(listings: list[int], count: int) -> BarColumns:
    rng = np.random.default_rng(7)
    rows = count * len(listings)
    volume = rng.uniform(1, 2, rows)
    volume[: count // 2] = np.nan  # a column that starts with nothing: ADBC alone would type it as integers
    return BarColumns(
        listing_id=np.repeat(np.array(listings, dtype=np.int64), count),
        time_us=np.tile(START_US + np.arange(count, dtype=np.int64) * HOUR_US, len(listings)),
        open=np.full(rows, np.nan),
        high=np.full(rows, np.nan),
        low=np.full(rows, np.nan),
        close=rng.uniform(1, 2, rows),
        volume_base=volume,
        volume_usd=np.full(rows, np.nan),
    )


def test_both_ways_of_reading_agree(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = seed(store)
    written = _many(made.listings, 9_000)
    write_bars(store, made.run_id, written)
    monkeypatch.setattr(columnar, "COLD_CURSOR_ROWS", 0)
    by_arrow = read_bars(store)
    monkeypatch.setattr(columnar, "CURSOR_ROWS", 1_000_000)
    by_cursor = read_bars(store)
    for name in ("listing_id", "time_us", "close", "volume_base", "volume_usd"):
        np.testing.assert_array_equal(getattr(by_arrow, name), getattr(written, name))
        np.testing.assert_array_equal(getattr(by_cursor, name), getattr(written, name))
        assert getattr(by_arrow, name).dtype == getattr(by_cursor, name).dtype


def test_revisions_and_as_of_hold_in_bulk(store: Store) -> None:
    made = seed(store)
    written = _many(made.listings, 9_000)
    write_bars(store, made.run_id, written)
    write_bars(store, begin(store, "fix", days=400), bars(made.listings[0], [9.0]))
    now = read_bars(store)
    then = read_bars(store, as_of_us=START_US + HOUR_US)
    assert len(now.close) == len(then.close) == len(written.close)
    assert now.close[0] == 9.0
    np.testing.assert_array_equal(then.close, written.close)
    np.testing.assert_array_equal(now.close[1:], written.close[1:])


def test_a_bulk_read_with_parameters_and_a_window(store: Store) -> None:
    made = seed(store)
    write_bars(store, made.run_id, _many(made.listings, 9_000))
    found = read_bars(store, interval="1h", since_us=START_US + HOUR_US, until_us=START_US + 8_000 * HOUR_US)
    assert len(found.close) == 2 * 7_999
    first = select(Bar.close).where(Bar.listing_id == made.listings[1], Bar.time < START_US + HOUR_US)
    table = store.arrow_tables([first])[0]
    assert table.num_rows == 1


def test_a_bulk_read_inside_a_session_is_refused_instead_of_waiting_for_itself(sqlite_store: Store) -> None:
    with sqlite_store.session(), pytest.raises(StoreError, match="inside an open session would wait for itself"):
        sqlite_store.arrow_tables([select(Bar.close)])


def test_a_bulk_read_waits_for_a_writer_of_this_process(sqlite_store: Store) -> None:
    made = seed(sqlite_store)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with sqlite_store.writing() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO bar (listing_id, time, revision, close, run_id) VALUES (1, 1, 1, 2.0, {made.run_id})"
            )
            entered.set()
            assert leave.wait(30)

    with ThreadPoolExecutor(2) as pool:
        writer = pool.submit(hold)
        assert entered.wait(30)
        reader = pool.submit(sqlite_store.arrow_tables, [select(Bar.close)])
        assert not reader.done()
        leave.set()
        writer.result(30)
        assert reader.result(30)[0].num_rows == 1


OTHER = """
import sys
from datetime import datetime, UTC
sys.path.insert(0, sys.argv[2])
from seeds import bars
from indexer.store.bars import write_bars
from indexer.store.db import open_store
from indexer.store.runs import start_run
store = open_store(sys.argv[1])
run = start_run(store, kind="x", key=sys.argv[3], now=datetime(2025, 1, 1, tzinfo=UTC))
for i in range(40):
    write_bars(store, run, bars(int(sys.argv[4]), [1.0] * 250, first=250 * i))
store.close()
"""


@pytest.mark.slow
def test_writers_and_bulk_readers_in_several_processes_do_no_harm(sqlite_store: Store) -> None:
    """Two processes write while this one reads in bulk and writes too: all rows arrive, the file stays whole."""
    made = seed(sqlite_store)
    here = str(__import__("pathlib").Path(__file__).parent)
    others = [
        subprocess.Popen([sys.executable, "-c", OTHER, sqlite_store.url, here, f"p{listing}", str(listing)])
        for listing in made.listings
    ]
    third = ensure_listings(
        sqlite_store, [read_listings(sqlite_store)[0].__class__("fet", "kraken", "s", "FET", "1h", "instant")]
    )[0]
    sizes = []
    for i in range(60):
        write_bars(sqlite_store, made.run_id, bars(third, [1.0] * 10, first=10 * i))
        sizes.append(sqlite_store.arrow_tables([select(Bar.close)])[0].num_rows)
    assert [process.wait(120) for process in others] == [0, 0]
    assert sizes == sorted(sizes)
    assert len(read_bars(sqlite_store).close) == 2 * 10_000 + 600
    sqlite_store.close()
    raw = sqlite3.connect(str(sqlite_store.path))
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()


def test_threads_that_write_and_read_in_bulk_take_turns_and_do_no_harm(sqlite_store: Store) -> None:
    """Without the gate the second SQLite library breaks the file here: "database disk image is malformed"."""
    made = seed(sqlite_store)
    sizes = []

    def fill() -> None:
        for i in range(60):
            write_bars(sqlite_store, made.run_id, bars(made.listings[0], [1.0] * 3000, first=3000 * i))

    second = open_store(sqlite_store.url)  # another door to the same file
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(fill)
        while not writer.done():
            sizes.append(
                sqlite_store.arrow_tables([select(func.count().label("n")).select_from(Bar)])[0].column(0)[0].as_py()
            )
            assert len(read_assets(second)) == 2
        writer.result(0)
    assert sizes == sorted(sizes)
    assert len(sizes) > 10
    second.close()
    sqlite_store.close()
    raw = sqlite3.connect(str(sqlite_store.path))
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert raw.execute("SELECT count(*) FROM bar").fetchall() == [(180_000,)]
    raw.close()
