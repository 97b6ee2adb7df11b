"""A factsheet as data, and its two forms: a document (HTML, text) and one page of PDF without any browser.

Place in the flow: `factsheet.py` (an index) and `constituent.py` (a token) fill it, `make.py` hands it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

import numpy as np

from indexer.studies.report.blocks import Block, Document, Heading, Picture, Table, Text
from indexer.studies.report.charts import ACCENT, figure
from indexer.times import DAY_US

PAGE = (595, 842)  # A4 in points
LEFT, RIGHT, BOTTOM = 40, 555, 790
PERIODS = (("1 month", 30), ("3 months", 91), ("1 year", 365))
INK, MUTED, TEAL, LINE = "#15181d", "#596170", "#0a6b6b", "#d4d6ce"
SIZE, GAP, WIDEST = 8.5, 12, 60  # of a table: points of its text, least and largest gap of its columns
LETTER, NARROW = 4.9, 4.2  # points that a letter takes at most of the time, and on average
Figures = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SheetTable:
    """A titled table; `numeric` columns are right-aligned on the page. Without rows it says `empty`."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a factsheet shows: figures by name, a daily line, tables, and where the evidence is."""

    title: str
    kicker: str
    figures: Figures
    times_us: np.ndarray
    values: np.ndarray
    label: str
    tables: tuple[SheetTable, ...]
    evidence: tuple[str, ...]


def performance(times: np.ndarray, values: np.ndarray, *, since: str) -> Figures:
    """Moves over the usual periods, volatility and deepest fall of daily values (T,), T >= 2."""
    moves = np.diff(np.log(values))
    made = []
    for name, days in PERIODS:
        at = int(np.searchsorted(times, times[-1] - days * DAY_US, side="right")) - 1
        if at >= 0:
            made.append((name, f"{values[-1] / values[at] - 1:+.1%}"))
    made.append((since, f"{values[-1] / values[0] - 1:+.1%}"))
    if len(moves) > 1:
        made.append(("Volatility, 1 year", f"{moves[-365:].std(ddof=1) * np.sqrt(365.25):.1%}"))
    made.append(("Deepest fall", f"{(values / np.maximum.accumulate(values) - 1).min():.1%}"))
    return tuple(made)


def as_document(sheet: Sheet) -> Document:
    """The factsheet as a document."""
    picture = figure(_spec(sheet), label=sheet.label)
    blocks: list[Block] = [Table(("", ""), sheet.figures), Picture(picture, sheet.label)]
    for one in sheet.tables:
        blocks.append(Heading(one.title))
        blocks.append(Table(one.headers, one.rows) if one.rows else Text(one.empty))
    blocks += [Heading("Evidence"), *(Text(line) for line in sheet.evidence)]
    return Document(sheet.title, sheet.kicker, tuple(blocks))


def as_pdf(sheet: Sheet, *, now: datetime) -> bytes:
    """The factsheet as a one-page PDF, drawn as SVG and converted by vl-convert: no browser is needed."""
    import vl_convert

    chart: str = vl_convert.vegalite_to_svg(
        {**_spec(sheet, colour=TEAL), "width": PAGE[0] - 130, "height": _height(sheet), "background": None}
    )
    return bytes(vl_convert.svg_to_pdf(_page(sheet, chart=chart, now=now)))


def _height(sheet: Sheet) -> int:
    """Of the chart on the page: several tables leave it less room."""
    return 170 if len(sheet.tables) == 1 else 110


