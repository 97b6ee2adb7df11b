"""Parts of an answer (RFC 9110, Range): what polars and other readers of URLs need, even for text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, Response

from api.answers.problems import problem

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

RawHeaders = list[tuple[bytes, bytes]]

ONE_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")


def wanted_range(header: bytes, *, size: int) -> tuple[int, int] | bool | None:
    """(first, last) of a satisfiable range; False when it cannot be satisfied; None to send the whole.

    Several ranges at once, other units and malformed headers are answered with the whole, as the RFC allows.
    """
    match = ONE_RANGE.fullmatch(header.strip())
    if match is None or match.groups() == (b"", b""):
        return None
    start, end = match.groups()
    if not start:
        length = int(end)
        return (max(0, size - length), size - 1) if length and size else False
    first, last = int(start), int(end) if end else size - 1
    if end and last < first:
        return None
    return (first, min(last, size - 1)) if first < size else False


def requested_range(header: bytes, headers: RawHeaders, *, etag: bytes, size: int) -> tuple[int, int] | bool | None:
    """As `wanted_range`, but the whole when If-Range names another state of the resource."""
    given = next((value for name, value in headers if name == b"if-range"), etag)
    return wanted_range(header, size=size) if given == etag else None


def out_of_range(scope: Scope, *, size: int) -> Response:
    """The 416 that says how long the resource is."""
    said = f"The range lies beyond the {size} bytes there are"
    return problem(scope, "range_not_satisfiable", detail=said, headers={"Content-Range": f"bytes */{size}"})


class FileAnswer(FileResponse):
    """A file served with Range, whose refusals have the one error shape. `headers` must carry its ETag."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: RawHeaders = scope["headers"]
        size, etag = Path(self.path).stat().st_size, self.headers["etag"].encode("latin-1")
        for name, value in headers:
            if name == b"range":
                span = requested_range(value, headers, etag=etag, size=size)
                if span is False:
                    await out_of_range(scope, size=size)(scope, receive, send)
                    return
                if span is None:
                    scope = {**scope, "headers": [pair for pair in headers if pair[0] not in (b"range", b"if-range")]}
        await super().__call__(scope, receive, send)
