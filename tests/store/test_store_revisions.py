"""Nothing is overwritten: what is equal is left alone, what differs becomes a revision, as-of reads see the past."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seeds import START, START_US, bars, begin, seed
from sqlmodel import col, select

from indexer.errors import InputError, NotFoundError
from indexer.store.assets import ensure_benchmarks, ensure_listings, read_listings
from indexer.store.bars import read_bars, read_benchmark_bars, write_bars, write_benchmark_bars
from indexer.store.db import Store
from indexer.store.indices import read_notes, write_index, write_methodology, write_notes
from indexer.store.levels import read_latest_level, read_levels, write_levels
from indexer.store.rates import read_rates, write_rates
from indexer.store.rows import BarColumns, BenchmarkColumns, BenchmarkRow, NoteRow, Written
from indexer.store.runs import MARK, forget_provisional_index, start_run, write_progress
from indexer.store.tables import Level, ReviewNote
from indexer.times import DAY_US, HOUR_US, from_us


def test_new_equal_and_different_bars(store: Store) -> None:
    made = seed(store)
    first = bars(made.listings[0], [1.0, 2.0, 3.0])
    assert write_bars(store, made.run_id, first) == Written(new=3)
    assert write_bars(store, made.run_id, first) == Written(unchanged=3)
    later = begin(store, "later", days=1)
    corrected = bars(made.listings[0], [1.0, 2.5, 3.0, 4.0])
    assert write_bars(store, later, corrected) == Written(new=1, revised=1, unchanged=2)
    assert read_bars(store).close.tolist() == [1.0, 2.5, 3.0, 4.0]
    assert read_bars(store, as_of_us=START_US).close.tolist() == [1.0, 2.0, 3.0]
    assert read_bars(store, as_of_us=START_US - 1).close.tolist() == []


def test_a_spell_is_read_as_it_was_known(store: Store) -> None:
    """It begins on day 0, its end is known on day 2, a wrong skip is withdrawn then, and comes back on day 4."""
    runs = [seed(store).run_id, *(begin(store, f"day {day}", days=day) for day in (2, 4))]
    open_spell = NoteRow("impaired", from_us(START_US), None, None, "few")
    skip = NoteRow("skipped", from_us(START_US), None, from_us(START_US), "caps")
    ended = replace(open_spell, end_at=from_us(START_US + DAY_US))
    for run_id, notes in zip(runs, ([open_spell, skip], [ended], [ended, skip]), strict=True):
        fresh = write_notes(store, run_id, index_id="x", notes=notes, whole=True)
        assert fresh == [note for note in notes if note != ended or run_id == runs[1]]
        assert write_notes(store, run_id, index_id="x", notes=notes, whole=True) == []
    seen = [read_notes(store, "x", as_of_us=START_US + day * DAY_US) for day in (-1, 1, 3, 5)]
    assert seen == [[], [open_spell, skip], [ended], [ended, skip]]


def test_what_a_provisional_run_noted_goes_with_its_levels(store: Store) -> None:
    seed(store)
    run_id = start_run(store, kind="update", key="first fill", now=from_us(START_US))
    assert run_id is not None
    write_progress(store, run_id, MARK)
    for end_us in (START_US + HOUR_US, START_US + DAY_US):
        notes = [NoteRow("impaired", from_us(START_US), from_us(end_us), None, "few")]
        assert write_notes(store, run_id, index_id="x", notes=notes, whole=True) == notes
    forget_provisional_index(store, "x")
    with store.session() as session:
        assert list(session.exec(select(ReviewNote))) == [], "the official ones begin at revision 1"


def test_going_back_to_an_old_value_is_a_third_revision(store: Store) -> None:
    made = seed(store)
    for value, expected in ((1.0, Written(new=1)), (2.0, Written(revised=1)), (1.0, Written(revised=1))):
        assert write_bars(store, made.run_id, bars(made.listings[0], [value])) == expected
    assert read_bars(store).close.tolist() == [1.0]


def test_what_is_unknown_stays_unknown_and_equal(store: Store) -> None:
    made = seed(store)
    one = bars(made.listings[0], [1.0])
    write_bars(store, made.run_id, one)
    assert write_bars(store, made.run_id, one) == Written(unchanged=1)
    known = bars(made.listings[0], [1.0], volume=5.0)
    assert write_bars(store, made.run_id, known) == Written(revised=1)
    found = read_bars(store)
    assert found.volume_base.tolist() == [5.0]
    assert np.isnan(found.volume_usd).all()


def test_a_float_comes_back_to_the_last_bit(store: Store) -> None:
    made = seed(store)
    values = [0.1 + 0.2, 1e-308, 1.7976931348623157e308, 1 / 3, 5e-324]
    write_bars(store, made.run_id, bars(made.listings[0], values))
    assert read_bars(store).close.tolist() == values


def test_order_of_writing_does_not_matter(store: Store) -> None:
    made = seed(store)
    mixed = BarColumns(
        *(
            np.concatenate(
                [
                    getattr(part, name)
                    for part in (bars(made.listings[1], [9.0, 8.0]), bars(made.listings[0], [1.0, 2.0]))
                ]
            )[::-1]
            for name in BarColumns.__dataclass_fields__
        )
    )
    assert write_bars(store, made.run_id, mixed) == Written(new=4)
    assert read_bars(store).close.tolist() == [1.0, 2.0, 9.0, 8.0]


def test_reads_are_half_open_and_by_interval(store: Store) -> None:
    made = seed(store)
    write_bars(store, made.run_id, bars(made.listings[0], [1.0, 2.0, 3.0]))
    found = read_bars(store, since_us=START_US + HOUR_US, until_us=START_US + 2 * HOUR_US)
    assert found.close.tolist() == [2.0]
    assert len(read_bars(store, interval="1d").close) == 0
    assert len(read_bars(store, interval="1h", listing_ids=[made.listings[1]]).close) == 0


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_close_that_is_no_price_is_refused(store: Store, bad: float) -> None:
    made = seed(store)
    with pytest.raises(InputError, match=r"bar\.close must be finite and positive: 1 of 2 are not, first row 1"):
        write_bars(store, made.run_id, bars(made.listings[0], [1.0, bad]))
    assert len(read_bars(store).close) == 0


def test_a_key_given_twice_is_refused(store: Store) -> None:
    made = seed(store)
    one = bars(made.listings[0], [1.0])
    twice = BarColumns(*(np.repeat(getattr(one, name), 2) for name in BarColumns.__dataclass_fields__))
    with pytest.raises(InputError, match=r"bar: 1 keys come twice in one batch, first time 1735689600000000"):
        write_bars(store, made.run_id, twice)


def test_bars_of_an_unknown_listing_or_run_are_refused(store: Store) -> None:
    made = seed(store)
    with pytest.raises(NotFoundError, match="bar: no listing 99 in the store"):
        write_bars(store, made.run_id, bars(99, [1.0]))
    with pytest.raises(NotFoundError, match="bar: no run 77 in the store"):
        write_bars(store, 77, bars(made.listings[0], [1.0]))


def test_rates_keep_their_evidence(store: Store) -> None:
    made = seed(store)
    fet = made.assets["fet"]
    columns = {
        "asset_id": np.array([fet, fet]),
        "time_us": np.array([START_US, START_US + HOUR_US]),
        "rate": np.array([1.0, 2.0]),
        "status": np.array([0, 1], dtype=np.int8),
        "method": "bar-vwm/1",
        "verdicts": ['{"binance": "used", "note": "a, \\"b\\""}', ""],
    }
    assert write_rates(store, made.run_id, **columns) == Written(new=2)  # type: ignore[arg-type]
    assert write_rates(store, made.run_id, **columns) == Written(unchanged=2)  # type: ignore[arg-type]
    columns["status"] = np.array([0, 2], dtype=np.int8)
    assert write_rates(store, made.run_id, **columns) == Written(revised=1, unchanged=1)  # type: ignore[arg-type]
    found = read_rates(store, evidence=True)
    assert found.status.tolist() == [0, 2]
    assert found.verdicts == columns["verdicts"]
    assert found.method == ["bar-vwm/1"] * 2
    assert read_rates(store, since_us=START_US + 1).rate.tolist() == [2.0]


def test_levels_are_revised_when_their_inputs_are(store: Store) -> None:
    made = seed(store)
    methodology = write_methodology(store, index_id="deai", version="1", hash="h", text_="id = 'deai'", loaded_at=START)
    write_index(store, index_id="deai", name="DeAI", description="d", methodology_id=methodology)

    def publish(inputs: bytes, level: float, *, at: int) -> Written:
        return write_levels(
            store,
            made.run_id,
            index_id="deai",
            methodology_id=methodology,
            times_us=np.array([START_US, START_US + HOUR_US]),
            levels=np.array([1000.0, level]),
            status=np.array([0, 3], dtype=np.int8),
            carried_weight=np.array([0.0, 0.1]),
            constituents=np.full(2, 4),
            inputs_hash=[b"\x00" * 32, inputs],
            prev_hash=[b"\x01" * 32] * 2,
            hash=[b"\x02" * 32] * 2,
            published_at_us=at,
        )

    assert publish(b"\x05" * 32, 1001.0, at=START_US) == Written(new=2)
    assert publish(b"\x05" * 32, 1001.0, at=START_US + 5) == Written(unchanged=2)
    assert publish(b"\x06" * 32, 1001.0, at=START_US + DAY_US) == Written(revised=1, unchanged=1)
    found = read_levels(store, "deai")
    assert found.revision.tolist() == [1, 2]
    assert found.inputs_hash == [b"\x00" * 32, b"\x06" * 32]
    assert read_levels(store, "deai", as_of_us=START_US + 5).inputs_hash[1] == b"\x05" * 32
    latest = read_latest_level(store, "deai")
    assert latest is not None
    assert (latest.levels.tolist(), latest.revision.tolist()) == ([1001.0], [2])
    assert read_levels(store, "deai", step_us=DAY_US).times_us.tolist() == [START_US]
    assert read_levels(store, "deai", end_us=START_US + HOUR_US).levels.tolist() == [1000.0]
    assert read_levels(store, "deai", limit=1).levels.tolist() == [1001.0]
    assert read_levels(store, "deai", limit=2).revision.tolist() == [1, 2]
    assert read_levels(store, "deai", limit=9, end_us=START_US + 1).levels.tolist() == [1000.0]
    with store.session() as session:  # as docs/client.md reads them
        rows = session.exec(
            select(Level).where(Level.index_id == "deai").order_by(col(Level.time), col(Level.revision))
        )
        assert [(row.level, row.revision, row.carried_weight) for row in rows] == [
            (1000.0, 1, 0.0),
            (1001.0, 1, 0.1),
            (1001.0, 2, 0.1),
        ]


def test_benchmark_closes_for_returns_are_adjusted_or_raw_never_mixed(store: Store) -> None:
    run = seed(store).run_id
    ids = ensure_benchmarks(
        store, [BenchmarkRow("QQQ", "Invesco QQQ", "etf"), BenchmarkRow("^NDX", "N", "equity_index")]
    )

    def columns(symbol: str, adjusted: list[float]) -> BenchmarkColumns:
        return BenchmarkColumns(
            benchmark_id=np.full(2, ids[symbol]),
            time_us=np.array([START_US, START_US + DAY_US]),
            close=np.array([100.0, 101.0]),
            adjusted_close=np.array(adjusted),
            volume=np.array([np.nan, 5.0]),
            price_basis=["unadjusted", "unadjusted"],
            source=["a", "a"],
        )

    assert write_benchmark_bars(store, run, columns("QQQ", [98.0, 99.5])) == Written(new=2)
    assert write_benchmark_bars(store, run, columns("^NDX", [98.0, np.nan])) == Written(new=2)
    times, closes, basis = read_benchmark_bars(store, "qqq")
    assert (closes.tolist(), basis) == ([98.0, 99.5], "adjusted_close")
    assert times.tolist() == [START_US, START_US + DAY_US]
    assert read_benchmark_bars(store, "^NDX")[1:][1] == "unadjusted"
    assert read_benchmark_bars(store, "^NDX")[1].tolist() == [100.0, 101.0]


def test_unknown_names_are_answered_with_the_closest(store: Store) -> None:
    made = seed(store)
    methodology = write_methodology(store, index_id="deai", version="1", hash="h", text_="", loaded_at=START)
    write_index(store, index_id="deai", name="DeAI", description="", methodology_id=methodology)
    ensure_benchmarks(store, [BenchmarkRow("QQQ", "Invesco QQQ", "etf")])
    with pytest.raises(NotFoundError, match=r'No index "deia"\. Did you mean "deai"\? Known: deai\.'):
        read_levels(store, "deia")
    with pytest.raises(NotFoundError, match=r'No benchmark "QQ"\. Did you mean "QQQ"\? Known: QQQ\.'):
        read_benchmark_bars(store, "QQ")
    with pytest.raises(NotFoundError, match=r'The store has no asset "fett"\. Did you mean "fet"\?'):
        ensure_listings(store, [read_listings(store)[0].__class__("fett", "v", "s", "F", "1h", "instant")])
    assert made.assets["fet"] > 0


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.dictionaries(st.integers(0, 6), st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=7),
        min_size=1,
        max_size=6,
    )
)
def test_any_sequence_of_writes_keeps_every_state(store: Store, writes: list[dict[int, float]]) -> None:
    """Oracle: a plain dictionary per run; after all writes each past state is still what it was."""
    made = seed(store)
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM bar")
    state: dict[int, float] = {}
    past = []
    for number, values in enumerate(writes):
        with store.writing() as connection:
            connection.exec_driver_sql(f"DELETE FROM run WHERE run.key = 'w{number}'")
        run = begin(store, f"w{number}", days=number + 1)
        slots = sorted(values)
        columns = bars(made.listings[0], [values[slot] for slot in slots])
        columns.time_us[:] = START_US + np.array(slots) * HOUR_US
        expected = Written(
            new=sum(slot not in state for slot in slots),
            revised=sum(slot in state and state[slot] != values[slot] for slot in slots),
            unchanged=sum(state.get(slot) == values[slot] for slot in slots),
        )
        assert write_bars(store, run, columns) == expected
        state |= values
        past.append(dict(state))
    for number, before in enumerate(past):
        found = read_bars(store, as_of_us=START_US + (number + 1) * DAY_US)
        assert dict(zip(((found.time_us - START_US) // HOUR_US).tolist(), found.close.tolist(), strict=True)) == before
