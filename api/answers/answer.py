"""A finished answer: bytes with a strong ETag each plain and as gzip, ready to be sent many times.

It obeys If-None-Match, Accept-Encoding and Range (RFC 9110; polars and other readers of URLs ask for parts, even of
text). Routes build it in their worker thread, and the cache keeps it until the data version changes.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from api.answers import encode
from api.answers.params import Shape, TableFormat, wants_csv
from api.answers.problems import declared, problem
from indexer.times import DAY_US, HOUR_US

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

JSON = "application/json"
CSV = "text/csv; charset=utf-8; header=present"
BINARY = ("image/png", "application/pdf", "application/vnd.")
WORTH_COMPRESSING = 512
COMPRESSED_IN_THREAD = 16_384  # about half a millisecond
# How long a client may keep an answer. Open data changes with the next publication; a pinned one never does.
OPEN = "public, max-age=15, stale-while-revalidate=60, stale-if-error=3600"
CLOSED = "public, max-age=3600, stale-while-revalidate=86400"
PINNED = "public, max-age=86400, immutable"
NEVER = "no-store"
CLOSED_US = 7 * DAY_US
LEFT_OUT_304 = (b"content-type", b"accept-ranges")  # the client has them from the 200 already
ONE_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")

RawHeaders = list[tuple[bytes, bytes]]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Form:
    """One encoding of an answer: its ETag, its headers for 200 and for 304, its body."""

    etag: bytes
    headers: RawHeaders
    headers_304: RawHeaders
    body: bytes


class Answer(JSONResponse):
    """A 200 with validators; 304 when the client has it already, gzip when it takes it, 206 for a part.

    `content` is bytes, or what JSON can say. `keep` false is for what changes with time alone, without new data, and
    for what depends on more than the address.
    """

    media_type = JSON

    def __init__(
        self,
        content: Any,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
        *,
        cache_control: str = OPEN,
        compress: bool = True,
        keep: bool = True,
    ) -> None:
        self.status_code = status_code
        self.background = background
        self.media_type = media_type or self.media_type
        self.keep = keep and cache_control != NEVER
        self.closed = cache_control in (CLOSED, PINNED)
        self.made_s, self.asked = 0.0, 0  # when it was kept, and how often it was asked for since
        self.body: bytes = content if isinstance(content, bytes) else encode.json_bytes(content)
        self.raw_headers = [
            (b"content-type", self.media_type.encode("latin-1")),
            (b"cache-control", cache_control.encode("latin-1")),
            (b"vary", b"Accept, Accept-Encoding"),
            (b"accept-ranges", b"bytes"),
            *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ]
        self.digest = blake2b(self.body, digest_size=12).hexdigest()
        self.plain = self._form(self.body, tag=self.digest)
        self.gzip = None if compress and len(self.body) >= WORTH_COMPRESSING else self.plain
        # What it may weigh in a cache: compressed bytes are never more than half of these texts.
        self.size = len(self.body) * (2 if self.gzip else 3) // 2

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.keep:
            scope.setdefault("state", {})["answer"] = self
        await self.respond(scope, send)

    async def respond(self, scope: Scope, send: Send) -> None:
        """Sends what this request asks for of it."""
        form, wanted = self.plain, b""
        for name, value in scope["headers"]:
            if name == b"accept-encoding" and takes_gzip(value):
                form = self.gzip or await self._compressed()
            elif name == b"if-none-match":
                wanted = value
            elif name == b"range":
                span = requested_span(value, scope["headers"], etag=self.plain.etag, size=len(self.body))
                if span is not None:
                    await self._respond_part(span, scope, send)
                    return
        status, headers, body = 200, form.headers, form.body
        if wanted and (form.etag in wanted or wanted.strip() == b"*"):
            status, headers, body = 304, form.headers_304, b""
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond_part(self, span: Span | bool, scope: Scope, send: Send) -> None:
        size = len(self.body)
        if isinstance(span, bool):
            refusal = out_of_range(scope, size=size)
            await _send(send, refusal.status_code, refusal.raw_headers, bytes(refusal.body))
            return
        first, last = span
        body = self.body[first : last + 1]
        headers = [pair for pair in self.plain.headers if pair[0] != b"content-length"]
        headers += [(b"content-range", b"bytes %d-%d/%d" % (first, last, size)), (b"content-length", b"%d" % len(body))]
        await _send(send, 206, headers, body)

    async def _compressed(self) -> Form:
        """The gzip form, made when it is first asked for, in a thread when it is large."""
        large = len(self.body) > COMPRESSED_IN_THREAD
        packed = await asyncio.to_thread(_pack, self.body) if large else _pack(self.body)
        self.gzip = self._form(packed, tag=f"{self.digest}-gz", encoding=b"gzip")
        return self.gzip

    def _form(self, body: bytes, *, tag: str, encoding: bytes = b"") -> Form:
        etag = f'"{tag}"'.encode("latin-1")
        encoded = [(b"content-encoding", encoding)] if encoding else []
        length = (b"content-length", b"%d" % len(body))
        unchanged = [pair for pair in self.raw_headers if pair[0] not in LEFT_OUT_304]
        return Form(etag, [*self.raw_headers, (b"etag", etag), *encoded, length], [*unchanged, (b"etag", etag)], body)


def lasting(end_us: int | None, *, now_us: int, as_of_us: int | None = None) -> str:
    """How long an answer about a time that ends may be kept: pinned to what was known, closed long ago, or open."""
    if as_of_us is not None and as_of_us < now_us - HOUR_US:
        return PINNED
    return CLOSED if end_us is not None and end_us < now_us - CLOSED_US else OPEN


def parquet_answer(columns: Mapping[str, Any]) -> Answer:
    """A table as a Parquet file; its `time` is in microseconds."""
    import pyarrow as pa

    table = pa.table({**columns, "time": encode.instants(columns["time"])})
    return Answer(
        encode.table_as(encode.FileKind.PARQUET, table),
        media_type=encode.MEDIA_TYPES[encode.FileKind.PARQUET],
        compress=False,
    )


def csv_answer(
    columns: Mapping[str, Any], *, simulated: bool = False, headers: Mapping[str, str] | None = None, **options: Any
) -> Answer:
    """A table as CSV from columns of equal length. A simulated index says so in a header and in a column of its own."""
    table = csv_table(columns, simulated=simulated)
    more = {"X-Count": str(len(next(iter(table.values())))), **(headers or {})}
    if simulated:
        more["X-Simulated"] = "true"
    return Answer(encode.to_csv(table), media_type=CSV, headers=more, **options)


def table_answer(
    request: Request,
    head: Mapping[str, Any],
    columns: Mapping[str, Any],
    *,
    format: TableFormat | None,
    shape: Shape = Shape.ROWS,
    **options: Any,
) -> Answer:
    """Columns of equal length, `time` in microseconds, after what is said of them: as JSON, or alone as CSV."""
    times = columns["time"]
    if wants_csv(request, format):
        return csv_answer(
            {**columns, "time": encode.iso_times(times)}, simulated=head.get("simulated", False), **options
        )
    columns = {**columns, "time": encode.as_json_times(times)}
    data = columns if shape is Shape.COLUMNS else encode.as_rows(columns)
    return Answer({**head, "count": len(times), "data": data}, **options)


def csv_table(columns: Mapping[str, Any], *, simulated: bool) -> dict[str, Any]:
    """The columns as lists, with one more that says so where they are of a simulated index."""
    table = {name: column.tolist() if hasattr(column, "tolist") else column for name, column in columns.items()}
    return {**table, "simulated": [True] * len(next(iter(table.values())))} if simulated else table


async def _send(send: Send, status: int, headers: RawHeaders, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def as_file(*media_types: str, description: str = "") -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that answers this, in place of JSON or beside it."""
    text, binary = {"type": "string"}, {"type": "string", "format": "binary"}
    schemas = {media_type: {"schema": binary if media_type.startswith(BINARY) else text} for media_type in media_types}
    return {200: {"content": schemas, "description": description} if description else {"content": schemas}}


