"""The outermost layer, plain ASGI: what every request meets before and after the routes.

In order: a request id, the rate limit, keys where reads need them, the hot cache, size limits, CORS preflight;
then the app, with HEAD served as a GET without its body, and any error that nobody caught turned into a problem.
Responses get the security and CORS headers here, so that no way out can miss them.
"""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING

from api.answers.problems import internal, problem
from api.middleware.access import CHALLENGE
from api.middleware.cache import HotCache, Slot
from api.middleware.security import ALWAYS, PREFLIGHT, policy_for
from api.web.sign_in import sign_in_instead

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from api.answers.answer import RawHeaders
    from api.answers.direct import Direct
    from api.middleware.access import ReadGuard
    from api.middleware.cache import Key
    from api.middleware.limits import RateLimiter

log = logging.getLogger("deai.api")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
BY_ACCEPT = (b"csv", b"parquet", b"arrow", b"html")


class BodyTooLarge(Exception):  # noqa: N818 - a signal inside this file, never seen by callers
    """The body grew past the limit while it was read."""


class Edge:
    """Wraps the application. `hot` and `limiter` are this application's own."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hot: HotCache,
        limiter: RateLimiter,
        guard: ReadGuard,
        direct: Direct,
        root_path: str = "",
    ) -> None:
        self.app = app
        self.direct = direct
        self.guard = guard
        self.hot = hot
        self.limiter = limiter
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.root_path and not scope.get("root_path"):
            scope = _below(scope, self.root_path)
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        headers: RawHeaders = scope["headers"]
        request_id, key = _read(scope, headers)
        verdict = self.limiter.judge(scope["client"][0] if scope.get("client") else "", headers)
        own: RawHeaders = [(b"x-request-id", request_id), *verdict.headers]
        if self.guard.on:
            send = _private(send)
        forbidden = self.guard.refusal(scope)
        if verdict.allowed and forbidden is None and scope["method"] in ("GET", "HEAD"):
            known = self.hot.answers.get(key) or await self.hot.wait_for(key)
            if known is not None:
                start, body = known.ready(headers, extra=own) or await known.messages_for(scope, extra=own)
                await send(start)
                await send({"type": "http.response.body"} if scope["method"] == "HEAD" else body)
                return
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        wrapped = _Sender(scope, send, [*own, *_common(scope)])
        if not verdict.allowed:
            said = f"More requests than RateLimit-Policy allows; wait {verdict.retry_after_s} s"
            await problem(scope, "too_many_requests", detail=said)(scope, receive, wrapped)
            return
        if forbidden is not None and not _is_preflight(scope):
            elsewhere = sign_in_instead(scope, _inner_path(scope))
            if elsewhere is not None:
                await elsewhere(scope, receive, wrapped)
                return
            await problem(scope, "unauthorized", detail=forbidden, headers=CHALLENGE)(scope, receive, wrapped)
            return
        await self._through(scope, receive, wrapped, key=key)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """WebSockets, and the messages of the server's start and end."""
        forbidden = self.guard.refusal(scope) if scope["type"] == "websocket" else None
        if forbidden is None:
            await self.app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1008, "reason": forbidden})

    async def _through(self, scope: Scope, receive: Receive, send: _Sender, *, key: Key) -> None:
        refusal = _refusal(scope, self.limiter)
        if refusal is not None:
            await problem(scope, refusal[0], detail=refusal[1])(scope, receive, send)
            return
        if _is_preflight(scope):
            await send({"type": "http.response.start", "status": 204, "headers": list(PREFLIGHT)})
            await send({"type": "http.response.body"})
            return
        if scope["method"] not in ("GET", "HEAD"):
            await self._answer(scope, receive, send, slot=None)
            return
        slot = Slot(key, self.hot.version) if self.hot.version is not None else None
        send.release = self.hot.claim(key)
        try:
            await self._answer(scope, receive, send, slot=slot)
        finally:
            send.release()

    async def _answer(self, scope: Scope, receive: Receive, send: _Sender, *, slot: Slot | None) -> None:
        scope["state"]["hot_slot"] = slot
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            known = await self.direct(inner, _inner_path(inner)) if slot is not None else None
            await (known or self.app)(inner, _Counted(receive, self.limiter.limits.max_body), send)
        except BodyTooLarge:
            if not send.started:
                said = f"The body is larger than {self.limiter.limits.max_body} bytes"
                await problem(scope, "body_too_large", detail=said)(scope, receive, send)
        except Exception:  # the outermost place: logged, then told as a problem or by breaking off
            log.exception("request %s failed: %s %s", scope["state"]["request_id"], scope["method"], scope["path"])
            if send.started and not send.done:
                raise
            if not send.started:
                await internal(scope)(scope, receive, send)
        if slot is not None and slot.answer is not None:
            slot.answer.dress(_common(scope))
            self.hot.keep(slot)


