"""How much one client may ask: a token bucket with the RateLimit headers, sizes of a request, what a connection takes.

Headers follow draft-ietf-httpapi-ratelimit-headers-11 (`RateLimit`, `RateLimit-Policy`) and, for older
clients, `X-RateLimit-*`; the draft is pinned in this one file. Requests of this machine, straight and
not by a proxy, are not counted unless `count_loopback` is set.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.answers.problems import problem
from api.middleware import HttpMiddleware, at_start, path_of
from api.middleware.keys import KEY_HEADERS, KeyRing, given_key
from indexer.times import Clock, utc_now
from onchain.rpc.limits import TokenBucket

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

RawHeaders = list[tuple[bytes, bytes]]
LOOPBACK = ("127.", "::1")
DROPPED_FILES = ("/files/explain", "/files/import")  # where the owner sends files; no other body is large
KEYED = (b"authorization", *(name.encode() for name in KEY_HEADERS))
HEALTH = ("/healthz", "/readyz")
PROXIED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server. `requests` per `window_s` seconds and client; sizes in bytes."""

    requests: int = 600
    window_s: int = 60
    max_query: int = 16_384
    max_path: int = 4096
    max_body: int = 65_536
    max_file: int = 1 << 30
    max_head: int = 65_536
    head_s: float = 15.0
    body_s: float = 30.0  # without a byte
    connections: int = 100  # of one address
    at_once: int = 4  # of one address: requests that are worked on, the others wait for a turn
    max_streams: int = 1000
    streams_each: int = 50  # of one address
    clients: int = 10_000
    count_loopback: bool = False


def address_of(scope: Scope) -> str:
    """The address a request comes from; that of the visitor where a trusted proxy says it."""
    return str(scope["client"][0]) if scope.get("client") else ""


def far_client(scope: Scope) -> str:
    """The same, but empty for requests of this machine, straight and not by a proxy."""
    client = address_of(scope)
    near = client.startswith(LOOPBACK) and not any(name in PROXIED for name, _ in scope["headers"])
    return "" if near else client


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may pass, the headers that say so, and how long to wait if not."""

    allowed: bool
    headers: RawHeaders
    retry_after_s: int = 0


FREE = Verdict(True, [])


class RateLimiter:
    """A token bucket for each key or client, refilled evenly; at most `limits.clients` are remembered."""

    def __init__(
        self,
        limits: Limits,
        *,
        keys: KeyRing | None = None,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self.keys = keys
        self.clock = clock
        self.monotonic = monotonic
        self.buckets: dict[str, TokenBucket] = {}

    def judge(self, scope: Scope) -> Verdict:
        """Takes one token of the key that a request carries, or else of the client's address."""
        carries = b"api_key" in scope["query_string"] or any(name in KEYED for name, _ in scope["headers"])
        text = given_key(HTTPConnection(scope)) if carries and self.keys is not None else None
        if text is not None and self.keys is not None:
            key = self.keys.find(text, now=self.clock())
            if key is not None:
                return self.take(f"key:{key.prefix}", requests=key.requests_per_minute)
        client = address_of(scope) if self.limits.count_loopback else far_client(scope)
        return self.take(client) if client or self.limits.count_loopback else FREE

    def take(self, client: str, *, requests: int | None = None) -> Verdict:
        """Takes one token of this client's bucket, which holds `requests` (or as many as the limits say)."""
        most = requests or self.limits.requests
        bucket, now = self._bucket_of(client, most), self.monotonic()
        wait_s = bucket.wait_s(now)
        if wait_s == 0.0:
            bucket.take(now)
        left, wait = bucket.refill(now), math.ceil(wait_s)
        reset = math.ceil((most - left) / bucket.per_second)
        return Verdict(not wait, self._headers(most, int(left), wait=wait, reset=reset), wait)

    def _headers(self, most: int, remaining: int, *, wait: int, reset: int) -> RawHeaders:
        headers: RawHeaders = [
            (b"ratelimit-policy", f'"default";q={most};w={self.limits.window_s}'.encode()),
            (b"ratelimit", f'"default";r={remaining};t={wait or reset}'.encode()),
            (b"x-ratelimit-limit", str(most).encode()),
            (b"x-ratelimit-remaining", str(remaining).encode()),
            (b"x-ratelimit-reset", str(reset).encode()),
        ]
        return [*headers, (b"retry-after", str(wait).encode())] if wait else headers

    def _bucket_of(self, client: str, most: int) -> TokenBucket:
        """The client's bucket, now the newest; the one unused for longest goes where there are too many."""
        bucket = self.buckets.pop(client, None) or TokenBucket(0.0, 0.0)
        bucket.per_second, bucket.burst = most / self.limits.window_s, float(most)
        self.buckets[client] = bucket
        if len(self.buckets) > self.limits.clients:
            del self.buckets[next(iter(self.buckets))]
        return bucket


class RateLimits(HttpMiddleware):
    """Refuses who asks too often with 429, and tells every client that is counted what is left."""

    def __init__(self, app: ASGIApp, *, limiter: RateLimiter) -> None:
        super().__init__(app)
        self.limiter = limiter

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        verdict = self.limiter.judge(scope)

        def limit(message: Message) -> None:
            own = {name for name, _ in message["headers"]}  # of an application mounted in this one
            message["headers"] = [*message["headers"], *(pair for pair in verdict.headers if pair[0] not in own)]

        sending = at_start(send, limit) if verdict.headers else send
        if verdict.allowed:
            await self.app(scope, receive, sending)
            return
        detail = f"More requests than RateLimit-Policy allows; wait {verdict.retry_after_s} s"
        await problem(scope, "too_many_requests", detail=detail)(scope, receive, sending)


