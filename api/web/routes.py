"""The pages: all indices, one index, an event, the rules, the reference of the API, each problem's `type`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
from fastapi import APIRouter, Request
from markupsafe import Markup
from numpy.typing import NDArray
from starlette.responses import FileResponse, Response

from api.answers.answer import Answer
from api.answers.problems import CATALOGUE
from api.answers.services import ServicesDep, StoreDep
from api.routes.indices import latest_or_none
from api.web.first_view import QQQ, SESSIONS, rows_of, usual_clock
from api.web.pages import Tab, filled, level_texts, page_answer, why_of
from indexer.errors import NotFoundError
from indexer.store.db import Store
from indexer.store.indices import read_index, read_indices
from indexer.store.levels import read_latest_level, read_levels
from indexer.store.rows import IndexRow
from indexer.studies.catalogue import find_event, load_events
from indexer.times import DAY_US, to_us

HERE = Path(__file__).parent
FLAGSHIP = "deai"
SPARK_DAYS = 90
WIDTH, HEIGHT = 120, 32
CHANGES = {"d1": "24 h", "d7": "7 d", "d30": "30 d", "d365": "1 y"}
LONGER = ("d7", "d30", "d365")  # left out on a phone
MINUS, DASH = "\u2212", "–"
OWN_NAME = re.compile(r"^DeAI |\bIndex\b")
router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, services: ServicesDep) -> Response:
    """All indices where there are several, else the page of the one there is."""
    known = [row.id for row in in_order(services.store)]
    if sum(read_latest_level(services.store, index_id) is not None for index_id in known) > 1:
        return overview_page(request, services)
    return page(request, services.store, known[0] if known else FLAGSHIP)


@router.get("/indices/{index_id}")
def index_page(request: Request, store: StoreDep, index_id: str) -> Response:
    """The page of one index."""
    read_index(store, index_id)
    return page(request, store, index_id)


@router.get("/events/{slug}")
def event_page(request: Request, services: ServicesDep, store: StoreDep, slug: str, index: str = FLAGSHIP) -> Response:
    """What an index did around an event. Its tabs leave out the FOMC decisions, which are many."""
    read_index(store, index)
    events = load_events(store, services.settings.data_dir)
    event = find_event(events, slug)
    places = [
        (f"events/{other.id}?index={quote(index)}", other.name, other.id == slug)
        for other in events.values()
        if other.kind != "fomc" or other.id == slug
    ]
    sources = "; ".join(event.sources)
    texts = {"slug": slug, "index": index, "title": event.name, "note": event.note, "sources": sources}
    return page_answer(filled("event.html", request, **texts, tabs=places))


@router.get("/methodology/{index_id}")
def methodology_page(request: Request, services: ServicesDep, index_id: str) -> Response:
    """The rules of an index in words."""
    from indexer.administration.documents import make_document
    from indexer.studies.report.blocks import body_of

    store, now = services.store, services.clock()
    document = make_document(store, services.settings, index_id=index_id, kind="methodology", now=now)
    places = [(f"methodology/{row.id}", short_name(row), row.id == index_id) for row in in_order(store)]
    texts = {"index": index_id, "title": document.title, "body": Markup(body_of(document))}
    return page_answer(filled("document.html", request, **texts, tabs=places))


@router.get("/favicon.ico")
def favicon() -> Response:
    """The icon, for what asks for it by habit: a browser that shows an answer or a picture by itself."""
    return FileResponse(HERE / "static" / "icon.svg", media_type="image/svg+xml")


@router.get("/docs")
def reference(request: Request) -> Response:
    """The reference of the API, drawn from its OpenAPI description by a script of ours."""
    return page_answer(filled("docs.html", request))


@router.get("/problems/{code}")
def problem_page(request: Request, code: str) -> Response:
    """What a kind of problem means and what to do."""
    if code not in CATALOGUE:
        raise NotFoundError(f'No problem "{code}". Known: {", ".join(sorted(CATALOGUE))}')
    kind = CATALOGUE[code]
    body = filled("note.html", request, title=f"{kind.status} {code}", heading=kind.title, text=kind.advice)
    return page_answer(body)


def page(request: Request, store: Store, index_id: str) -> Response:
    """The page of an index, with its newest level in it: readable before, and without, any script."""
    known = index_id in [row.id for row in read_indices(store)]
    latest = latest_or_none(store, index_id) if known else None
    level, when = level_texts(latest, without="–")
    site = str(request.base_url).rstrip("/")
    body = filled(
        "page.html",
        request,
        index=index_id,
        known=known,
        latest=latest,
        name=latest["name"] if latest else "DeAI Index",
        level=level,
        time_text=when,
        why=why_of(latest),
        demo=not latest and _has_demo(request),
        site=site,
        oembed=f"{site}/oembed?url={quote(f'{site}/indices/{index_id}', safe='')}",
        tabs=tabs(store, index_id),
        preloads=_preloads(request, index_id) if latest else [],
    )
    return page_answer(body)


def _preloads(request: Request, index_id: str) -> list[str]:
    """What the first view draws, which a browser may fetch beside the script that draws it."""
    asked = {name: request.query_params.get(name) for name in ("benchmark", "sessions", "clock")}
    betas = {"index": index_id, "benchmark": asked["benchmark"] or "QQQ", "sessions": asked["sessions"] or "90"}
    betas |= {"clock": asked["clock"]} if asked["clock"] else {}
    own = urlencode({"index": index_id})
    return [f"page-data?{own}", f"page-data/betas?{urlencode(betas)}", f"page-data/more?{own}"]


def _has_demo(request: Request) -> bool:
    """Whether a simulated market is mounted beside the real one (`deai up` does so while there are no levels)."""
    return any(getattr(route, "path", "") == "/demo" for route in request.app.routes)


@dataclass(frozen=True, slots=True)
class Overview:
    """An index as a row shows it; `latest` is None while it has no levels, `why` empty where it is final."""

    index: IndexRow
    latest: dict[str, Any] | None
    why: str = ""
    spark: str = DASH


@router.get("/indices")
def overview_page(request: Request, services: ServicesDep) -> Response:
    """All indices with level, changes, the last three months, status and members."""
    store = services.store
    rows = services.cache.read_once("overview", lambda: [_read(store, row) for row in in_order(store)])
    body = filled(
        "overview.html",
        request,
        rows=rows,
        now=services.clock(),
        changes=CHANGES,
        longer=LONGER,
        told=change_text,
        tabs=tabs(store, ""),
    )
    return page_answer(body)


@router.get("/page-data/overview")
def overview_betas(services: ServicesDep, store: StoreDep) -> Response:
    """The beta of each index to QQQ: at closes, or by UTC days where the last closes are late."""
    betas = {}
    for index in in_order(store):
        clock = usual_clock(services, index.id, [QQQ])
        betas[index.id] = {**rows_of(services, index.id, [QQQ], sessions=SESSIONS, clock=clock)[0], "clock": clock}
    return Answer(betas, cache_control="no-cache")


def in_order(store: Store) -> list[IndexRow]:
    """The indices, the flagship first."""
    return sorted(read_indices(store), key=lambda row: (row.id != FLAGSHIP, row.id))


def short_name(index: IndexRow) -> str:
    """`Agents` for the DeAI Agents Index; what a user's own index is called as it is."""
    return OWN_NAME.sub("", index.name).strip() or "DeAI" if index.name.startswith("DeAI ") else index.name