class _Sender:
    """`send` that adds the common headers, drops a HEAD's body and turns an OPTIONS 405 into its answer."""

    def __init__(self, scope: Scope, send: Send, extra: RawHeaders) -> None:
        self.scope = scope
        self.send = send
        self.extra = extra
        self.started = self.done = False
        self.bodiless = scope["method"] == "HEAD"
        self.release: Callable[[], None] | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            slot = self.scope["state"].get("hot_slot")
            if self.release is not None and (slot is None or slot.answer is None):
                self.release()  # a stream or a page: nobody should wait for its end
            message = self._dressed(message)
        elif message["type"] == "http.response.body":
            self.done = not message.get("more_body")
            if self.bodiless:
                if not self.done:
                    return
                message = {"type": "http.response.body"}
        await self.send(message)

    def _dressed(self, message: Message) -> Message:
        headers: RawHeaders = list(message.get("headers", []))
        status = message["status"]
        if status == 405:
            headers = [(n, _with_head(v) if n == b"allow" else v) for n, v in headers]
            if self.scope["method"] == "OPTIONS":
                status, self.bodiless = 204, True
                headers = [pair for pair in headers if pair[0] == b"allow"]
        names = {name for name, _ in headers}
        headers.extend(pair for pair in self.extra if pair[0] not in names)
        return {**message, "status": status, "headers": headers}


class _Counted:
    """`receive` that stops reading a body past the limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive = receive
        self.left = limit

    async def __call__(self) -> Message:
        message = await self.receive()
        self.left -= len(message.get("body", b""))
        if self.left < 0:
            raise BodyTooLarge
        return message


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method") is not None


def _private(send: Send) -> Send:
    """`send` that forbids caches shared with others to keep what only some may read."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (name, value.replace(b"public", b"private") if name == b"cache-control" else value)
                for name, value in message.get("headers", [])
            ]
            message = {**message, "headers": headers}
        await send(message)

    return sending


def _below(scope: Scope, root_path: str) -> Scope:
    """The scope of an application below a path, whether the proxy before it passed the prefix on or stripped it."""
    path: str = scope["path"]
    whole = path if path == root_path or path.startswith(f"{root_path}/") else root_path + path
    return {**scope, "root_path": root_path, "path": whole}


def _inner_path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _with_head(allow: bytes) -> bytes:
    methods = {part.strip() for part in allow.split(b",") if part.strip()}
    if b"GET" in methods:
        methods.add(b"HEAD")
    return b", ".join(sorted(methods | {b"OPTIONS"}))


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)


def _read(scope: Scope, headers: RawHeaders) -> tuple[bytes, Key]:
    """The id of a request, and the key of its answer."""
    request_id, accept = b"", b""
    for name, value in headers:
        if name == b"accept":
            accept = next((word for word in BY_ACCEPT if word in value), b"")
        elif name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            request_id = value
    key = scope.get("raw_path") or scope["path"].encode(), scope["query_string"], accept
    return request_id or os.urandom(8).hex().encode(), key


def _common(scope: Scope) -> RawHeaders:
    return [*ALWAYS, (b"content-security-policy", policy_for(_inner_path(scope)))]


def _refusal(scope: Scope, limiter: RateLimiter) -> tuple[str, str] | None:
    limits = limiter.limits
    query, path = len(scope["query_string"]), len(scope.get("raw_path") or scope["path"])
    if query > limits.max_query:
        return "uri_too_long", f"The query has {query} bytes; at most {limits.max_query} are read"
    if path > limits.max_path:
        return "uri_too_long", f"The path has {path} bytes; at most {limits.max_path} are read"
    length = _header(scope, b"content-length") or b"0"
    if not length.isdigit() or int(length) > limits.max_body:
        return "body_too_large", f"The body is larger than {limits.max_body} bytes"
    return None
