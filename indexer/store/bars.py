"""Bars of tokens and of benchmarks, and values of other quantities at instants: as they are, or were known then."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from sqlalchemy import Select, func, literal_column, select
from sqlmodel import col

from indexer.arrays import F64, I64
from indexer.errors import InputError
from indexer.store.assets import read_benchmark
from indexer.store.bulk import BulkTable, append, read_newest, refuse_bad, within
from indexer.store.columnar import COLD_CURSOR_ROWS, Columns, fields, read_columns, table_of
from indexer.store.db import Store
from indexer.store.rows import BarColumns, BarSeries, BenchmarkColumns, MetricSeries, Written
from indexer.store.runs import known_by
from indexer.store.tables import Asset, Bar, Benchmark, BenchmarkBar, Listing, Metric, Run

BAR_VALUES = ("open", "high", "low", "close", "volume_base", "volume_usd")
BARS = BulkTable(
    model=Bar, series="listing_id", fixed=(), compared=BAR_VALUES, refers={"listing_id": Listing, "run_id": Run}
)
BENCHMARK_BARS = BulkTable(
    model=BenchmarkBar,
    series="benchmark_id",
    fixed=("interval",),
    compared=("close", "adjusted_close", "volume", "price_basis", "source"),
    refers={"benchmark_id": Benchmark, "run_id": Run},
)


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
    query = select(*fields(Bar, "listing_id", "time", "close", "volume_base", "volume_usd"))
    if interval is not None:
        query = query.where(col(Bar.listing_id).in_(select(col(Listing.id)).where(col(Listing.interval) == interval)))
    if listing_ids is not None:
        query = query.where(col(Bar.listing_id).in_(listing_ids))
    query = within(query, Bar, since_us, until_us)
    bars = read_newest(store, query, Bar, series="listing_id", as_of_us=as_of_us)
    return BarSeries(bars["listing_id"], bars["time"], bars["close"], bars["volume_base"], bars["volume_usd"])


def has_many_bars(store: Store) -> bool:
    """Whether there are more bars than a cursor reads at once, so that computing with all of them takes memory."""
    some = select(literal_column("1")).select_from(table_of(Bar)).limit(COLD_CURSOR_ROWS + 1).subquery()
    with store.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(some)).scalar_one()) > COLD_CURSOR_ROWS


def read_last_bars(store: Store, *, since_us: int) -> BarSeries:
    """The bars of every listing from an instant on, and before them time and close of each listing's last one before.

    Found by key, however many bars there are.
    """
    listing, last = col(Listing.id), select(Bar).where(col(Bar.listing_id) == col(Listing.id), col(Bar.time) < since_us)
    last = last.order_by(col(Bar.time).desc(), col(Bar.revision).desc()).limit(1).correlate(Listing)
    time, close = (last.with_only_columns(column).scalar_subquery() for column in fields(Bar, "time", "close"))
    before = read_columns(store, select(listing, func.coalesce(time, 0).label("time"), close.label("close")))
    there = np.flatnonzero(before["time"])
    query = select(*fields(Bar, "listing_id", "time", "close", "volume_base", "volume_usd"))
    query = query.where(col(Bar.listing_id).in_(select(listing)), col(Bar.time) >= since_us)
    bars = read_newest(store, query, Bar, series="listing_id", as_of_us=None)
    unknown = np.full(len(there), np.nan)
    return BarSeries(
        np.concatenate([before["id"][there], bars["listing_id"]]),
        *(np.concatenate([before[name][there], bars[name]]) for name in ("time", "close")),
        *(np.concatenate([unknown, bars[name]]) for name in ("volume_base", "volume_usd")),
    )


def write_bars(store: Store, run_id: int, bars: BarColumns) -> Written:
    """How many bars were new, revised, unchanged. One transaction per 100,000 rows; nothing is overwritten.

    Closes must be finite and positive (InputError); gates have rejected the others before.
    """
    refuse_bad(bars.close, "bar", "close")
    columns = {name: getattr(bars, name) for name in ("listing_id", *BAR_VALUES)}
    return append(store, BARS, {**columns, "time": bars.time_us}, run_id=run_id)


def read_benchmark_bars(store: Store, symbol: str, *, interval: str = "1d") -> tuple[I64, F64, str]:
    """Times (M,), closes fit for returns (M,) and their basis, ascending. Raises NotFoundError for the symbol.

    A return is that of the adjusted closes where both its ends have one, else that of the closes; the returns are
    chained back from the newest close, so that no return mixes the two.
    """
    bars = _benchmark_bars(store, read_benchmark(store, symbol).id, interval=interval)
    times, close, adjusted = bars["time"], bars["close"], bars["adjusted_close"]
    known = np.isfinite(adjusted)
    basis = ", ".join(sorted(set(bars["price_basis"].tolist())))
    if len(times) and bool(known.all()):
        return times, adjusted, "adjusted_close"
    if np.count_nonzero(known) < 2:
        return times, close, basis
    # Within a run of adjusted closes one factor holds; where a run begins or ends the step is that of the closes.
    factor = np.where(known, adjusted / close, 1.0)
    edges = np.flatnonzero(known[1:] != known[:-1]) + 1
    runs = np.split(factor, edges)
    scale = np.ones(len(runs))
    for place in range(len(runs) - 2, -1, -1):
        scale[place] = scale[place + 1] * runs[place + 1][0] / runs[place][-1]
    chained = close * np.concatenate([run * number for run, number in zip(runs, scale, strict=True)])
    return times, chained / (scale[-1] * runs[-1][-1]), f"adjusted_close; {basis} where there is none"


def read_benchmark_closes(store: Store, symbol: str, *, interval: str) -> tuple[I64, F64, F64]:
    """Times, closes and adjusted closes (NaN where not given) of a benchmark's stored bars, the latest revisions.

    No rows for a symbol that the store does not have yet.
    """
    with store.reading() as connection:
        number = connection.execute(select(col(Benchmark.id)).where(col(Benchmark.symbol) == symbol)).scalar()
    bars = _benchmark_bars(store, number, interval=interval)
    return bars["time"], bars["close"], bars["adjusted_close"]


def read_benchmark_sources(store: Store, symbol: str) -> list[str]:
    """Who gave a benchmark's stored daily closes, by name."""
    query = (
        select(col(BenchmarkBar.source))
        .join(Benchmark, col(BenchmarkBar.benchmark_id) == col(Benchmark.id))
        .where(col(Benchmark.symbol) == symbol, col(BenchmarkBar.interval) == "1d")
        .distinct()
    )
    with store.reading() as connection:
        return sorted(connection.execute(query).scalars())


