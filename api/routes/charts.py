"""Pictures of an index: level, drawdown or rolling beta as SVG, PNG, or the Vega-Lite specification they are made from.

A series over a range that ends at the newest level becomes one specification, which serves our pictures and anyone's
own page. vl-convert draws it, no browser.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.answers.answer import Answer, file_of
from api.answers.params import IndexId
from api.answers.problems import declared
from api.answers.services import ServicesDep, StoreDep
from indexer.arrays import F64, I64
from indexer.engine.market import Status
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.levels import read_latest_level, read_levels
from indexer.store.rows import IndexRow
from indexer.times import DAY_US, HOUR_US, from_us


class ChartKind(StrEnum):
    """What is drawn."""

    LEVEL = "level"
    DRAWDOWN = "drawdown"
    BETA = "beta"


class ChartRange(StrEnum):
    """How far back, from the newest level."""

    WEEK = "1w"
    MONTH = "1m"
    QUARTER = "3m"
    YEAR = "1y"
    ALL = "all"


class Theme(StrEnum):
    """Colours for a light or a dark page."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartQuery:
    """What to draw and how."""

    kind: Annotated[ChartKind, Query(description="What to draw")] = ChartKind.LEVEL
    range: Annotated[ChartRange, Query(description="How far back from the newest level")] = ChartRange.YEAR
    theme: Annotated[Theme, Query(description="Colours")] = Theme.LIGHT
    width: Annotated[int, Query(ge=200, le=1600, description="Pixels")] = 720
    height: Annotated[int, Query(ge=120, le=1200, description="Pixels")] = 360
    title: Annotated[bool, Query(description="With the name and level above it")] = True
    benchmark: Annotated[str, Query(max_length=32, description="For kind=beta")] = "QQQ"
    sessions: Annotated[int, Query(ge=20, le=2500, description="Window for kind=beta")] = 90


Asked = Annotated[ChartQuery, Depends()]
DAYS = {ChartRange.WEEK: 7, ChartRange.MONTH: 30, ChartRange.QUARTER: 91, ChartRange.YEAR: 365, ChartRange.ALL: None}
FINE_DAYS = 31


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """Points (T,) ascending, with a band where there is one; `newest` is the index's newest level."""

    times_us: I64
    values: F64
    low: F64 | None
    high: F64 | None
    newest_us: int
    newest: float
    note: str = ""


def chart_series(store: Store, index: IndexRow, asked: ChartQuery) -> ChartSeries:
    """The points of a chart. Raises NotEnoughDataError while there is nothing to draw."""
    newest = read_latest_level(store, index.id)
    if newest is None:
        raise NotEnoughDataError(f'Index "{index.id}" has no levels yet, so no chart; `deai import FILE` brings prices')
    newest_us, level = int(newest.times_us[-1]), float(newest.levels[-1])
    days = DAYS[asked.range]
    start_us = None if days is None else newest_us - days * DAY_US
    if asked.kind is ChartKind.BETA:
        return _beta(store, index, asked, start_us, newest_us, level=level)
    step = HOUR_US if days is not None and days <= FINE_DAYS else DAY_US
    if asked.kind is ChartKind.LEVEL:
        rows = read_levels(store, index.id, start_us=start_us, step_us=step)
        return ChartSeries(rows.times_us, rows.levels, None, None, newest_us, level)
    rows = read_levels(store, index.id, step_us=step)
    good = rows.status != Status.IMPAIRED
    times, levels = rows.times_us[good], rows.levels[good]
    falls = levels / np.maximum.accumulate(levels) - 1.0 if len(levels) else levels
    keep = times >= (start_us or 0)
    note = "" if good.all() else " · without levels at which it was impaired"
    return ChartSeries(times[keep], falls[keep], None, None, newest_us, level, note)


