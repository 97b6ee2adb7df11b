"""Addresses to embed by: badge, shields.io, iframe, oEmbed and the picture behind link previews."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers.answer import NEVER, Answer, as_file
from api.answers.params import IndexId
from api.answers.problems import declared, problem
from api.answers.services import ServicesDep, StoreDep
from api.charts import ChartKind, ChartRange, Look, Theme, to_png, to_svg
from api.embed.badge import badge_message, badge_svg, frame_html, index_of_url, size_within
from api.routes.charts import SVG, ChartQuery, spec_of
from api.routes.indices import latest_of
from api.web.routes import HTML, Raw, filled
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.db import Store
from indexer.store.read import read_index
from indexer.times import iso, to_us

router = APIRouter(tags=["embeds"])
ERRORS = declared("not_found")
ThemeParam = Annotated[Theme, Query(description="Colours")]
Label = Annotated[str | None, Query(max_length=40, description="Left half")]
PageUrl = Annotated[str, Query(max_length=1000, description="Address of a page of ours", examples=["/indices/deai"])]
JsonOnly = Annotated[
    str, Query(max_length=16, description="xml is not offered and answers 501", json_schema_extra={"enum": ["json"]})
]
RangeParam = Annotated[ChartRange, Query(description="How far back from the newest level")]


def latest_or_none(store: Store, index_id: str) -> dict[str, Any] | None:
    """The newest level, or None while the index has none. Raises NotFoundError for an unknown index."""
    try:
        return latest_of(store, index_id)
    except NotEnoughDataError:
        return None


@router.get("/badge/{index_id}.svg", response_class=Response, responses=as_file(SVG) | ERRORS, summary="A badge")
def get_badge(services: ServicesDep, index_id: IndexId, label: Label = None) -> Response:
    """Level and a day's change, for a README; with its day instead when a newer level is overdue."""
    message, color = badge_message(latest_or_none(services.store, index_id), now=services.clock())
    return Answer(badge_svg(label or index_id.upper(), message, color=color), media_type=SVG, keep=False)


@router.get("/badge/{index_id}.json", response_class=Response, responses=ERRORS, summary="A badge for shields.io")
def get_shields(services: ServicesDep, index_id: IndexId) -> Response:
    """The endpoint schema of shields.io: `https://img.shields.io/endpoint?url=<this address>`."""
    latest = latest_or_none(services.store, index_id)
    message, color = badge_message(latest, now=services.clock())
    body = {"schemaVersion": 1, "label": index_id.upper(), "message": message, "color": color, "cacheSeconds": 300}
    return Answer({**body, "isError": latest is None}, keep=False)


@router.get(
    "/embed/{index_id}",
    response_class=Response,
    responses=as_file("text/html") | ERRORS,
    summary="A page for an iframe",
)
def get_embed(
    request: Request,
    store: StoreDep,
    index_id: IndexId,
    *,
    theme: ThemeParam = Theme.LIGHT,
    range: RangeParam = ChartRange.YEAR,
) -> Response:
    """Level, status and chart. A static SVG, so it works without scripts; with them it follows the stream."""
    index = read_index(store, index_id)
    latest = latest_or_none(store, index_id)
    level = f"{latest['level']:,.2f}" if latest else "no levels yet"
    when = f"{latest['time']:%Y-%m-%d %H:%M} UTC" if latest else ""
    look = Look(640, 320, theme, titled=False)
    chart = to_svg(spec_of(store, index_id, ChartQuery(ChartKind.LEVEL, range, "QQQ", 90, look))) if latest else b""
    page = filled(
        "embed.html",
        request,
        index=index_id,
        name=index.name,
        level=level,
        status=latest["status"] if latest else "",
        time=iso(to_us(latest["time"])) if latest else "",
        when=when,
        theme=theme,
        range=range,
        label=f"{index.name}: level {level}, as of {when}" if latest else f"{index.name}: {level}",
        simulated=Raw('<p class="warn">Simulated market, invented prices.</p>') if index.simulated else "",
        chart=Raw(chart.decode()),
        key=request.query_params.get("api_key", ""),
    )
    return Answer(page, media_type=HTML)


@router.get("/oembed", response_class=Response, responses=ERRORS | declared("not_implemented"), summary="oEmbed")
def get_oembed(
    request: Request,
    store: StoreDep,
    *,
    url: PageUrl,
    maxwidth: Annotated[int | None, Query(ge=1, le=100_000, description="Pixels")] = None,
    maxheight: Annotated[int | None, Query(ge=1, le=100_000, description="Pixels")] = None,
    format: JsonOnly = "json",
) -> Response:
    """The iframe that shows an index, for editors that turn an address into a picture (oembed.com)."""
    if format == "xml":
        return problem(request.scope, "not_implemented", detail="oEmbed is offered as json, not as xml")
    if format != "json":
        raise InputError(f'"{format}" is not a format of oEmbed; use json')
    index = read_index(store, index_of_url(url))
    base = str(request.base_url).rstrip("/")
    width, height = size_within(maxwidth, maxheight)
    key = request.query_params.get("api_key")
    more = f"?api_key={quote(key, safe='')}" if key else ""  # where reads need one, what is shown does too
    body = {
        "type": "rich",
        "version": "1.0",
        "title": index.name,
        "provider_name": "DeAI Index",
        "provider_url": f"{base}/",
        "cache_age": 300,
        "html": frame_html(f"{base}/embed/{index.id}{more}", title=index.name, width=width, height=height),
        "width": width,
        "height": height,
        "thumbnail_url": f"{base}/og/{index.id}.png{more}",
        "thumbnail_width": 1200,
        "thumbnail_height": 630,
    }
    return Answer(body, cache_control=NEVER)


@router.get(
    "/og/{index_id}.png",
    response_class=Response,
    responses=as_file("image/png", binary=True) | declared("not_found", "not_enough_data"),
    summary="The picture of a link preview",
)
def get_preview(store: StoreDep, index_id: IndexId) -> Response:
    """1200 × 630, for Open Graph. 409 while the index has no levels."""
    asked = ChartQuery(ChartKind.LEVEL, ChartRange.YEAR, "QQQ", 90, Look(600, 315, Theme.LIGHT))
    return Answer(to_png(spec_of(store, index_id, asked), scale=2.0), media_type="image/png", compress=False)
