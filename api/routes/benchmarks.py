"""What the index is held against, the closes behind it, and dated events."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from api import schemas
from api.answers.answer import AS_CSV, CSV, Answer
from api.answers.encode import as_json_times, as_rows, iso_times
from api.answers.formats import to_csv
from api.answers.params import End, QuietFormatParam, Shape, Start, TableFormat, wants_csv, window_of, within
from api.answers.problems import declared
from api.answers.services import StoreDep
from api.events import known_events
from indexer.store.read import read_benchmark, read_benchmark_bars, read_benchmarks
from indexer.store.read_serving import read_coverage
from indexer.times import from_us, to_us

router = APIRouter(prefix="/v1", tags=["benchmarks"])
Symbol = Annotated[str, Path(max_length=32, description="Symbol, e.g. QQQ", examples=["QQQ"])]


@router.get("/benchmarks", response_model=schemas.BenchmarkList, responses=declared(), summary="All benchmarks")
def list_benchmarks(store: StoreDep) -> Response:
    """Every benchmark with how much history it has; sessions is 0 for one that has no closes yet."""
    coverage = read_coverage(store)
    data: list[dict[str, Any]] = []
    for row in read_benchmarks(store):
        first, last, count = coverage.get(row.symbol, (None, None, 0))
        data.append(
            {
                "symbol": row.symbol,
                "name": row.name,
                "kind": row.kind,
                "calendar": row.calendar,
                "first_time": None if first is None else from_us(first),
                "latest_time": None if last is None else from_us(last),
                "sessions": count,
            }
        )
    return Answer({"count": len(data), "data": data})


@router.get(
    "/benchmarks/{symbol}/closes",
    response_model=schemas.Closes,
    responses=declared("not_found", "invalid_request"),
    summary="Closes of a benchmark",
)
def list_closes(
    request: Request,
    store: StoreDep,
    symbol: Symbol,
    *,
    start: Start = None,
    end: End = None,
    shape: Annotated[Shape, Query(description="Form of data")] = Shape.ROWS,
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
        table = {"time": iso_times(times[keep]).tolist(), "close": closes[keep].tolist()}
        return Answer(to_csv(table), media_type=CSV, headers={"X-Count": str(len(table["time"]))})
    columns = {"time": as_json_times(times[keep]), "close": closes[keep]}
    data = columns if shape is Shape.COLUMNS else as_rows(columns)
    count = len(times[keep])
    return Answer({"symbol": benchmark.symbol, "basis": basis, "shape": shape, "count": count, "data": data})


@router.get(
    "/benchmarks/{symbol}/closes.csv",
    response_class=Response,
    responses={200: {**AS_CSV, "description": "time,close"}, **declared("not_found", "invalid_request")},
    summary="Closes as CSV, for sheets",
)
def closes_csv(request: Request, store: StoreDep, symbol: Symbol, *, start: Start = None, end: End = None) -> Response:
    """The same as /closes under an address that sheets and frames take without more."""
    return list_closes(request, store, symbol, start=start, end=end, format=TableFormat.CSV)


@router.get("/events", response_model=schemas.EventList, responses=declared("invalid_request"), summary="Dated events")
def list_events(store: StoreDep, start: Start = None, end: End = None) -> Response:
    """Shocks, corporate actions and decisions that charts and studies refer to, oldest first.

    The shipped, sourced catalogue and what the store holds; an event of the store takes the place of its namesake.
    """
    window = window_of(start, end)
    data = [one for one in known_events(store) if within(to_us(one["time"]), window)]
    return Answer({"count": len(data), "data": data})