def _beta(
    store: Store, index: IndexRow, asked: ChartQuery, start_us: int | None, newest_us: int, *, level: float
) -> ChartSeries:
    from indexer.studies.beta import beta_history

    history = beta_history(store, index.id, asked.benchmark, sessions=asked.sessions, start_us=start_us)
    known = np.isfinite(history.rolling.beta)
    low, high = history.interval()
    return ChartSeries(history.times_us[known], history.rolling.beta[known], low[known], high[known], newest_us, level)


SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
MAX_POINTS = 1500
INK = {Theme.LIGHT: "#15181d", Theme.DARK: "#e8ebef"}
MUTED = {Theme.LIGHT: "#596170", Theme.DARK: "#9aa4b2"}
LINE = {Theme.LIGHT: "#e2e3dc", Theme.DARK: "#2a313a"}
PANEL = {Theme.LIGHT: "#ffffff", Theme.DARK: "#161a20"}
ACCENT = {Theme.LIGHT: "#0a6b6b", Theme.DARK: "#4fc7bd"}
WARN = {Theme.LIGHT: "#8a5600", Theme.DARK: "#e6b656"}
X_AXIS = {"title": None, "grid": False, "labelOverlap": True, "labelSeparation": 10, "labelFlush": True}
FORMATS = {ChartKind.LEVEL: ",.0f", ChartKind.DRAWDOWN: ".0%", ChartKind.BETA: ".1f"}


def chart_spec(series: ChartSeries, asked: ChartQuery, *, title: str, simulated: bool) -> dict[str, Any]:
    """The specification of a chart, data included, at most 1,500 points (the last one always among them)."""
    theme, kind = asked.theme, asked.kind
    when = f"as of {from_us(series.newest_us):%Y-%m-%d %H:%M} UTC"
    if kind is ChartKind.BETA and len(series.times_us):
        # The newest beta may be older than the newest level: a benchmark's closes can end before.
        when = f"as of {from_us(int(series.times_us[-1])):%Y-%m-%d} at the New York close · 95 % band"
    when += series.note
    subtitle = f"SIMULATED market, invented prices · {when}" if simulated else when
    return {
        "$schema": SCHEMA,
        "width": asked.width,
        "height": asked.height,
        "autosize": {"type": "fit", "contains": "padding"},
        "background": PANEL[theme],
        "padding": 12,
        "title": {
            "text": title if asked.title else "",
            "subtitle": subtitle,
            "anchor": "start",
            "color": INK[theme],
            "subtitleColor": WARN[theme] if simulated else MUTED[theme],
            "fontSize": 17,
            "subtitleFontSize": 12,
            "offset": 10,
        },
        "data": {"values": _points(series)},
        "encoding": {"x": {"field": "time", "type": "temporal", "scale": {"type": "utc"}, "axis": X_AXIS}},
        "layer": _layers(series, kind, theme),
        "config": _config(theme),
    }


