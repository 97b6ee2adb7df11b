"""Bad rows never stop an import and never vanish: each kind is counted, named with its line, and kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from import_samples import read_rejects

from indexer.files.importing import FileReport
from indexer.store.bars import read_bars
from indexer.store.db import Store

Take = Callable[..., FileReport]
GOOD = "2025-01-01T00:00:00Z,FET,1.2,0.9,1.0,10"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,nan,10", "close is NaN"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,inf,10", "close is infinite"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,-inf,10", "close is infinite"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,0,10", "close is zero"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,-1.5,10", "close is negative"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,,10", "close is empty"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,1.0 USD,10", "close is not a number"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,1_000,10", "close is not a number"),
        ("2025-01-01T01:00:00Z,FET,0.8,0.9,0.85,10", "high is below low"),
        ("2025-01-01T01:00:00Z,FET,-1,0.9,1.0,10", "high is negative"),
        ("2025-01-01T01:00:00Z,FET,1.2,0,1.0,10", "low is zero"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,1.0,-10", "volume is negative"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,1.0,inf", "volume is infinite"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,1.0,many", "volume is not a number"),
        (",FET,1.2,0.9,1.0,10", "no time"),
        ("yesterday,FET,1.2,0.9,1.0,10", "not a time"),
        ("2025-02-30T01:00:00Z,FET,1.2,0.9,1.0,10", "not a time"),
        ("2025-01-01T01:00:00,FET,1.2,0.9,1.0,10", "no time zone where other rows of the file have one"),
        ("2026-11-23T23:30:00Z,FET,1.2,0.9,1.0,10", "in the future: the bar ends after now"),
        ("2025-01-01T01:00:00Z,,1.2,0.9,1.0,10", "no symbol"),
        (
            "2025-01-01T01:00:00Z,FETT,1.2,0.9,1.0,10",
            'unknown symbol: "FETT" is not in the registry. Did you mean "FET"?',
        ),
        (
            "2023-01-01T01:00:00Z,RENDER,1.2,0.9,1.0,10",
            'unknown symbol: "RENDER" named no asset at that time',
        ),
        ("2025-01-01T01:00:00Z,FET,1.2", "3 columns instead of 6"),
        ("2025-01-01T01:00:00Z,FET,1.2,0.9,1.0,10,7", "7 columns instead of 6"),
    ],
)
def test_a_bad_row_is_named_and_kept_and_the_others_are_taken(take: Take, store: Store, row: str, reason: str) -> None:
    report = take(GOOD, row, "2025-01-01T02:00:00Z,FET,1.2,0.9,1.1,10")
    assert (report.rows, report.new, report.rejected) == (3, 2, 1)
    assert report.reasons == {reason.split(":", maxsplit=1)[0]: 1}
    (kept,) = read_rejects(store)
    assert (kept.file, kept.line, kept.reason, kept.row) == ("prices.csv", 3, reason, row)
    assert read_bars(store).close.tolist() == [1.0, 1.1]


@pytest.mark.parametrize("name", ["prices.csv", "prices.csv.gz"])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"2025-01-01T01:00:00Z,F\xffT,1.2,0.9,1.0,10", "not UTF-8 text: byte 0xff at position 23"),
        (b"2025-01-01T01:00:00Z,FET,1.2,0.9,\xa31.0,10", "not UTF-8 text: byte 0xa3 at position 34"),
        (b'"2025-01-01T01:00:00Z,FET,1.2,0.9,1.0,10', "a quotation mark is not closed"),
    ],
)
def test_a_line_that_is_no_text_costs_itself_alone(
    take: Take, store: Store, name: str, row: bytes, reason: str
) -> None:
    """Also beside a row of another width, which the reader counts by itself; a quotation swallows no line after it."""
    good = [f"2025-01-01T{hour:02}:00:00Z,FET,1.2,0.9,1.0,10" for hour in range(2, 9)]
    report = take(GOOD, "2025-01-01,FET,1", row, *good, name=name)
    assert (report.rows, report.new, report.rejected) == (10, 8, 2)
    rejects = [(one.line, one.reason, one.row) for one in read_rejects(store)]
    kept = row.decode(errors="replace")
    assert sorted(rejects) == [(3, "3 columns instead of 6", "2025-01-01,FET,1"), (4, reason, kept)]


def test_quoted_cells_are_read_without_their_quotation_marks(take: Take, store: Store) -> None:
    report = take('"2025-01-01T00:00:00Z","FET","1.2","0.9","1.0","10"', GOOD.replace("T00", "T01"))
    assert (report.new, report.rejected) == (2, 0)
    assert read_bars(store).close.tolist() == [1.0, 1.0]


def test_an_empty_line_is_no_row_and_keeps_the_count_of_lines(take: Take, store: Store) -> None:
    report = take(GOOD, "", "2025-01-01T02:00:00Z,FET,1.2,0.9,nan,10")
    assert (report.rows, report.rejected) == (2, 1)
    assert [(kept.line, kept.reason) for kept in read_rejects(store)] == [(4, "close is NaN")]


def test_repeated_rows_are_counted_once_taken(take: Take, store: Store) -> None:
    report = take(GOOD, GOOD, GOOD)
    assert (report.new, report.duplicates, report.rejected) == (1, 2, 0)
    assert read_rejects(store) == []


def test_rows_that_contradict_each_other_are_all_rejected(take: Take, store: Store) -> None:
    report = take(GOOD, "2025-01-01T00:00:00Z,FET,1.2,0.9,1.1,10", "2025-01-01T01:00:00Z,FET,1.2,0.9,1.0,10")
    assert (report.new, report.rejected) == (1, 2)
    assert [(kept.line, kept.reason) for kept in read_rejects(store)] == [
        (2, "stamp comes twice with different values: first on line 2"),
        (3, "stamp comes twice with different values: first on line 2"),
    ]


def test_rows_out_of_order_are_counted_and_sorted(take: Take, store: Store) -> None:
    report = take("2025-01-01T02:00:00Z,FET,,,3,1", "2025-01-01T00:00:00Z,FET,,,1,1", "2025-01-01T01:00:00Z,FET,,,2,1")
    assert (report.new, report.out_of_order, report.rejected) == (3, 1, 0)
    assert read_bars(store).close.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("value", ["100", "0.01", "50.1", "0.0199"])
def test_a_spike_stands_out_from_both_neighbours(take: Take, store: Store, value: str) -> None:
    report = take(GOOD, f"2025-01-01T01:00:00Z,FET,,,{value},1", "2025-01-01T02:00:00Z,FET,,,1.0,1")
    assert (report.new, report.rejected) == (2, 1)
    assert read_rejects(store)[0].reason.startswith("spike: the close is more than 50 times, or less than 1/50")


@pytest.mark.parametrize("rows", [["1", "49", "1"], ["1", "100", "100"], ["100", "1", "1"], ["1", "1", "100"]])
def test_large_moves_and_changes_of_level_are_no_spikes(take: Take, rows: list[str]) -> None:
    report = take(*(f"2025-01-01T0{hour}:00:00Z,FET,,,{close},1" for hour, close in enumerate(rows)))
    assert (report.new, report.rejected) == (3, 0)


def test_neighbours_are_of_the_same_listing(take: Take) -> None:
    report = take(
        "2025-01-01T00:00:00Z,FET,,,1,1",
        "2025-01-01T01:00:00Z,TAO,,,400,1",
        "2025-01-01T02:00:00Z,FET,,,1,1",
        "2025-01-01T00:00:00Z,TAO,,,400,1",
        "2025-01-01T02:00:00Z,TAO,,,400,1",
    )
    assert (report.new, report.rejected) == (5, 0)


def test_offsets_are_exact_instants_and_may_differ(take: Take, store: Store) -> None:
    report = take("2025-01-01T00:00:00Z,FET,,,1,1", "2025-01-01T03:00:00+02:00,FET,,,2,1")
    assert (report.new, report.rejected) == (2, 0)
    assert read_bars(store).time_us.tolist() == [1735693200000000, 1735696800000000]


def test_unknown_volume_is_no_fault(take: Take, store: Store) -> None:
    report = take("2025-01-01T00:00:00Z,FET,,,2,", "2025-01-01T01:00:00Z,FET,,,2,10")
    assert report.rejected == 0
    found = read_bars(store)
    assert str(found.volume_usd.tolist()) == "[nan, 20.0]"
    assert str(found.volume_base.tolist()) == "[nan, 10.0]"


def test_rejects_of_a_compressed_file_keep_the_raw_line(take: Take, store: Store) -> None:
    take(GOOD, "2025-01-01T01:00:00Z,FET,1.2,0.9,bad é,10", name="prices.csv.gz")
    (kept,) = read_rejects(store)
    assert (kept.line, kept.row) == (3, "2025-01-01T01:00:00Z,FET,1.2,0.9,bad é,10")
