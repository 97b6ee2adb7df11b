"""Numbers as words and cells: percent, intervals, p values, dates; tables and notes as HTML."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape

from indexer.times import from_us

NOTHING = "–"
MINUS = "\u2212"


def percent(value: float | None, digits: int = 1, *, sign: bool = True) -> str:
    """`+2.8 %`, with a real minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value * 100:{'+' if sign else ''}.{digits}f} %"
    return text.replace("-", MINUS)


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


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", strong: Sequence[int] = ()
) -> str:
    """A table whose first column names the row; the rest is right-aligned. `strong` rows stand out."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in headers)
    body = []
    for place, row in enumerate(rows):
        first, *rest = row
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        mark = ' class="strong"' if place in strong else ""
        body.append(f'<tr{mark}><th scope="row">{escape(first)}</th>{cells}</tr>')
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def paragraph(text: str, *, kind: str = "") -> str:
    """A paragraph of plain text."""
    name = f' class="{kind}"' if kind else ""
    return f"<p{name}>{joined(text)}</p>"


def bullets(texts: Iterable[str]) -> str:
    """A list of plain texts."""
    return f"<ul>{''.join(f'<li>{joined(text)}</li>' for text in texts)}</ul>"


def joined(text: str) -> str:
    """The text as HTML, numbers kept on one line with their percent signs and names (`p = 0.04`)."""
    kept = escape(text).replace(" %", "\u00a0%")
    return re.sub(r"\b(p|t|n) (=|&lt;) ", "\\1\u00a0\\2\u00a0", kept)
