"""Values of named quantities at instants: funding, open interest, usage of a network, sentiment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from sqlalchemy import Select, func, select
from sqlmodel import col

from indexer.arrays import F64, I64
from indexer.errors import InputError
from indexer.store.bulk import Batch, BulkTable, append, within
from indexer.store.columnar import fields
from indexer.store.db import Store
from indexer.store.rows import MetricSeries, Written
from indexer.store.runs import known_by
from indexer.store.tables import Asset, Metric, Run

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
        written += append(store, METRICS, Batch(None, fixed, one.time_us, {"value": one.value}, {"run_id": run_id}))
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
    with store.reading() as connection:
        return _series(connection.execute(query).all())


def read_asset_metrics(store: Store, names: Collection[str], *, as_of_us: int | None = None) -> list[MetricSeries]:
    """The series of these names of every asset, as known at `as_of_us`, by asset, name and source."""
    of_assets = col(Metric.subject).in_(select(col(Asset.slug)))
    known = known_by(Metric, store.as_of_us if as_of_us is None else as_of_us)
    query = _values().where(col(Metric.name).in_(sorted(names)), of_assets, *known)
    with store.reading() as connection:
        return _series(connection.execute(query).all())


def read_newest_metrics(store: Store, subject: str, *, source_prefix: str) -> list[MetricSeries]:
    """The newest value of each series of a subject whose source begins so: one instant and value each."""
    newest = (
        select(*fields(Metric, *KEY), func.max(col(Metric.time)).label("time"))
        .where(col(Metric.subject) == subject, col(Metric.source).like(f"{source_prefix}%"))
        .group_by(*fields(Metric, *KEY))
        .subquery()
    )
    query = _values().where(*(column == newest.c[column.key] for column in fields(Metric, *KEY, "time")))
    with store.reading() as connection:
        return _series(connection.execute(query).all())


def _values() -> Select[Any]:
    return select(*fields(Metric, *KEY, "time", "value")).order_by(*fields(Metric, *KEY, "time", "revision"))


def _series(rows: Iterable[Any]) -> list[MetricSeries]:
    """Rows in the order of their key as series; of an instant the last revision stands."""
    series = []
    for (subject, name, source), values in groupby(rows, key=itemgetter(0, 1, 2)):
        latest = {row[3]: row[4] for row in values}
        times: I64 = np.array(list(latest), dtype=np.int64)
        numbers: F64 = np.array(list(latest.values()), dtype=np.float64)
        series.append(MetricSeries(subject, name, source, times, numbers))
    return series