class Turns(HttpMiddleware):
    """Works on a few requests of one address at a time; its others wait in a row of their own.

    Else one client's fifty would hold every thread, and everybody waited behind them. A turn ends where the answer
    begins, so a stream holds none; answers from the cache and health checks need none. Who leaves loses its place.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        super().__init__(app)
        self.limits = limits
        self.turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if path_of(scope) in HEALTH:
            await self.app(scope, receive, send)
            return
        turn = self.turns.setdefault(address_of(scope), asyncio.Semaphore(self.limits.at_once))
        arrived: list[asyncio.Future[Message]] = []
        if scope["method"] != "GET" or not turn.locked():
            await turn.acquire()
        elif not (arrived := await _wait(turn, receive, most=self.limits.max_body)):
            return
        over = False

        def end(message: Message | None = None) -> None:
            nonlocal over
            if not over:
                turn.release()
            over = True

        async def receive_on() -> Message:
            return await (arrived.pop(0) if arrived else receive())

        try:
            await self.app(scope, receive_on if arrived else receive, at_start(send, end))
        finally:
            end()
            for part in arrived:
                part.cancel()


async def _wait(turn: asyncio.Semaphore, receive: Receive, *, most: int) -> list[asyncio.Future[Message]]:
    """Takes the turn and gives the messages until then, the last perhaps still to come; none where the client left.

    Of a body no more than `most` bytes are held; what is larger is refused when its turn has come.
    """
    waiting = asyncio.ensure_future(turn.acquire())
    arrived: list[asyncio.Future[Message]] = [asyncio.ensure_future(receive())]
    try:
        while True:
            await asyncio.wait((arrived[-1], waiting) if most > 0 else (waiting,), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return arrived
            message = arrived[-1].result()
            if message["type"] == "http.disconnect":
                return []
            most -= len(message.get("body", b""))
            if most > 0:
                arrived.append(asyncio.ensure_future(receive()))
    except asyncio.CancelledError:
        arrived[-1].cancel()
        if waiting.done() and not waiting.cancelled():
            turn.release()  # it was given at the moment at which nobody wanted it any more
        raise
    finally:
        waiting.cancel()  # which changes nothing where it is done


class RequestSizes(HttpMiddleware):
    """Refuses what is larger than any honest request: address, query and body."""

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        super().__init__(app)
        self.limits = limits

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope)
        if refusal is not None:
            await problem(scope, refusal[0], detail=refusal[1])(scope, receive, send)
            return
        most = left = self._most(scope)
        whole = False

        async def receive_counted() -> Message:
            nonlocal left, whole
            if whole:  # what comes now is that the client leaves, whenever that is
                return await receive()
            try:
                async with asyncio.timeout(self.limits.body_s):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"No byte of the body came for {self.limits.body_s:g} s") from None
            whole = not message.get("more_body")
            left -= len(message.get("body", b""))
            if left < 0:  # the one kind of error that everything between here and the route passes on as it is
                raise HTTPException(413, f"The body is larger than {most} bytes")
            return message

        await self.app(scope, receive_counted, send)

    def _refusal(self, scope: Scope) -> tuple[str, str] | None:
        limits = self.limits
        query, path = len(scope["query_string"]), len(scope.get("raw_path") or scope["path"])
        if query > limits.max_query:
            return "uri_too_long", f"The query has {query} bytes; at most {limits.max_query} are read"
        if path > limits.max_path:
            return "uri_too_long", f"The path has {path} bytes; at most {limits.max_path} are read"
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > self._most(scope):
            return "body_too_large", f"The body is larger than {self._most(scope)} bytes"
        return None

    def _most(self, scope: Scope) -> int:
        """How many bytes a body may have; whoever may not drop files is refused before they are read."""
        path = path_of(scope)
        return self.limits.max_file if path in DROPPED_FILES else self.limits.max_body


TOO_LARGE = b"431 Request Header Fields Too Large"
TOO_SLOW = b"408 Request Timeout"
TOO_MANY = b"429 Too Many Requests"


class Bounded(HttpToolsProtocol):
    """Counts the bytes of a head and the seconds that it takes, and the connections of each address."""

    limits: ClassVar[Limits]
    trusted: ClassVar[tuple[str, ...]]
    head_bytes = 0
    reads_head = True
    slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if address and not address.startswith(LOOPBACK) and address not in self.trusted:
            peers = (getattr(other, "client", None) for other in self.connections)
            same = sum(peer is not None and peer[0] == address for peer in peers)
            if same > self.limits.connections:
                self.refuse(TOO_MANY)
                return
        self.wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.head_bytes += len(data)
        super().data_received(data)
        if self.reads_head and self.head_bytes > self.limits.max_head:
            self.refuse(TOO_LARGE)

    def on_message_begin(self) -> None:
        self.reads_head, self.head_bytes = True, 0
        self.wait_for_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.reads_head = False
        self.stop_waiting()
        super().on_headers_complete()

    def wait_for_head(self) -> None:
        """Ends the connection when its next head is not here in time."""
        self.stop_waiting()
        self.slow = self.loop.call_later(self.limits.head_s, self.refuse, TOO_SLOW)

    def stop_waiting(self) -> None:
        """The head is here, or nobody will send it any more."""
        if self.slow is not None:
            self.slow.cancel()
            self.slow = None

    def refuse(self, status: bytes) -> None:
        """Says why and closes."""
        self.stop_waiting()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()


def bounded(limits: Limits, *, trusted: tuple[str, ...] = ()) -> type[HttpToolsProtocol]:
    """The protocol of a server with these limits. Proxies that are trusted, and this machine, connect freely."""
    return type("BoundedByLimits", (Bounded,), {"limits": limits, "trusted": trusted})