def _spec(sheet: Sheet, *, colour: str = ACCENT) -> dict[str, Any]:
    """A Vega-Lite line of the daily values, at most 800 points of it."""
    step = max(1, len(sheet.values) // 800)
    pick = np.r_[np.arange(0, len(sheet.values) - 1, step), len(sheet.values) - 1]
    points = [
        {"t": int(t) // 1000, "y": float(y)} for t, y in zip(sheet.times_us[pick], sheet.values[pick], strict=True)
    ]
    return {
        "data": {"values": points},
        "mark": {"type": "line", "color": colour, "strokeWidth": 1.6},
        "encoding": {
            "x": {
                "field": "t",
                "type": "temporal",
                "scale": {"type": "utc"},
                "axis": {"title": None, "format": "%b %Y"},
            },
            "y": {"field": "y", "type": "quantitative", "scale": {"zero": False}, "axis": {"title": None}},
        },
    }


def _page(sheet: Sheet, *, chart: str, now: datetime) -> str:
    out = [_said(LEFT, 56, text=sheet.title, size=22, bold=True)]
    out.append(_said(LEFT, 74, text=f"{sheet.kicker} of {now:%Y-%m-%d}", size=10, colour=TEAL))
    for n, (label, value) in enumerate(sheet.figures):
        x, down = LEFT + (n % 5) * 105, 104 + (n // 5) * 34
        out += [_said(x, down, text=label, size=8, colour=MUTED), _said(x, down + 13, text=value, size=11, bold=True)]
    top = 104 + ((len(sheet.figures) - 1) // 5 + 1) * 34
    out.append(f'<g transform="translate(36,{top})">{chart}</g>')
    y = float(top + _height(sheet) + 62)
    for one in sheet.tables:
        if y > BOTTOM - 45:
            break
        drawn, y = _table(one, y=y, titled=len(sheet.tables) > 1)
        out += drawn
    for n, line in enumerate(sheet.evidence[:3]):
        out.append(_said(LEFT, 806 + 10 * n, text=line, size=6.5, colour=MUTED))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{PAGE[0]}" '
        f'height="{PAGE[1]}" viewBox="0 0 {PAGE[0]} {PAGE[1]}"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(out)}</svg>"
    )


def _table(table: SheetTable, *, y: float, titled: bool) -> tuple[list[str], float]:
    """A table drawn from a height on, as many rows as fit, and the height below it."""
    out: list[str] = []
    if titled:
        y += 14
        out.append(_said(LEFT, y, text=table.title, size=10, bold=True))
        y += 14
    if not table.rows:
        return [*out, _said(LEFT, y, text=table.empty, size=SIZE, colour=MUTED)], y + 6
    rows = table.rows[: max(0, int((BOTTOM - y - 4) // 13))]
    spans, widest = _spans([table.headers, *rows])

    def cells(row: Sequence[str], at: float, *, size: float, colour: str) -> list[str]:
        made = []
        for n, (text, (start, end)) in enumerate(zip(row, spans, strict=True)):
            x, anchor = (end, "end") if n in table.numeric else (start, "start")
            most = int((end - start) / NARROW)
            shown = text[: most - 1] + "…" if n == widest and len(text) > most else text
            made.append(_said(x, at, text=shown, size=size, colour=colour, anchor=anchor))
        return made

    out += cells(table.headers, y, size=8, colour=MUTED)
    out.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y + 4}" y2="{y + 4}" stroke="{LINE}"/>')
    for n, row in enumerate(rows, 1):
        out += cells(row, y + 4 + n * 13, size=SIZE, colour=INK)
    return out, y + 8 + len(rows) * 13


def _spans(rows: Sequence[Sequence[str]]) -> tuple[list[tuple[float, float]], int]:
    """Left and right of each column, as wide as its texts, and the one that gives way where the page is too narrow."""
    widths = [max(len(row[n]) for row in rows) * LETTER for n in range(len(rows[0]))]
    room = RIGHT - LEFT - GAP * (len(widths) - 1)
    widest = widths.index(max(widths))
    widths[widest] = min(widths[widest], max(60.0, room - (sum(widths) - widths[widest])))
    gap = min(WIDEST, GAP + max(0.0, room - sum(widths)) / max(1, len(widths) - 1))
    spans, x = [], float(LEFT)
    for width in widths:
        spans.append((x, x + width))
        x += width + gap
    return spans, widest


def _said(
    x: float, y: float, *, text: str, size: float, bold: bool = False, colour: str = INK, anchor: str = "start"
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-family="sans-serif" font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
        f"{weight}>{escape(text)}</text>"
    )
