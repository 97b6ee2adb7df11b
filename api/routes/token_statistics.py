"""Statistics of one token, as the command line has them: beta, pullbacks, event studies, and its price through time.

A token's series is that of its line by spot prices; perpetual futures stand in where the flagship's rules let them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import Answer, as_file, csv_answer
from api.answers.encode import as_json_times, as_rows, iso_times
from api.answers.exports import MEDIA_TYPES, FileKind
from api.answers.params import End, FormatParam, InstantUs, Start, wants_csv, window_of
from api.answers.problems import declared
from api.answers.schemas import Wire, list_of, of_index
from api.answers.services import ServicesDep, StoreDep
from api.routes.assets import Symbol
from api.routes.statistics import BenchmarkParam, Beta, ClockParam, MethodParam, Sessions, Until, names_in
from api.routes.studies import BarParam, Depth, Factors, Falls, From, To
from indexer.analytics.align import Clock
from indexer.analytics.beta import Method
from indexer.analytics.drawdown import Bar
from indexer.arrays import F64, I64, to_json
from indexer.store.assets import read_asset
from indexer.store.db import Store
from indexer.store.indices import read_indices
from indexer.studies.catalogue import event_at, load_events
from indexer.studies.drawdowns import DrawdownStudy
from indexer.studies.events import EventStudy
from indexer.studies.series import token_series
from indexer.times import INTERVAL_US

router = APIRouter(prefix="/v1/assets/{symbol}", tags=["assets"], responses=declared("not_found", "not_enough_data"))
DEFAULT_LAST = 1000
IntervalParam = Annotated[str, Query(pattern="^(1h|1d)$", description="Spacing, on the grid from 00:00 UTC")]


class PricePoint(Wire):
    """The reference rate of a token at an instant, in units of the line's last token."""

    time: datetime
    price: float = Field(description="USD")


PriceList = list_of("PriceList", PricePoint, asset=str, symbol=str, interval=str)


def _about(store: Store, name: str) -> dict[str, Any]:
    """Which token an answer is about, as answers of indices say it."""
    return {"index": name, "simulated": any(index.simulated for index in read_indices(store))}


@router.get("/beta", response_model=Beta, summary="Beta of a token to a benchmark")
def get_token_beta(
    store: StoreDep,
    symbol: Symbol,
    *,
    benchmark: BenchmarkParam = "QQQ",
    sessions: Sessions = 90,
    end: Until = None,
    method: MethodParam = Method.OLS,
    clock: ClockParam = Clock.AT_CLOSE,
) -> Response:
    """As the beta of an index, of a token's returns; `index` is the token."""
    from indexer.studies.beta import flat_beta, index_beta

    asset = read_asset(store, symbol)
    estimate = index_beta(
        store, asset.slug, names_in(benchmark), method=method, clock=clock, sessions=sessions, end_us=end
    )
    return Answer({**_about(store, asset.slug), **flat_beta(estimate)})


@router.get("/drawdowns", response_model=of_index(DrawdownStudy), summary="Pullbacks of a token")
def get_token_drawdowns(
    store: StoreDep,
    symbol: Symbol,
    *,
    min_depth: Depth = 0.10,
    start: From = None,
    end: To = None,
    bar: BarParam = Bar.DAILY,
    fall: Falls = None,
) -> Response:
    """As the pullbacks of an index, of a token's prices; `index` is the token."""
    from indexer.studies.drawdowns import FALLS, study_drawdowns

    asset, falls = read_asset(store, symbol), [float(size) for size in fall.split(",")] if fall else FALLS
    study = study_drawdowns(store, asset.slug, min_depth=min_depth, start_us=start, end_us=end, bar=bar, falls=falls)
    return Answer({**_about(store, asset.slug), **to_json(study, wire=True)})


@router.get("/events/{event}", response_model=of_index(EventStudy), summary="Event study of a token")
def get_token_event(
    services: ServicesDep,
    symbol: Symbol,
    event: Annotated[str, Path(max_length=64, description="Id of an event", examples=["deepseek"])],
    *,
    at: Annotated[InstantUs | None, Query(description="Any date or instant instead of the event")] = None,
    factors: Factors = "QQQ;QQQ,btc",
) -> Response:
    """As the event study of an index, of a token alone; `index` is the token."""
    from indexer.studies.events import study_event

    store, asset = services.store, read_asset(services.store, symbol)
    study = study_event(
        store,
        asset.slug,
        event if at is None else event_at(at),
        events=load_events(store, services.settings.data_dir),
        models=[names_in(model) for model in factors.split(";")],
    )
    return Answer({**_about(store, asset.slug), **to_json(study, wire=True)})


@router.get("/prices", response_model=PriceList, responses=as_file("text/csv"), summary="Price of a token through time")
def list_prices(
    request: Request,
    store: StoreDep,
    symbol: Symbol,
    *,
    start: Start = None,
    end: End = None,
    interval: IntervalParam = "1d",
    last: Annotated[int | None, Query(ge=1, le=100_000, description="Only the newest so many, oldest first")] = None,
    format: FormatParam = None,
) -> Response:
    """Reference rates in USD in [start, end). JSON has the newest 1,000 unless you ask for a range or `last`."""
    asset, window = read_asset(store, symbol), window_of(start, end)
    times, prices = _prices(store, asset.slug, interval)
    first = 0 if window.start_us is None else int(np.searchsorted(times, window.start_us))
    stop = len(times) if window.end_us is None else int(np.searchsorted(times, window.end_us))
    as_csv = wants_csv(request, format)
    if last is None and not as_csv and start is None and end is None:
        last = DEFAULT_LAST
    span = slice(first if last is None else max(first, stop - last), stop)
    times, prices = times[span], prices[span]
    if as_csv:
        return csv_answer({"time": iso_times(times), "price": prices})
    rows = as_rows({"time": as_json_times(times), "price": prices.tolist()})
    return Answer(
        {"count": len(times), "asset": asset.slug, "symbol": asset.symbol, "interval": interval, "data": rows}
    )


@router.get(
    "/prices.parquet",
    response_class=Response,
    responses=as_file(MEDIA_TYPES[FileKind.PARQUET], description="time (UTC), price", binary=True),
    summary="All prices of a token as a Parquet file",
)
def prices_parquet(store: StoreDep, symbol: Symbol, interval: IntervalParam = "1h") -> Response:
    """Columns time (UTC) and price (USD) of every hour or day, oldest first."""
    import pyarrow
    from pyarrow import parquet

    times, prices = _prices(store, read_asset(store, symbol).slug, interval)
    time = pyarrow.array(times, pyarrow.timestamp("us", tz="UTC"))
    body = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table({"time": time, "price": prices}), body, compression="zstd")
    return Answer(body.getvalue().to_pybytes(), media_type=MEDIA_TYPES[FileKind.PARQUET], compress=False)


def _prices(store: Store, slug: str, interval: str) -> tuple[I64, F64]:
    series = token_series(store, slug)
    keep = series.times_us % INTERVAL_US[interval] == 0
    return series.times_us[keep], series.values[keep]
