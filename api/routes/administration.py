"""What makes the index a benchmark: explanations, announcements, the calendar, pro-formas, decisions, documents."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from api.answers.answer import Answer
from api.answers.params import IndexId, InstantUs
from api.answers.problems import declared
from api.answers.services import Services, ServicesDep, StoreDep
from api.schemas import administration as forms
from indexer.store.read import read_index
from indexer.store.read_administration import read_announcements, read_challenges, read_overrides
from indexer.times import DAY_US, to_us

router = APIRouter(tags=["administration"])
ICAL, RSS, HTML, TEXT, PDF = (
    "text/calendar; charset=utf-8",
    "application/rss+xml; charset=utf-8",
    "text/html; charset=utf-8",
    "text/plain; charset=utf-8",
    "application/pdf",
)
At = Annotated[InstantUs | None, Query(description="Instant of the level; the newest one when not given")]
AsOf = Annotated[InstantUs | None, Query(description="By what was published until then")]
MostSaid = Annotated[int, Query(ge=1, le=1000, description="Newest so many")]

Constituent = Annotated[
    str, Path(max_length=64, description="Symbol or name of a constituent, case ignored", examples=["TAO"])
]


class Paper(StrEnum):
    """A document made from the index's own data."""

    METHODOLOGY = "methodology"
    STATEMENT = "statement"
    FACTSHEET = "factsheet"


class PaperForm(StrEnum):
    """How a document is written; the page prints well, and the factsheet has a PDF of its own."""

    HTML = "html"
    TEXT = "text"


@router.get(
    "/v1/indices/{index_id}/explain",
    response_model=forms.ExplanationAnswer,
    responses=declared("not_found", "invalid_request"),
    summary="Why this level",
)
def explain_level(services: ServicesDep, index_id: IndexId, at: At = None, as_of: AsOf = None) -> Response:
    """The last level at or before `at` with everything it was computed from: units, divisor, each rate with every
    venue's quote and verdict, supplies with their origin, rules, run, revisions, hashes, and contributions to the
    move since the level before."""
    from api import desk

    store = services.store
    registry = desk.registry_for(store, services.settings)
    at_us = desk.FOREVER_US if at is None else at
    return Answer(desk.to_json(desk.explain(store, registry, index_id=index_id, at_us=at_us, as_of_us=as_of)))


@router.get(
    "/v1/indices/{index_id}/status",
    response_model=forms.StatusAnswer,
    responses=declared("not_found", "invalid_request"),
    summary="Where the index stands",
)
def index_status(services: ServicesDep, index_id: IndexId) -> Response:
    """State, constituents against the required minimum, planned changes of state, open challenges."""
    from api import desk

    return Answer(desk.to_json(desk.status_of(services.store, index_id, now=services.clock())))


@router.get(
    "/v1/indices/{index_id}/proforma",
    response_model=forms.ProFormaAnswer,
    responses=declared("not_found", "not_enough_data", "invalid_request"),
    summary="The next rebalance before it happens",
)
def index_pro_forma(
    services: ServicesDep,
    index_id: IndexId,
    notional_usd: Annotated[float | None, Query(ge=1, le=1e12, description="USD to trade, for days to trade")] = None,
) -> Response:
    """Weights, units, turnover and days to trade at the last known prices; 409 before the reference date."""
    from api import desk

    made = desk.pro_forma(
        services.store, services.settings, index_id=index_id, notional_usd=notional_usd, clock=services.clock
    )
    return Answer(desk.to_json(made))


@router.get(
    "/v1/indices/{index_id}/calendar",
    response_model=forms.CalendarAnswer,
    responses=declared("not_found", "not_enough_data", "invalid_request"),
    summary="Rebalance calendar",
)
def index_calendar(services: ServicesDep, index_id: IndexId) -> Response:
    """Reference, pro-forma and effective dates of the next 12 months. Also as .ics and .rss."""
    from api import desk

    rows = desk.as_rows(_entries(services, index_id))
    return Answer({"index": index_id, "count": len(rows), "data": rows})


@router.get(
    "/v1/indices/{index_id}/calendar.ics",
    response_class=Response,
    responses={
        200: {"content": {ICAL: {}}, "description": "iCalendar"},
        **declared("not_found", "not_enough_data", "invalid_request"),
    },
    summary="Rebalance calendar as iCalendar",
)
def index_calendar_ical(services: ServicesDep, index_id: IndexId) -> Response:
    """The same dates for a calendar program to subscribe to."""
    from api import desk

    text = desk.as_ical(_entries(services, index_id), name=f"{index_id}: rebalances", now=_today(services.clock()))
    return Answer(text.encode(), media_type=ICAL)


@router.get(
    "/v1/announcements",
    response_model=forms.AnnouncementList,
    responses=declared("not_found", "invalid_request"),
    summary="What users were told",
)
def list_announcements(
    store: StoreDep,
    index: Annotated[str | None, Query(max_length=64, description="Only of this index, and of all")] = None,
    kind: Annotated[str | None, Query(max_length=32, description="restatement, deferred, proforma, state, …")] = None,
    after: Annotated[int | None, Query(ge=0, description="Only after this number")] = None,
    limit: MostSaid = 100,
) -> Response:
    """Restatements, corrections not applied, pro-formas, changes in effect, states, overrides, challenges."""
    if index is not None:
        read_index(store, index)
    rows = read_announcements(store, index_id=index, kind=kind, after_id=after, limit=limit)
    return Answer({"count": len(rows), "data": [forms.announcement(row) for row in rows]})


