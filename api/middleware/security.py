"""The headers that every answer carries: what a browser may do with it, and who may read it (CORS).

Reads are public and carry no cookies, so any origin may read them; that is what lets a page, a sheet or a
workspace use the API. Framing is refused everywhere but on the embed pages.
"""

from __future__ import annotations

RawHeaders = list[tuple[bytes, bytes]]

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'self'; form-action 'self'; object-src 'none'; frame-ancestors 'none'"
)
# No frame-ancestors at all: `*` would still refuse local files, such as a saved notebook.
EMBED_POLICY = PAGE_POLICY.replace("; frame-ancestors 'none'", "")
FRAMEABLE = ("/embed/",)
PICTURES = ("/badge/", "/charts/", "/og/", "/oembed")
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
API_POLICY = "default-src 'none'; frame-ancestors 'none'"

EXPOSED = (
    "Link, ETag, Last-Modified, Content-Disposition, Content-Range, RateLimit, RateLimit-Policy, Retry-After, "
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID, X-Count, X-Simulated, X-Status, "
    "Accept-Ranges"
)
ALWAYS: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", EXPOSED.encode()),
    (b"cross-origin-resource-policy", b"cross-origin"),
]
# What a workspace adds is its own affair; Authorization is not meant by the star.
ALLOWED = "*, Authorization, Content-Type, If-None-Match, Last-Event-ID, X-API-Key, X-Request-ID"
PREFLIGHT: RawHeaders = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE, OPTIONS"),
    (b"access-control-allow-headers", ALLOWED.encode()),
    (b"access-control-max-age", b"86400"),
    (b"access-control-allow-private-network", b"true"),
]


def policy_for(path: str) -> bytes:
    """The Content-Security-Policy of an answer at this path (below the root path)."""
    if path.startswith(("/v1", "/healthz", "/readyz", "/openapi.json")):
        return API_POLICY.encode()
    if path.startswith(PICTURES):
        return PICTURE_POLICY.encode()
    if path.startswith(FRAMEABLE):
        return EMBED_POLICY.encode()
    return PAGE_POLICY.encode()
