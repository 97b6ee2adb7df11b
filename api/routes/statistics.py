"""Beta of an index to a benchmark: one number with its errors, and its history. The same objects as in Python."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import schemas
from api.answer import CSV, Answer, json_answer
from api.deps import StoreDep
from api.encode import as_json_times, iso_times
from api.formats import to_csv
from api.negotiate import wants_csv
from api.params import End, FormatParam, IndexId, InstantUs, Shape, Start, window_of
from api.problems import declared
from api.wire import rows_of
from indexer.analytics.beta import BetaResult
from indexer.store.read import read_index
from indexer.times import from_us

if TYPE_CHECKING:
    from indexer.engine.market import F64
    from indexer.statistics import BetaHistory

router = APIRouter(prefix="/v1/indices/{index_id}", tags=["statistics"])
BenchmarkParam = Annotated[str, Query(max_length=32, description="Symbol of a benchmark", examples=["QQQ"])]
Sessions = Annotated[int, Query(ge=20, le=2500, description="Exchange sessions in the window")]
Until = Annotated[
    InstantUs | None, Query(description="Last close at or before this instant; a bare date means that day")
]
NUMBERS = [field.name for field in fields(BetaResult) if field.name != "warnings"]


@router.get(
    "/beta",
    response_model=schemas.Beta,
    responses=declared("not_found", "not_enough_data", "invalid_request"),
    summary="Beta to a benchmark",
)
def get_beta(
    store: StoreDep, index_id: IndexId, benchmark: BenchmarkParam = "QQQ", sessions: Sessions = 90, end: Until = None
) -> Response:
    """OLS beta over the last `sessions` returns between exchange closes, with standard error, interval, R² and n.

    `se` is the larger of the OLS and Newey-West errors. Too little data is 409 and says how much there is.
    """
    from indexer.statistics import index_beta

    index = read_index(store, index_id)
    found = index_beta(store, index_id, benchmark, sessions=sessions, end_us=end)
    return json_answer(
        {
            "index": index.id,
            "simulated": index.simulated,
            "benchmark": found.benchmark,
            "sessions": found.sessions,
            "first_time": from_us(found.first_us),
            "last_time": from_us(found.last_us),
            **{name: getattr(found.result, name) for name in NUMBERS},
            "warnings": list(found.result.warnings),
            "alignment": {
                "clock": found.clock,
                "calendar": found.calendar,
                "price_basis": found.price_basis,
                "pairs_dropped": found.pairs_dropped,
                "reasons": list(found.reasons),
            },
        }
    )


@router.get(
    "/beta/history",
    response_model=schemas.BetaHistory,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
        **declared("not_found", "not_enough_data", "invalid_request"),
    },
    summary="Rolling beta",
)
def list_beta_history(
    request: Request,
    store: StoreDep,
    index_id: IndexId,
    *,
    benchmark: BenchmarkParam = "QQQ",
    sessions: Sessions = 90,
    start: Start = None,
    end: End = None,
    shape: Annotated[Shape, Query(description="Form of data in JSON")] = Shape.ROWS,
    format: FormatParam = None,
) -> Response:
    """Beta over the `sessions` returns up to each close in [start, end), with its 95 % interval, oldest first.

    A close whose window is not complete has nulls.
    """
    from indexer.statistics import beta_history

    window = window_of(start, end)
    index = read_index(store, index_id)
    found = beta_history(store, index_id, benchmark, sessions=sessions, start_us=window.start_us, end_us=window.end_us)
    if wants_csv(request, format):
        return _csv(found, simulated=index.simulated)
    columns: dict[str, Any] = {"time": as_json_times(found.times_us), **_numbers(found)}
    return json_answer(
        {
            "index": index.id,
            "simulated": index.simulated,
            "benchmark": found.benchmark,
            "sessions": found.sessions,
            "shape": shape,
            "count": len(found.times_us),
            "data": columns if shape is Shape.COLUMNS else rows_of(columns),
        }
    )


def _numbers(found: BetaHistory) -> dict[str, F64]:
    from indexer.analytics.distributions import t_quantile

    rolling = found.rolling
    half = t_quantile(found.sessions - 2, 0.975) * rolling.se
    named = {"beta": rolling.beta, "se": rolling.se, "low": rolling.beta - half, "high": rolling.beta + half}
    named |= {"r2": rolling.r2, "alpha": rolling.alpha}
    return {name: np.ascontiguousarray(column) for name, column in named.items()}


def _csv(found: BetaHistory, *, simulated: bool) -> Answer:
    table: dict[str, Any] = {"time": iso_times(found.times_us).tolist()}
    table |= {name: column.tolist() for name, column in _numbers(found).items()}
    headers = {"X-Count": str(len(found.times_us))}
    if simulated:
        table["simulated"] = [True] * len(found.times_us)
        headers["X-Simulated"] = "true"
    return Answer(to_csv(table), media_type=CSV, headers=headers)
