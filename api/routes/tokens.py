"""A token through time: what is measured of its network and market, its price, and the statistics an index has."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import CSV, Answer, as_file, file_of, parquet_answer, table_answer
from api.answers.encode import MEDIA_TYPES, FileKind, as_json_times, as_rows, iso_times, to_csv
from api.answers.params import FormatParam, Window, WindowParam, wants_csv
from api.answers.problems import declared
from api.answers.schemas import Wire, list_of, made_of, of_index, wire_model
from api.answers.services import KnownStore, ServicesDep, StoreDep
from api.routes.assets import Symbol
from api.routes.statistics import AskedBeta, Beta
from api.routes.studies import AskedDrawdowns, AskedEvent
from indexer.arrays import F64, I64, to_json
from indexer.client import models
from indexer.live.chain.supply_rows import SOURCE as ONCHAIN
from indexer.sources.usage import USAGE
from indexer.store.assets import read_asset
from indexer.store.bars import read_metrics
from indexer.store.db import Store
from indexer.store.indices import read_indices
from indexer.store.rows import MetricSeries
from indexer.studies.drawdowns import DrawdownStudy
from indexer.studies.events import EventStudy
from indexer.studies.series import token_series
from indexer.times import INTERVAL_US, from_us

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


AbsentMetric = made_of(
    "AbsentMetric", {"what": str, "reason": str}, doc="What no keyless source was found for, and why."
)


class AssetMetrics(Wire):
    """Metrics of an asset through time, by metric and source, oldest first; `series` says which there are."""

    asset: str
    symbol: str
    series: list[MetricSummary]
    absent: list[AbsentMetric]  # type: ignore[valid-type]  # made above
    last: int | None = Field(description="The newest values of each metric and source; null: all in the range")
    count: int
    data: list[MetricValue]  # type: ignore[valid-type]  # made from the record


router = APIRouter(prefix="/v1/assets/{symbol}", tags=["assets"], responses=declared("not_found"))
NOT_ENOUGH = declared("not_enough_data")


@router.get(
    "/metrics",
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
    window: WindowParam,
    last: Annotated[int | None, Query(ge=1, le=100_000, description="The newest values of each series")] = None,
    format: FormatParam = None,
) -> Response:
    """Usage, activity and market measures of an asset in [start, end), each with its source.

    JSON has the newest 366 values of each series unless you ask for a range or `last`; CSV has all.
    """
    asset = read_asset(store, symbol)
    as_csv = wants_csv(request, format)
    if last is None and not as_csv and window == Window():
        last = DEFAULT_LAST
    series = [
        values
        for values in read_metrics(store, subject=asset.slug, name=metric, since_us=window.start, until_us=window.end)
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
    "/metrics.parquet",
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


LAST_PRICES = 1000
IntervalParam = Annotated[str, Query(pattern="^(1h|1d)$", description="Spacing, on the grid from 00:00 UTC")]


class PricePoint(Wire):
    """The reference rate of a token at an instant, in units of the line's last token."""

    time: datetime
    price: float = Field(description="USD")


PriceList = list_of("PriceList", PricePoint, asset=str, symbol=str, simulated=bool, interval=str)


def _about(store: Store, name: str) -> dict[str, Any]:
    """Which token an answer is about, as answers of indices say it."""
    return {"index": name, "simulated": any(index.simulated for index in read_indices(store))}


@router.get("/beta", responses=NOT_ENOUGH, response_model=Beta, summary="Beta of a token to a benchmark")
def get_token_beta(store: KnownStore, symbol: Symbol, asked: AskedBeta) -> Response:
    """As the beta of an index, of a token's returns; `index` is the token."""
    asset = read_asset(store, symbol)
    return Answer({**_about(store, asset.slug), **asked.of(store, asset.slug)})


@router.get("/drawdowns", responses=NOT_ENOUGH, response_model=of_index(DrawdownStudy), summary="Pullbacks of a token")
def get_token_drawdowns(store: KnownStore, symbol: Symbol, asked: AskedDrawdowns) -> Response:
    """As the pullbacks of an index, of a token's prices; `index` is the token."""
    asset = read_asset(store, symbol)
    return Answer({**_about(store, asset.slug), **to_json(asked.of(store, asset.slug), wire=True)})


@router.get(
    "/events/{event}", responses=NOT_ENOUGH, response_model=of_index(EventStudy), summary="Event study of a token"
)
def get_token_event(services: ServicesDep, store: KnownStore, symbol: Symbol, asked: AskedEvent) -> Response:
    """As the event study of an index, of a token alone; `index` is the token."""
    asset = read_asset(store, symbol)
    return Answer({**_about(store, asset.slug), **to_json(asked.of(services, store, asset.slug), wire=True)})


@router.get("/prices", response_model=PriceList, responses=as_file("text/csv"), summary="Price of a token through time")
def list_prices(
    request: Request,
    store: StoreDep,
    symbol: Symbol,
    *,
    window: WindowParam,
    interval: IntervalParam = "1d",
    last: Annotated[int | None, Query(ge=1, le=100_000, description="Only the newest so many, oldest first")] = None,
    format: FormatParam = None,
) -> Response:
    """Reference rates in USD in [start, end). JSON has the newest 1,000 unless you ask for a range or `last`."""
    asset, as_csv = read_asset(store, symbol), wants_csv(request, format)
    times, prices = _prices(store, asset.slug, interval)
    span = window.of(times, last=LAST_PRICES if last is None and not as_csv and window == Window() else last)
    times, prices = times[span], prices[span]
    simulated: bool = _about(store, asset.slug)["simulated"]
    about = {"asset": asset.slug, "symbol": asset.symbol, "simulated": simulated, "interval": interval}
    return table_answer(request, about, {"time": times, "price": prices}, format=format)


@router.get(
    "/prices.parquet",
    **file_of(MEDIA_TYPES[FileKind.PARQUET], "time (UTC), price"),
    summary="All prices of a token as a Parquet file",
)
def prices_parquet(store: StoreDep, symbol: Symbol, interval: IntervalParam = "1h") -> Response:
    """Columns time (UTC) and price (USD) of every hour or day, oldest first."""
    times, prices = _prices(store, read_asset(store, symbol).slug, interval)
    return parquet_answer({"time": times, "price": prices})


def _prices(store: Store, slug: str, interval: str) -> tuple[I64, F64]:
    series = token_series(store, slug)
    keep = series.times_us % INTERVAL_US[interval] == 0
    return series.times_us[keep], series.values[keep]
