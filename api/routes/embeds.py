"""The index in other people's pages: badge, shields.io, iframe, oEmbed, link previews. Nothing needs a script."""

from __future__ import annotations

import html
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from starlette.responses import Response

from api.answers.answer import NEVER, Answer, file_of
from api.answers.params import IndexId
from api.answers.problems import declared, problem
from api.answers.services import ServicesDep, StoreDep
from api.routes.charts import SVG, ChartQuery, ChartRange, Theme, chart_of, drawn, png_of
from api.routes.indices import latest_or_none
from api.web.pages import HTML, filled, level_texts
from indexer.errors import InputError, NotFoundError
from indexer.store.indices import read_index
from indexer.times import iso, to_us

router = APIRouter(tags=["embeds"], responses=declared("not_found", "not_enough_data"))
ThemeParam = Annotated[Theme, Query(description="Colours")]
Label = Annotated[str | None, Query(max_length=40, description="Left half")]
PageUrl = Annotated[str, Query(max_length=1000, description="Address of a page of ours", examples=["/indices/deai"])]
JsonOnly = Annotated[
    str, Query(max_length=16, description="xml is not offered and answers 501", json_schema_extra={"enum": ["json"]})
]
RangeParam = Annotated[ChartRange, Query(description="How far back from the newest level")]


GREEN, RED, GREY, ORANGE = "#2e7d4f", "#b3261e", "#6b7280", "#b0520f"
HEIGHT = 20
PADDING = 6
# Advance of each kind of character in 11 px Verdana-like type, close enough to fit a box around text.
NARROW, WIDE, OTHER = 4.2, 9.6, 6.9


def badge_message(latest: dict[str, Any] | None, *, now: datetime) -> tuple[str, str]:
    """The text and colour of a badge: grey and plain while there is no level, orange when it is not a good one.

    A level that a newer one should have followed by `now` is told with its day instead of its move.
    """
    if latest is None:
        return "no levels yet", GREY
    level, change = f"{latest['level']:,.2f}", latest["change"]["d1"]
    moved = "" if change is None else f" {change:+.1%}".replace("-", "\u2212")
    stale = now > latest["fresh_until"]
    text = f"{level}{'' if stale else moved}" + (" (simulated)" if latest["simulated"] else "")
    if stale:
        return f"{text}, of {latest['time']:%Y-%m-%d}", ORANGE
    if latest["status"] in ("carried", "suspended"):
        return f"{text}, {latest['status']}", ORANGE
    return text, GREY if change is None else GREEN if change >= 0 else RED


def badge_svg(label: str, message: str, *, color: str) -> bytes:
    """A flat badge of two halves with real text in it, readable by screen readers."""
    left, right = _width(label) + 2 * PADDING, _width(message) + 2 * PADDING
    whole = left + right
    words = html.escape(f"{label}: {message}", quote=True)
    label, message = html.escape(label), html.escape(message)
    text = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" fill="#fff"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0f}" height="{HEIGHT}" role="img" '
        f'aria-label="{words}"><title>{words}</title>'
        f'<clipPath id="r"><rect width="{whole:.0f}" height="{HEIGHT}" rx="4"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{left:.1f}" height="{HEIGHT}" fill="#3b4149"/>'
        f'<rect x="{left:.1f}" width="{right:.1f}" height="{HEIGHT}" fill="{color}"/></g>'
        f'<text x="{PADDING}" y="14" {text} textLength="{left - 2 * PADDING:.1f}">{label}</text>'
        f'<text x="{left + PADDING:.1f}" y="14" {text} textLength="{right - 2 * PADDING:.1f}">{message}</text></svg>'
    ).encode()


def _width(text: str) -> float:
    narrow, wide = sum(c in "1ijlt.,:;!|()' " for c in text), sum(c in "MWmw%" for c in text)
    return narrow * NARROW + wide * WIDE + (len(text) - narrow - wide) * OTHER


@router.get("/badge/{index_id}.svg", **file_of(SVG), summary="A badge")
def get_badge(services: ServicesDep, index_id: IndexId, label: Label = None) -> Response:
    """Level and a day's change, for a README; with its day instead when a newer level is overdue."""
    message, color = badge_message(latest_or_none(services.store, index_id), now=services.clock())
    return Answer(badge_svg(label or index_id.upper(), message, color=color), media_type=SVG, keep=False)


@router.get("/badge/{index_id}.json", response_class=Response, summary="A badge for shields.io")
def get_shields(services: ServicesDep, index_id: IndexId) -> Response:
    """The endpoint schema of shields.io: `https://img.shields.io/endpoint?url=<this address>`."""
    latest = latest_or_none(services.store, index_id)
    message, color = badge_message(latest, now=services.clock())
    body = {"schemaVersion": 1, "label": index_id.upper(), "message": message, "color": color, "cacheSeconds": 300}
    return Answer({**body, "isError": latest is None}, keep=False)


@router.get("/embed/{index_id}", **file_of("text/html"), summary="A page for an iframe")
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
    level, when = level_texts(latest, without="no levels yet")
    asked = ChartQuery(range=range, theme=theme, width=640, height=320, title=False)
    chart = chart_of(store, index_id, asked, drawn) if latest else b""
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
        simulated=index.simulated,
        chart=Markup(chart.decode()),
        key=request.query_params.get("api_key"),
    )
    return Answer(page, media_type=HTML)


def index_of_url(url: str) -> str:
    """The index id in the address of one of our pages (/indices/<id>, /embed/<id>). Raises NotFoundError."""
    try:
        parts = [part for part in urlsplit(url).path.split("/") if part]
    except ValueError:
        parts = []
    for noun in ("indices", "embed"):
        if noun in parts[:-1]:
            return parts[parts.index(noun) + 1]
    raise NotFoundError(f'"{url}" is not a page of an index; give …/indices/<id>')


@router.get("/oembed", response_class=Response, responses=declared("not_implemented"), summary="oEmbed")
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
    width, height = min(640, maxwidth or 640), min(380, maxheight or 380)
    key = request.query_params.get("api_key")
    more = f"?api_key={quote(key, safe='')}" if key else ""  # where reads need one, what is shown does too
    body = {
        "type": "rich",
        "version": "1.0",
        "title": index.name,
        "provider_name": "DeAI Index",
        "provider_url": f"{base}/",
        "cache_age": 300,
        "html": f'<iframe src="{html.escape(f"{base}/embed/{index.id}{more}")}" title="{html.escape(index.name)}" '
        f'width="{width}" height="{height}" style="border:0" loading="lazy"></iframe>',
        "width": width,
        "height": height,
        "thumbnail_url": f"{base}/og/{index.id}.png{more}",
        "thumbnail_width": 1200,
        "thumbnail_height": 630,
    }
    return Answer(body, cache_control=NEVER)


@router.get("/og/{index_id}.png", **file_of("image/png"), summary="The picture of a link preview")
def get_preview(services: ServicesDep, index_id: IndexId) -> Response:
    """1200 × 630, for Open Graph. 409 while the index has no levels."""
    return png_of(services, index_id, ChartQuery(width=600, height=315), scale=2.0)
