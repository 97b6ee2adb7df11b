"""Reads the bulk rows as numpy columns: bars, reference rates, benchmark closes; as they are, or as they were.

`as_of_us` gives what was known then: rows of runs started by that instant, the latest revision among them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from indexer.arrays import F64, I64
from indexer.store.columnar import columns
from indexer.store.db import Store
from indexer.store.read_assets import read_benchmark
from indexer.store.records import BarSeries, RateSeries

Columns = dict[str, NDArray[Any]]


def read_bars(
    store: Store,
    *,
    interval: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    as_of_us: int | None = None,
    listing_ids: list[int] | None = None,
) -> BarSeries:
    """Bars of every listing (or of one interval, or of some listings), ordered by listing and time.

    Times are ends of bars, since <= time < until. Volumes are NaN where unknown.
    """
    clauses: list[str] = []
    if interval is not None:
        clauses.append("listing_id IN (SELECT id FROM listing WHERE interval = :interval)")
    if listing_ids is not None:
        clauses.append(f"listing_id IN ({', '.join(str(int(number)) for number in listing_ids) or 'NULL'})")
    found = _latest(
        store,
        "bar",
        series="listing_id",
        clauses=clauses,
        params={} if interval is None else {"interval": interval},
        kinds={"close": "float64", "volume_base": "maybe", "volume_usd": "maybe"},
        span=(since_us, until_us),
        as_of_us=as_of_us,
    )
    return BarSeries(found["listing_id"], found["time"], found["close"], found["volume_base"], found["volume_usd"])


def read_rates(
    store: Store,
    *,
    since_us: int | None = None,
    until_us: int | None = None,
    as_of_us: int | None = None,
    evidence: bool = False,
) -> RateSeries:
    """Reference rates ordered by asset and time, since <= time < until; with `evidence`, method and verdicts."""
    kinds = {"rate": "float64", "status": "int8"}
    if evidence:
        kinds |= {"method": "object", "verdicts": "object"}
    found = _latest(
        store,
        "rate",
        series="asset_id",
        clauses=[],
        params={},
        kinds=kinds,
        span=(since_us, until_us),
        as_of_us=as_of_us,
    )
    return RateSeries(
        found["asset_id"],
        found["time"],
        found["rate"],
        found["status"],
        method=found["method"].tolist() if evidence else None,
        verdicts=found["verdicts"].tolist() if evidence else None,
    )


def read_benchmark_bars(
    store: Store, symbol: str, *, interval: str = "1d", as_of_us: int | None = None
) -> tuple[I64, F64, str]:
    """Times (M,), closes fit for returns (M,) and their basis, ascending. Raises NotFoundError for the symbol.

    The adjusted close is used where it is known for every bar, else the close; never a mixture of the two.
    """
    benchmark = read_benchmark(store, symbol)
    found = _latest(
        store,
        "benchmark_bar",
        series="benchmark_id",
        clauses=["benchmark_id = :benchmark_id", "interval = :interval"],
        params={"benchmark_id": benchmark.id, "interval": interval},
        kinds={"close": "float64", "adjusted_close": "maybe", "price_basis": "object"},
        span=(None, None),
        as_of_us=as_of_us,
    )
    adjusted = found["adjusted_close"]
    if len(adjusted) and bool(np.isfinite(adjusted).all()):
        return found["time"], adjusted, "adjusted_close"
    basis = ", ".join(sorted(set(found["price_basis"].tolist())))
    return found["time"], found["close"], basis


def _latest(
    store: Store,
    table: str,
    *,
    series: str,
    clauses: list[str],
    params: dict[str, Any],
    kinds: dict[str, str],
    span: tuple[int | None, int | None],
    as_of_us: int | None,
) -> Columns:
    """Rows of a revisioned table, one revision per key, in key order.

    Where nothing is revised the revision is not even read; should a revision come in between, keys come twice
    and the rows are read again.
    """
    params = dict(params)
    for bound, name, sign in ((span[0], "since", ">="), (span[1], "until", "<")):
        if bound is not None:
            clauses = [*clauses, f"time {sign} :{name}"]
            params[name] = bound
    source = f"{table} WHERE {' AND '.join(clauses)}" if clauses else table
    wanted = {series: "int64", "time": "int64", **kinds}
    split = None if series == "benchmark_id" else series  # one benchmark is read at a time
    if as_of_us is None and not _revised(store, table):
        found = columns(store, wanted, source=source, params=params, series=split)
        if _ascending(found, series):
            return found
    wanted |= {"revision": "int64"} | ({} if as_of_us is None else {"run_id": "int64"})
    found = columns(store, wanted, source=source, params=params, series=split)
    if as_of_us is not None:
        found = _pick(found, np.isin(found["run_id"], _known_runs(store, as_of_us)))
    return _one_per_key(found, series)


def _revised(store: Store, table: str) -> bool:
    with store.reading() as connection:
        return connection.execute(text(f"SELECT 1 FROM {table} WHERE revision > 1 LIMIT 1")).first() is not None


def _known_runs(store: Store, as_of_us: int) -> I64:
    with store.reading() as connection:
        rows = connection.execute(text("SELECT id FROM run WHERE started_at <= :at"), {"at": as_of_us})
        return np.array([row[0] for row in rows], dtype=np.int64)


def _ascending(found: Columns, series: str) -> bool:
    """Whether keys are in order and none comes twice."""
    step = np.diff(found[series])
    return bool(((step > 0) | ((step == 0) & (np.diff(found["time"]) > 0))).all())


def _one_per_key(found: Columns, series: str) -> Columns:
    """The last revision of each key, in key order."""
    if _ascending(found, series):
        return found
    found = _pick(found, np.lexsort((found["revision"], found["time"], found[series])))
    last = (np.diff(found[series]) != 0) | (np.diff(found["time"]) != 0)
    return _pick(found, np.r_[last, True])


def _pick(found: Columns, index: NDArray[Any]) -> Columns:
    return {name: column[index] for name, column in found.items()}
