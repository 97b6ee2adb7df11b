"""One renderer of documents and reports: blocks as plain text or one HTML page, charts as SVG or as PNG for paper.

And numbers as words and cells: percent, intervals, p values, dates.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from indexer.times import from_us

STYLE = Path(__file__).with_name("page.css")
WIDTH = 100


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; below the second level it opens no section of its own."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. `kind` is how it stands out in HTML: note, lead, verdict or warn."""

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose first column names the row. In HTML the rest is right-aligned and `strong` rows stand out."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    strong: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cards:
    """The figures that matter most: (label, value, note or "")."""

    items: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Text that keeps its lines (a file, a difference)."""

    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart as a Vega-Lite specification, its height in pixels, and what it shows in words."""

    spec: dict[str, Any]
    label: str
    height: int = 300


Block = Heading | Text | Bullets | Table | Cards | Lines | Picture


@dataclass(frozen=True, slots=True)
class Document:
    """A titled document. `kicker` is the small line above its title."""

    title: str
    kicker: str
    blocks: tuple[Block, ...]


def as_text(document: Document) -> str:
    """The document as plain text, at most 100 columns wide but for tables and kept lines."""
    parts = [document.kicker, document.title, "=" * len(document.title), ""]
    return "\n".join([*parts, *(_text(block) for block in document.blocks)]).rstrip() + "\n"


def _text(block: Block) -> str:  # noqa: PLR0911 - one return a kind of block
    match block:
        case Heading(text):
            return f"\n{text}\n{'-' * len(text)}\n"
        case Bullets(items):
            return "\n".join(textwrap.fill(f"- {item}", WIDTH, subsequent_indent="  ") for item in items) + "\n"
        case Table():
            return _text_table(block)
        case Cards(items):
            return _text_table(Table(("", "", ""), items))
        case Picture(label=label):
            return f"[{label}]\n"
        case Lines(text):
            return text + "\n"
        case Text(text):
            return textwrap.fill(text, WIDTH) + "\n"


def _text_table(block: Table) -> str:
    rows = [block.headers, *block.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(block.headers))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*([block.caption] if block.caption else []), *lines]) + "\n"


def as_html(document: Document) -> str:
    """The document as one HTML page: no script, nothing loaded from elsewhere, made for the screen and for print."""
    css = STYLE.read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(document.title)}</title><style>{css}</style></head><body><main>{body_of(document)}</main>"
        "</body></html>"
    )


def body_of(document: Document) -> str:
    """The document as HTML to stand in a page: its heading, then a section a heading."""
    body, section = [f'<p class="kicker">{escape(document.kicker)}</p><h1>{escape(document.title)}</h1>'], False
    for block in document.blocks:
        if isinstance(block, Heading) and block.level == 2:
            body.append(f"{'</section>' if section else ''}<section>")
            section = True
        body.append(_html(block))
    return f"{''.join(body)}{'</section>' if section else ''}"


def _html(block: Block) -> str:  # noqa: PLR0911 - one return a kind of block
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{_joined(text)}</li>' for text in items)}</ul>"
        case Table():
            return _html_table(block)
        case Cards(items):
            notes = (f"<small>{escape(note)}</small>" if note else "" for _, _, note in items)
            cards = (
                f"<div><dt>{escape(label)}</dt><dd>{escape(value)}{note}</dd></div>"
                for (label, value, _), note in zip(items, notes, strict=True)
            )
            return f'<dl class="cards">{"".join(cards)}</dl>'
        case Picture(spec, label, height):
            return as_figure(spec, label=label, height=height)
        case Lines(text):
            return f"<pre class='scroll'>{escape(text)}</pre>"
        case Text(text, kind):
            return f'<p class="{kind}">{_joined(text)}</p>' if kind else f"<p>{_joined(text)}</p>"


def _html_table(block: Table) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in block.headers)
    body = []
    for place, (first, *rest) in enumerate(block.rows):
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        mark = ' class="strong"' if place in block.strong else ""
        body.append(f'<tr{mark}><th scope="row">{escape(first)}</th>{cells}</tr>')
    title = f"<caption>{escape(block.caption)}</caption>" if block.caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _joined(text: str) -> str:
    """The text as HTML, numbers kept on one line with their percent signs and names (`p = 0.04`)."""
    percent = escape(text).replace(" %", "\u00a0%")
    return re.sub(r"\b(p|t|n) (=|&lt;) ", "\\1\u00a0\\2\u00a0", percent)


def join_names(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


NOTHING = "–"
MINUS = "\u2212"


def percent(value: float | None, digits: int = 1, *, sign: bool = True) -> str:
    """`+2.8 %`, with a real minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value * 100:{'+' if sign else ''}.{digits}f} %"
    return text.replace("-", MINUS)


def simple(log_return: float | None) -> float | None:
    """exp(x) - 1: the simple return of a log return, which is what percent means."""
    return None if log_return is None else math.expm1(log_return)


def figure(value: float | None) -> str:
    """A fraction as percent, what is larger than 1 as a number."""
    return percent(value) if value is None or abs(value) <= 1.0 else number(value, 0)


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many decimals; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.{digits}f}".replace("-", MINUS)


def p_value(value: float | None) -> str:
    """`0.04`; below a thousandth `< 0.001`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.01 else f"{value:.2f}"


def span_of(first: int, last: int) -> str:
    """An event window in sessions: `[−1, +5]`."""
    return f"[{first}, {last:+d}]".replace("-", MINUS) if last else f"[{first}, 0]".replace("-", MINUS)


def day(us: int | None) -> str:
    """`2025-01-27`."""
    return NOTHING if us is None else f"{from_us(us):%Y-%m-%d}"


def moment(us: int) -> str:
    """`Mon 2025-01-27 21:00 UTC`."""
    return f"{from_us(us):%a %Y-%m-%d %H:%M} UTC"


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
