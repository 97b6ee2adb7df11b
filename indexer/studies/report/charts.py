"""The report's charts as Vega-Lite specifications, data inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from indexer.studies.attribution import AttributionStudy
from indexer.studies.beta import BetaHistory
from indexer.studies.breaks import BreakStudy
from indexer.studies.events import EventPath, MemberTests
from indexer.studies.report.blocks import ACCENT, DOWN, FOURTH, INK, LINE, MUTED, SECOND, THIRD, UP, simple
from indexer.studies.report.gather import Line
from indexer.times import DAY_US

Spec = dict[str, Any]
SERIES = (ACCENT, THIRD, FOURTH, SECOND)
# A line of fewer points is one of closes, and shows them.
CLOSES_ONLY = 60
POINT = {"type": "point", "filled": True, "opacity": 1}
RULE = {"type": "rule", "color": MUTED, "strokeDash": [3, 3]}


def _signed(decimals: int = 0) -> Spec:
    """An axis of signed percent: `+10 %`, `0 %`, with a real minus sign."""
    text = f"datum.value == 0 ? '0 %' : format(datum.value * 100, '+.{decimals}f') + ' %'"
    return {"title": None, "labelExpr": text, "labelOverlap": True}


def around_chart(lines: Sequence[Line], *, at_us: int) -> Spec:
    """The index hour by hour beside BTC and equity closes, 100 where the event's interval begins."""
    x = _time("%-d %b")
    base = _lines(lines, x=x, unit_us=1_000, y_format=".0f")
    closes = {line.name for line in lines if len(line.x) < CLOSES_ONLY}
    dots = {**base, "data": {"values": [row for row in base["data"]["values"] if row["name"] in closes]}}
    return {"layer": [_rule("x", x, at_us // 1000), base, {**dots, "mark": {**POINT, "size": 26}}]}


def level_chart(line: Line) -> Spec:
    """Levels through time."""
    return {"layer": [_lines([line], x=_time("%-d %b"), unit_us=1_000, y_format=",.0f")]}


def path_chart(path: EventPath, raw: EventPath) -> Spec:
    """Cumulated abnormal return with its 95 % band, and the plain return beside it; simple returns."""
    left, plain = f"beyond {' and '.join(name.upper() for name in path.factors)}", "plain return"
    columns = {name: np.expm1(getattr(path, name)).tolist() for name in ("car", "low", "high")}
    rows = _rows(x=path.step.tolist(), y=columns["car"], low=columns["low"], high=columns["high"], name=left)
    rows += _rows(x=raw.step.tolist(), y=np.expm1(raw.raw).tolist(), name=plain)
    axis = {"title": "sessions from the event", "grid": False, "tickMinStep": 1, "values": [*range(-5, 21, 5)]}
    scale = {"domain": [int(path.step[0]), int(path.step[-1])], "nice": False}
    x = {"field": "x", "type": "quantitative", "axis": axis, "scale": scale}
    y = {"field": "y", "type": "quantitative", "axis": _signed()}
    names = {"domain": [left, plain]}
    colour = {"field": "name", "type": "nominal", "scale": {**names, "range": [ACCENT, THIRD]}, "legend": {}}
    dash = {"field": "name", "type": "nominal", "scale": {**names, "range": [[1, 0], [5, 3]]}}
    line = {"type": "line", "strokeWidth": 2}
    return {
        "layer": [
            {"data": {"values": rows[: len(path.step)]}, **_band(x, y)},
            _rule("y", y, 0.0),
            _rule("x", x, 0),
            {"data": {"values": rows}, "mark": line, "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash}},
        ]
    }


def members_chart(block: MemberTests) -> Spec:
    """Each member's abnormal return with its 95 % interval."""
    rows = [
        {"name": m.subject.upper(), "x": simple(m.car), "low": simple(m.car_low), "high": simple(m.car_high)}
        for m in sorted(block.members, key=lambda m: m.car if m.car is not None else 9.0)
        if m.car is not None
    ]
    return _whiskers(rows, [str(row["name"]) for row in rows], zero=0.0, axis=_signed())


def contribution_chart(study: AttributionStudy) -> Spec:
    """Contributions of constituents to the index return, in percentage points."""
    rows = [
        {"name": c.symbol, "v": c.contribution}
        for c in sorted(study.constituents, key=lambda c: c.contribution)
        if abs(c.contribution) >= 0.00005
    ]
    colour = {"condition": {"test": "datum.v < 0", "value": DOWN}, "value": UP}
    x = {"field": "v", "type": "quantitative", "axis": {**_signed(1), "tickCount": 6}}
    y = {"field": "name", "type": "nominal", "sort": None, "axis": {"title": None, "ticks": False, "domain": False}}
    bars = {"mark": {"type": "bar", "height": {"band": 0.62}}, "encoding": {"x": x, "y": y, "color": colour}}
    return {"data": {"values": rows}, "layer": [bars]}


def rolling_chart(history: BetaHistory, *, at_us: int) -> Spec:
    """Rolling beta with its 95 % band; gaps where the window has no answer."""
    known = np.isfinite(history.rolling.beta)
    low, high = history.interval()
    columns = {"x": history.times_us // 1000, "y": history.rolling.beta, "low": low, "high": high}
    rows = _rows(**{name: column[known].tolist() for name, column in columns.items()})
    x, y = _time(), {"field": "y", "type": "quantitative", "axis": {"title": None}}
    line = {"mark": {"type": "line", "color": ACCENT, "strokeWidth": 1.9}, "encoding": {"x": x, "y": y}}
    return {"data": {"values": rows}, "layer": [_band(x, y), _rule("y", y, 1.0), _rule("x", x, at_us // 1000), line]}


def regimes_chart(studies: Sequence[BreakStudy]) -> Spec:
    """Beta before and after for each index, with 95 % intervals."""
    rows = [
        {"name": study.subject, "side": row.regime.name, "x": b.beta, "low": b.ci_low, "high": b.ci_high}
        for study in studies
        for row in study.regimes
        if (b := row.beta).beta is not None
    ]
    axis = {"title": None, "format": ".1f", "labelOverlap": True}
    spec = _whiskers(rows, [study.subject for study in studies], zero=1.0, axis=axis)
    offset = {"yOffset": {"field": "side", "type": "nominal", "sort": ["before", "after"]}}
    colour = {"field": "side", "type": "nominal", "scale": {"domain": ["before", "after"], "range": [MUTED, ACCENT]}}
    for layer in spec["layer"][1:]:
        layer["encoding"] |= {**offset, "color": colour}
        layer["mark"].pop("color", None)
    return spec


def analogue_chart(lines: Sequence[Line]) -> Spec:
    """Episodes from their peaks on, in percent of the peak, by days."""
    axis = {"title": "days from the peak", "grid": False, "tickMinStep": 20}
    x = {"field": "x", "type": "quantitative", "axis": axis}
    layer = _lines(lines, x=x, unit_us=DAY_US, y_format=".0f", columns=2)
    # a logarithmic axis: halving and doubling are the same distance
    layer["encoding"]["y"]["scale"] = {"type": "log", "zero": False, "nice": False}
    layer["encoding"]["y"]["axis"]["values"] = [30, 40, 50, 70, 100, 150, 200, 250]
    return {"layer": [layer]}


def _rows(**columns: Any) -> list[Spec]:
    """A record a row; a text is the same in every one."""
    texts = {name: value for name, value in columns.items() if isinstance(value, str)}
    lists = {name: value for name, value in columns.items() if name not in texts}
    return [{**dict(zip(lists, row, strict=True)), **texts} for row in zip(*lists.values(), strict=True)]


def _lines(lines: Sequence[Line], *, x: Spec, unit_us: int, y_format: str, columns: int = 4) -> Spec:
    """A layer of named lines, x in units of so many microseconds."""
    rows = [row for line in lines for row in _rows(x=(line.x / unit_us).tolist(), y=line.y.tolist(), name=line.name)]
    scale = {"domain": [line.name for line in lines], "range": list(SERIES[: len(lines)])}
    y = {"field": "y", "type": "quantitative", "scale": {"zero": False}, "axis": {"title": None, "format": y_format}}
    colour = {"field": "name", "type": "nominal", "scale": scale, "legend": {"columns": columns, "labelLimit": 320}}
    mark = {"type": "line", "strokeWidth": 1.9}
    return {"data": {"values": rows}, "mark": mark, "encoding": {"x": x, "y": y, "color": colour}}


def _band(x: Spec, y: Spec) -> Spec:
    """The layer between the fields low and high."""
    mark = {"type": "area", "color": ACCENT, "opacity": 0.16}
    return {"mark": mark, "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}}


def _rule(channel: str, encoding: Spec, value: float) -> Spec:
    """A dashed line at a value of x or y."""
    return {"mark": RULE, "data": {"values": [{encoding["field"]: value}]}, "encoding": {channel: encoding}}


def _whiskers(rows: list[Spec], names: list[str], *, zero: float, axis: Spec) -> Spec:
    """Points of the field x with their intervals from low to high, a row a name."""
    x = {"field": "x", "type": "quantitative", "axis": {**axis, "tickCount": 7}}
    plain = {"title": None, "ticks": False, "domain": False, "labelColor": INK}
    y = {"field": "name", "type": "nominal", "sort": names, "axis": plain}
    span = {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y}
    line = {"type": "rule", "color": ACCENT, "strokeWidth": 2, "opacity": 0.55}
    points = {"mark": {**POINT, "size": 62, "color": ACCENT}, "encoding": {"x": x, "y": y}}
    return {"data": {"values": rows}, "layer": [_rule("x", x, zero), {"mark": line, "encoding": span}, points]}


def _time(style: str = "%b %Y") -> Spec:
    axis = {"title": None, "grid": False, "labelOverlap": "greedy", "labelSeparation": 14}
    axis |= {"format": style, "domainColor": LINE}
    return {"field": "x", "type": "temporal", "scale": {"type": "utc"}, "axis": axis}
