"""What is measured of a network or its market, day by day or hour by hour: usage, activity, funding."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import CSV, Answer, as_file
from api.answers.encode import as_json_times, as_rows, iso_times, to_csv
from api.answers.params import End, FormatParam, Start, wants_csv, window_of
from api.answers.problems import declared
from api.answers.schemas import Wire, wire_model
from api.answers.services import StoreDep
from api.routes.assets import Symbol
from indexer.client import models
from indexer.store.assets import read_asset
from indexer.store.metrics import read_metrics
from indexer.store.rows import MetricSeries

DEFAULT_LAST = 366


MetricValue = wire_model(models.MetricValue)


class AssetMetrics(Wire):
    """Metrics of an asset through time, by metric and source, oldest first."""

    asset: str
    symbol: str
    last: int | None = Field(description="The newest values of each metric and source; null: all in the range")
    count: int
    data: list[MetricValue]  # type: ignore[valid-type]  # made from the record


router = APIRouter(prefix="/v1/assets", tags=["assets"])


@router.get(
    "/{symbol}/metrics",
    response_model=AssetMetrics,
    responses={**declared("not_found"), **as_file("text/csv")},
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
    return Answer({"asset": asset.slug, "symbol": asset.symbol, "last": last, "count": count, "data": rows})


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
