"""What every request is made into before the routes see it, and the headers that say what browsers may do with it.

Reads are public and carry no cookies, so any origin may read them; that is what lets a page, a sheet or a workspace use
the API. Framing is refused everywhere but on the embed pages.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter, defaultdict
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starlette.middleware.cors import CORSMiddleware

from api.answers.problems import internal
from api.middleware import HttpMiddleware, at_start, path_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("deai.api")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "DELETE")
# What sheets, browsers and mail programs put into addresses so that nobody answers from a cache: a bare key too.
BUSTER = re.compile(rb"(?:_|t|ts|refresh|nocache|utm_[^=]*)(?:=.*)?|[^=]*", re.IGNORECASE | re.DOTALL)


def below(path: str, root: str) -> bool:
    """Whether a path begins with the one that the application is served below, as a proxy may pass it on or not."""
    return path == root or path.startswith(f"{root}/")


class RootPath:
    """Serves below a path, whether the proxy before it passed the prefix on or stripped it."""

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.root_path and "path" in scope and not scope.get("root_path"):
            path: str = scope["path"]
            whole = path if below(path, self.root_path) else self.root_path + path
            scope = {**scope, "root_path": self.root_path, "path": whole}
        await self.app(scope, receive, send)


class CacheBusters:
    """Drops the parameters that only mean "not from your cache", so that an answer is one however it is asked for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if query := scope.get("query_string"):
            asked = b"&".join(part for part in query.split(b"&") if not BUSTER.fullmatch(part))
            if asked != query:
                scope = {**scope, "query_string": asked}
        await self.app(scope, receive, send)


class RequestId(HttpMiddleware):
    """Gives each request an id, the client's own when it is sane; it is logged and sent back."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        if "request_id" in state:  # mounted in another application, which sends its id back
            await self.app(scope, receive, send)
            return
        request_id = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
                request_id = value
        request_id = request_id or os.urandom(8).hex().encode()
        state["request_id"] = request_id.decode()

        def identify(message: Message) -> None:
            message["headers"] = [*message["headers"], (b"x-request-id", request_id)]

        await self.app(scope, receive, at_start(send, identify))


class Requests:
    """How many requests were answered, and in how many seconds to the begin of the answer, by method and status."""

    def __init__(self) -> None:
        self.count: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)


class Counting(HttpMiddleware):
    """Counts every answer, those from the cache and refusals too."""

    def __init__(self, app: ASGIApp, *, requests: Requests) -> None:
        super().__init__(app)
        self.requests = requests

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = perf_counter()

        def count(message: Message) -> None:
            kind = (scope["method"] if scope["method"] in METHODS else "other", str(message["status"]))
            self.requests.count[kind] += 1
            self.requests.seconds[kind] += perf_counter() - begin

        await self.app(scope, receive, at_start(send, count))


class Methods(HttpMiddleware):
    """HEAD is a GET without its body, and OPTIONS of any address says which methods there are."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await self.app(scope, receive, send)
            return
        method, bodiless = scope["method"], scope["method"] == "HEAD"

        async def send_for_method(message: Message) -> None:
            nonlocal bodiless
            if message["type"] == "http.response.start" and message["status"] == 405:
                allow = [(name, _with_head(value)) for name, value in message["headers"] if name == b"allow"]
                others = [pair for pair in message["headers"] if pair[0] != b"allow"]
                if method == "OPTIONS":
                    bodiless, others = True, []
                    message["status"] = 204
                message["headers"] = [*others, *allow]
            elif message["type"] == "http.response.body" and bodiless:
                if message.get("more_body"):
                    return
                message = {"type": "http.response.body"}
            await send(message)

        inner = {**scope, "method": "GET"} if method == "HEAD" else scope
        await self.app(inner, receive, send_for_method)


def _with_head(allow: bytes) -> bytes:
    methods = {part.strip() for part in allow.split(b",") if part.strip()} | {b"OPTIONS"}
    return b", ".join(sorted(methods | {b"HEAD"} if b"GET" in methods else methods))


