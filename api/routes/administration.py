"""What makes the index a benchmark: explanations, announcements, the calendar, pro-formas, decisions, documents."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from api.answers.answer import Answer, as_file, file_of
from api.answers.params import LATEST_US, IndexId, InstantUs
from api.answers.problems import declared, problem
from api.answers.schemas import list_of, made_of, to_wire, wire_model
from api.answers.services import Services, ServicesDep, StoreDep
from api.middleware.requests import DOCUMENT_POLICY
from indexer.administration.calendar import Entry, as_ical, as_rss, entries
from indexer.administration.explain import Explanation, explain
from indexer.arrays import to_json
from indexer.errors import NotEnoughDataError
from indexer.levels.lifecycle import IndexStatus, status_of
from indexer.levels.proforma import ProForma
from indexer.methodology.actions import CorporateAction, Treatment, load_event_log
from indexer.store.administration import read_announcements, read_overrides
from indexer.store.indices import read_index
from indexer.store.rows import AnnouncementRow, OverrideRow
from indexer.times import DAY_US, to_us

if TYPE_CHECKING:
    from indexer.studies.report.blocks import Document

router = APIRouter(prefix="/v1", tags=["administration"], responses=declared("not_found", "not_enough_data"))
ICAL, RSS, HTML, TEXT, PDF = (
    "text/calendar; charset=utf-8",
    "application/rss+xml; charset=utf-8",
    "text/html; charset=utf-8",
    "text/plain; charset=utf-8",
    "application/pdf",
)
ExplanationAnswer = wire_model(Explanation, "ExplanationAnswer")
StatusAnswer = wire_model(IndexStatus, "StatusAnswer")
ProFormaAnswer = wire_model(ProForma, "ProFormaAnswer")
CalendarAnswer = list_of("CalendarAnswer", wire_model(Entry, "CalendarEntry"), index=str)
AnnouncementItem = wire_model(AnnouncementRow, "AnnouncementItem", without=("key",))
AnnouncementList = list_of("AnnouncementList", AnnouncementItem)
OverrideItem = wire_model(OverrideRow, "OverrideItem")
OverrideList = list_of("OverrideList", OverrideItem)
ActionItem = made_of(
    "ActionItem", {"treated": wire_model(Treatment)}, base=wire_model(CorporateAction), doc=CorporateAction.__doc__
)
ActionList = list_of("ActionList", ActionItem, hash=str)
NO_CHALLENGES = (
    "Challenges are no longer kept here: a doubt about a level is answered by /v1/indices/<id>/explain and, when it "
    "holds, by a restatement in /v1/announcements"
)
At = Annotated[InstantUs | None, Query(description="Instant of the level; the newest one when not given")]
AsOf = Annotated[InstantUs | None, Query(description="By what was published until then")]
Newest = Annotated[int, Query(ge=1, le=1000, description="Newest so many")]

Constituent = Annotated[
    str, Path(max_length=64, description="Symbol or name of a constituent, case ignored", examples=["TAO"])
]


class DocumentKind(StrEnum):
    """A document made from the index's own data."""

    METHODOLOGY = "methodology"
    STATEMENT = "statement"
    FACTSHEET = "factsheet"


class DocumentForm(StrEnum):
    """How a document is written; the page prints well, and the factsheet has a PDF of its own."""

    HTML = "html"
    TEXT = "text"


IndexFilter = Annotated[str | None, Query(max_length=64, description="Only of this index, and of all")]
FormParam = Annotated[DocumentForm, Query(alias="format", description="html or text")]
DOCUMENT: dict[str, Any] = {"response_class": Response, "responses": as_file(HTML, TEXT, description="The document")}


@router.get("/indices/{index_id}/explain", response_model=ExplanationAnswer, summary="Why this level")
def explain_level(services: ServicesDep, index_id: IndexId, at: At = None, as_of: AsOf = None) -> Response:
    """The last level at or before `at` with everything it was computed from: units, divisor, each rate with every
    venue's quote and verdict, supplies with their origin, rules, run, revisions, hashes, and contributions to the
    move since the level before."""
    from indexer.levels.published import registry_for

    store, at_us = services.store, LATEST_US if at is None else at
    registry = registry_for(store, services.settings)
    return Answer(to_json(explain(store, registry, index_id=index_id, at_us=at_us, as_of_us=as_of)))


