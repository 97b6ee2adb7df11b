"""Chart specifications → inline SVG that follows the page's colours, in a wide and a narrow form.

Colours in a specification are stand-ins; in the SVG they become the page's CSS variables, so one picture serves the
light and the dark page and needs no script.
"""

from __future__ import annotations

import re
from typing import Any

INK, MUTED, LINE, ACCENT, SECOND, THIRD, FOURTH, DOWN, UP = (
    "#010101", "#010102", "#010103", "#010104", "#010105", "#010106", "#010107", "#010108", "#010109",
)  # fmt: skip
VARIABLES = {
    INK: "ink", MUTED: "muted", LINE: "line", ACCENT: "accent", SECOND: "accent-2", THIRD: "accent-3",
    FOURTH: "accent-4", DOWN: "down", UP: "up",
}  # fmt: skip
SERIES = (ACCENT, THIRD, FOURTH, SECOND)
WIDE, NARROW = 760, 350
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


def figure(spec: dict[str, Any], *, label: str, height: int = 300) -> str:
    """The chart as two SVG pictures, of which the page shows the one that fits; `label` is its text alternative."""
    pictures = [_svg(spec, width=width, height=height) for width in (WIDE, NARROW)]
    hidden = [re.sub("<svg ", '<svg aria-hidden="true" ', picture, count=1) for picture in pictures]
    wide, narrow = (
        f'<div class="{name}">{picture}</div>' for name, picture in zip(("wide", "narrow"), hidden, strict=True)
    )
    return f'<div class="chart" role="img" aria-label="{label}">{wide}{narrow}</div>'


def _svg(spec: dict[str, Any], *, width: int, height: int) -> str:
    import vl_convert

    whole = {
        "$schema": SCHEMA,
        "width": width,
        "height": height,
        "background": None,
        "padding": {"left": 2, "right": 6, "top": 6, "bottom": 2},
        "autosize": {"type": "fit", "contains": "padding"},
        "config": _config(),
        **spec,
    }
    text: str = vl_convert.vegalite_to_svg(whole)
    for stand_in, name in VARIABLES.items():
        text = text.replace(stand_in, f"var(--{name})")
    return text


def _config() -> dict[str, Any]:
    axis = {
        "labelColor": MUTED, "titleColor": MUTED, "gridColor": LINE, "domainColor": LINE, "tickColor": LINE,
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
    }  # fmt: skip
    return {
        "axis": axis,
        "legend": {"labelColor": INK, "labelFontSize": 12, "orient": "top", "title": None, "symbolStrokeWidth": 3},
        "view": {"stroke": None},
        "font": FONT,
    }
