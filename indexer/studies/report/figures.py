"""A Vega-Lite specification as a picture: SVG in the colours of the page, or PNG in those of paper."""

from __future__ import annotations

from html import escape
from typing import Any

# Colours no chart has otherwise: each stands for one of the page's variables, so that the picture follows its theme.
INK, MUTED, LINE, ACCENT, SECOND, THIRD, FOURTH, DOWN, UP = (
    "#010101", "#010102", "#010103", "#010104", "#010105", "#010106", "#010107", "#010108", "#010109",
)  # fmt: skip
VARIABLES = {
    INK: "ink", MUTED: "muted", LINE: "line", ACCENT: "accent", SECOND: "accent-2", THIRD: "accent-3",
    FOURTH: "accent-4", DOWN: "down", UP: "up",
}  # fmt: skip
PAPER = {
    INK: "#15181d", MUTED: "#596170", LINE: "#d4d6ce", ACCENT: "#0a6b6b", SECOND: "#7a4bb3", THIRD: "#b0520f",
    FOURTH: "#2f5fb0", DOWN: "#b3261e", UP: "#0f6b45",
}  # fmt: skip
WIDE, NARROW = 760, 350
AXIS = {
    "labelColor": MUTED, "titleColor": MUTED, "gridColor": LINE, "domainColor": LINE, "tickColor": LINE,
    "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
}  # fmt: skip
CONFIG = {
    "axis": AXIS,
    "legend": {"labelColor": INK, "labelFontSize": 12, "orient": "top", "title": None, "symbolStrokeWidth": 3},
    "view": {"stroke": None},
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
}


def as_figure(spec: dict[str, Any], *, label: str, height: int) -> str:
    """The chart as two SVG pictures, of which the page shows the one that fits; `label` is its text alternative."""
    pictures = (
        f'<div class="{name}">{_svg(spec, width=width, height=height)}</div>'
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    )
    return f'<div class="chart" role="img" aria-label="{escape(label)}">{"".join(pictures)}</div>'


def as_png(spec: dict[str, Any], *, height: int) -> bytes:
    """The chart for paper, at three pixels a point."""
    import vl_convert

    image: bytes = vl_convert.vegalite_to_png(_recoloured(_whole(spec, width=WIDE, height=height), PAPER), scale=3)
    return image


def _svg(spec: dict[str, Any], *, width: int, height: int) -> str:
    import vl_convert

    text: str = vl_convert.vegalite_to_svg(_whole(spec, width=width, height=height))
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return text.replace("<svg ", '<svg aria-hidden="true" ', 1)


def _whole(spec: dict[str, Any], *, width: int, height: int) -> dict[str, Any]:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width,
        "height": height,
        "background": None,
        "padding": {"left": 2, "right": 6, "top": 6, "bottom": 2},
        "autosize": {"type": "fit", "contains": "padding"},
        "config": CONFIG,
        **spec,
    }


def _recoloured(value: Any, colours: dict[str, str]) -> Any:
    """The specification with every stand-in replaced."""
    if isinstance(value, dict):
        return {key: _recoloured(item, colours) for key, item in value.items()}
    if isinstance(value, list):
        return [_recoloured(item, colours) for item in value]
    return colours.get(value, value) if isinstance(value, str) else value
