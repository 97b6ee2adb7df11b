"""oEmbed: from the address of a page to the iframe that shows it, within the size that was asked for."""

from __future__ import annotations

import html
from urllib.parse import urlsplit

from indexer.errors import NotFoundError

WIDTH, HEIGHT = 640, 380


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
    return min(WIDTH, max_width or WIDTH), min(HEIGHT, max_height or HEIGHT)


def frame_html(address: str, *, title: str, width: int, height: int) -> str:
    """The iframe, with a title for screen readers and nothing that needs a script."""
    return (
        f'<iframe src="{html.escape(address, quote=True)}" title="{html.escape(title, quote=True)}" width="{width}" '
        f'height="{height}" style="border:0" loading="lazy"></iframe>'
    )
