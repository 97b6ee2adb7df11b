"""A document as a list of blocks, and its two forms: plain text and one HTML page with its styles inside."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from indexer.studies.report import words

STYLE = Path(words.__file__).with_name("page.css")
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
    css = STYLE.read_text(encoding="utf-8")
    body, section = [], False
    for block in document.blocks:
        if isinstance(block, Heading):
            body.append(f"{'</section>' if section else ''}<section><h2>{escape(block.text)}</h2>")
            section = True
        else:
            body.append(_html(block))
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(document.title)}</title><style>{css}{PRINT}</style></head><body><main>"
        f"<p class='kicker'>{escape(document.kicker)}</p><h1>{escape(document.title)}</h1>"
        f"{''.join(body)}{'</section>' if section else ''}</main></body></html>"
    )


def _html(block: Block) -> str:
    if isinstance(block, Bullets):
        return words.bullets(block.items)
    if isinstance(block, Table):
        return words.table(block.headers, block.rows, caption=block.caption)
    if isinstance(block, Picture):
        return block.svg
    if isinstance(block, Lines):
        return f"<pre class='scroll'>{escape(block.text)}</pre>"
    return words.paragraph(block.text) if isinstance(block, Text) else ""


def join_names(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
