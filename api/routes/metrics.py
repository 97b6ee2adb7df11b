"""What is measured of a network or its market, day by day or hour by hour: usage, activity, funding."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import CSV, Answer, as_file, file_of, parquet_answer
from api.answers.encode import MEDIA_TYPES, FileKind, as_json_times, as_rows, iso_times, to_csv
from api.answers.params import End, FormatParam, Start, wants_csv, window_of
from api.answers.problems import declared
from api.answers.schemas import Wire, wire_model
from api.answers.services import StoreDep
from api.routes.assets import Symbol
from indexer.client import models
from indexer.live.chain.supply_rows import SOURCE as ONCHAIN
from indexer.sources.usage import USAGE
from indexer.store.assets import read_asset
from indexer.store.metrics import read_metrics
from indexer.store.rows import MetricSeries
from indexer.times import from_us

DEFAULT_LAST = 366


MetricValue = wire_model(models.MetricValue)


class MetricSummary(Wire):
    """A series that there is: what it means, who counted it, and its newest value."""

    metric: str
    source: str
    unit: str | None = Field(description="Null for what is not in the catalogue")
    meaning: str | None
    grade: str = Field(description="measured on chain, stated by the network or its explorer, estimated, or imported")
    count: int = Field(description="Values in the range asked for")
    first: datetime
    last: datetime
    value: float = Field(description="The newest one")


class AbsentMetric(Wire):
    """What no keyless source was found for, and why."""

    what: str
    reason: str


class AssetMetrics(Wire):
    """Metrics of an asset through time, by metric and source, oldest first; `series` says which there are."""

    asset: str
    symbol: str
    series: list[MetricSummary]
    absent: list[AbsentMetric]
    last: int | None = Field(description="The newest values of each metric and source; null: all in the range")
    count: int
    data: list[MetricValue]  # type: ignore[valid-type]  # made from the record


router = APIRouter(prefix="/v1/assets", tags=["assets"], responses=declared("not_found"))


@router.get(
    "/{symbol}/metrics",
    response_model=AssetMetrics,
    responses=as_file("text/csv"),
    summary="Metrics of an asset through time",
)
def get_metrics(
    request: Request,
    store: StoreDep,
    symbol: Symbol,
    *,
    metric: Annotated[str | None, Query(max_length=64, description="This metric only", examples=["fees_usd"])] = None,
    source: Annotated[str | None, Query(max_length=64, description="This source only")] = None,
    start: Start = None,
    end: End = None,
    last: Annotated[int | None, Query(ge=1, le=100_000, description="The newest values of each series")] = None,
    format: FormatParam = None,
) -> Response:
    """Usage, activity and market measures of an asset in [start, end), each with its source.

    JSON has the newest 366 values of each series unless you ask for a range or `last`; CSV has all.
    """
    asset = read_asset(store, symbol)
    window = window_of(start, end)
    as_csv = wants_csv(request, format)
    if last is None and not as_csv and start is None and end is None:
        last = DEFAULT_LAST
    series = [
        values
        for values in read_metrics(
            store, subject=asset.slug, name=metric, since_us=window.start_us, until_us=window.end_us
        )
        if source is None or values.source == source
    ]
    columns = _columns(series, last)
    times, count = columns["time"], len(columns["time"])
    if as_csv:
        table = {**columns, "time": iso_times(times)}
        return Answer(to_csv(table, text=("metric", "source")), media_type=CSV, headers={"X-Count": str(count)})
    rows = as_rows({**columns, "time": as_json_times(times)})
    head = {"asset": asset.slug, "symbol": asset.symbol, "series": [_summary(values) for values in series]}
    absent = [{"what": one.what, "reason": one.reason} for one in USAGE.absent if one.asset == asset.slug]
    return Answer({**head, "absent": absent, "last": last, "count": count, "data": rows})


@router.get(
    "/{symbol}/metrics.parquet",
    **file_of(MEDIA_TYPES[FileKind.PARQUET], "All values"),
    summary="All metrics of an asset as a Parquet file",
)
def metrics_parquet(store: StoreDep, symbol: Symbol) -> Response:
    """Columns time (UTC), metric, source, value: every value that is stored, by metric and source, oldest first."""
    return parquet_answer(_columns(read_metrics(store, subject=read_asset(store, symbol).slug), None))


def _summary(values: MetricSeries) -> dict[str, Any]:
    known = USAGE.metrics.get(values.name)
    service = USAGE.services.get(values.source)
    chain = values.source.partition(":")[0] == ONCHAIN
    return {
        "metric": values.name,
        "source": values.source,
        "unit": known and known.unit,
        "meaning": known and known.meaning,
        "grade": "measured" if chain else service.grade if service else "imported",
        "count": len(values.time_us),
        "first": from_us(int(values.time_us[0])),
        "last": from_us(int(values.time_us[-1])),
        "value": float(values.value[-1]),
    }


def _columns(series: list[MetricSeries], last: int | None) -> dict[str, Any]:
    """Time (microseconds), metric, source and value of all series, one after the other."""
    cut = slice(None) if last is None else slice(-last, None)
    lengths = [len(values.time_us[cut]) for values in series]
    return {
        "time": np.concatenate([np.empty(0, np.int64), *(values.time_us[cut] for values in series)]),
        "metric": np.repeat([values.name for values in series], lengths).tolist(),
        "source": np.repeat([values.source for values in series], lengths).tolist(),
        "value": np.concatenate([np.empty(0), *(values.value[cut] for values in series)]).tolist(),
    }
