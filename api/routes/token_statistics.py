"""Statistics of one token, as the command line has them: beta, pullbacks, event studies, and its price through time.

A token's series is that of its line by spot prices; perpetual futures stand in where the flagship's rules let them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import Answer, as_file, csv_answer, file_of, parquet_answer
from api.answers.encode import MEDIA_TYPES, FileKind, as_json_times, as_rows, iso_times
from api.answers.params import End, FormatParam, Start, wants_csv, window_of
from api.answers.problems import declared
from api.answers.schemas import Wire, list_of, of_index
from api.answers.services import ServicesDep, StoreDep
from api.routes.assets import Symbol
from api.routes.statistics import AskedBeta, Beta
from api.routes.studies import AskedDrawdowns, AskedEvent
from indexer.arrays import F64, I64, to_json
from indexer.store.assets import read_asset
from indexer.store.db import Store
from indexer.store.indices import read_indices
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


PriceList = list_of("PriceList", PricePoint, asset=str, symbol=str, simulated=bool, interval=str)


def _about(store: Store, name: str) -> dict[str, Any]:
    """Which token an answer is about, as answers of indices say it."""
    return {"index": name, "simulated": any(index.simulated for index in read_indices(store))}


@router.get("/beta", response_model=Beta, summary="Beta of a token to a benchmark")
def get_token_beta(store: StoreDep, symbol: Symbol, asked: AskedBeta) -> Response:
    """As the beta of an index, of a token's returns; `index` is the token."""
    asset = read_asset(store, symbol)
    return Answer({**_about(store, asset.slug), **asked.of(store, asset.slug)})


@router.get("/drawdowns", response_model=of_index(DrawdownStudy), summary="Pullbacks of a token")
def get_token_drawdowns(store: StoreDep, symbol: Symbol, asked: AskedDrawdowns) -> Response:
    """As the pullbacks of an index, of a token's prices; `index` is the token."""
    asset = read_asset(store, symbol)
    return Answer({**_about(store, asset.slug), **to_json(asked.of(store, asset.slug), wire=True)})


@router.get("/events/{event}", response_model=of_index(EventStudy), summary="Event study of a token")
def get_token_event(services: ServicesDep, symbol: Symbol, asked: AskedEvent) -> Response:
    """As the event study of an index, of a token alone; `index` is the token."""
    asset = read_asset(services.store, symbol)
    return Answer({**_about(services.store, asset.slug), **to_json(asked.of(services, asset.slug), wire=True)})


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
    simulated: bool = _about(store, asset.slug)["simulated"]
    if as_csv:
        return csv_answer({"time": iso_times(times), "price": prices}, simulated=simulated)
    about = {"asset": asset.slug, "symbol": asset.symbol, "simulated": simulated, "interval": interval}
    rows = as_rows({"time": as_json_times(times), "price": prices.tolist()})
    return Answer({"count": len(times), **about, "data": rows})


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
