"""What the index is held against, the closes behind it, and dated events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import Answer, csv_answer, file_of
from api.answers.encode import as_json_times, as_rows, iso_times
from api.answers.params import QuietFormatParam, Shape, ShapeParam, TableFormat, WindowParam, wants_csv
from api.answers.problems import declared
from api.answers.schemas import Wire, columns_of, list_of, made_of, to_wire, wire_model
from api.answers.services import ServicesDep, StoreDep
from indexer.client.models import Benchmark
from indexer.store.assets import read_benchmark, read_benchmarks
from indexer.store.bars import read_benchmark_bars, read_benchmark_sources, read_coverage
from indexer.studies.catalogue import Event, load_events
from indexer.times import from_us

BenchmarkItem = wire_model(Benchmark, "BenchmarkItem")
BenchmarkList = list_of("BenchmarkList", BenchmarkItem)


ClosePoint = made_of("ClosePoint", {"time": datetime, "close": float | None}, doc="A close fit for returns.")
CloseColumns = columns_of(ClosePoint, name="CloseColumns")


class Closes(Wire):
    """Closes of a benchmark at the instants of the exchange's closes."""

    symbol: str
    basis: str = Field(description="adjusted_close, or the price basis of the closes")
    dividends: bool | None = Field(description="Whether the closes are adjusted for dividends; null where partly")
    sources: list[str] = Field(description="Who gave the closes")
    shape: str
    count: int
    data: list[ClosePoint] | CloseColumns  # type: ignore[valid-type]  # made from the points


class EventItem(Wire):
    """Something dated that charts refer to."""

    slug: str
    kind: str
    time: datetime = Field(description="When the news could first move the market")
    until: datetime = Field(description="When it had; the same for an instant")
    title: str
    source: str
    precision: str = Field(description="instant: the hour is known; day: only the day")
    note: str


EventList = list_of("EventList", EventItem)


router = APIRouter(prefix="/v1", tags=["benchmarks"], responses=declared("not_found"))
Symbol = Annotated[str, Path(max_length=32, description="Symbol, e.g. QQQ", examples=["QQQ"])]


@router.get("/benchmarks", response_model=BenchmarkList, summary="All benchmarks")
def list_benchmarks(store: StoreDep) -> Response:
    """Every benchmark with how much history it has; sessions is 0 for one that has no closes yet."""
    coverage = read_coverage(store)
    data = []
    for row in read_benchmarks(store):
        first, last, sessions = coverage.get(row.symbol, (None, None, 0))
        times = {"first_time": first and from_us(first), "latest_time": last and from_us(last)}
        data.append(to_wire(row, BenchmarkItem, **times, sessions=sessions))
    return Answer({"count": len(data), "data": data})


@router.get("/benchmarks/{symbol}/closes", response_model=Closes, summary="Closes of a benchmark")
def list_closes(
    request: Request,
    store: StoreDep,
    symbol: Symbol,
    *,
    window: WindowParam,
    shape: ShapeParam = Shape.ROWS,
    format: QuietFormatParam = None,
) -> Response:
    """Closes fit for returns, at the instants of the exchange's closes, oldest first; `basis` says which."""
    benchmark = read_benchmark(store, symbol)
    times, closes, basis = read_benchmark_bars(store, benchmark.symbol)
    keep = window.of(times)
    if wants_csv(request, format):
        dates = np.datetime_as_string((times[keep] - 1).astype("datetime64[us]"), unit="D")
        return csv_answer({"time": iso_times(times[keep]), "close": closes[keep], "date": dates})
    columns = {"time": as_json_times(times[keep]), "close": closes[keep]}
    data = columns if shape is Shape.COLUMNS else as_rows(columns)
    count = len(times[keep])
    parts = {
        "basis": basis,
        "dividends": dividends_in(basis),
        "sources": read_benchmark_sources(store, benchmark.symbol),
    }
    return Answer({"symbol": benchmark.symbol, **parts, "shape": shape, "count": count, "data": data})


def dividends_in(basis: str) -> bool | None:
    """Whether closes of a basis are adjusted for dividends; None where only some of them are."""
    return True if basis == "adjusted_close" else None if basis.startswith("adjusted_close;") else False


@router.get(
    "/benchmarks/{symbol}/closes.csv",
    **file_of("text/csv", "time,close,date: the session's own"),
    summary="Closes as CSV, for sheets",
)
def closes_csv(request: Request, store: StoreDep, symbol: Symbol, *, window: WindowParam) -> Response:
    """The same as /closes under an address that sheets and frames take without more."""
    return list_closes(request, store, symbol, window=window, format=TableFormat.CSV)


@router.get("/events", response_model=EventList, summary="Dated events")
def list_events(services: ServicesDep, store: StoreDep, window: WindowParam) -> Response:
    """Shocks, launches, policy and FOMC decisions that charts and studies refer to, oldest first.

    The one catalogue: what is shipped with its sources, what the store holds, and the operator's own events.toml.
    """
    events = load_events(store, services.settings.data_dir).values()
    data = [_item(event) for event in events if event.at_us in window]
    return Answer({"count": len(data), "data": data})


def _item(event: Event) -> dict[str, Any]:
    times = {"time": from_us(event.at_us), "until": from_us(event.until_us)}
    return to_wire(event, EventItem, slug=event.id, **times, title=event.name, source="; ".join(event.sources))
