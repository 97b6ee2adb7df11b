"""Who may do what: reads are open unless set otherwise, admin routes need a key or the owner.

The owner is known by a secret of the data directory, sent as a key or behind the cookie that a link of one use left.
An address proves nothing: a proxy on this machine makes everybody look as if they were here.
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
from api.middleware import at_start, path_of
from api.middleware.keys import OWNER, Key, Scope, given_key
from api.middleware.limits import HEALTH

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Send

    from api.answers.services import Services

NO_KEY = "Reads need a key here: `deai keys create NAME` makes one"
BAD_KEY = "This key is unknown, revoked or expired"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="deai"'}
# What a browser is given for a key, so that pages can read where reads need one: a cookie, never the key.
COOKIE = "deai_session"
PORT = re.compile(r":\d*$")
SESSION = re.compile(r"([0-9a-z]{1,16})\.(\d{1,12})\.([0-9a-f]{64})")
SESSION_LASTS = timedelta(days=30)
PAGES = re.compile(r"/|/indices|/portfolio|/what-if|/(?:indices|events|assets|methodology)/.*")


def is_owner(connection: HTTPConnection, services: Services) -> bool:
    """Whether a request has the owner's token, or comes from the owner's browser and a page of ours."""
    text = given_key(connection)
    key = session_key(connection, services) if text is None else identify(text, services)
    return key is not None and key.prefix == OWNER


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
    if is_owner(connection, connection.app.state.services):
        return OWNER
    raise HTTPException(401, "Admin routes need a key: `deai keys create NAME --scope admin`", headers=CHALLENGE)


async def need_key(connection: HTTPConnection, key: Annotated[Key | None, Depends(known_key)]) -> Key:
    """The key of a request or of a signed-in browser, which may read; for what costs so much that nobody may ask."""
    key = key or session_key(connection, connection.app.state.services)
    if key is None:
        raise HTTPException(
            401, "This is computed for the owner or with a key: `deai keys create NAME`", headers=CHALLENGE
        )
    if not key.allows(Scope.READ):
        raise HTTPException(403, f"The key {key.prefix} lacks the scope read; it has {', '.join(key.scopes)}")
    return key


# What anyone may fetch even where reads need a key: the state for a load balancer, the reference (for agents too), how
# errors are read, and the way to sign in.
OPEN_TO_ALL = (
    "/healthz",
    "/readyz",
    "/problems/",
    "/static/",
    "/favicon.ico",
    "/docs",
    "/openapi.json",
    "/llms.txt",
    "/llms-full.txt",
    "/SKILL.md",
    "/server.json",
    "/sign-in",
    "/sign-out",
    "/owner",
)
# What a key with the scope embed opens: it stands in the pages of others for all to see.
EMBEDDED = re.compile(r"/(?:embed|badge|charts|og)/.*|/oembed|/v1/indices/[^/]+/(?:latest|level\.txt|stream|ws)")


class ReadKeys:
    """Asks for a key for reads, for WebSockets too; there when the settings say so.

    A browser on a page of ours is shown the way to sign in. What is read with a key no shared cache may keep.
    """

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self.app = app
        self.services = services

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        sending = at_start(send, _forbid_sharing) if scope["type"] == "http" else send
        refusal = self.refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self.app(scope, receive, sending)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
        else:
            response = sign_in_instead(scope) or problem(scope, "unauthorized", detail=refusal, headers=CHALLENGE)
            await response(scope, receive, sending)

    def refusal(self, scope: ASGIScope) -> str | None:
        """Why a request may not read, or None when it may."""
        path = path_of(scope)
        if path.startswith(OPEN_TO_ALL):
            return None
        connection = HTTPConnection(scope)
        text = given_key(connection)
        key = session_key(connection, self.services) if text is None else identify(text, self.services)
        if key is None:
            return NO_KEY if text is None else BAD_KEY
        if key.allows(Scope.READ) or (key.allows(Scope.EMBED) and EMBEDDED.fullmatch(path)):
            return None
        return f"The key {key.prefix} lacks the scope read"


class AllowedHosts:
    """Refuses requests by names that are not this server's; there when the settings name some.

    Health checks are answered by any name: what looks from inside asks for 127.0.0.1.
    """

    def __init__(self, app: ASGIApp, *, names: tuple[str, ...]) -> None:
        self.app = app
        self.names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        host = next((value for name, value in scope.get("headers", ()) if name == b"host"), b"").decode("latin-1")
        name = PORT.sub("", host).lower()
        if scope["type"] not in ("http", "websocket") or name in self.names or path_of(scope) in HEALTH:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            detail = "This server does not answer to that Host; DEAI_ALLOWED_HOSTS names those that it answers to"
            await problem(scope, "bad_request", detail=detail)(scope, receive, send)


def _forbid_sharing(message: Message) -> None:
    """Forbids caches shared with others to keep what only some may read."""
    message["headers"] = [
        (name, value.replace(b"public", b"private") if name == b"cache-control" else value)
        for name, value in message["headers"]
    ]


def sign_in_instead(scope: ASGIScope) -> Response | None:
    """For a person's browser on a page that needs a key: the way to the form. None for programs and for data."""
    path = path_of(scope)
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    if b"text/html" not in accepted or scope["method"] not in ("GET", "HEAD"):
        return None
    if not PAGES.fullmatch(path):
        return None
    query = scope["query_string"].decode("latin-1")
    wanted = quote(f"{scope['path']}?{query}" if query else scope["path"], safe="")
    address = f"{scope.get('root_path', '')}/sign-in?next={wanted}"
    return RedirectResponse(address, status_code=303, headers={"Cache-Control": "no-store"})


Admin = Annotated[str, Depends(need_admin)]
Reader = Annotated[Key, Depends(need_key)]
