"""Who may do what: reads are open unless set otherwise, admin routes need a key unless the request is the owner's own.

The owner's own: it comes from this machine, straight (no proxy in between), to a loopback name, and not from a
web page of another origin — a page that the owner visits must not be able to use what the owner may.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import Depends
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope as ASGIScope

from api.answers.problems import problem
from api.middleware import at_start
from api.middleware.keys import Key, Scope

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Send

    from api.answers.services import Services

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
NO_KEY = "Reads need a key here: `deai keys create NAME` makes one"
BAD_KEY = "This key is unknown, revoked or expired"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="deai"'}
# What a browser is given for a key, so that pages can read where reads need one: a cookie, never the key.
COOKIE = "deai_session"
SESSION = re.compile(r"([0-9a-z]{1,16})\.(\d{1,12})\.([0-9a-f]{64})")
SESSION_LASTS = timedelta(days=30)
PAGES = ("/indices/", "/events/")  # and /


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


def session_for(key: Key, *, now: datetime) -> tuple[str, int]:
    """The value of the cookie for a key and how many seconds it lasts: a month, or as long as the key.

    It names the key and an end, and is signed with the key's hash: revoking the key ends it, another process of this
    installation knows it, and nothing more has to be kept. Who can read the hashes can read the store beside them.
    """
    end = now + SESSION_LASTS
    if key.expires_at is not None:
        end = min(end, datetime.fromisoformat(key.expires_at))
    seconds = int(end.timestamp())
    return f"{key.prefix}.{seconds}.{_signature(key, seconds)}", seconds - int(now.timestamp())


def _signature(key: Key, seconds: int) -> str:
    return hmac.new(key.hash.encode(), f"deai-session:{key.prefix}:{seconds}".encode(), sha256).hexdigest()


def session_key(connection: HTTPConnection, services: Services) -> Key | None:
    """The key behind the cookie of a signed-in browser, None without a good one. Never for a page of another origin."""
    match = SESSION.fullmatch(connection.cookies.get(COOKIE, ""))
    now = services.clock()
    if match is None or int(match[2]) <= now.timestamp() or not is_same_origin(connection):
        return None
    key = _of_settings(services) if match[1] == "settings" else services.keys.named(match[1], now=now)
    signed = key is not None and hmac.compare_digest(match[3], _signature(key, int(match[2])))
    return key if signed else None


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


class ReadKeys:
    """Asks for a key for reads that are not the owner's own, for WebSockets too; there when the settings say so.

    A browser on a page of ours is shown the way to sign in. What is read with a key no shared cache may keep.
    """

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self.app = app
        self.services = services

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self.refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self.app(scope, receive, send)
                return
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
            return
        private = at_start(send, _forbid_sharing)
        if refusal is None:
            await self.app(scope, receive, private)
            return
        response = sign_in_instead(scope) or problem(scope, "unauthorized", detail=refusal, headers=CHALLENGE)
        await response(scope, receive, private)

    def refusal(self, scope: ASGIScope) -> str | None:
        """Why a request may not read, or None when it may."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if path.startswith(OPEN_TO_ALL):
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


def _forbid_sharing(message: Message) -> None:
    """Forbids caches shared with others to keep what only some may read."""
    message["headers"] = [
        (name, value.replace(b"public", b"private") if name == b"cache-control" else value)
        for name, value in message["headers"]
    ]


def sign_in_instead(scope: ASGIScope) -> Response | None:
    """For a person's browser on a page that needs a key: the way to the form. None for programs and for data."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    if b"text/html" not in accepted or scope["method"] not in ("GET", "HEAD"):
        return None
    if path != "/" and not path.startswith(PAGES):
        return None
    query = scope["query_string"].decode("latin-1")
    wanted = quote(f"{scope['path']}?{query}" if query else scope["path"], safe="")
    address = f"{scope.get('root_path', '')}/sign-in?next={wanted}"
    return RedirectResponse(address, status_code=303, headers={"Cache-Control": "no-store"})


Admin = Annotated[str, Depends(need_admin)]
