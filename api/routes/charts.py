"""Pictures of an index: level, drawdown or rolling beta over a range that ends at the newest level, as SVG or PNG.

The SVG is drawn here, a process beside the server makes pixels of it, and a Vega-Lite specification says the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.answers.answer import Answer, file_of
from api.answers.encode import as_rows
from api.answers.params import IndexId
from api.answers.problems import declared
from api.answers.services import Services, ServicesDep, StoreDep
from api.beside import as_png
from indexer.arrays import F64, I64
from indexer.engine.market import Status
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.levels import read_latest_level, read_levels
from indexer.store.rows import IndexRow
from indexer.times import DAY_US, HOUR_US, from_us

T = TypeVar("T")


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


MAX_POINTS = 1500
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
PADDING, FOOT, AXIS = 12, 24, 50  # pixels around all, of the times below, of the numbers on the right
INK = {Theme.LIGHT: "#15181d", Theme.DARK: "#e8ebef"}
MUTED = {Theme.LIGHT: "#596170", Theme.DARK: "#9aa4b2"}
LINE = {Theme.LIGHT: "#e2e3dc", Theme.DARK: "#2a313a"}
PANEL = {Theme.LIGHT: "#ffffff", Theme.DARK: "#161a20"}
ACCENT = {Theme.LIGHT: "#0a6b6b", Theme.DARK: "#4fc7bd"}
WARN = {Theme.LIGHT: "#8a5600", Theme.DARK: "#e6b656"}
# How values are written, by Python and by D3, with as many digits as the steps of the axis need.
FORMATS = {ChartKind.LEVEL: ",f", ChartKind.DRAWDOWN: "%", ChartKind.BETA: "f"}
TIMES = (("D", (1, 2, 7, 14), "{0.day} {0:%b}"), ("M", (1, 3, 6), "{0:%b %Y}"), ("Y", (1, 2, 5, 10), "{0:%Y}"))


@dataclass(frozen=True, slots=True)
class Plane:
    """Where values over time lie in a picture, in pixels from its upper left corner."""

    left: int
    right: int
    top: int
    bottom: int
    first_us: int
    last_us: int
    low: float
    high: float

    def x(self, times_us: Any) -> Any:
        """Of instants."""
        return self.left + (times_us - self.first_us) / max(self.last_us - self.first_us, 1) * (self.right - self.left)

    def y(self, values: Any) -> Any:
        """Of values."""
        return self.bottom - (values - self.low) / (self.high - self.low) * (self.bottom - self.top)


def drawn(series: ChartSeries, asked: ChartQuery, *, title: str, simulated: bool) -> bytes:
    """The chart as SVG: title and date above it, values on the right, times below."""
    theme, times = asked.theme, series.times_us
    top, bottom = PADDING + (42 if asked.title else 22), asked.height - PADDING - FOOT
    span = (int(times[0]), int(times[-1])) if len(times) else (0, 1)
    plane = Plane(PADDING, asked.width - PADDING - AXIS, top, bottom, *span, *_domain(series, asked.kind))
    subtitle, tone = subtitle_of(series, asked.kind, simulated=simulated), (WARN if simulated else MUTED)[theme]
    heading = [_text(title, PADDING, 28, fill=INK[theme], size=17, weight="bold")] if asked.title else []
    parts = [
        *_axes(plane, asked),
        *_marks(series, plane, asked),
        *heading,
        _text(subtitle, PADDING, top - 8, fill=tone),
    ]
    size = f'width="{asked.width}" height="{asked.height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {asked.width} {asked.height}" role="img" '
        f'font-family="{FONT}"><title>{escape(f"{title}, {subtitle}")}</title>'
        f'<rect {size} fill="{PANEL[theme]}"/>{"".join(parts)}</svg>'
    ).encode()


def _axes(plane: Plane, asked: ChartQuery) -> Iterator[str]:
    muted, across = MUTED[asked.theme], plane.right - plane.left
    most = max(2, (plane.bottom - plane.top) // 44)
    for value, words in value_ticks(plane.low, plane.high, most=most, form=FORMATS[asked.kind]):
        y = plane.y(value)
        yield f'<path d="M{plane.left} {y:.1f}H{plane.right}" stroke="{LINE[asked.theme]}"/>'
        yield _text(words, plane.right + 8, y + 4, fill=muted)
    for at_us, words in time_ticks(plane.first_us, plane.last_us, most=max(1, across // 84)):
        middle = max(plane.x(at_us), plane.left + 3.5 * len(words))  # the first lies at the edge
        yield _text(words, middle, plane.bottom + 18, fill=muted, anchor="middle")


def _marks(series: ChartSeries, plane: Plane, asked: ChartQuery) -> Iterator[str]:
    """The line over what lies between it and the floor, or over its band with a dashed line at one."""
    accent, keep = ACCENT[asked.theme], _kept(len(series.times_us))
    across, line = plane.x(series.times_us[keep]), plane.y(series.values[keep])
    if series.low is not None and series.high is not None:
        upper, lower = plane.y(series.high[keep]), plane.y(series.low[keep])
        style = f'stroke="{MUTED[asked.theme]}" stroke-dasharray="3,3"'
        yield f'<path d="M{plane.left} {plane.y(1.0):.1f}H{plane.right}" {style}/>'
    else:
        floor = plane.y(0.0 if asked.kind is ChartKind.DRAWDOWN else plane.low)
        upper, lower = line, np.full_like(line, floor)
    area = _path(np.r_[across, across[::-1]], np.r_[upper, lower[::-1]])
    yield f'<path d="{area}" fill="{accent}" opacity="0.14"/>'
    yield f'<path class="line" d="{_path(across, line)}" fill="none" stroke="{accent}" stroke-width="1.8"/>'


def chart_spec(series: ChartSeries, asked: ChartQuery, *, title: str, simulated: bool) -> dict[str, Any]:
    """The same chart as a Vega-Lite specification, data included, for pages and notebooks that draw by themselves."""
    keep, theme, kind = _kept(len(series.times_us)), asked.theme, asked.kind
    columns = {"time": series.times_us[keep] // 1000, "value": series.values[keep]}
    y = {"field": "value", "type": "quantitative", "axis": {"title": None, "format": FORMATS[kind], "orient": "right"}}
    layer = [{"mark": {"type": "line", "color": ACCENT[theme]}, "encoding": {"y": {**y, "scale": {"zero": False}}}}]
    if series.low is not None and series.high is not None:
        columns |= {"low": series.low[keep], "high": series.high[keep]}
        band = {"y": {**y, "field": "low"}, "y2": {"field": "high"}}
        layer.insert(0, {"mark": {"type": "area", "color": ACCENT[theme], "opacity": 0.18}, "encoding": band})
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": asked.width,
        "height": asked.height,
        "autosize": {"type": "fit", "contains": "padding"},
        "background": PANEL[theme],
        "title": {"text": title if asked.title else "", "subtitle": subtitle_of(series, kind, simulated=simulated)},
        "data": {"values": as_rows(columns)},
        "encoding": {"x": {"field": "time", "type": "temporal", "scale": {"type": "utc"}, "axis": {"title": None}}},
        "layer": layer,
    }


def subtitle_of(series: ChartSeries, kind: ChartKind, *, simulated: bool) -> str:
    """Of when the chart is. The newest beta may be older than the newest level: closes can end before."""
    when = f"as of {from_us(series.newest_us):%Y-%m-%d %H:%M} UTC"
    if kind is ChartKind.BETA and len(series.times_us):
        when = f"as of {from_us(int(series.times_us[-1])):%Y-%m-%d} at the New York close · 95 % band"
    return f"{'SIMULATED market, invented prices · ' if simulated else ''}{when}{series.note}"


def value_ticks(low: float, high: float, *, most: int, form: str) -> list[tuple[float, str]]:
    """Round numbers within a range and their words, at most so many and as close as that allows."""
    rough = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    digits = max(0, -math.floor(math.log10(step) + 1e-9) - 2 * form.endswith("%"))
    values = [step * place for place in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [(value, f"{value:{form[:-1]}.{digits}{form[-1]}}") for value in values]


def time_ticks(first_us: int, last_us: int, *, most: int) -> list[tuple[int, str]]:
    """Begins of days, months or years within a span as microseconds and in words, at most so many."""
    for unit, steps, form in TIMES:
        begin, end = (np.datetime64(us, "us").astype(f"M8[{unit}]").astype(int) for us in (first_us, last_us))
        for step in steps:
            places = np.arange(-(-begin // step) * step, end + 1, step).astype(f"M8[{unit}]")
            instants = [us for us in places.astype("M8[us]").astype(int).tolist() if us >= first_us]
            if len(instants) <= most:
                return [(us, form.format(from_us(us))) for us in instants]
    return []


def _kept(count: int) -> I64:
    """Places of at most 1,500 points, the first and the last among them."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, MAX_POINTS)).astype(np.int64))


