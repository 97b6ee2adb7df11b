"""Who may do what: reads are open unless set otherwise, admin routes need a key unless the request is the owner's own.

The owner's own: it comes from this machine, straight (no proxy in between), to a loopback name, and not from a
web page of another origin — a page that the owner visits must not be able to use what the owner may.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from typing import Annotated

from fastapi import Depends
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Scope as ASGIScope

from api.answers.deps import Services
from api.middleware.keys import Key, Scope
from api.middleware.sessions import COOKIE, is_signed_with, named_in

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
NO_KEY = "Reads need a key here: `deai keys create NAME` makes one"
BAD_KEY = "This key is unknown, revoked or expired"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="deai"'}


def given_key(connection: HTTPConnection) -> str | None:
    """The key a request carries: Authorization: Bearer, X-API-Key, or ?api_key= where no header can be set."""
    scheme, _, text = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and text.strip():
        return text.strip()
    return connection.headers.get("x-api-key") or connection.query_params.get("api_key")


def is_owners_own(connection: HTTPConnection) -> bool:
    """Whether a request comes straight from this machine and not on behalf of a page from elsewhere."""
    client = connection.client.host if connection.client else ""
    if client not in LOOPBACK or any(name in connection.headers for name in PROXIED):
        return False
    host = connection.headers.get("host", "").lower()
    if host.removesuffix("]").rsplit(":", 1)[0] not in LOOPBACK and host.rsplit(":", 1)[0] not in LOOPBACK:
        return False
    return is_same_origin(connection)


def is_same_origin(connection: HTTPConnection) -> bool:
    """Whether no page of another origin asks."""
    origin = connection.headers.get("origin")
    return origin is None or origin.partition("://")[2].lower() == connection.headers.get("host", "").lower()


def identify(text: str, services: Services) -> Key | None:
    """The key that a text is: one of the ring, or the one the settings name for admin."""
    named = services.settings.admin_key
    if named is not None and hmac.compare_digest(text.encode(), named.get_secret_value().encode()):
        return _of_settings(services)
    return services.keys.find(text, now=services.clock())


def _of_settings(services: Services) -> Key | None:
    named = services.settings.admin_key
    if named is None:
        return None
    digest = sha256(named.get_secret_value().encode()).hexdigest()
    return Key(prefix="settings", name="DEAI_ADMIN_KEY", scopes=(Scope.ADMIN.value,), hash=digest, created_at="")


def session_key(connection: HTTPConnection, services: Services) -> Key | None:
    """The key behind the cookie of a signed-in browser, None without a good one. Never for a page of another origin."""
    text = connection.cookies.get(COOKIE)
    if text is None or not is_same_origin(connection):
        return None
    prefix, now = named_in(text, now=services.clock()), services.clock()
    if prefix is None:
        return None
    key = _of_settings(services) if prefix == "settings" else services.keys.named(prefix, now=now)
    return key if key is not None and is_signed_with(text, key) else None


async def known_key(connection: HTTPConnection) -> Key | None:
    """The key of a request, None when it gives none. A key that is not good is refused, not ignored."""
    text = given_key(connection)
    if text is None:
        return None
    key = identify(text, connection.app.state.services)
    if key is None:
        raise HTTPException(401, BAD_KEY, headers=CHALLENGE)
    return key


async def need_admin(connection: HTTPConnection, key: Annotated[Key | None, Depends(known_key)]) -> str:
    """Who administers: a key's prefix, or "owner". 401 without a key, 403 for a key without the scope."""
    if key is not None:
        if not key.allows(Scope.ADMIN):
            raise HTTPException(403, f"The key {key.prefix} lacks the scope admin; it has {', '.join(key.scopes)}")
        return key.prefix
    if is_owners_own(connection):
        return "owner"
    raise HTTPException(401, "Admin routes need a key here: `deai keys create --scope admin`", headers=CHALLENGE)


# What anyone may fetch even where reads need a key: the state for a load balancer, the reference, how errors are
# read, and the way to sign in.
OPEN_TO_ALL = (
    "/healthz",
    "/readyz",
    "/problems/",
    "/static/",
    "/favicon.ico",
    "/docs",
    "/openapi.json",
    "/sign-in",
    "/sign-out",
)
# What a key with the scope embed opens: it stands in the pages of others for all to see.
EMBEDDED = re.compile(r"/(?:embed|badge|charts|og)/.*|/oembed|/v1/indices/[^/]+/(?:latest|level\.txt|stream|ws)")


class ReadGuard:
    """Asks for a key for reads that are not the owner's own, when the settings say so."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.on = services.settings.read_keys

    def refusal(self, scope: ASGIScope) -> str | None:
        """Why a request may not read, or None when it may."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if not self.on or path.startswith(OPEN_TO_ALL):
            return None
        connection = HTTPConnection(scope)
        text = given_key(connection)
        if text is None and is_owners_own(connection):
            return None
        key = session_key(connection, self.services) if text is None else identify(text, self.services)
        if key is None:
            return NO_KEY if text is None else BAD_KEY
        if key.allows(Scope.READ) or (key.allows(Scope.EMBED) and EMBEDDED.fullmatch(path)):
            return None
        return f"The key {key.prefix} lacks the scope read"


Admin = Annotated[str, Depends(need_admin)]
