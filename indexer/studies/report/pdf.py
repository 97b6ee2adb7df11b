"""A document as PDF, laid out by ReportLab: no browser is needed."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import Image, KeepInFrame, Paragraph, SimpleDocTemplate
from reportlab.platypus import Table as Grid

from indexer.studies.report.blocks import (
    ACCENT,
    INK,
    LINE,
    MUTED,
    PAPER,
    WIDE,
    Block,
    Bullets,
    Cards,
    Document,
    Heading,
    Picture,
    Table,
    as_png,
)

MARGIN, PADDING = 40, 6  # points
WIDTH, HEIGHT = A4[0] - 2 * MARGIN, A4[1] - 2 * MARGIN
CARDS_A_ROW = 5
NUMBER = re.compile(r"[+\u2212-]?[\d,.]+(e[+-]?\d+)?%?|\u2013")
TEXT = ParagraphStyle("text", fontName="Helvetica", fontSize=8.5, leading=11, textColor=HexColor(PAPER[INK]))
RIGHT = ParagraphStyle("right", TEXT, alignment=2)
SMALL = ParagraphStyle("small", TEXT, textColor=HexColor(PAPER[MUTED]))
SMALL_RIGHT = ParagraphStyle("small-right", SMALL, alignment=2)
STRONG = ParagraphStyle("strong", TEXT, fontName="Helvetica-Bold", fontSize=11, leading=14)
HEADING = ParagraphStyle("heading", STRONG, spaceBefore=10, spaceAfter=4)
TITLE = ParagraphStyle("title", STRONG, fontSize=22, leading=27)
KICKER = ParagraphStyle("kicker", TEXT, fontSize=10, leading=16, textColor=HexColor(PAPER[ACCENT]))


def as_pdf(document: Document, *, pages: bool = False) -> bytes:
    """The document on one A4 page, smaller where it would need more, or on as many `pages` as it takes.

    The same document gives the same bytes.
    """
    story = [_paragraph(document.title, TITLE), _paragraph(document.kicker, KICKER)]
    for block in document.blocks:
        story += _flowables(block, pages=pages)
    buffer = io.BytesIO()
    # The frame of a page pads its content on every side.
    margins = {f"{side}Margin": MARGIN - PADDING for side in ("left", "right", "top", "bottom")}
    page = SimpleDocTemplate(buffer, pagesize=A4, title=document.title, invariant=1, **margins)
    page.build(story if pages else [KeepInFrame(WIDTH, HEIGHT, story, mode="shrink")])
    return buffer.getvalue()


def _flowables(block: Block, *, pages: bool) -> list[Any]:
    match block:
        case Heading(text):
            return [_paragraph(text, HEADING)]
        case Bullets(items):
            return [_paragraph(f"\u2022 {item}", TEXT) for item in items]
        case Table():
            return [_table(block)]
        case Cards(items):
            cells = [[_paragraph(label, SMALL), _paragraph(value, STRONG)] for label, value, _ in items]
            cells += [[]] * (-len(cells) % CARDS_A_ROW)
            rows = [cells[place : place + CARDS_A_ROW] for place in range(0, len(cells), CARDS_A_ROW)]
            return [
                Grid(rows, colWidths=[WIDTH / CARDS_A_ROW] * CARDS_A_ROW, style=[("LEFTPADDING", (0, 0), (-1, -1), 0)])
            ]
        case Picture(spec, height=height):
            # As wide as the page, but for one so tall that it would fill it.
            size = height * WIDTH / WIDE if pages else 170.0
            return [Image(io.BytesIO(as_png(spec, height=height)), WIDTH, min(size, 0.8 * HEIGHT))]
        case _:
            return [_paragraph(block.text, SMALL)]


def _table(block: Table) -> Any:
    numeric = [all(NUMBER.fullmatch(row[n]) for row in block.rows) for n in range(len(block.headers))]

    def cells(row: Sequence[str], left: ParagraphStyle, right: ParagraphStyle) -> list[Any]:
        return [_paragraph(text, right if number else left) for text, number in zip(row, numeric, strict=True)]

    rows = [cells(block.headers, SMALL, SMALL_RIGHT), *(cells(row, TEXT, RIGHT) for row in block.rows)]
    style = [
        ("LINEBELOW", (0, 0), (-1, 0), 0.5, HexColor(PAPER[LINE])),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
    ]
    return Grid(rows, colWidths=_widths([block.headers, *block.rows]), style=style, hAlign="LEFT")


def _widths(rows: Sequence[Sequence[str]]) -> list[float]:
    """Of each column: as wide as its texts; the widest wraps where the page is too narrow."""
    widths = [
        max(stringWidth(text, TEXT.fontName, TEXT.fontSize) for text in column) + 2 * PADDING + 1
        for column in zip(*rows, strict=True)
    ]
    widest = widths.index(max(widths))
    widths[widest] = min(widths[widest], max(60.0, WIDTH - (sum(widths) - widths[widest])))
    return widths


def _paragraph(text: str, style: ParagraphStyle) -> Any:
    return Paragraph(escape(text), style)
