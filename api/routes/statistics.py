"""Beta of an index to a benchmark, its history, what a move of the benchmark may do, and a hedge. As in Python."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import OPEN, Answer, as_file, csv_answer, file_of, table_answer
from api.answers.encode import iso_times
from api.answers.params import FormatParam, IndexId, InstantUs, Shape, ShapeParam, WindowParam, wants_csv
from api.answers.problems import declared
from api.answers.schemas import OfIndex, Wire, columns_of, of_index, wire_model
from api.answers.services import KnownStore
from indexer.analytics.align import Clock
from indexer.analytics.beta import BetaPath, Method
from indexer.arrays import F64, to_json
from indexer.client import models as client
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.studies.compare import BetaComparison, ConstituentBetas
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

if TYPE_CHECKING:
    from indexer.studies import beta

router = APIRouter(
    prefix="/v1/indices/{index_id}", tags=["statistics"], responses=declared("not_found", "not_enough_data")
)


Beta = wire_model(client.Beta)


class BetaPoint(Wire):
    """Beta over the window that ends at a close; nulls where the window is not complete."""

    time: datetime
    beta: float | None
    se: float | None
    low: float | None = Field(description="Lower end of the 95 % interval")
    high: float | None = Field(description="Upper end of the 95 % interval")
    r2: float | None
    alpha: float | None


BetaColumns = columns_of(BetaPoint, name="BetaColumns")


class BetaHistory(OfIndex):
    """Rolling beta, oldest first."""

    benchmark: str
    sessions: int
    kind: str = Field(description="rolling, ewma, kalman (filtered), kalman_smoothed, upside, downside or quantile")
    hindsight: bool = Field(description="True when a row uses data later than itself")
    first_session: datetime | None = Field(description="Of the rows that have a beta")
    last_session: datetime | None
    n: int = Field(description="Rows that have a beta")
    stale_days: int | None = Field(description="Calendar days from last_session to the newest level")
    shape: str
    count: int
    data: list[BetaPoint] | BetaColumns  # type: ignore[valid-type]  # made from the points


BenchmarkParam = Annotated[str, Query(max_length=64, description="Symbol of a benchmark, or a token", examples=["QQQ"])]
Sessions = Annotated[int, Query(ge=20, le=2500, description="Exchange sessions in the window")]
Until = Annotated[
    InstantUs | None, Query(description="Last close at or before this instant; a bare date means that day")
]


MethodParam = Annotated[
    Method, Query(description="How beta is estimated. multi: all benchmarks together, beta is that of the first")
]
ClockParam = Annotated[
    Clock, Query(description="Instants of the returns. date_join is the naive join of dates, to compare with")
]


Tau = Annotated[float, Query(gt=0.0, lt=1.0, description="Of quantile: 0.1 is the lower tail")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaQuery:
    """Which beta."""

    benchmark: BenchmarkParam = "QQQ"
    sessions: Sessions = 90
    end: Until = None
    method: MethodParam = Method.OLS
    clock: ClockParam = Clock.AT_CLOSE
    confidence: Annotated[float, Query(ge=0.5, le=0.999, description="Of the intervals")] = 0.95
    decay: Annotated[float, Query(gt=0.5, lt=1.0, description="Of ewma")] = 0.94
    tau: Tau = 0.5
    span: Annotated[int, Query(ge=1, le=5, description="Lags and leads of dimson")] = 1
    bootstrap: Annotated[bool, Query(description="With a stationary-bootstrap interval")] = False

    def of(self, store: Store, subject: str) -> dict[str, Any]:
        """The beta of an index or token as it goes over the wire."""
        from indexer.studies.beta import flat_beta, index_beta
        from indexer.studies.methods import Options

        options = Options(confidence=self.confidence, decay=self.decay, tau=self.tau, span=self.span)
        estimate = index_beta(
            store,
            subject,
            names_in(self.benchmark),
            method=self.method,
            clock=self.clock,
            sessions=self.sessions,
            end_us=self.end,
            options=options,
            bootstrap=self.bootstrap,
        )
        return flat_beta(estimate)


AskedBeta = Annotated[BetaQuery, Depends()]


@router.get("/beta", response_model=Beta, summary="Beta to a benchmark")
def get_beta(store: KnownStore, index_id: IndexId, asked: AskedBeta) -> Response:
    """Beta over the last `sessions` returns between exchange closes, with standard error, interval, R² and n.

    By default least squares; its `se` is the larger of the OLS and Newey-West errors. Several benchmarks (comma
    separated) need method=multi. What a method does not give is null; `detail` has what only it gives. Too little
    data is 409 and says how much there is.
    """
    index = read_index(store, index_id)
    return Answer({"index": index.id, "simulated": index.simulated, **asked.of(store, index_id)})


@router.get(
    "/beta/pairs.csv",
    **file_of("text/csv", "date,start,end,log_return,benchmark_log_return"),
    summary="The pairs of returns behind a beta",
)
def beta_pairs_csv(
    store: KnownStore,
    index_id: IndexId,
    *,
    benchmark: BenchmarkParam = "QQQ",
    sessions: Annotated[int, Query(ge=0, le=2500, description="Pairs in the window; 0 is all there are")] = 90,
    end: Until = None,
    clock: ClockParam = Clock.AT_CLOSE,
) -> Response:
    """Both log returns of each interval as /beta uses them with the same parameters, oldest first.

    `date` is the day that an interval ends in: the session's own date for returns between closes.
    """
    from indexer.studies.beta import beta_pairs

    index = read_index(store, index_id)
    pairs = beta_pairs(store, index_id, benchmark, clock=clock, sessions=sessions or None, end_us=end)
    columns = {
        "date": np.datetime_as_string((pairs.times_us - 1).astype("datetime64[us]"), unit="D"),
        "start": iso_times(pairs.starts_us),
        "end": iso_times(pairs.times_us),
        "log_return": pairs.y,
        "benchmark_log_return": pairs.x[:, 0],
    }
    return csv_answer(columns, simulated=index.simulated)


@router.get("/beta/compare", response_model=of_index(BetaComparison), summary="Betas side by side")
def compare_beta(
    store: KnownStore,
    index_id: IndexId,
    *,
    benchmarks: Annotated[str, Query(max_length=200, description="Symbols, comma separated")] = "QQQ,NVDA,SMH",
    others: Annotated[str, Query(max_length=200, description="More indices or tokens beside it")] = "",
    sessions: Annotated[int, Query(ge=0, le=2500, description="Sessions in the window; 0 is all there are")] = 90,
    end: Until = None,
) -> Response:
    """Each subject beside each benchmark: at the close, by the naive join of dates, and from daily bars with Dimson.

    The naive rows are there to be seen beside the others and are marked. A cell without data says why.
    """
    from indexer.studies.compare import compare_betas

    subjects = [index_id, *names_in(others)]
    comparison = compare_betas(store, subjects, names_in(benchmarks), sessions=sessions or None, end_us=end)
    return study_answer(store, index_id, comparison)


@router.get("/beta/constituents", response_model=of_index(ConstituentBetas), summary="Betas of the constituents")
def list_constituent_betas(
    store: KnownStore, index_id: IndexId, benchmark: BenchmarkParam = "QQQ", sessions: Sessions = 250, end: Until = None
) -> Response:
    """The members of that instant, each with its beta, Blume's, and Vasicek's shrunk to the members' own spread."""
    from indexer.studies.compare import constituent_betas

    return study_answer(store, index_id, constituent_betas(store, index_id, benchmark, sessions=sessions, end_us=end))


