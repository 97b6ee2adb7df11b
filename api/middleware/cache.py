"""Answers kept in memory by request until a new data version may have changed what they say.

The one thing that bypasses FastAPI: routing, injection and serialising cost a hundred times more than sending bytes
that are finished. `python -m benchmarks` measures it (`bench_api`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from fastapi import FastAPI

from api.middleware import HttpMiddleware, at_start
from api.middleware.requests import Failures, RequestId, below
from indexer.errors import InputError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from api.answers.answer import Answer

MAX_BYTES = 64 * 1024 * 1024
CLOSED_S = 3600.0
EACH_BYTES = 4096  # of an answer's objects: headers, forms, digests
BY_ACCEPT = (b"text/csv", b"text/html")  # the words of an Accept header that change an answer
Key = tuple[bytes, bytes, bytes]
T = TypeVar("T")


class Cache:
    """Answers with one version, bounded by bytes; the oldest leaves first. Off until a version is known.

    One event loop uses it (but for `read_once`), so it needs no lock.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self.monotonic = monotonic
        self.version: str | None = None
        self.answers: dict[Key, Answer] = {}
        self.bytes = 0
        self.making: dict[Key, asyncio.Future[None]] = {}
        self.reads: dict[Hashable, Any] = {}

    def publish(self, version: str | None, *, closed: bool = False) -> dict[Key, int]:
        """Drops what another version may have changed, and says how often each address of it was asked for again.

        `closed`: nothing of a week ago changed, so what an answer says of a time before that holds on, for an hour as
        clients keep it too.
        """
        if version == self.version:
            return {}
        since = self.monotonic() - CLOSED_S
        lasting = {key: kept for key, kept in self.answers.items() if closed and kept.closed and kept.made_s > since}
        dropped = {key: answer.asked for key, answer in self.answers.items() if key not in lasting}
        self.version, self.answers, self.reads = version, lasting, {}
        self.bytes = sum(_weight(key, answer) for key, answer in lasting.items())
        return dropped

    def read_once(self, key: Hashable, read: Callable[[], T]) -> T:
        """What `read` gives, read once for a data version: for the little that many answers are made from.

        Worker threads call it. What was read before a change lands in the dict of the former version and is lost.
        """
        reads = self.reads
        if self.version is None:
            return read()
        if key not in reads:
            reads[key] = read()
        value: T = reads[key]
        return value

    def keep(self, key: Key, answer: Answer, *, version: str | None) -> None:
        """Keeps an answer made while `version` held, unless data changed since or it is larger than a half."""
        if version is None or version != self.version or answer.size > self.max_bytes // 2:
            return
        if key in self.answers:
            self.bytes -= _weight(key, self.answers.pop(key))
        self.bytes += _weight(key, answer)
        self.answers[key], answer.made_s = answer, self.monotonic()
        while self.bytes > self.max_bytes:
            oldest = next(iter(self.answers))
            self.bytes -= _weight(oldest, self.answers.pop(oldest))

    async def being_made(self, key: Key) -> Answer | None:
        """The answer that another request is making right now, if it is one to keep; None to make it oneself."""
        making = self.making.get(key)
        if making is None or self.version is None:
            return None
        await asyncio.shield(making)
        return self.answers.get(key)

    def claim(self, key: Key) -> Callable[[], None]:
        """Lets others wait for what this request makes: a thousand who ask at once cost one answer.

        Gives back what ends their waiting; call it when the answer is kept, or is seen not to be one to keep.
        """
        if key in self.making or self.version is None:
            return _nobody_waits
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.making[key] = future

        def release() -> None:
            if not future.done():
                del self.making[key]
                future.set_result(None)

        return release


def _weight(key: Key, answer: Answer) -> int:
    """What an answer takes with its address, which a client may make as long as it likes."""
    return answer.size + sum(map(len, key)) + EACH_BYTES


def _nobody_waits() -> None:
    """Ends no waiting."""


class CacheMiddleware(HttpMiddleware):
    """Answers a GET from the cache before the routes are entered, and keeps what they answer.

    A route gives an `Answer` to be kept; what else it sends (errors, pages, files, streams) passes through.
    """

    def __init__(self, app: ASGIApp, *, cache: Cache) -> None:
        super().__init__(app)
        self.cache = cache

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        key, state = key_of(scope), scope.setdefault("state", {})
        answer = self.cache.answers.get(key) or await self.cache.being_made(key)
        if answer is not None:
            answer.asked += 1
            await answer.respond(scope, send)
            return
        version, release = self.cache.version, self.cache.claim(key)

        def keep(message: Message) -> None:
            fresh = state.pop("answer", None)
            if fresh is not None:
                self.cache.keep(key, fresh, version=version)
            release()  # what is not kept, a stream for one, nobody should wait for to its end

        try:
            await self.app(scope, receive, at_start(send, keep))
        finally:
            release()


async def ask(
    app: FastAPI, address: str, *, root: str = "", word: bytes = b"application/json", body: bytes | None = None
) -> tuple[int, bytes]:
    """Status and body of what the application answers at an address of its own, from the cache where it is there.

    `root` is the path that it is served below, with which the address may begin; `word` is what Accept says. With a
    `body` it is a POST. Raises InputError for a stream, which has no end.
    """
    path, _, query = address.partition("?")
    plain = unquote(path)
    scope: Scope = {
        "type": "http", "method": "GET" if body is None else "POST", "http_version": "1.1", "scheme": "http",
        "server": ("", 80), "root_path": root, "path": plain if below(plain, root) else root + plain,
        "raw_path": path.encode(), "query_string": query.encode(), "headers": [(b"accept", word)],
    }  # fmt: skip
    messages: list[Message] = []
    coming: list[Message] = [{"type": "http.request", "body": body or b"", "more_body": False}]
    gone: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    async def take(message: Message) -> None:
        if any(value.startswith(b"text/event-stream") for _, value in message.get("headers", ())):
            gone.set_result({"type": "http.disconnect"})
        messages.append(message)

    async def give() -> Message:  # whoever waits for the asker to leave waits for ever, but for a stream
        return coming.pop() if coming else await gone

    # Behind nothing but the cache: whoever asks was judged, or is nobody. A failure is logged, and answered.
    inside = RequestId(Failures(CacheMiddleware(partial(FastAPI.__call__, app), cache=app.state.services.cache)))
    await inside(scope, give, take)
    if gone.done():
        raise InputError(f'"{plain}" is a stream; ask for it by itself')
    return messages[0]["status"], b"".join(message.get("body", b"") for message in messages)


def key_of(scope: Scope) -> Key:
    """What tells answers apart: path, query, and the format that Accept asks for."""
    word = b""
    for name, value in scope["headers"]:
        if name == b"accept":
            word = next((word for word in BY_ACCEPT if word in value), b"")
    return scope.get("raw_path") or scope["path"].encode(), scope["query_string"], word
