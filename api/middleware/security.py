"""What a browser may do with an answer, and who may read it from another page (CORS).

Reads are public and carry no cookies, so any origin may read them; that is what lets a page, a sheet or a
workspace use the API. Framing is refused everywhere but on the embed pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.middleware.cors import CORSMiddleware

from api.middleware import HttpMiddleware, at_start, path_of

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

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