@router.get("/indices/{index_id}/status", response_model=StatusAnswer, summary="Where the index stands")
def index_status(services: ServicesDep, index_id: IndexId) -> Response:
    """State, constituents against the required minimum, planned changes of state."""
    return Answer(to_json(status_of(services.store, index_id, now=services.clock())))


@router.get(
    "/indices/{index_id}/proforma",
    response_model=ProFormaAnswer,
    summary="The next rebalance before it happens",
)
def index_pro_forma(
    services: ServicesDep,
    index_id: IndexId,
    notional_usd: Annotated[float | None, Query(ge=1, le=1e12, description="USD to trade, for days to trade")] = None,
) -> Response:
    """Weights, units, turnover and days to trade at the last known prices; 409 before the reference date."""
    from indexer.workflow.work import pro_forma

    def read() -> ProForma | NotEnoughDataError:
        settings, clock = services.settings, services.clock
        try:
            return pro_forma(services.store, settings, index_id=index_id, notional_usd=notional_usd, clock=clock)
        except NotEnoughDataError as error:  # which costs as much to find out
            return error

    to_come = services.cache.read_once(("pro-forma", index_id, notional_usd), read)
    if isinstance(to_come, NotEnoughDataError):
        raise NotEnoughDataError(str(to_come))
    return Answer(to_json(to_come))


@router.get("/indices/{index_id}/calendar", response_model=CalendarAnswer, summary="Rebalance calendar")
def index_calendar(services: ServicesDep, index_id: IndexId) -> Response:
    """Reference, pro-forma and effective dates of the next 12 months. Also as .ics and .rss."""
    planned = _entries(services, index_id)
    return Answer({"index": index_id, "count": len(planned), "data": to_json(planned)})


@router.get("/indices/{index_id}/calendar.ics", **file_of(ICAL, "iCalendar"), summary="Rebalance calendar as iCalendar")
def index_calendar_ical(services: ServicesDep, index_id: IndexId) -> Response:
    """The same dates for a calendar program to subscribe to."""
    text = as_ical(_entries(services, index_id), name=f"{index_id}: rebalances", now=_today(services.clock()))
    return Answer(text.encode(), media_type=ICAL)


@router.get("/announcements", response_model=AnnouncementList, summary="What users were told")
def list_announcements(
    store: StoreDep,
    index: IndexFilter = None,
    kind: Annotated[str | None, Query(max_length=32, description="restatement, deferred, proforma, state, …")] = None,
    after: Annotated[int | None, Query(ge=0, description="Only after this number")] = None,
    limit: Newest = 100,
) -> Response:
    """Restatements, corrections not applied, pro-formas, changes in effect, states, overrides."""
    if index is not None:
        read_index(store, index)
    rows = read_announcements(store, index_id=index, kind=kind, after_id=after, limit=limit)
    return Answer({"count": len(rows), "data": [to_wire(row, AnnouncementItem) for row in rows]})


@router.get("/announcements.rss", **file_of(RSS, "RSS 2.0"), summary="What users were told, as RSS")
def announcements_rss(
    services: ServicesDep,
    index: IndexFilter = None,
) -> Response:
    """The newest 100 announcements as a feed."""
    if index is not None:
        read_index(services.store, index)
    rows = read_announcements(services.store, index_id=index, limit=100)
    newest = rows[0].published_at if rows else _today(services.clock())
    text = as_rss(rows, title=f"DeAI Index: announcements{f' of {index}' if index else ''}", link="/", now=newest)
    return Answer(text.encode(), media_type=RSS)


@router.get("/overrides", response_model=OverrideList, summary="Decisions of people")
def list_overrides(store: StoreDep) -> Response:
    """Every override ever proposed: reason, who decided, window; public by rule."""
    rows = read_overrides(store)
    return Answer({"count": len(rows), "data": [to_wire(row, OverrideItem) for row in rows]})


