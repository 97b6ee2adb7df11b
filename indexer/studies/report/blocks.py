"""One renderer of documents and reports: a document as blocks, in plain text and HTML, and the pieces of a page."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("page.css")
PRINT = "@media print { section { break-inside: avoid; margin-top: 24px } main { padding: 0; max-width: none } }"
WIDTH = 100


@dataclass(frozen=True, slots=True)
class Heading:
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Lines:
    """Text that keeps its lines (a file, a difference)."""

    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG that is ours, and what it shows in words."""

    svg: str
    label: str


Block = Heading | Text | Bullets | Table | Lines | Picture


@dataclass(frozen=True, slots=True)
class Document:
    """A titled document. `kicker` is the small line above its title."""

    title: str
    kicker: str
    blocks: tuple[Block, ...]


def as_text(document: Document) -> str:
    """The document as plain text, at most 100 columns wide but for tables and kept lines."""
    parts = [document.kicker, document.title, "=" * len(document.title), ""]
    for block in document.blocks:
        parts.append(_text(block))
    return "\n".join(parts).rstrip() + "\n"


def _text(block: Block) -> str:
    if isinstance(block, Heading):
        return f"\n{block.text}\n{'-' * len(block.text)}\n"
    if isinstance(block, Bullets):
        return "\n".join(textwrap.fill(f"- {one}", WIDTH, subsequent_indent="  ") for one in block.items) + "\n"
    if isinstance(block, Table):
        return _text_table(block)
    if isinstance(block, Picture):
        return f"[{block.label}]\n"
    return block.text + "\n" if isinstance(block, Lines) else textwrap.fill(block.text, WIDTH) + "\n"


def _text_table(block: Table) -> str:
    rows = [block.headers, *block.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(block.headers))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*([block.caption] if block.caption else []), *lines]) + "\n"


def as_html(document: Document) -> str:
    """The document as one HTML page: no script, nothing loaded from elsewhere, made for the screen and for print."""
    body, section = [], False
    for block in document.blocks:
        if isinstance(block, Heading):
            body.append(f"{'</section>' if section else ''}<section><h2>{escape(block.text)}</h2>")
            section = True
        else:
            body.append(_html(block))
    header = f"<p class='kicker'>{escape(document.kicker)}</p><h1>{escape(document.title)}</h1>"
    return html_page(document.title, f"{header}{''.join(body)}{'</section>' if section else ''}", style=PRINT)


def html_page(title: str, body: str, *, style: str = "") -> str:
    """A whole page around `body`: its styles inside, no script, nothing loaded from elsewhere."""
    css = STYLE.read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}{style}</style></head><body><main>{body}</main></body></html>"
    )


def _html(block: Block) -> str:
    if isinstance(block, Bullets):
        return bullets(block.items)
    if isinstance(block, Table):
        return table(block.headers, block.rows, caption=block.caption)
    if isinstance(block, Picture):
        return block.svg
    if isinstance(block, Lines):
        return f"<pre class='scroll'>{escape(block.text)}</pre>"
    return paragraph(block.text) if isinstance(block, Text) else ""


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


def join_names(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
