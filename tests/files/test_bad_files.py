"""A file that as a whole cannot be read, and a manifest that does not hold: what is said of each."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from import_samples import HEADER, HOURLY, NOW

from indexer.errors import ImportFileError
from indexer.files.importing import FileReport, import_files
from indexer.files.manifest import parse_manifest
from indexer.registry import Registry
from indexer.store.bars import read_bars
from indexer.store.db import Store
from indexer.store.runs import read_runs

Take = Callable[..., FileReport]


def _import(store: Store, registry: Registry, *paths: Path, manifest: Path | None = None) -> tuple[FileReport, ...]:
    return import_files(store, paths, registry=registry, clock=lambda: NOW, manifest=manifest).files


def test_an_empty_file(store: Store, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("")
    with pytest.raises(ImportFileError, match=r"prices\.csv is empty: it has no header line"):
        _import(store, registry, path)


def test_a_file_with_a_header_only_gives_no_rows(take: Take) -> None:
    report = take()
    assert (report.rows, report.new, report.rejected) == (0, 0, 0)


def test_a_wrong_column_is_named_with_what_there_is(take: Take) -> None:
    with pytest.raises(ImportFileError) as caught:
        take("2025-01-01T00:00:00Z,FET,1,1,1,1", header="timestamp,symbol,high,low,closse,volume")
    assert str(caught.value) == (
        'prices.csv: expected column "close", found: timestamp, symbol, high, low, closse, volume. '
        'Did you mean "closse"? Correct the manifest\'s [columns] or the file.'
    )


def test_a_column_that_is_there_twice(take: Take) -> None:
    with pytest.raises(ImportFileError, match=r'prices\.csv: column "close" is there 2 times; keep one'):
        take("2025-01-01T00:00:00Z,FET,1,1,1,1,1", header="timestamp,symbol,high,low,close,close,volume")


def test_a_damaged_gzip(store: Store, registry: Registry, tmp_path: Path) -> None:
    whole = bytearray(gzip.compress((HEADER + "\n" + "2025-01-01T00:00:00Z,FET,1,1,1,1\n" * 5000).encode()))
    whole[20:60] = b"\xff" * 40
    (tmp_path / "prices.csv.gz").write_bytes(whole)
    (tmp_path / "prices.toml").write_text(HOURLY)
    with pytest.raises(ImportFileError, match=r"prices\.csv\.gz cannot be read"):
        _import(store, registry, tmp_path / "prices.csv.gz")


def test_a_file_that_is_not_there(store: Store, registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"nothing\.csv is not there"):
        _import(store, registry, tmp_path / "nothing.csv")
    with pytest.raises(ImportFileError, match=r"no-folder is not there"):
        _import(store, registry, tmp_path / "no-folder")


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (("prices.docx", b"PK"), r"not a known format; give \.csv, \.tsv, \.txt, \.json"),
        (("prices.csv", b"\xef\xbb\xbf\n<!DOCTYPE html><html>"), "is a web page and not the data; open its address"),
        (("prices.csv", b"%PDF-1.7\n"), "is a PDF, of which no number is read; download the data as CSV"),
        (("prices.xlsx", b"date,close\n"), "is no workbook, whatever its ending says; if it is text, call it .csv"),
        (("prices.xlsx", b"\xd0\xcf\x11\xe0"), "cannot be read"),
        (("chart.PNG", b"\x89PNG\r\n"), "is a picture, of which no number is read"),
        (("work.ipynb", b"{}"), r"write the frame with df\.to_parquet\(\)"),
    ],
)
def test_a_file_of_another_kind(
    store: Store, registry: Registry, tmp_path: Path, file: tuple[str, bytes], why: str
) -> None:
    name, content = file
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImportFileError, match=f"{name}.*{why}"):
        _import(store, registry, tmp_path / name)


def test_a_cut_off_gzip(store: Store, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv.gz"
    whole = gzip.compress((HEADER + "\n" + "2025-01-01T00:00:00Z,FET,1,1,1,1\n" * 5000).encode())
    path.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "prices.toml").write_text(HOURLY)
    with pytest.raises(ImportFileError, match=r"prices\.csv\.gz cannot be read"):
        _import(store, registry, path)
    assert len(read_bars(store).close) == 0


def test_no_gzip_at_all(store: Store, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "prices.csv.gz").write_bytes(b"timestamp,close\n")
    with pytest.raises(ImportFileError, match=r"prices\.csv\.gz cannot be read: Not a gzipped file"):
        _import(store, registry, tmp_path / "prices.csv.gz")


def test_no_parquet_at_all(store: Store, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "prices.parquet").write_bytes(b"timestamp,close\n")
    with pytest.raises(ImportFileError, match=r"prices\.parquet cannot be read"):
        _import(store, registry, tmp_path / "prices.parquet")


def test_a_file_without_a_manifest_says_what_one_must_hold(store: Store, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("when,worth\n")
    with pytest.raises(ImportFileError) as caught:
        _import(store, registry, tmp_path / "mine.csv")
    assert str(caught.value) == (
        "mine.csv has no manifest, and its columns are those of no known download: put mine.toml beside it, or "
        "give one by --manifest; it must name the columns (there are: when, worth), the interval and what the stamp "
        "means"
    )


def test_a_folder_with_nothing_to_import(store: Store, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "mine.csv").write_text("when,worth\n")
    with pytest.raises(
        ImportFileError,
        match=r"in: nothing to import here, no table has a manifest or a known layout \(there are: mine\.csv\)",
    ):
        _import(store, registry, tmp_path / "in")


def test_one_bad_file_in_a_folder_does_not_keep_the_others_out(
    store: Store, registry: Registry, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, header in (("a", "timestamp,symbol"), ("b", HEADER)):
        (folder / f"{name}.csv").write_text(f"{header}\n" + "2025-01-01T00:00:00Z,FET,1,1,1,1\n" * (name == "b"))
        (folder / f"{name}.toml").write_text(HOURLY)
    (folder / "c.csv").write_text("other,things\n")
    bad, good, other = import_files(store, [folder], registry=registry, clock=lambda: NOW).files
    assert 'a.csv: expected column "high", "low", "close", "volume", found: timestamp, symbol.' in bad.problem
    assert (good.new, good.problem, other.note) == (1, "", "left out: no manifest describes it")
    assert len(read_bars(store).close) == 1
    assert {run.outcome for run in read_runs(store)} == {"done"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("kind =", "knid ="), 'knid: there is no such key here. Did you mean "kind"?'),
        (
            ('"tokens"', '"token"'),
            'kind: "token" is not one of tokens, benchmarks, supply, metrics. Did you mean "tokens"?',
        ),
        (('"bar_open"', '"open"'), 'stamp: "open" is not one of bar_open, bar_close, instant, session_date.'),
        (('stamp = "bar_open"\n', ""), "stamp: is missing; give text"),
        (('"1h"', '"2h"'), 'interval: "2h" is not one of 1m, 5m, 1h, 1d.'),
        (("close = ", "closing = "), 'columns.closing: there is no such key here. Did you mean "close"?'),
        (("close = ", "closing = "), 'columns.close: is missing; give the name of the column, e.g. close = "close"'),
        (('venue = "binance"\n', ""), "columns.venue: is missing; name a column, or one value for all rows under"),
        (('volume_unit = "base"\n', ""), "volume_unit: is missing; say whether the volume column is in base units"),
        (('source = "test"', 'source = "test"\nsymbol = "FET"'), "constants.symbol: is also under [columns]; keep one"),
        (('"bar_open"', '"session_date"'), "stamp: session_date is for benchmarks; tokens trade round the clock"),
        (("kind = ", 'delimiter = "||"\nkind = '), 'delimiter: "||" is not one character between columns, e.g. ";"'),
        (("kind = ", "kind "), "this is not TOML"),
    ],
)
def test_a_manifest_that_does_not_hold(change: tuple[str, str], message: str) -> None:
    assert change[0] in HOURLY
    with pytest.raises(ImportFileError) as caught:
        parse_manifest(HOURLY.replace(*change), name="prices.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("prices.toml: ")


def test_an_unknown_time_zone(take: Take) -> None:
    with pytest.raises(ImportFileError, match='timezone "Mars/Olympus" is not known'):
        take("2025-01-01T00:00:00,FET,1,1,1,1", manifest='timezone = "Mars/Olympus"\n' + HOURLY)