def _path(across: F64, down: F64) -> str:
    pairs = zip(across.tolist(), down.tolist(), strict=True)
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in pairs) if len(across) else ""


def _text(
    words: str, x: float, y: float, *, fill: str, size: int = 12, weight: str = "normal", anchor: str = "start"
) -> str:
    style = f'fill="{fill}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


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


router = APIRouter(prefix="/charts", tags=["charts"], responses=declared("not_found", "not_enough_data"))
SVG = "image/svg+xml"
SCALES, MOST_PIXELS = [0.5, 1.0, 1.5, 2.0, 3.0], 4_000_000
TITLES = {ChartKind.LEVEL: "{name} · {level:,.2f}", ChartKind.DRAWDOWN: "{name} · drawdown"}


def chart_of(store: Store, index_id: str, asked: ChartQuery, draw: Callable[..., T]) -> T:
    """A chart of an index, drawn by `drawn` or `chart_spec`."""
    index = read_index(store, index_id)
    series = chart_series(store, index, asked)
    beta = f"{{name}} · beta to {asked.benchmark}, {asked.sessions} sessions"
    title = TITLES.get(asked.kind, beta).format(name=index.name, level=series.newest)
    return draw(series, asked, title=title, simulated=index.simulated)


@router.get("/{index_id}.svg", **file_of(SVG, "The picture"), summary="A chart as SVG")
def chart_svg(store: StoreDep, index_id: IndexId, asked: Asked) -> Response:
    """A chart that scales, for pages and documents; says "as of", and "SIMULATED" where that is so."""
    return Answer(chart_of(store, index_id, asked, drawn), media_type=SVG)


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
    return png_of(services, index_id, asked, scale=scale)


def png_of(services: Services, index_id: str, asked: ChartQuery, *, scale: float) -> Response:
    """A chart of an index as PNG, made of the SVG in the process beside the server."""
    picture = services.pictures.run(as_png, chart_of(services.store, index_id, asked, drawn), scale)
    return Answer(picture, media_type="image/png", compress=False)


@router.get("/{index_id}.vl.json", response_class=Response, summary="A chart as Vega-Lite")
def chart_vega(store: StoreDep, index_id: IndexId, asked: Asked) -> Response:
    """A specification, data included: `vegaEmbed("#chart", url)` or `altair.Chart.from_dict`."""
    return Answer(chart_of(store, index_id, asked, chart_spec))
