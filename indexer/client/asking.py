"""One way to ask: retries, reuse by ETag, streams across broken connections; answers as records, refusals as errors."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar, cast

import httpx2
import orjson
import stamina
from pydantic import TypeAdapter, ValidationError

from indexer.client.models import LevelEvent
from indexer.errors import (
    BusyError,
    ConfigError,
    DeaiError,
    InputError,
    NotEnoughDataError,
    NotFoundError,
    SourceCorrupt,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    StoreError,
    VerificationError,
)
from indexer.times import iso, to_us

T = TypeVar("T")
When = str | int | date | datetime
"""An instant: ISO 8601 text, epoch seconds or milliseconds, a date (00:00 UTC) or an aware datetime."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
USER_AGENT = "deai-index client"
KEPT_ANSWERS, KEPT_BYTES = 64, 32 * 1024 * 1024
MEDIA_TYPE = "application/problem+json"
BY_CODE: dict[str, type[DeaiError]] = {
    kind.code: kind
    for kind in (InputError, NotFoundError, NotEnoughDataError, StoreError, BusyError, VerificationError)
}
BY_STATUS = {401: SourceRefused, 403: SourceRefused, 410: NotFoundError, 429: SourceUnavailable}
PASSING = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait and how often to ask again. Seconds; `silence` is for streams, which ping every 15 s.

    A Retry-After up to `longest_wait` is waited for; a longer one is raised.
    """

    connect: float = 5.0
    read: float = 60.0
    silence: float = 45.0
    attempts: int = 4
    first_wait: float = 0.2
    longest_wait: float = 30.0
    reconnect: float = 2.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A 200: its body and its ETag."""

    url: str
    etag: str
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises SourceCorrupt when it is none."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            raise SourceCorrupt(
                f"{self.url} answered with something that is no JSON; is it an API of this index?"
            ) from None


class Asker:
    """Asks one API. Use from one event loop; close it at the end.

    An API in this process is asked by its `transport`, and finds new levels while a block of `watching` lasts; a server
    does that by itself. Raises ConfigError for what is not the address of a server.
    """

    def __init__(
        self,
        base: str,
        *,
        key: str | None = None,
        patience: Patience = Patience(),
        transport: httpx2.AsyncBaseTransport | None = None,
        watching: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        url = _root(base)
        self.base = base.rstrip("/")
        self.patience = patience
        self.watching = watching
        self.trying = stamina.AsyncRetryingCaller(
            attempts=patience.attempts, timeout=None, wait_initial=patience.first_wait, wait_max=patience.longest_wait,
            wait_jitter=patience.first_wait,
        ).on(self._again)  # fmt: skip
        self.replies: OrderedDict[str, Reply] = OrderedDict()
        self.client = httpx2.AsyncClient(
            headers={"user-agent": USER_AGENT, **({"authorization": f"Bearer {key}"} if key else {})},
            timeout=httpx2.Timeout(patience.read, connect=patience.connect),
            follow_redirects=False,
            transport=transport,
            trust_env=url.host not in LOOPBACK,  # a proxy cannot reach what is on this machine
        )

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, body: bytes | None = None) -> Reply:
        """The answer to a GET, or to a POST of a body; one that has not changed since is not sent again.

        Raises what the server said (NotFoundError, InputError, NotEnoughDataError, …), SourceUnavailable when it
        cannot be reached or is busy, after retries, and SourceCorrupt when it is not this API.
        """
        return await self.trying(self._once, path, params or {}, body)

    async def levels(self, path: str, after: str | None) -> AsyncGenerator[LevelEvent, None]:
        """The levels of an index's stream, after this event, for as long as the caller takes them.

        A connection that was made and broke is made again at once, then with pauses; one that cannot be made
        `attempts` times in a row raises SourceUnavailable. A refusal is raised as it is.
        """
        failures = 0
        async with self.watching():
            while True:
                try:
                    async with aclosing(self._connected(path, after)) as levels:
                        async for level in levels:
                            failures, after = 0, level.id
                            yield level
                except DeaiError as error:
                    failures += 1
                    if not error.retryable or failures >= self.patience.attempts:
                        raise
                await asyncio.sleep(self.patience.reconnect * min(failures, 5))

    async def _connected(self, path: str, after: str | None) -> AsyncGenerator[LevelEvent, None]:
        timeout = httpx2.Timeout(self.patience.silence, connect=self.patience.connect)
        params, headers = {"after": after} if after else {}, {"accept": "text/event-stream"}
        response = await self._send(self._request(path, params, headers, timeout=timeout), stream=True)
        try:
            if response.status_code != 200:
                raise refusal(response, await response.aread())
            async for event in httpx2.EventSource(response):
                if event.event == "level":
                    yield _level(event, where=path)
        except httpx2.TransportError as error:
            raise SourceUnavailable(f"{response.url} broke off: {error or type(error).__name__}") from None
        finally:
            await response.aclose()
        raise SourceUnavailable(f"{self.base}{path} ended the stream")

    async def aclose(self) -> None:
        """Ends all connections."""
        await self.client.aclose()

    async def _once(self, path: str, params: Mapping[str, str], body: bytes | None) -> Reply:
        request = self._request(path, params, {}, body=body)
        url = str(request.url)
        known = self.replies.get(url) if body is None else None
        if known is not None:
            request.headers["if-none-match"] = known.etag
        response = await self._send(request, stream=False)
        if response.status_code == 304 and known is not None:
            self.replies.move_to_end(url)
            return known
        if response.status_code != 200:
            raise refusal(response, response.content)
        reply = Reply(url, response.headers.get("etag", ""), response.content)
        if body is None:
            self._keep(reply)
        return reply

    def _request(
        self,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        timeout: Any = httpx2.USE_CLIENT_DEFAULT,
    ) -> httpx2.Request:
        method, url = "GET" if body is None else "POST", self.base + path
        return self.client.build_request(method, url, params=params, content=body, headers=headers, timeout=timeout)

    async def _send(self, request: httpx2.Request, *, stream: bool) -> httpx2.Response:
        try:
            return await self.client.send(request, stream=stream)
        except httpx2.TransportError as error:
            reason = str(error) or type(error).__name__
            raise SourceUnavailable(f"{request.url} could not be reached or broke off: {reason}") from None
        except httpx2.DecodingError:
            raise SourceCorrupt(f"{request.url} sent a body that cannot be decompressed") from None

    def _keep(self, reply: Reply) -> None:
        if reply.etag and len(reply.body) <= KEPT_BYTES // 4:
            self.replies[reply.url] = reply
            self.replies.move_to_end(reply.url)
            while (
                len(self.replies) > KEPT_ANSWERS
                or sum(len(answer.body) for answer in self.replies.values()) > KEPT_BYTES
            ):
                self.replies.popitem(last=False)

    def _again(self, error: Exception) -> bool | float:
        if not isinstance(error, DeaiError) or not error.retryable:
            return False
        wait = getattr(error, "retry_after_s", None)
        if wait is None:
            return True
        return float(wait) if wait <= self.patience.longest_wait else False