@router.get("/beta/history", response_model=BetaHistory, responses=as_file("text/csv"), summary="Rolling beta")
def list_beta_history(
    request: Request,
    store: KnownStore,
    index_id: IndexId,
    *,
    benchmark: BenchmarkParam = "QQQ",
    sessions: Sessions = 90,
    window: WindowParam,
    shape: ShapeParam = Shape.ROWS,
    format: FormatParam = None,
    kind: Annotated[
        BetaPath,
        Query(
            description="rolling least squares; ewma; kalman, filtered: known then; kalman_smoothed is hindsight over "
            "the whole sample; upside, downside and quantile of each window"
        ),
    ] = BetaPath.ROLLING,
    tau: Tau = 0.5,
) -> Response:
    """Beta over the `sessions` returns up to each close in [start, end), with its 95 % interval, oldest first.

    A close whose window is not complete has nulls. `hindsight` is true for the smoothed path only.
    """
    from indexer.studies.beta import beta_history

    index = read_index(store, index_id)
    history = beta_history(
        store,
        index_id,
        benchmark,
        sessions=sessions,
        start_us=window.start,
        end_us=window.end,
        kind=kind,
        tau=tau,
    )
    head = {"index": index.id, "simulated": index.simulated, **{name: getattr(history, name) for name in ABOUT}}
    columns = {"time": history.times_us, **_numbers(history)}
    return table_answer(request, {**head, **history.span, "shape": shape}, columns, format=format, shape=shape)


ABOUT = ("benchmark", "sessions", "kind", "hindsight")


def _numbers(history: beta.BetaHistory) -> dict[str, F64]:
    low, high = history.interval()
    columns = {"low": low, "high": high}
    columns |= {name: getattr(history.rolling, name) for name in ("beta", "se", "r2", "alpha")}
    return {name: np.ascontiguousarray(columns[name]) for name in BetaPoint.model_fields if name in columns}


def names_in(text: str) -> list[str]:
    """The names of a list that is written with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def study_answer(store: Store, index_id: str, study: Any, *, cache_control: str = OPEN) -> Answer:
    """The result of a study of an index, with which index it is about."""
    index = read_index(store, index_id)
    body = {"index": index.id, "simulated": index.simulated, **to_json(study, wire=True)}
    return Answer(body, cache_control=cache_control)


@router.get("/scenario", response_model=of_index(Scenario), summary="What a move of a benchmark may do")
def get_scenario(
    store: KnownStore,
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
    store: KnownStore,
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
    store: KnownStore,
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
