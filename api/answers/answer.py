"""An answer as finished bytes: plain and gzip forms, each with its strong ETag, ready to be sent many times.

Routes build it in their worker thread and it is compressed in one, when a client first takes gzip: neither blocks
the event loop. The hot cache keeps it until the data version changes. It obeys If-None-Match and Accept-Encoding.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from api.answers.encode import to_json
from api.answers.ranges import out_of_range, requested_range

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Message, Receive, Scope, Send

JSON = "application/json"
CSV = "text/csv; charset=utf-8; header=present"
AS_CSV: dict[str, Any] = {"content": {"text/csv": {"schema": {"type": "string"}}}}  # in OpenAPI, beside JSON
WORTH_COMPRESSING = 512
COMPRESSED_IN_THREAD = 16_384  # about half a millisecond
# How long a client may keep an answer. Open data changes with the next publication; a pinned one never does.
OPEN = "public, max-age=15, stale-while-revalidate=60, stale-if-error=3600"
CLOSED = "public, max-age=3600, stale-while-revalidate=86400"
PINNED = "public, max-age=86400, immutable"
NEVER = "no-store"

# What the client has from the 200 already.
LEFT_OUT_304 = (
    b"content-type",
    b"accept-ranges",
    b"content-security-policy",
    b"x-content-type-options",
    b"referrer-policy",
    b"cross-origin-resource-policy",
)

RawHeaders = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Form:
    """One encoding of an answer: its ETag, its headers for 200 and for 304, its body."""

    etag: bytes
    headers: RawHeaders
    headers_304: RawHeaders
    body: bytes

    def messages(self, *, not_modified: bool, extra: RawHeaders) -> tuple[Message, Message]:
        """The two ASGI messages of this form."""
        status, headers, body = (304, self.headers_304, b"") if not_modified else (200, self.headers, self.body)
        return _pair(status, headers + extra, body)

    def is_among(self, wanted: bytes) -> bool:
        """Whether an If-None-Match names this form."""
        return self.etag in wanted or wanted.strip() == b"*"

    def part(self, span: tuple[int, int], *, extra: RawHeaders) -> tuple[Message, Message]:
        """The two ASGI messages of a part of this form, first and last byte included."""
        (first, last), size = span, len(self.body)
        body = self.body[first : last + 1]
        kept = [pair for pair in self.headers if pair[0] != b"content-length"]
        kept += [(b"content-range", f"bytes {first}-{last}/{size}".encode()), (b"content-length", b"%d" % len(body))]
        return _pair(206, kept + extra, body)


class Answer(Response):
    """A 200 with validators; sends 304 when the client has it already, gzip when the client takes it.

    `keep` false is for what changes with time alone, without new data: it is made for each request.
    """

    def __init__(
        self,
        body: bytes,
        *,
        media_type: str = JSON,
        cache_control: str = OPEN,
        headers: Mapping[str, str] | None = None,
        compress: bool = True,
        keep: bool = True,
    ) -> None:
        self.keep = keep
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.body: bytes = body
        common = [
            (b"content-type", media_type.encode("latin-1")),
            (b"cache-control", cache_control.encode("latin-1")),
            (b"vary", b"Accept, Accept-Encoding"),
            (b"accept-ranges", b"bytes"),
            *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ]
        self.raw_headers = common
        digest = blake2b(body, digest_size=12).hexdigest()
        self.digest = digest
        self.plain = _form(body, etag=f'"{digest}"', common=common)
        self.gzip: Form | None = None if compress and len(body) >= WORTH_COMPRESSING else self.plain
        # What it may weigh in a cache: compressed bytes are never more than half of these texts.
        self.size = len(body) * 3 // 2

    def dress(self, more: RawHeaders) -> None:
        """Adds headers for good, those that every answer of its address gets, so that sending it later adds none."""
        known = {name for name, _ in self.raw_headers}
        self.raw_headers += [pair for pair in more if pair[0] not in known]
        compressed, former = self.gzip, self.plain
        self.plain = _form(self.body, etag=f'"{self.digest}"', common=self.raw_headers)
        if compressed is former:
            self.gzip = self.plain
        elif compressed is not None:
            self.gzip = self._packed(compressed.body)

    def ready(self, request_headers: RawHeaders, *, extra: RawHeaders) -> tuple[Message, Message] | None:
        """The two ASGI messages, or None when they take work: a part was asked for, or gzip is not made yet."""
        form: Form | None = self.plain
        wanted = b""
        for name, value in request_headers:
            if name == b"accept-encoding":
                form = self.gzip if takes_gzip(value) else form
            elif name == b"if-none-match":
                wanted = value
            elif name == b"range":
                return None
        if form is None:
            return None
        return form.messages(not_modified=bool(wanted) and form.is_among(wanted), extra=extra)

    async def compressed(self) -> None:
        """Makes the gzip form, in a thread when it is large."""
        if self.gzip is None:
            large = len(self.body) > COMPRESSED_IN_THREAD
            packed = await asyncio.to_thread(_pack, self.body) if large else _pack(self.body)
            self.gzip = self._packed(packed)

    def _packed(self, body: bytes) -> Form:
        return _form(body, etag=f'"{self.digest}-gz"', common=self.raw_headers, encoding=b"gzip")

    async def messages_for(self, scope: Scope, *, extra: RawHeaders) -> tuple[Message, Message]:
        """The two ASGI messages that answer this request."""
        headers: RawHeaders = scope["headers"]
        for name, value in headers:
            if name == b"range":
                span = requested_range(value, headers, etag=self.plain.etag, size=len(self.plain.body))
                if span is False:
                    return _unsatisfiable(scope, size=len(self.plain.body), extra=extra)
                if isinstance(span, tuple):
                    return self.plain.part(span, extra=extra)
        headers = [pair for pair in headers if pair[0] != b"range"]
        found = self.ready(headers, extra=extra)
        if found is None:
            await self.compressed()
            found = self.ready(headers, extra=extra)
        assert found is not None
        return found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        slot = scope.get("state", {}).get("hot_slot")
        if slot is not None and self.keep:
            slot.answer = self
        for message in await self.messages_for(scope, extra=[]):
            await send(message)


def _pair(status: int, headers: RawHeaders, body: bytes) -> tuple[Message, Message]:
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    return start, {"type": "http.response.body", "body": body}


def _unsatisfiable(scope: Scope, *, size: int, extra: RawHeaders) -> tuple[Message, Message]:
    refusal = out_of_range(scope, size=size)
    return _pair(refusal.status_code, refusal.raw_headers + extra, bytes(refusal.body))


def takes_gzip(value: bytes) -> bool:
    """Whether an Accept-Encoding takes gzip (and does not refuse it by q=0)."""
    if b"gzip" not in value:
        return False
    after = value.partition(b"gzip")[2].partition(b",")[0].replace(b" ", b"")
    return after not in (b";q=0", b";q=0.0", b";q=0.00", b";q=0.000")


def json_answer(
    value: Any, *, cache_control: str = OPEN, headers: Mapping[str, str] | None = None, keep: bool = True
) -> Answer:
    """The answer that carries this value as JSON."""
    return Answer(to_json(value), cache_control=cache_control, headers=headers, keep=keep)


def _form(body: bytes, *, etag: str, common: RawHeaders, encoding: bytes = b"") -> Form:
    tag = etag.encode("latin-1")
    length = [(b"content-length", str(len(body)).encode())]
    encoded = [(b"content-encoding", encoding)] if encoding else []
    not_modified = [pair for pair in common if pair[0] not in LEFT_OUT_304]
    return Form(tag, [*common, (b"etag", tag), *encoded, *length], [*not_modified, (b"etag", tag)], body)


def _pack(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=6, mtime=0)