def write_benchmark_bars(store: Store, run_id: int, bars: BenchmarkColumns) -> Written:
    """How many benchmark bars were new, revised, unchanged. Closes finite and positive, else InputError."""
    refuse_bad(bars.close, "benchmark_bar", "close")
    columns = {name: getattr(bars, name) for name in ("benchmark_id", *BENCHMARK_BARS.compared)}
    return append(store, BENCHMARK_BARS, {**columns, "time": bars.time_us}, run_id=run_id, interval=bars.interval)


def read_coverage(store: Store) -> dict[str, tuple[int, int, int]]:
    """First and last instant and number of daily closes, by benchmark symbol, as known; those without are absent."""
    time = col(BenchmarkBar.time)
    query = (
        select(col(Benchmark.symbol), func.min(time), func.max(time), func.count(time.distinct()))
        .join(BenchmarkBar, col(BenchmarkBar.benchmark_id) == col(Benchmark.id))
        .where(col(BenchmarkBar.interval) == "1d", *known_by(BenchmarkBar, store.as_of_us))
        .group_by(col(Benchmark.symbol))
    )
    with store.reading() as connection:
        rows = connection.execute(query).all()
    return {symbol: (int(first), int(last), int(count)) for symbol, first, last, count in rows}


def _benchmark_bars(store: Store, number: int | None, *, interval: str) -> Columns:
    query = select(*fields(BenchmarkBar, "benchmark_id", "time", "close", "adjusted_close", "price_basis"))
    query = query.where(col(BenchmarkBar.benchmark_id) == number, col(BenchmarkBar.interval) == interval)
    return read_newest(store, query, BenchmarkBar, series="benchmark_id", as_of_us=store.as_of_us)


METRICS = BulkTable(
    model=Metric, series=None, fixed=("subject", "name", "source"), compared=("value",), refers={"run_id": Run}
)
KEY = ("subject", "name", "source")


def write_metrics(store: Store, run_id: int, series: Sequence[MetricSeries]) -> Written:
    """How many values were new, revised, unchanged. Values must be finite (InputError); a missing one is no row."""
    written = Written()
    for one in series:
        if not np.isfinite(one.value).all():
            raise InputError(f"metric {one.subject} {one.name} of {one.source}: values must be finite; leave gaps out")
        fixed = {name: getattr(one, name) for name in KEY}
        written += append(store, METRICS, {"time": one.time_us, "value": one.value}, run_id=run_id, **fixed)
    return written


def read_metrics(
    store: Store,
    *,
    subject: str | None = None,
    name: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
) -> list[MetricSeries]:
    """Every series of a subject or name (or all), since <= time < until, the latest revision of each value."""
    query = within(_values(), Metric, since_us, until_us).where(*known_by(Metric, store.as_of_us))
    if subject is not None:
        query = query.where(col(Metric.subject) == subject)
    if name is not None:
        query = query.where(col(Metric.name) == name)
    return _series(store, query)


def read_asset_metrics(store: Store, names: Collection[str], *, as_of_us: int | None = None) -> list[MetricSeries]:
    """The series of these names of every asset, as known at `as_of_us`, by asset, name and source."""
    of_assets = col(Metric.subject).in_(select(col(Asset.slug)))
    known = known_by(Metric, store.as_of_us if as_of_us is None else as_of_us)
    query = _values().where(col(Metric.name).in_(sorted(names)), of_assets, *known)
    return _series(store, query)


def read_newest_metrics(store: Store, subject: str, *, source_prefix: str) -> list[MetricSeries]:
    """The newest value of each series of a subject whose source begins so: one instant and value each."""
    newest = (
        select(*fields(Metric, *KEY), func.max(col(Metric.time)).label("time"))
        .where(col(Metric.subject) == subject, col(Metric.source).like(f"{source_prefix}%"))
        .group_by(*fields(Metric, *KEY))
        .subquery()
    )
    query = _values().where(*(column == newest.c[column.key] for column in fields(Metric, *KEY, "time")))
    return _series(store, query)


def _values() -> Select[Any]:
    return select(*fields(Metric, *KEY, "time", "value")).order_by(*fields(Metric, *KEY, "time", "revision"))


def _series(store: Store, query: Select[Any]) -> list[MetricSeries]:
    """Rows in the order of their key as series; of an instant the last revision stands."""
    with store.reading() as connection:
        rows = connection.execute(query).all()
    series = []
    for (subject, name, source), values in groupby(rows, key=itemgetter(0, 1, 2)):
        latest = {row[3]: row[4] for row in values}
        times: I64 = np.array(list(latest), dtype=np.int64)
        numbers: F64 = np.array(list(latest.values()), dtype=np.float64)
        series.append(MetricSeries(subject, name, source, times, numbers))
    return series
