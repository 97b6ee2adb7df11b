"""The factsheet of an index: figures, chart and constituents on one page, as HTML or as a PDF without any browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

import numpy as np

from indexer.administration.documents.blocks import Block, Document, Heading, Picture, Table, Text
from indexer.administration.explain import Explanation
from indexer.errors import NotEnoughDataError
from indexer.report.draw import ACCENT, figure
from indexer.store.db import Store
from indexer.store.read import read_levels
from indexer.times import DAY_US

PAGE = (595, 842)  # A4 in points
PERIODS = (("1 month", 30), ("3 months", 91), ("1 year", 365))
INK, MUTED, TEAL, LINE = "#15181d", "#596170", "#0a6b6b", "#d4d6ce"
MOST_ROWS = 22


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page shows: daily instants and levels, figures by name, and the explained newest level."""

    times_us: np.ndarray
    levels: np.ndarray
    figures: tuple[tuple[str, str], ...]
    newest: Explanation


def gather_facts(store: Store, newest: Explanation) -> Facts:
    """The facts of an index as of its explained newest level. Raises NotEnoughDataError with less than two days."""
    rows = read_levels(store, newest.index, step_us=DAY_US)
    if len(rows) < 2:
        raise NotEnoughDataError(f"index {newest.index} has {len(rows)} daily levels; a factsheet needs two")
    return Facts(rows.times_us, rows.levels, _figures(rows.times_us, rows.levels, newest=newest), newest)


def _figures(times: np.ndarray, levels: np.ndarray, *, newest: Explanation) -> tuple[tuple[str, str], ...]:
    moves = np.diff(np.log(levels))
    made = [
        ("Level", f"{newest.level:,.2f}"),
        ("As of (UTC)", f"{newest.time:%Y-%m-%d}"),
        ("Status", newest.status),
    ]
    for name, days in PERIODS:
        at = int(np.searchsorted(times, times[-1] - days * DAY_US, side="right")) - 1
        if at >= 0:
            made.append((name, f"{levels[-1] / levels[at] - 1:+.1%}"))
    made.append(("Since base", f"{levels[-1] / levels[0] - 1:+.1%}"))
    made.append(("Volatility, 1 year", f"{moves[-365:].std(ddof=1) * np.sqrt(365.25):.1%}"))
    made.append(("Deepest fall", f"{(levels / np.maximum.accumulate(levels) - 1).min():.1%}"))
    weights = np.array([one.weight for one in newest.constituents])
    made.append(("Constituents", f"{len(weights)} (effective {1 / (weights**2).sum():.1f})"))
    return tuple(made)


def factsheet_document(facts: Facts, *, name: str) -> Document:
    """The factsheet as a document."""
    said = facts.newest
    spec = chart_spec(facts)
    blocks: list[Block] = [
        Table(("", ""), facts.figures),
        Picture(figure(spec, label=f"Daily levels of {name}"), f"chart of {len(facts.levels)} daily levels"),
        Heading("Constituents"),
        Table(("token", "sub-sector", "weight", "target", "price USD", "supply", "supply from"), _rows(said)),
        Heading("Evidence"),
        Text(f"Rules {said.methodology_version}, hash {said.methodology_hash}. Hash of the newest level: {said.hash}."),
    ]
    kicker = f"Index {said.index}, factsheet{' (SIMULATED)' if said.simulated else ''}"
    return Document(name, kicker, tuple(blocks))


def _rows(said: Explanation) -> tuple[tuple[str, ...], ...]:
    ordered = sorted(said.constituents, key=lambda one: -one.weight)
    return tuple(
        (
            one.symbol,
            one.sub_sector,
            f"{one.weight:.2%}",
            f"{one.weight_target:.2%}",
            f"{one.price:,.4g}",
            "–" if one.supply is None else f"{one.supply.tokens:,.0f}",
            "–" if one.supply is None else (one.supply.origin or "–").replace("_", " "),
        )
        for one in ordered
    )


def chart_spec(facts: Facts, *, colour: str = ACCENT) -> dict[str, Any]:
    """A Vega-Lite line of the daily levels, at most 800 points of it."""
    step = max(1, len(facts.levels) // 800)
    pick = np.r_[np.arange(0, len(facts.levels) - 1, step), len(facts.levels) - 1]
    values = [
        {"t": int(t) // 1000, "y": float(y)} for t, y in zip(facts.times_us[pick], facts.levels[pick], strict=True)
    ]
    return {
        "data": {"values": values},
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


def factsheet_pdf(facts: Facts, *, name: str, now: datetime) -> bytes:
    """The factsheet as a one-page PDF, drawn as SVG and converted by vl-convert: no browser is needed."""
    import vl_convert

    chart: str = vl_convert.vegalite_to_svg(
        {**chart_spec(facts, colour=TEAL), "width": PAGE[0] - 130, "height": 170, "background": None}
    )
    page = _svg_page(facts, name=name, chart=chart, now=now)
    return bytes(vl_convert.svg_to_pdf(page))


def _svg_page(facts: Facts, *, name: str, chart: str, now: datetime) -> str:
    said, out = facts.newest, []
    out.append(_said(40, 56, text=name, size=22, bold=True))
    simulated = " (SIMULATED)" if said.simulated else ""
    out.append(_said(40, 74, text=f"Index {said.index}{simulated}, factsheet of {now:%Y-%m-%d}", size=10, colour=TEAL))
    for n, (label, value) in enumerate(facts.figures):
        x, y = 40 + (n % 5) * 105, 104 + (n // 5) * 34
        out += [_said(x, y, text=label, size=8, colour=MUTED), _said(x, y + 13, text=value, size=11, bold=True)]
    top = 104 + ((len(facts.figures) - 1) // 5 + 1) * 34
    out.append(f'<g transform="translate(36,{top})">{chart}</g>')
    out += _svg_table(_rows(said)[:MOST_ROWS], y=top + 240)
    out.append(_said(40, 806, text=f"Rules {said.methodology_version} {said.methodology_hash}", size=6.5, colour=MUTED))
    out.append(_said(40, 816, text=f"Newest level's hash {said.hash}; check with deai verify", size=6.5, colour=MUTED))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{PAGE[0]}" '
        f'height="{PAGE[1]}" viewBox="0 0 {PAGE[0]} {PAGE[1]}"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(out)}</svg>"
    )


def _svg_table(rows: Sequence[Sequence[str]], *, y: int) -> list[str]:
    places = ((40, "start"), (120, "start"), (250, "end"), (310, "end"), (385, "end"), (485, "end"), (555, "end"))
    headers = ("token", "sub-sector", "weight", "target", "price USD", "supply", "supply from")
    out = [
        _said(x, y, text=text, size=8, colour=MUTED, anchor=anchor)
        for (x, anchor), text in zip(places, headers, strict=True)
    ]
    out.append(f'<line x1="40" x2="555" y1="{y + 4}" y2="{y + 4}" stroke="{LINE}"/>')
    for n, row in enumerate(rows, 1):
        out += [
            _said(x, y + 4 + n * 13, text=text, size=8.5, anchor=anchor)
            for (x, anchor), text in zip(places, row, strict=True)
        ]
    return out


def _said(
    x: float, y: float, *, text: str, size: float, bold: bool = False, colour: str = INK, anchor: str = "start"
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" font-family="sans-serif" font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
        f"{weight}>{escape(text)}</text>"
    )
