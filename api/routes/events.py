"""Event studies of an index: which events there are for it, and what each one did."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.params import IndexId
from api.answers.problems import declared
from api.answers.services import Services, ServicesDep, StoreDep
from api.schemas.base import OfIndex
from api.schemas.studies import of_index
from indexer.analytics.catalogue import Event
from indexer.arrays import to_json
from indexer.store.read import read_index
from indexer.studies.events import EventStudy, load_events

router = APIRouter(prefix="/v1/indices/{index_id}", tags=["statistics"])
Factors = Annotated[
    str,
    Query(
        description="Market models, separated by semicolons; each a list of benchmarks, or tokens such as btc",
        examples=["QQQ;QQQ,btc"],
        max_length=200,
    ),
]
FirstInterval = Annotated[int, Query(ge=-60, le=0, description="First interval of the window, from the event's own")]
LastInterval = Annotated[int, Query(ge=0, le=60, description="Last interval of the window")]
Estimation = Annotated[int, Query(ge=30, le=1000, description="Intervals that the market model is estimated on")]


class EventsOfIndex(OfIndex):
    """The events that can be studied, oldest first; `covered` says whether the index's life holds the event."""

    count: int
    data: list[dict[str, Any]]


@router.get(
    "/events", response_model=EventsOfIndex, responses=declared("not_found", "not_enough_data"), summary="Its events"
)
def list_index_events(services: ServicesDep, store: StoreDep, index_id: IndexId) -> Response:
    """The shipped, sourced events, those of the store and the operator's own, and whether the index covers them."""
    from indexer.studies.series import index_series

    index = read_index(store, index_id)
    own = index_series(store, index_id)
    data = [
        {**to_json(one, wire=True), "covered": bool(own.times_us[0] < one.at_us <= own.times_us[-1])}
        for one in _events(services).values()
    ]
    return Answer({"index": index.id, "simulated": index.simulated, "count": len(data), "data": data})


@router.get(
    "/events/{event}",
    response_model=of_index(EventStudy),
    responses=declared("not_found", "not_enough_data", "invalid_request"),
    summary="Event study",
)
def get_event_study(
    services: ServicesDep,
    store: StoreDep,
    index_id: IndexId,
    event: Annotated[str, Path(max_length=64, description="Id of an event", examples=["deepseek"])],
    *,
    factors: Factors = "QQQ;QQQ,btc",
    first: FirstInterval = -1,
    last: LastInterval = 5,
    estimation: Estimation = 120,
    clock: Annotated[Literal["at_close", "hourly_utc", "nq_hours"], Query(description="Sampling clock")] = "at_close",
) -> Response:
    """Abnormal returns of the index, the other indices and the members of that day, with their errors and tests.

    The estimation window ends 11 intervals before the
    event, or where the earliest window begins.
    """
    from indexer.analytics.event_study import EventWindows
    from indexer.studies.events import study_event

    index = read_index(store, index_id)
    models = [[name.strip() for name in one.split(",") if name.strip()] for one in factors.split(";")]
    found = study_event(
        store,
        index_id,
        event,
        events=_events(services),
        models=models,
        windows=EventWindows(first, last, estimation, min(first - 10, -11)),
        clock=clock,
    )
    return Answer({"index": index.id, "simulated": index.simulated, **to_json(found, wire=True)})


def _events(services: Services) -> dict[str, Event]:
    return load_events(services.store, services.settings.data_dir)
