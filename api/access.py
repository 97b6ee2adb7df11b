"""Who may do what: reads are open, admin routes need a key unless the request is the owner's own.

The owner's own: it comes from this machine, straight (no proxy in between), to a loopback name, and not from a
web page of another origin — a page that the owner visits must not be able to use what the owner may.
"""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Scope as ASGIScope

from api.deps import Services
from api.keys import Key, Scope

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
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
    origin = connection.headers.get("origin")
    return origin is None or origin.partition("://")[2].lower() == host


def identify(text: str, services: Services) -> Key | None:
    """The key that a text is: one of the ring, or the one the settings name for admin."""
    named = services.settings.admin_key
    if named is not None and hmac.compare_digest(text.encode(), named.get_secret_value().encode()):
        return Key(prefix="settings", name="DEAI_ADMIN_KEY", scopes=(Scope.ADMIN.value,), hash="", created_at="")
    return services.keys.find(text, now=services.clock())


async def known_key(connection: HTTPConnection) -> Key | None:
    """The key of a request, None when it gives none. A key that is not good is refused, not ignored."""
    text = given_key(connection)
    if text is None:
        return None
    key = identify(text, connection.app.state.services)
    if key is None:
        raise HTTPException(401, "This key is unknown, revoked or expired", headers=CHALLENGE)
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


# What anyone may fetch even where reads need a key: the state for a load balancer, the reference, how errors are read.
OPEN_TO_ALL = ("/healthz", "/readyz", "/problems/", "/static/", "/docs", "/openapi.json")


class ReadGuard:
    """Asks for a key for reads that are not the owner's own, when the settings say so."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.on = services.settings.read_keys

    def refusal(self, scope: ASGIScope) -> str | None:
        """Why a request may not read, or None when it may."""
        if not self.on or scope["path"].removeprefix(scope.get("root_path", "")).startswith(OPEN_TO_ALL):
            return None
        connection = HTTPConnection(scope)
        text = given_key(connection)
        if text is None:
            return None if is_owners_own(connection) else "Reads need a key here: `deai keys create NAME` makes one"
        key = identify(text, self.services)
        if key is None:
            return "This key is unknown, revoked or expired"
        return None if key.allows(Scope.READ) else f"The key {key.prefix} lacks the scope read"


Admin = Annotated[str, Depends(need_admin)]