def file_of(media_type: str, description: str = "", *problems: str) -> dict[str, Any]:
    """What the decorator of a route says that answers a file, or one of these problems."""
    responses = as_file(media_type, description=description) | declared(*problems)
    return {"response_class": Response, "responses": responses}


def _pack(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=6, mtime=0)


def takes_gzip(value: bytes) -> bool:
    """Whether an Accept-Encoding takes gzip (and does not refuse it by q=0)."""
    if b"gzip" not in value:
        return False
    after = value.partition(b"gzip")[2].partition(b",")[0].replace(b" ", b"")
    return after not in (b";q=0", b";q=0.0", b";q=0.00", b";q=0.000")


def wanted_span(header: bytes, *, size: int) -> Span | bool | None:
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


def requested_span(header: bytes, headers: RawHeaders, *, etag: bytes, size: int) -> Span | bool | None:
    """As `wanted_span`, but the whole when If-Range names another state of the resource."""
    state = next((value for name, value in headers if name == b"if-range"), etag)
    return wanted_span(header, size=size) if state == etag else None


def out_of_range(scope: Scope, *, size: int) -> Response:
    """The 416 that says how long the resource is."""
    detail = f"The range lies beyond the {size} bytes there are"
    return problem(scope, "range_not_satisfiable", detail=detail, headers={"Content-Range": f"bytes */{size}"})