def _points(series: ChartSeries) -> list[dict[str, Any]]:
    count = len(series.times_us)
    keep = np.unique(np.r_[np.linspace(0, max(count - 1, 0), min(count, MAX_POINTS)).astype(np.int64)])
    times = (series.times_us[keep] // 1000).tolist()
    columns = {"time": times, "value": series.values[keep].tolist()}
    if series.low is not None and series.high is not None:
        columns |= {"low": series.low[keep].tolist(), "high": series.high[keep].tolist()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _layers(series: ChartSeries, kind: ChartKind, theme: Theme) -> list[dict[str, Any]]:
    axis = {"title": None, "format": FORMATS[kind], "orient": "right", "domain": False, "ticks": False}
    low, high = _domain(series, kind)
    scale = {"domain": [low, high], "nice": kind is ChartKind.BETA}
    y = {"field": "value", "type": "quantitative", "axis": axis, "scale": scale}
    accent = ACCENT[theme]
    line = {"mark": {"type": "line", "color": accent, "strokeWidth": 1.8}, "encoding": {"y": y}}
    if kind is ChartKind.BETA:
        band = {"y": {**y, "field": "low"}, "y2": {"field": "high"}}
        rule = {"type": "rule", "color": MUTED[theme], "strokeDash": [3, 3]}
        across = {"x": {"value": 0}, "x2": {"value": "width"}, "y": {"datum": 1}}
        unity = {"data": {"values": [{}]}, "mark": rule, "encoding": across}  # once, not once for each row
        return [{"mark": {"type": "area", "color": accent, "opacity": 0.18}, "encoding": band}, unity, line]
    area = {"type": "area", "color": accent, "opacity": 0.12, "line": False}
    floor = {"datum": 0 if kind is ChartKind.DRAWDOWN else low}
    return [{"mark": area, "encoding": {"y": y, "y2": floor}}, line]


def _domain(series: ChartSeries, kind: ChartKind) -> tuple[float, float]:
    """Room for the line and its band; a drawdown ends at 0, a beta shows 1."""
    lows = series.values if series.low is None else series.low
    highs = series.values if series.high is None else series.high
    if not len(lows):
        return 0.0, 1.0
    low, high = float(lows.min()), float(highs.max())
    if kind is ChartKind.BETA:
        low, high = min(low, 1.0), max(high, 1.0)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, 0.0 if kind is ChartKind.DRAWDOWN else high + room


def _config(theme: Theme) -> dict[str, Any]:
    axis = {"labelColor": MUTED[theme], "gridColor": LINE[theme], "domainColor": LINE[theme], "tickColor": LINE[theme]}
    return {
        "axis": {**axis, "labelFontSize": 12},
        "view": {"stroke": None},
        "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    }


router = APIRouter(prefix="/charts", tags=["charts"], responses=declared("not_found", "not_enough_data"))
SVG = "image/svg+xml"
SCALES, MOST_PIXELS = [0.5, 1.0, 1.5, 2.0, 3.0], 4_000_000
TITLES = {ChartKind.LEVEL: "{name} · {level:,.2f}", ChartKind.DRAWDOWN: "{name} · drawdown"}


def spec_of(store: Store, index_id: str, asked: ChartQuery) -> dict[str, Any]:
    """The specification of a chart of an index, data included."""
    index = read_index(store, index_id)
    series = chart_series(store, index, asked)
    beta = f"{{name}} · beta to {asked.benchmark}, {asked.sessions} sessions"
    title = TITLES.get(asked.kind, beta).format(name=index.name, level=series.newest)
    return chart_spec(series, asked, title=title, simulated=index.simulated)


@router.get("/{index_id}.svg", **file_of(SVG, "The picture"), summary="A chart as SVG")
def chart_svg(services: ServicesDep, index_id: IndexId, asked: Asked) -> Response:
    """A chart that scales, for pages and documents; says "as of", and "SIMULATED" where that is so."""
    return Answer(services.pictures.svg(spec_of(services.store, index_id, asked)), media_type=SVG)


@router.get("/{index_id}.png", **file_of("image/png", "The picture"), summary="A chart as PNG")
def chart_png(
    services: ServicesDep,
    index_id: IndexId,
    asked: Asked,
    scale: Annotated[float, Query(json_schema_extra={"enum": SCALES}, description="Pixels to one of the chart")] = 1.0,
) -> Response:
    """A chart as a picture, for mails and messages; a scale that would need over 4 million pixels is lowered."""
    if scale not in SCALES:
        raise InputError(f"scale {scale:g} is not drawn; known are {', '.join(f'{known:g}' for known in SCALES)}")
    pixels = asked.width * asked.height
    scale = max(
        known for known in SCALES if known <= scale and (known == SCALES[0] or pixels * known**2 <= MOST_PIXELS)
    )
    png = services.pictures.png(spec_of(services.store, index_id, asked), scale=scale)
    return Answer(png, media_type="image/png", compress=False)


@router.get("/{index_id}.vl.json", response_class=Response, summary="A chart as Vega-Lite")
def chart_vega(store: StoreDep, index_id: IndexId, asked: Asked) -> Response:
    """The specification itself, data included: `vegaEmbed("#chart", url)` or `altair.Chart.from_dict`."""
    return Answer(spec_of(store, index_id, asked))
