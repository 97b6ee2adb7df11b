"""What `--explain` says of a file before anything is written, and the manifest that it saves."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_samples import HEADER, HOURLY, NOW

from indexer.errors import ImportFileError
from indexer.files.explain import Explanation, explain_files, explanation_text, save_manifest
from indexer.files.importing import import_files
from indexer.registry import Registry
from indexer.store.bars import read_benchmark_bars
from indexer.store.db import Store

SAMPLES = Path(__file__).with_name("samples")


def _explained(registry: Registry, *paths: Path) -> list[Explanation]:
    return explain_files(paths, registry=registry, clock=lambda: NOW, options={})


def test_a_download_is_shown_with_all_that_is_seen_in_it(registry: Registry) -> None:
    [report] = _explained(registry, SAMPLES / "binance_klines")
    assert report.described_by == "Binance Vision klines, told by number of columns, name, cells"
    assert (report.interval, report.stamp, report.units, report.timezone) == ("1h", "bar_open", ("µs",), "UTC")
    assert (report.quotes, report.rows, report.good) == (("USDT",), 3, 3)
    assert report.columns == {"time": "1", "open": "2", "high": "3", "low": "4", "close": "5", "volume": "6"}
    assert report.constants == {"venue": "binance", "source": "binance vision", "symbol": "NEAR", "quote": "USDT"}
    assert [(row.line, row.time, row.values["close"]) for row in report.first] == [
        (1, "2025-01-27T01:00:00Z", 5.01),
        (2, "2025-01-27T02:00:00Z", 5.02),
        (3, "2025-01-27T03:00:00Z", 5.03),
    ]
    text = explanation_text(report)
    assert "stamps: bar_open, µs, without an offset in UTC" in text
    assert "line 2: 2025-01-27T02:00:00Z  NEAR  open 5, high 5.2, low 4.9, close 5.02" in text


def test_first_and_last_rows_and_why_others_would_be_refused(registry: Registry, tmp_path: Path) -> None:
    rows = [f"2025-01-01T{hour:02d}:00:00Z,FET,1.2,0.9,{1 + hour / 100},10" for hour in range(9)]
    rows[4] = rows[4].replace("1.04", "-1")
    rows.append(rows[0].replace("1.0,", "1.1,"))
    (tmp_path / "prices.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (tmp_path / "prices.toml").write_text(HOURLY)
    [report] = _explained(registry, tmp_path / "prices.csv")
    assert [row.line for row in (*report.first, *report.last)] == [3, 4, 5, 8, 9, 10]
    assert report.refused == {"stamp comes twice with different values: first on line 2": 2, "close is negative": 1}
    assert report.refused_first["close is negative"] == 6
    assert "refused: 1 × close is negative (first: line 6)" in explanation_text(report)


def test_bars_out_of_hours_splits_and_steps_are_named_with_their_line(registry: Registry, tmp_path: Path) -> None:
    hours = [("07", 100.0), ("14", 100.0), ("15", 101.0), ("16", 10.1), ("17", 10.2)]
    rows = [f"2025-01-27T{hour}:30:00Z,QQQ,{close}" for hour, close in hours]
    (tmp_path / "q.csv").write_text("\n".join(["time,symbol,close", *rows]) + "\n")
    (tmp_path / "q.toml").write_text(
        'kind = "benchmarks"\ninterval = "1h"\nstamp = "bar_open"\n[columns]\ntime = "time"\nsymbol = "symbol"\n'
        'close = "close"\n[constants]\nsource = "x"\nprice_basis = "raw"\n'
    )
    [report] = _explained(registry, tmp_path / "q.csv")
    split, early = report.notes
    assert split.startswith("line 5: QQQ changes by ×1/10 for good at 2025-01-27T17:30:00Z: a split")
    assert early == "line 2: 1 bars of QQQ lie outside of the sessions of XNYS, the first at 2025-01-27T08:30:00Z"


def test_one_bad_table_has_its_problem_and_the_others_follow(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "NEARUSD_60.csv").write_text("1737936000,5.0,5.2,4.9,5.01,100,4\n")
    good, bad = _explained(registry, tmp_path / "NEARUSD_60.csv", tmp_path / "a.csv")
    assert (good.good, good.problem) == (1, "")
    assert bad.problem == "a.csv is empty: it has no header line"


def test_the_manifest_saved_beside_a_file_reads_it_again(store: Store, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "QQQ.csv"
    path.write_bytes((SAMPLES / "yfinance_levels" / "prices.csv").read_bytes())
    saved = save_manifest(_explained(registry, path)[0])
    assert saved == tmp_path / "QQQ.toml"
    [report] = import_files(store, [path], registry=registry, clock=lambda: NOW).files
    assert (report.manifest, report.new) == ("QQQ.toml", 3)
    assert read_benchmark_bars(store, "QQQ", interval="1d")[1].tolist() == [529.5, 514.75, 521.25]
    saved.write_text("other")
    with pytest.raises(ImportFileError, match=r"QQQ\.toml is there already, with another text"):
        save_manifest(_explained_anew(registry, path, tmp_path))


def _explained_anew(registry: Registry, path: Path, folder: Path) -> Explanation:
    """The explanation of a file without regard to a manifest beside it."""
    (folder / "QQQ.toml").rename(folder / "kept")
    [report] = _explained(registry, path)
    (folder / "kept").rename(folder / "QQQ.toml")
    return report