def _root(base: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base)
    except httpx2.InvalidURL as error:
        raise ConfigError(f'"{base}" is not an address ({error}); give e.g. http://127.0.0.1:8000') from None
    if not url.host or url.query or url.userinfo:
        raise ConfigError(f'"{base}" is not the root of a server; give e.g. http://127.0.0.1:8000, a key by key=')
    return url


def _level(event: httpx2.ServerSentEvent, *, where: str) -> LevelEvent:
    try:
        data = {**orjson.loads(event.data), "id": event.id}
    except (ValueError, TypeError):
        raise SourceCorrupt(f"{where} sent an event without id or data: {event}") from None
    return record(LevelEvent, data, where=where)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def record(kind: type[T], data: object, *, where: str) -> T:
    """The record in a JSON object; keys it does not know are ignored."""
    try:
        adapter: TypeAdapter[T] = _adapter(cast("Hashable", kind))
        answer: T = adapter.validate_python(data)
        return answer
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(map(str, first["loc"])) or "the answer"
        raise SourceCorrupt(f"{where} is not what this program reads: {place}: {first['msg']}") from None


def records(kind: type[T], body: Mapping[str, Any], *, where: str) -> tuple[T, ...]:
    """The records under `data`."""
    return tuple(record(kind, row, where=where) for row in member(body, "data", where=where))


def member(body: Mapping[str, Any], name: str, *, where: str) -> Any:
    """One member of an answer. Raises SourceCorrupt when it is not there."""
    try:
        return body[name]
    except (KeyError, TypeError):
        raise SourceCorrupt(f'{where} has no "{name}"; is it an API of this index?') from None


def query(**values: object) -> dict[str, str]:
    """Parameters as the API takes them; None is left out. Raises InputError for a naive datetime."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(to_us(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(f"{value!r} is not a value for a query: give text, a number, a date or an aware datetime")


def refusal(response: httpx2.Response, body: bytes) -> DeaiError:
    """The error that an answer means; `retryable` says whether asking again may help."""
    url, status, headers = response.url, response.status_code, response.headers
    kind = headers.get("content-type", "").partition(";")[0]
    if kind == MEDIA_TYPE:
        error = _problem(body, status)
        if error is not None:
            return _passing(error, status, headers)
    if status in PASSING:
        error = SourceUnavailable(f"{url} answered {status}; it may be starting or overloaded")
        return _passing(error, status, headers)
    if status in (401, 403):
        return SourceRefused(f"{url} answered {status}: something before the API wants to know who you are")
    if 300 <= status < 400:
        return InputError(
            f'{url} sends on to "{headers.get("location", "")}"; give that address, redirects are not followed'
        )
    return SourceCorrupt(
        f"{url} answered {status} with {kind or 'no type'}, not like this API; give its root, e.g. http://127.0.0.1:8000"
    )


def _problem(body: bytes, status: int) -> DeaiError | None:
    try:
        problem: Any = orjson.loads(body)
        code, detail, trace = problem["code"], str(problem["detail"]), str(problem.get("trace_id", ""))
    except (ValueError, TypeError, KeyError):
        return None
    known: type[DeaiError] = BY_CODE.get(code) or BY_STATUS.get(status) or (InputError if status < 500 else SourceError)
    ours = issubclass(known, SourceError | StoreError | VerificationError) and known is not SourceRefused
    return known(f"{detail} (trace id {trace})" if ours and trace else detail)


def _passing(error: DeaiError, status: int, headers: Mapping[str, str]) -> DeaiError:
    error.retryable = error.retryable or status in PASSING
    wait = headers.get("retry-after", "")
    if isinstance(error, SourceUnavailable) and wait.isdigit():
        error.retry_after_s = float(wait)
    return error