class Failures(HttpMiddleware):
    """Logs what nobody caught and answers the one error shape; breaks off when the answer has begun."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = ended = False

        async def watched(message: Message) -> None:
            nonlocal started, ended
            started = True
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:  # the outermost place: logged, then answered as a problem or by breaking off
            log.exception("request %s failed: %s %s", scope["state"]["request_id"], scope["method"], scope["path"])
            if started and not ended:
                raise
            if not started:
                await internal(scope)(scope, receive, send)


RawHeaders = list[tuple[bytes, bytes]]

PAGE_POLICY = (
    b"default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    b"base-uri 'self'; form-action 'self'; object-src 'none'; frame-ancestors 'none'"
)
# No frame-ancestors at all: `*` would still refuse local files, such as a saved notebook.
EMBED_POLICY = PAGE_POLICY.replace(b"; frame-ancestors 'none'", b"")
PICTURE_POLICY = b"default-src 'none'; style-src 'unsafe-inline'"
# A document is one file with its style and charts inside, and runs nothing: only the style with this hash counts.
DOCUMENT_POLICY = "default-src 'none'; style-src 'sha256-{}'; img-src data:; frame-ancestors 'none'"
API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
EXPOSED = (
    "Link", "ETag", "Last-Modified", "Content-Disposition", "Content-Range", "RateLimit", "RateLimit-Policy",
    "Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Request-ID", "X-Count",
    "X-Simulated", "X-Status", "Accept-Ranges",
)  # fmt: skip
READABLE = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", ", ".join(EXPOSED).encode()),
]
SECURE = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"cross-origin-resource-policy", b"cross-origin"),
]
# What programs read.
PROGRAMS = (
    "/v1", "/api/v3", "/udf/", "/mcp", "/metrics", "/openbb/", "/widgets.json", "/apps.json",
    "/healthz", "/readyz", "/openapi.json",
)  # fmt: skip
# The headers of an answer by how its path below the root path begins; PAGE where none fits.
BY_PATH = [
    (beginnings, [*READABLE, *SECURE, (b"content-security-policy", policy)])
    for beginnings, policy in (
        (PROGRAMS, API_POLICY),
        (("/badge/", "/charts/", "/og/", "/oembed"), PICTURE_POLICY),
        (("/embed/",), EMBED_POLICY),
    )
]
PAGE = [*READABLE, *SECURE, (b"content-security-policy", PAGE_POLICY)]
# What headers a workspace sends is its own affair.
CORS: dict[str, Any] = {
    "allow_origins": ("*",),
    "allow_methods": ("GET", "HEAD", "POST", "DELETE", "OPTIONS"),
    "allow_headers": ("*",),
    "allow_private_network": True,
    "max_age": 86_400,
}


class Preflights(CORSMiddleware):
    """Starlette's CORS for preflights alone: what it adds to reads stands on every answer, whoever asks.

    So shared caches keep one answer for all pages, not one for each origin.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        preflight = scope["type"] == "http" and scope["method"] == "OPTIONS"
        await (super().__call__ if preflight else self.app)(scope, receive, send)


class SecurityHeaders(HttpMiddleware):
    """Puts these headers on every answer that has not its own; a 304 repeats only those that let it be read."""

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:

        def secure(message: Message) -> None:
            if READABLE[0] not in message["headers"]:  # an application mounted in this one has put its own
                more = READABLE if message["status"] == 304 else headers_of(scope)
                own = {name for name, _ in message["headers"]}
                message["headers"] = message["headers"] + [pair for pair in more if pair[0] not in own]

        await self.app(scope, receive, at_start(send, secure))


def headers_of(scope: Scope) -> RawHeaders:
    """The headers of an answer at this path."""
    path = path_of(scope)
    for beginnings, headers in BY_PATH:
        if path.startswith(beginnings):
            return headers
    return PAGE
