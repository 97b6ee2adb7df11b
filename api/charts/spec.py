"""Series → a Vega-Lite specification → SVG or PNG by vl-convert: one description for pictures and anyone's own page."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from api.charts.series import ChartKind, ChartSeries
from indexer.times import from_us

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
MAX_POINTS = 1500


class Theme(StrEnum):
    """Colours for a light or a dark page."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Look:
    """Size in pixels and colours."""

    width: int = 720
    height: int = 360
    theme: Theme = Theme.LIGHT
    titled: bool = True


INK = {Theme.LIGHT: "#15181d", Theme.DARK: "#e8ebef"}
MUTED = {Theme.LIGHT: "#596170", Theme.DARK: "#9aa4b2"}
LINE = {Theme.LIGHT: "#e2e3dc", Theme.DARK: "#2a313a"}
PANEL = {Theme.LIGHT: "#ffffff", Theme.DARK: "#161a20"}
ACCENT = {Theme.LIGHT: "#0a6b6b", Theme.DARK: "#4fc7bd"}
WARN = {Theme.LIGHT: "#8a5600", Theme.DARK: "#e6b656"}
X_AXIS = {"title": None, "grid": False, "labelOverlap": True, "labelSeparation": 10, "labelFlush": True}
FORMATS = {ChartKind.LEVEL: ",.0f", ChartKind.DRAWDOWN: ".0%", ChartKind.BETA: ".1f"}


def chart_spec(series: ChartSeries, *, kind: ChartKind, title: str, simulated: bool, look: Look) -> dict[str, Any]:
    """The specification of a chart, data included, at most 1,500 points (the last one always among them)."""
    theme = look.theme
    when = f"as of {from_us(series.newest_us):%Y-%m-%d %H:%M} UTC"
    if kind is ChartKind.BETA and len(series.times_us):
        # The newest beta may be older than the newest level: a benchmark's closes can end before.
        when = f"as of {from_us(int(series.times_us[-1])):%Y-%m-%d} at the New York close · 95 % band"
    subtitle = f"SIMULATED market, invented prices · {when}" if simulated else when
    return {
        "$schema": SCHEMA,
        "width": look.width,
        "height": look.height,
        "autosize": {"type": "fit", "contains": "padding"},
        "background": PANEL[theme],
        "padding": 12,
        "title": {
            "text": title if look.titled else "",
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
        one = {"data": {"values": [{}]}, "mark": rule, "encoding": across}  # once, not once for each row
        return [{"mark": {"type": "area", "color": accent, "opacity": 0.18}, "encoding": band}, one, line]
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


ONE_AT_A_TIME = threading.Lock()


def to_svg(spec: dict[str, Any]) -> bytes:
    """The chart as SVG."""
    import vl_convert

    with ONE_AT_A_TIME:
        text: str = vl_convert.vegalite_to_svg(spec)
    return text.encode()


def to_png(spec: dict[str, Any], *, scale: float) -> bytes:
    """The chart as PNG, `scale` pixels of the picture to one of the specification."""
    import vl_convert

    with ONE_AT_A_TIME:
        png: bytes = vl_convert.vegalite_to_png(spec, scale=scale)
    return png
