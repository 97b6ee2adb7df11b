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
    rows = [
        {"t": int(t) // 1000, "y": float(y), "name": line.name}
        for line in lines
        for t, y in zip(line.x, line.y, strict=True)
    ]
    names = [line.name for line in lines]
    x = _time("t", "%-d %b")
    base = _lines(rows, names, x=x, y_format=".0f")
    marks = [{"mark": RULE, "data": {"values": [{"t": at_us // 1000}]}, "encoding": {"x": x}}]
    closes = {line.name for line in lines if len(line.x) < CLOSES_ONLY}
    dots = {**base[0], "data": {"values": [row for row in rows if row["name"] in closes]}}
    dots["mark"] = {**POINT, "size": 26}
    return {"layer": [*marks, *base, dots]}


def path_chart(path: EventPath, raw: EventPath) -> Spec:
    """Cumulated abnormal return with its 95 % band, and the plain return beside it; simple returns."""
    left, plain = f"beyond {' and '.join(name.upper() for name in path.factors)}", "plain return"
    columns = (np.expm1(column).tolist() for column in (path.car, path.low, path.high))
    rows = [
        {"k": int(k), "v": c, "low": a, "high": b, "name": left} for k, c, a, b in zip(path.step, *columns, strict=True)
    ]
    rows += [{"k": int(k), "v": c, "name": plain} for k, c in zip(raw.step, np.expm1(raw.raw).tolist(), strict=True)]
    span = [int(path.step[0]), int(path.step[-1])]
    axis = {"title": "sessions from the event", "grid": False, "tickMinStep": 1, "values": [*range(-5, 21, 5)]}
    x = {"field": "k", "type": "quantitative", "axis": axis, "scale": {"domain": span, "nice": False}}
    y = {"field": "v", "type": "quantitative", "axis": _signed()}
    band = {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "x": x}
    names = {"domain": [left, plain]}
    colour = {"field": "name", "type": "nominal", "scale": {**names, "range": [ACCENT, THIRD]}, "legend": {}}
    dash = {"field": "name", "type": "nominal", "scale": {**names, "range": [[1, 0], [5, 3]]}}
    line = {"type": "line", "strokeWidth": 2}
    return {
        "layer": [
            {
                "data": {"values": rows[: len(path.step)]},
                "mark": {"type": "area", "color": ACCENT, "opacity": 0.16},
                "encoding": band,
            },
            {"data": {"values": [{"v": 0.0}]}, "mark": RULE, "encoding": {"y": y}},
            {"data": {"values": [{"k": 0}]}, "mark": RULE, "encoding": {"x": x}},
            {
                "data": {"values": rows},
                "mark": line,
                "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash},
            },
        ]
    }


def members_chart(block: MemberTests) -> Spec:
    """Each member's abnormal return with its 95 % interval."""
    rows = [
        {"name": m.subject.upper(), "car": simple(m.car), "low": simple(m.car_low), "high": simple(m.car_high)}
        for m in sorted(block.members, key=lambda m: m.car if m.car is not None else 9.0)
        if m.car is not None
    ]
    return _whiskers(rows, [str(row["name"]) for row in rows], field="car", zero=0.0, axis=_signed())


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
    low, high = history.interval()
    columns = (history.times_us // 1000, history.rolling.beta, low, high)
    rows = [
        dict(zip(("t", "b", "low", "high"), row, strict=True))
        for row in zip(*(column.tolist() for column in columns), strict=True)
        if np.isfinite(row[1])
    ]
    y = {"field": "b", "type": "quantitative", "axis": {"title": None}}
    area = {"type": "area", "color": ACCENT, "opacity": 0.16}
    return {
        "data": {"values": rows},
        "layer": [
            {"mark": area, "encoding": {"x": _time("t"), "y": {**y, "field": "low"}, "y2": {"field": "high"}}},
            {"mark": RULE, "data": {"values": [{"b": 1.0}]}, "encoding": {"y": y}},
            {"mark": RULE, "data": {"values": [{"t": at_us // 1000}]}, "encoding": {"x": _time("t")}},
            {"mark": {"type": "line", "color": ACCENT, "strokeWidth": 1.9}, "encoding": {"x": _time("t"), "y": y}},
        ],
    }


def regimes_chart(studies: Sequence[BreakStudy]) -> Spec:
    """Beta before and after for each index, with 95 % intervals."""
    rows = []
    for study in studies:
        for row in study.regimes:
            b = row.beta
            if b.beta is not None:
                side = {"side": row.regime.name, "b": b.beta, "low": b.ci_low, "high": b.ci_high}
                rows.append({"name": study.subject, **side})
    names = [study.subject for study in studies]
    spec = _whiskers(rows, names, field="b", zero=1.0, axis={"title": None, "format": ".1f", "labelOverlap": True})
    offset = {"yOffset": {"field": "side", "type": "nominal", "sort": ["before", "after"]}}
    colour = {"field": "side", "type": "nominal", "scale": {"domain": ["before", "after"], "range": [MUTED, ACCENT]}}
    for layer in spec["layer"][1:]:
        layer["encoding"] |= {**offset, "color": colour}
        layer["mark"].pop("color", None)
    return spec


def analogue_chart(lines: Sequence[Line]) -> Spec:
    """Episodes from their peaks on, in percent of the peak, by days."""
    rows = [
        {"d": float(x) / DAY_US, "y": float(y), "name": line.name}
        for line in lines
        for x, y in zip(line.x, line.y, strict=True)
    ]
    x = {
        "field": "d",
        "type": "quantitative",
        "axis": {"title": "days from the peak", "grid": False, "tickMinStep": 20},
    }
    spec = _lines(rows, [line.name for line in lines], x=x, y_format=".0f", columns=2)
    # a logarithmic axis: halving and doubling are the same distance
    for layer in spec:
        layer["encoding"]["y"]["scale"] = {"type": "log", "zero": False, "nice": False}
        layer["encoding"]["y"]["axis"]["values"] = [30, 40, 50, 70, 100, 150, 200, 250]
    return {"layer": spec}


def _lines(rows: list[Spec], names: list[str], *, x: Spec, y_format: str, columns: int = 4) -> list[Spec]:
    scale = {"domain": names, "range": list(SERIES[: len(names)])}
    y = {"field": "y", "type": "quantitative", "scale": {"zero": False}, "axis": {"title": None, "format": y_format}}
    colour = {"field": "name", "type": "nominal", "scale": scale, "legend": {"columns": columns, "labelLimit": 320}}
    mark = {"type": "line", "strokeWidth": 1.9}
    return [{"data": {"values": rows}, "mark": mark, "encoding": {"x": x, "y": y, "color": colour}}]


def _whiskers(rows: list[Spec], names: list[str], *, field: str, zero: float, axis: Spec) -> Spec:
    x = {"field": field, "type": "quantitative", "axis": {**axis, "tickCount": 7}}
    plain = {"title": None, "ticks": False, "domain": False, "labelColor": INK}
    y = {"field": "name", "type": "nominal", "sort": names, "axis": plain}
    span = {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y}
    return {
        "data": {"values": rows},
        "layer": [
            {"mark": RULE, "data": {"values": [{field: zero}]}, "encoding": {"x": x}},
            {"mark": {"type": "rule", "color": ACCENT, "strokeWidth": 2, "opacity": 0.55}, "encoding": span},
            {
                "mark": {"type": "point", "filled": True, "size": 62, "opacity": 1, "color": ACCENT},
                "encoding": {"x": x, "y": y},
            },
        ],
    }


def _time(field: str, style: str = "%b %Y") -> Spec:
    axis = {
        "title": None,
        "grid": False,
        "labelOverlap": "greedy",
        "labelSeparation": 14,
        "format": style,
        "domainColor": LINE,
    }
    return {"field": field, "type": "temporal", "scale": {"type": "utc"}, "axis": axis}
