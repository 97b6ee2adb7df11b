"""Opaque cursors and the `Link` header (RFC 8288): the same way on for JSON and CSV.

A cursor is the instant of the next row, so pages stay right while data is appended. Addresses are
path-absolute: they hold behind any host name, and an answer that is kept never carries a stranger's.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request

from indexer.errors import NotFoundError

MARK = "t"


def encode_cursor(time_us: int) -> str:
    """The cursor that continues at this instant, included."""
    return urlsafe_b64encode(f"{MARK}{time_us}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """The instant a cursor continues at. Raises NotFoundError on anything we did not make."""
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        if not text.startswith(MARK) or encode_cursor(int(text[1:])) != cursor:
            raise ValueError(text)
        time_us = int(text[1:])
        if abs(time_us) > 2**62:
            raise ValueError(text)
    except ValueError:
        raise NotFoundError(f'No page "{cursor}": take `next` of the page before, unchanged') from None
    return time_us


def next_url(request: Request, cursor: str) -> str:
    """The address of the next page: this request's, with the cursor."""
    query = [(name, value) for name, value in parse_qsl(request.url.query) if name != "cursor"]
    return f"{public_path(request)}?{urlencode([*query, ('cursor', cursor)])}"


def public_path(request: Request) -> str:
    """The path as the client sees it, root path included."""
    path: str = request.scope["path"]
    return path


def link_header(request: Request, cursor: str | None) -> dict[str, str]:
    """`Link: <…>; rel="next"`, or nothing on the last page."""
    return {} if cursor is None else {"Link": f'<{next_url(request, cursor)}>; rel="next"'}
