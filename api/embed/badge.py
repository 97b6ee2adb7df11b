"""What stands in other people's pages: a badge (its text for SVG of our own or for shields.io) and an iframe."""

from __future__ import annotations

import html
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from indexer.errors import NotFoundError

GREEN, RED, GREY, ORANGE = "#2e7d4f", "#b3261e", "#6b7280", "#b0520f"
HEIGHT = 20
PADDING = 6
# Advance of each kind of character in 11 px Verdana-like type, close enough to fit a box around text.
NARROW, WIDE, OTHER = 4.2, 9.6, 6.9


def badge_message(latest: dict[str, Any] | None, *, now: datetime) -> tuple[str, str]:
    """The text and colour of a badge: grey and plain while there is no level, orange when it is not a good one.

    A level that a newer one should have followed by `now` is told with its day instead of its move.
    """
    if latest is None:
        return "no levels yet", GREY
    level, change = f"{latest['level']:,.2f}", latest["change"]["d1"]
    moved = "" if change is None else f" {change:+.1%}".replace("-", "\u2212")
    stale = now > latest["fresh_until"]
    text = f"{level}{'' if stale else moved}" + (" (simulated)" if latest["simulated"] else "")
    if stale:
        return f"{text}, of {latest['time']:%Y-%m-%d}", ORANGE
    if latest["status"] in ("carried", "suspended"):
        return f"{text}, {latest['status']}", ORANGE
    return text, GREY if change is None else GREEN if change >= 0 else RED


def badge_svg(label: str, message: str, *, color: str) -> bytes:
    """A flat badge of two halves with real text in it, readable by screen readers."""
    left, right = _width(label) + 2 * PADDING, _width(message) + 2 * PADDING
    whole = left + right
    words = html.escape(f"{label}: {message}", quote=True)
    label, message = html.escape(label), html.escape(message)
    text = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" fill="#fff"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0f}" height="{HEIGHT}" role="img" '
        f'aria-label="{words}"><title>{words}</title>'
        f'<clipPath id="r"><rect width="{whole:.0f}" height="{HEIGHT}" rx="4"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{left:.1f}" height="{HEIGHT}" fill="#3b4149"/>'
        f'<rect x="{left:.1f}" width="{right:.1f}" height="{HEIGHT}" fill="{color}"/></g>'
        f'<text x="{PADDING}" y="14" {text} textLength="{left - 2 * PADDING:.1f}">{label}</text>'
        f'<text x="{left + PADDING:.1f}" y="14" {text} textLength="{right - 2 * PADDING:.1f}">{message}</text></svg>'
    ).encode()


def _width(text: str) -> float:
    narrow, wide = sum(c in "1ijlt.,:;!|()' " for c in text), sum(c in "MWmw%" for c in text)
    return narrow * NARROW + wide * WIDE + (len(text) - narrow - wide) * OTHER


FRAME = (640, 380)


def index_of_url(url: str) -> str:
    """The index id in the address of one of our pages (/indices/<id>, /embed/<id>). Raises NotFoundError."""
    try:
        parts = [part for part in urlsplit(url).path.split("/") if part]
    except ValueError:
        parts = []
    for noun in ("indices", "embed"):
        if noun in parts[:-1]:
            return parts[parts.index(noun) + 1]
    raise NotFoundError(f'"{url}" is not a page of an index; give …/indices/<id>')


def size_within(max_width: int | None, max_height: int | None) -> tuple[int, int]:
    """Our usual size, or the largest allowed when that is smaller."""
    width, height = FRAME
    return min(width, max_width or width), min(height, max_height or height)


def frame_html(address: str, *, title: str, width: int, height: int) -> str:
    """The iframe, with a title for screen readers and nothing that needs a script."""
    return (
        f'<iframe src="{html.escape(address, quote=True)}" title="{html.escape(title, quote=True)}" width="{width}" '
        f'height="{height}" style="border:0" loading="lazy"></iframe>'
    )