@router.get(
    "/v1/announcements.rss",
    response_class=Response,
    responses={200: {"content": {RSS: {}}, "description": "RSS 2.0"}, **declared("not_found", "invalid_request")},
    summary="What users were told, as RSS",
)
def announcements_rss(
    services: ServicesDep,
    index: Annotated[str | None, Query(max_length=64, description="Only of this index, and of all")] = None,
) -> Response:
    """The newest 100 announcements as a feed."""
    from api import desk

    if index is not None:
        read_index(services.store, index)
    rows = read_announcements(services.store, index_id=index, limit=100)
    newest = rows[0].published_at if rows else _today(services.clock())
    text = desk.as_rss(rows, title=f"DeAI Index: announcements{f' of {index}' if index else ''}", link="/", now=newest)
    return Answer(text.encode(), media_type=RSS)


@router.get("/v1/overrides", response_model=forms.OverrideList, responses=declared(), summary="Decisions of people")
def list_overrides(store: StoreDep) -> Response:
    """Every override ever proposed: reason, proposer, approver, window; public by rule."""
    rows = read_overrides(store)
    return Answer({"count": len(rows), "data": [forms.override(row) for row in rows]})


@router.get("/v1/challenges", response_model=forms.ChallengeList, responses=declared(), summary="Challenged levels")
def list_challenges(store: StoreDep) -> Response:
    """Every challenge with its outcome; the frozen inputs are at their hash."""
    rows = read_challenges(store)
    return Answer({"count": len(rows), "data": [forms.challenge(row) for row in rows]})


@router.get("/v1/actions", response_model=forms.ActionList, responses=declared(), summary="Corporate actions of tokens")
def list_actions(services: ServicesDep) -> Response:
    """The dated log of corporate actions, each with its treatment and source."""
    from api import desk

    registry = desk.registry_for(services.store, services.settings)
    log = desk.load_event_log(registry, folder=services.settings.methodology_dir)
    data = [{**desk.to_json(event), "treated": desk.to_json(event.treated)} for event in log.events]
    return Answer({"count": len(data), "hash": log.hash, "data": data})


@router.get(
    "/v1/indices/{index_id}/documents/{paper}",
    response_class=Response,
    responses={
        200: {"content": {HTML: {}, TEXT: {}}, "description": "The document"},
        **declared("not_found", "not_enough_data", "invalid_request"),
    },
    summary="Methodology page, benchmark statement, factsheet",
)
def index_document(
    services: ServicesDep,
    index_id: IndexId,
    paper: Annotated[Paper, Path(description="methodology, statement or factsheet")],
    form: Annotated[PaperForm, Query(alias="format", description="html or text")] = PaperForm.HTML,
) -> Response:
    """A document made from the rules, levels and ledgers as they are now."""
    from api import desk

    made = desk.make_document(
        services.store, services.settings, index_id=index_id, kind=paper.value, now=services.clock()
    )
    if form is PaperForm.TEXT:
        return Answer(desk.as_text(made).encode(), media_type=TEXT)
    return Answer(desk.as_html(made).encode(), media_type=HTML)


@router.get(
    "/v1/indices/{index_id}/factsheet.pdf",
    response_class=Response,
    responses={
        200: {"content": {PDF: {}}, "description": "One page"},
        **declared("not_found", "not_enough_data", "invalid_request"),
    },
    summary="Factsheet as PDF",
)
def index_factsheet(services: ServicesDep, index_id: IndexId, at: At = None) -> Response:
    """Figures, chart and constituents on one page."""
    return _pdf(services, index_id, at=at)


@router.get(
    "/v1/indices/{index_id}/constituents/{symbol}/factsheet",
    response_class=Response,
    responses={
        200: {"content": {HTML: {}, TEXT: {}}, "description": "The factsheet"},
        **declared("not_found", "not_enough_data", "invalid_request"),
    },
    summary="Factsheet of a constituent",
)
def constituent_factsheet(
    services: ServicesDep,
    index_id: IndexId,
    symbol: Constituent,
    at: At = None,
    form: Annotated[PaperForm, Query(alias="format", description="html or text")] = PaperForm.HTML,
) -> Response:
    """One token of the index: price with every venue's quote, weight, supply with its origin, reviews, chart."""
    from api import desk

    at_us = desk.FOREVER_US if at is None else at
    made = desk.as_document(
        desk.make_sheet(services.store, services.settings, index_id=index_id, token=symbol, at_us=at_us)
    )
    if form is PaperForm.TEXT:
        return Answer(desk.as_text(made).encode(), media_type=TEXT)
    return Answer(desk.as_html(made).encode(), media_type=HTML)


@router.get(
    "/v1/indices/{index_id}/constituents/{symbol}/factsheet.pdf",
    response_class=Response,
    responses={
        200: {"content": {PDF: {}}, "description": "One page"},
        **declared("not_found", "not_enough_data", "invalid_request"),
    },
    summary="Factsheet of a constituent as PDF",
)
def constituent_factsheet_pdf(services: ServicesDep, index_id: IndexId, symbol: Constituent, at: At = None) -> Response:
    """The same on one page."""
    return _pdf(services, index_id, token=symbol, at=at)


def _pdf(services: Services, index_id: str, *, token: str = "", at: int | None = None) -> Response:
    from api import desk

    at_us = desk.FOREVER_US if at is None else at
    made = desk.make_sheet(services.store, services.settings, index_id=index_id, token=token, at_us=at_us)
    return Answer(desk.as_pdf(made, now=services.clock()), media_type=PDF, compress=False)


def _entries(services: Services, index_id: str) -> list[Any]:
    from api import desk

    methodology = desk.methodology_of(services.store, services.settings, index_id=index_id)
    start = to_us(_today(services.clock()))
    return desk.entries(methodology, start_us=start, end_us=start + 366 * DAY_US)


def _today(now: datetime) -> datetime:
    """The beginning of the day: the same answer all day, so that caches hold."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
