"""Writes the bulk rows: bars, benchmark bars, reference rates and levels, each as revisions (see bulk.py)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64, I64
from indexer.errors import InputError
from indexer.store.bulk import Batch, BulkTable, append
from indexer.store.db import Store
from indexer.store.records import BarColumns, BenchmarkColumns, Written

BAR_VALUES = ("open", "high", "low", "close", "volume_base", "volume_usd")
BARS = BulkTable(
    name="bar", series="listing_id", fixed=(), compared=BAR_VALUES, refers={"listing_id": "listing", "run_id": "run"}
)
BENCHMARK_BARS = BulkTable(
    name="benchmark_bar",
    series="benchmark_id",
    fixed=("interval",),
    compared=("close", "adjusted_close", "volume", "price_basis", "source"),
    refers={"benchmark_id": "benchmark", "run_id": "run"},
)
RATES = BulkTable(
    name="rate",
    series="asset_id",
    fixed=(),
    compared=("rate", "status", "method", "verdicts"),
    refers={"asset_id": "asset", "run_id": "run"},
)
LEVELS = BulkTable(
    name="level",
    series=None,
    fixed=("index_id",),
    compared=("level", "status", "carried_weight", "methodology_id", "inputs_hash"),
    refers={"methodology_id": "methodology_version", "run_id": "run"},
)


def write_bars(store: Store, run_id: int, bars: BarColumns) -> Written:
    """How many bars were new, revised, unchanged. One transaction per 100,000 rows; nothing is overwritten.

    Closes must be finite and positive (InputError); gates have rejected the others before.
    """
    _refuse_bad(bars.close, "bar", "close")
    values = {name: getattr(bars, name) for name in BAR_VALUES}
    return append(store, BARS, Batch(bars.listing_id, {}, bars.time_us, values, {"run_id": run_id}))


def write_benchmark_bars(store: Store, run_id: int, bars: BenchmarkColumns) -> Written:
    """How many benchmark bars were new, revised, unchanged. Closes finite and positive, else InputError."""
    _refuse_bad(bars.close, "benchmark_bar", "close")
    values = {name: getattr(bars, name) for name in BENCHMARK_BARS.compared}
    fixed = {"interval": bars.interval}
    return append(store, BENCHMARK_BARS, Batch(bars.benchmark_id, fixed, bars.time_us, values, {"run_id": run_id}))


def write_rates(
    store: Store,
    run_id: int,
    *,
    asset_id: I64,
    time_us: I64,
    rate: F64,
    status: NDArray[np.int8],
    method: str | Sequence[str],
    verdicts: Sequence[str],
) -> Written:
    """How many reference rates were new, revised, unchanged; all columns (R,), `method` one for all or each.

    A missing rate is a missing row: rates must be finite and positive (InputError).
    """
    _refuse_bad(rate, "rate", "rate")
    methods = [method] * len(rate) if isinstance(method, str) else list(method)
    values: dict[str, NDArray[np.int64] | F64 | list[str]] = {
        "rate": rate,
        "status": status.astype(np.int64),
        "method": methods,
        "verdicts": list(verdicts),
    }
    return append(store, RATES, Batch(asset_id, {}, time_us, values, {"run_id": run_id}))


def write_levels(
    store: Store,
    run_id: int,
    *,
    index_id: str,
    methodology_id: int,
    times_us: I64,
    levels: F64,
    status: NDArray[np.int8],
    carried_weight: F64,
    inputs_hash: list[bytes],
    prev_hash: list[bytes],
    hash: list[bytes],
    published_at_us: I64 | int,
) -> Written:
    """How many levels were new, revised, unchanged; all columns (K,), hashes 32 bytes each.

    A level is revised when its value, status, carried weight, methodology or inputs differ; hashes and the
    instant of publication follow. Levels must be finite and positive (InputError).
    """
    _refuse_bad(levels, "level", "level")
    count = len(times_us)
    values: dict[str, NDArray[np.int64] | F64 | list[bytes]] = {
        "level": levels,
        "status": status.astype(np.int64),
        "carried_weight": carried_weight,
        "methodology_id": np.full(count, methodology_id, dtype=np.int64),
        "inputs_hash": list(inputs_hash),
    }
    published = np.broadcast_to(np.asarray(published_at_us, dtype=np.int64), (count,)).copy()
    extra = {"prev_hash": list(prev_hash), "hash": list(hash), "published_at": published, "run_id": run_id}
    return append(store, LEVELS, Batch(None, {"index_id": index_id}, times_us, values, extra))


def _refuse_bad(values: F64, table: str, column: str) -> None:
    bad = ~(np.isfinite(values) & (values > 0.0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{table}.{column} must be finite and positive: {int(bad.sum())} of {len(values)} are not, "
            f"first row {first} = {values[first]}; leave missing rows out"
        )
