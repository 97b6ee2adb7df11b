"""Without closes of QQQ the index that it follows takes its place, and one line says so; who asks by name is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexer.store.assets import ensure_benchmarks
from indexer.store.bars import write_benchmark_bars
from indexer.store.db import Store, open_store
from indexer.store.rows import BenchmarkColumns, BenchmarkRow
from indexer.store.runs import start_run
from indexer.studies.beta import benchmarks_of
from indexer.times import DAY_US, from_us, parse_instant

NOW_US = parse_instant("2026-11-30")


def store_with(folder: Path, **sessions: int) -> Store:
    store = open_store(f"sqlite:///{folder / 'x.sqlite'}")
    store.migrate()
    run_id = start_run(store, kind="x", key="x", now=from_us(NOW_US))
    assert run_id is not None
    for symbol, count in sessions.items():
        name = symbol.replace("caret", "^")
        number = ensure_benchmarks(store, [BenchmarkRow(name, name, "etf")])[name]
        ones, unknown = np.full(count, 5.0), np.full(count, np.nan)
        times = NOW_US - np.arange(count, 0, -1, dtype=np.int64) * DAY_US
        ids = np.full(count, number, dtype=np.int64)
        write_benchmark_bars(
            store,
            run_id,
            BenchmarkColumns(ids, times, ones, unknown, unknown, ["index_level"] * count, ["fred"] * count, "1d"),
        )
    return store


@pytest.mark.parametrize(
    ("sessions", "asked", "names", "said"),
    [
        ({"QQQ": 40, "caretNDX": 40}, False, ["QQQ", "NVDA"], False),
        ({"caretNDX": 40}, False, ["^NDX"], True),
        ({"QQQ": 3, "caretNDX": 40, "NVDA": 40}, False, ["^NDX", "NVDA"], True),
        ({"caretNDX": 40}, True, ["QQQ", "NVDA"], False),
        ({}, False, ["QQQ", "NVDA"], False),
    ],
)
def test_the_index_stands_in(
    tmp_path: Path, sessions: dict[str, int], asked: bool, names: list[str], said: bool
) -> None:
    store = store_with(tmp_path, **sessions)
    found, line = benchmarks_of(store, ["QQQ", "NVDA"] if asked else None)
    assert found == names
    assert line == ("No closes of QQQ could be had: ^NDX, the index it follows, stands in." if said else "")
    store.close()
