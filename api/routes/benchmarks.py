"""What the index is held against, the closes behind it, and dated events."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import Answer, as_file, csv_answer
from api.answers.encode import as_json_times, as_rows, iso_times
from api.answers.params import (
    End,
    QuietFormatParam,
    Shape,
    ShapeParam,
    Start,
    TableFormat,
    wants_csv,
    window_of,
    within,
)
from api.answers.problems import declared
from api.answers.schemas import Wire, columns_of, list_of, to_wire
from api.answers.services import StoreDep
from indexer.analytics.catalogue import Event, packaged_text, parse_events
from indexer.store.bars import read_coverage
from indexer.store.db import Store
from indexer.store.read import read_benchmark, read_benchmark_bars, read_benchmarks, read_events
from indexer.times import from_us, to_us


class BenchmarkItem(Wire):
    """Something to hold the index against."""

    symbol: str
    name: str
    kind: str
    calendar: str
    first_time: datetime | None
    latest_time: datetime | None
    sessions: int


BenchmarkList = list_of("BenchmarkList", BenchmarkItem)


class ClosePoint(Wire):
    """A close fit for returns."""

    time: datetime
    close: float | None


CloseColumns = columns_of(ClosePoint, name="CloseColumns")


class Closes(Wire):
    """Closes of a benchmark at the instants of the exchange's closes."""

    symbol: str
    basis: str = Field(description="adjusted_close, or the price basis of the closes")
    shape: str
    count: int
    data: list[ClosePoint] | CloseColumns  # type: ignore[valid-type]  # made from the points


class EventItem(Wire):
    """Something dated that charts refer to."""

    slug: str
    kind: str
    time: datetime
    title: str
    source: str
    precision: str = Field(description="instant: the hour is known; day: only the day")
    note: str


EventList = list_of("EventList", EventItem)


@cache
def shipped_events() -> dict[str, Event]:
    """The catalogue that comes with the program, read once."""
    return parse_events(packaged_text("events.toml"))


def known_events(store: Store) -> list[dict[str, Any]]:
    """Every event as it goes over the wire, oldest first; the store's take the place of shipped namesakes."""
    events = {event.id: _shipped(event) for event in shipped_events().values()}
    for row in read_events(store):
        detail = json.loads(row.detail)
        precision, note = str(detail.get("precision", "instant")), str(detail.get("note", ""))
        events[row.slug] = to_wire(row, EventItem, precision=precision, note=note)
    return sorted(events.values(), key=lambda event: (event["time"], event["slug"]))


def _shipped(event: Event) -> dict[str, Any]:
    source = "; ".join(event.sources)
    return to_wire(event, EventItem, slug=event.id, time=from_us(event.at_us), title=event.name, source=source)


router = APIRouter(prefix="/v1", tags=["benchmarks"])
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


@router.get(
    "/benchmarks/{symbol}/closes",
    response_model=Closes,
    responses=declared("not_found"),
    summary="Closes of a benchmark",
)
def list_closes(
    request: Request,
    store: StoreDep,
    symbol: Symbol,
    *,
    start: Start = None,
    end: End = None,
    shape: ShapeParam = Shape.ROWS,
    format: QuietFormatParam = None,
) -> Response:
    """Closes fit for returns, at the instants of the exchange's closes, oldest first; `basis` says which."""
    window = window_of(start, end)
    benchmark = read_benchmark(store, symbol)
    times, closes, basis = read_benchmark_bars(store, benchmark.symbol)
    keep = slice(
        0 if window.start_us is None else int(times.searchsorted(window.start_us)),
        len(times) if window.end_us is None else int(times.searchsorted(window.end_us)),
    )
    if wants_csv(request, format):
        dates = np.datetime_as_string((times[keep] - 1).astype("datetime64[us]"), unit="D")
        return csv_answer({"time": iso_times(times[keep]), "close": closes[keep], "date": dates})
    columns = {"time": as_json_times(times[keep]), "close": closes[keep]}
    data = columns if shape is Shape.COLUMNS else as_rows(columns)
    count = len(times[keep])
    return Answer({"symbol": benchmark.symbol, "basis": basis, "shape": shape, "count": count, "data": data})


@router.get(
    "/benchmarks/{symbol}/closes.csv",
    response_class=Response,
    responses=as_file("text/csv", description="time,close,date: the session's own") | declared("not_found"),
    summary="Closes as CSV, for sheets",
)
def closes_csv(request: Request, store: StoreDep, symbol: Symbol, *, start: Start = None, end: End = None) -> Response:
    """The same as /closes under an address that sheets and frames take without more."""
    return list_closes(request, store, symbol, start=start, end=end, format=TableFormat.CSV)


@router.get("/events", response_model=EventList, summary="Dated events")
def list_events(store: StoreDep, start: Start = None, end: End = None) -> Response:
    """Shocks, corporate actions and decisions that charts and studies refer to, oldest first.

    The shipped, sourced catalogue and what the store holds; an event of the store takes the place of its namesake.
    """
    window = window_of(start, end)
    data = [event for event in known_events(store) if within(to_us(event["time"]), window)]
    return Answer({"count": len(data), "data": data})
