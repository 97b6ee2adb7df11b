"""A supposed move of a benchmark, the record of such predictions, and a hedge with what it removed out of sample."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers.answer import as_file, csv_answer
from api.answers.params import FormatParam, IndexId, wants_csv
from api.answers.problems import declared
from api.answers.schemas import of_index
from api.answers.services import StoreDep
from api.routes.statistics import BenchmarkParam, Sessions, Until, study_answer
from indexer.store.indices import read_index
from indexer.studies.scenario import (
    SESSIONS,
    Hedge,
    Scenario,
    ScenarioRecord,
    scenario_record,
    study_hedge,
    study_scenario,
)
from indexer.times import from_us

router = APIRouter(
    prefix="/v1/indices/{index_id}", tags=["statistics"], responses=declared("not_found", "not_enough_data")
)


@router.get("/scenario", response_model=of_index(Scenario), summary="What a move of a benchmark may do")
def get_scenario(
    store: StoreDep,
    index_id: IndexId,
    *,
    move: Annotated[
        float,
        Query(gt=-1.0, le=10.0, description="The benchmark's move in one session: -0.17 is -17 %", examples=[-0.17]),
    ],
    benchmark: BenchmarkParam = "QQQ",
    sessions: Sessions = SESSIONS,
    end: Until = None,
) -> Response:
    """The index's expected move and its 90 % prediction interval, and how often such intervals held out of sample.

    By least squares on the `sessions` returns between closes before it. All moves are simple returns.
    """
    return study_answer(
        store, index_id, study_scenario(store, index_id, benchmark, move, sessions=sessions, end_us=end)
    )


@router.get(
    "/scenario/record",
    response_model=of_index(ScenarioRecord),
    responses=as_file("text/csv"),
    summary="How such predictions did",
)
def get_scenario_record(
    request: Request,
    store: StoreDep,
    index_id: IndexId,
    *,
    benchmark: BenchmarkParam = "QQQ",
    sessions: Sessions = SESSIONS,
    end: Until = None,
    format: FormatParam = None,
) -> Response:
    """Every session predicted by the `sessions` before it, given the benchmark's move, and what the index did.

    Computed from the stored levels and closes whenever they change; `realised` scores the whole.
    """
    record = scenario_record(store, index_id, benchmark, sessions=sessions, end_us=end)
    if not wants_csv(request, format):
        return study_answer(store, index_id, record)
    names = ("move", "expected", "low", "high", "actual", "inside")
    columns = {name: [getattr(row, name) for row in record.rows] for name in names}
    times = [from_us(row.time_us) for row in record.rows]
    return csv_answer({"time": times, **columns}, simulated=read_index(store, index_id).simulated)


@router.get("/hedge", response_model=of_index(Hedge), summary="How much to sell against the index")
def get_hedge(
    store: StoreDep,
    index_id: IndexId,
    *,
    notional: Annotated[float, Query(gt=0.0, le=1e15, description="USD in the index", examples=[100_000.0])],
    instrument: Annotated[str, Query(max_length=64, description="A benchmark, or NQ or MNQ futures")] = "QQQ",
    sessions: Sessions = SESSIONS,
    end: Until = None,
) -> Response:
    """Units of shares or futures, with the share of the index's variance that such a hedge removed out of sample.

    `verdict` is usable, doubtful where it failed on the 25 largest moves of the benchmark, or refused where it
    failed over all sessions: then there are no units.
    """
    return study_answer(
        store, index_id, study_hedge(store, index_id, instrument, notional, sessions=sessions, end_us=end)
    )