def tabs(store: Store, current: str) -> list[Tab]:
    """Links to the indices by name."""
    return [(f"indices/{row.id}", short_name(row), row.id == current) for row in in_order(store)]


def _read(store: Store, index: IndexRow) -> Overview:
    latest = latest_or_none(store, index.id)
    if latest is None:
        return Overview(index, None)
    since = to_us(latest["time"]) - SPARK_DAYS * DAY_US
    levels = read_levels(store, index.id, start_us=since, step_us=DAY_US).levels
    return Overview(index, latest, why_of(latest), sparkline(levels))


def change_text(value: float | None) -> tuple[str, str]:
    """Which way a change goes, and the change in per cent for people."""
    if value is None:
        return "", DASH
    if not round(value, 3):
        return "", "0.0\u202f%"
    return "up" if value > 0 else "down", f"{value:+.1%}".replace("-", MINUS).replace("%", "\u202f%")


def sparkline(values: NDArray[np.float64]) -> str:
    """The values as a small line that says by its colour whether the last is above the first."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return DASH
    low, high = float(values.min()), float(values.max())
    x = np.linspace(1, WIDTH - 1, len(values))
    y = HEIGHT - 2 - (values - low) / ((high - low) or 1.0) * (HEIGHT - 4)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    tone = "up" if values[-1] >= values[0] else "down"
    label = f"{len(values)} days: {values[-1] / values[0] - 1:+.1%}"
    return Markup(
        f'<svg class="spark {tone}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{label}"><polyline points="{points}"/></svg>'
    )