@router.get("/challenges", include_in_schema=False)
def list_challenges(request: Request) -> Response:
    """What there was once."""
    return problem(request.scope, "gone", detail=NO_CHALLENGES)


@router.get("/actions", response_model=ActionList, summary="Corporate actions of tokens")
def list_actions(services: ServicesDep) -> Response:
    """The dated log of corporate actions, each with its treatment and source."""
    from indexer.levels.published import registry_for

    registry = registry_for(services.store, services.settings)
    log = load_event_log(registry, folder=services.settings.methodology_dir)
    data = [{**to_json(event), "treated": to_json(event.treated)} for event in log.events]
    return Answer({"count": len(data), "hash": log.hash, "data": data})


@router.get(
    "/indices/{index_id}/documents/{paper}",
    **DOCUMENT,
    summary="Methodology page, benchmark statement, factsheet",
)
def index_document(
    services: ServicesDep,
    index_id: IndexId,
    paper: Annotated[DocumentKind, Path(description="methodology, statement or factsheet")],
    form: FormParam = DocumentForm.HTML,
) -> Response:
    """A document made from the rules, levels and ledgers as they are now."""
    from indexer.administration.documents import make_document

    store, settings, now = services.store, services.settings, services.clock()
    return _written(make_document(store, settings, index_id=index_id, kind=paper.value, now=now), form)


@router.get("/indices/{index_id}/factsheet.pdf", **file_of(PDF, "One page"), summary="Factsheet as PDF")
def index_factsheet(services: ServicesDep, index_id: IndexId, at: At = None) -> Response:
    """Figures, chart and constituents on one page."""
    return _pdf(services, index_id, at=at)


@router.get("/indices/{index_id}/constituents/{symbol}/factsheet", **DOCUMENT, summary="Factsheet of a constituent")
def constituent_factsheet(
    services: ServicesDep,
    index_id: IndexId,
    symbol: Constituent,
    at: At = None,
    form: FormParam = DocumentForm.HTML,
) -> Response:
    """One token of the index: price with every venue's quote, weight, supply with its origin, reviews, chart."""
    return _written(_factsheet(services, index_id, token=symbol, at=at), form)


@router.get(
    "/indices/{index_id}/constituents/{symbol}/factsheet.pdf",
    **file_of(PDF, "One page"),
    summary="Factsheet of a constituent as PDF",
)
def constituent_factsheet_pdf(services: ServicesDep, index_id: IndexId, symbol: Constituent, at: At = None) -> Response:
    """The same on one page."""
    return _pdf(services, index_id, token=symbol, at=at)


def _pdf(services: Services, index_id: str, *, token: str = "", at: int | None = None) -> Response:
    from indexer.studies.report.pdf import as_pdf

    document = _factsheet(services, index_id, token=token, at=at)
    return Answer(services.pictures.run(as_pdf, document), media_type=PDF, compress=False)


def _factsheet(services: Services, index_id: str, *, token: str, at: int | None) -> Document:
    from indexer.administration.documents import make_factsheet

    at_us = LATEST_US if at is None else at
    return make_factsheet(services.store, services.settings, index_id=index_id, token=token, at_us=at_us)


def _written(document: Document, form: DocumentForm) -> Response:
    from indexer.studies.report.blocks import STYLE, as_html, as_text

    if form is DocumentForm.TEXT:
        return Answer(as_text(document).encode(), media_type=TEXT)
    style = b64encode(sha256(STYLE.read_bytes()).digest()).decode()
    policy = {"Content-Security-Policy": DOCUMENT_POLICY.format(style)}
    return Answer(as_html(document).encode(), media_type=HTML, headers=policy)


def _entries(services: Services, index_id: str) -> list[Entry]:
    from indexer.levels.published import methodology_of

    methodology = methodology_of(services.store, services.settings, index_id=index_id)
    start = to_us(_today(services.clock()))
    return entries(methodology, start_us=start, end_us=start + 366 * DAY_US)


def _today(now: datetime) -> datetime:
    """The beginning of the day: the same answer all day, so that caches hold."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
