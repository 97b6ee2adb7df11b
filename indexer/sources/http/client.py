"""The client: one place where the sources reach the network, and the only layer that retries.

Order for each attempt: breaker → token bucket → request under one total time limit → status and body
detectors. What may be retried (time-outs, 5xx, 429 with a short wait) is; a long Retry-After is obeyed by
pausing the host and saying so, not by sleeping in the middle of a fixing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from math import isinf
from types import TracebackType
from typing import Any, Final, Self

import httpx2
import stamina

from indexer.errors import SourceCorrupt, SourceError, SourceLimited, SourceRefused, SourceUnavailable
from indexer.sources.http.answer import Answer, Expects, date_of, error_of, redact_headers
from indexer.sources.http.limits import DEFAULT_LIMIT, LIMITS, CircuitOpen, Host, HostHealth, HostLimit, HostQueue
from indexer.times import Clock, utc_now
from onchain.errors import redact
from onchain.rpc.limits import Breaker, BreakerState

MAX_BODY: Final = 32 * 1024 * 1024
_LIBRARY_LOG: Final = logging.getLogger("httpx2")
NEVER_ANSWERED: Final = 3  # times the weight of a refusal
FLAKY_S: Final = 30.0  # a host whose proper answer is younger is asked on, however much it errs in between
LONGEST_REST_S: Final = 60.0
BROWSERS: Final = ("query1.finance.yahoo.com",)  # turns away what has no browser's agent and TLS
DECODED: Final = ("content-encoding", "content-length", "transfer-encoding")  # no longer so of a body that is read
USER_AGENT: Final = "deai-index (open index of decentralized-AI tokens)"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `total` bounds a whole attempt, so that a body that drips byte by byte ends too.

    A Retry-After up to `patience` is waited for; a longer one is raised, and the host left alone.
    """

    connect: float = 5.0
    read: float = 10.0
    total: float = 20.0
    patience: float = 20.0
    attempts: int = 3
    first_wait: float = 0.25


class HttpClient:
    """Asks, politely and boundedly. Use as an async context manager, one for all sources.

    `secrets` are removed from everything that leaves this class. `limits` by name override the table; `agent` is what
    we call ourselves; the hosts of `browsers` are asked as a browser does where the library for that is installed.
    `clock`, `monotonic` and `sleep` are given in tests.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts = Timeouts(),
        limits: Mapping[str, HostLimit] | None = None,
        secrets: tuple[str, ...] = (),
        breaker: Callable[[], Breaker] = partial(Breaker, max_rest_s=LONGEST_REST_S),
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx2.AsyncBaseTransport | None = None,
        agent: str = "",
        browsers: Collection[str] = BROWSERS,
    ) -> None:
        self._timeouts = timeouts
        self._limits = LIMITS | dict(limits or {})
        self._secrets = secrets
        self._make_breaker = breaker
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._log_filter = _Redacting(secrets)
        self._hosts: dict[str, Host] = {}
        self.ahead_s: dict[str, float] = {}  # how far our clock is ahead of a host's, by its last answer
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeouts.read, connect=timeouts.connect),
            headers={"user-agent": agent or USER_AGENT, "accept": "application/json, text/csv"},
            follow_redirects=False,
            transport=transport,
            mounts={} if transport else _as_browser(browsers),
        )

    async def __aenter__(self) -> Self:
        _LIBRARY_LOG.addFilter(self._log_filter)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _LIBRARY_LOG.removeFilter(self._log_filter)
        await self._client.aclose()

    async def get(
        self,
        url: str,
        *,
        name: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        expects: Expects = Expects.JSON,
        cost: float = 1.0,
    ) -> Answer:
        """The answer to a GET. `name` chooses limit and breaker (the source's name); `cost` is in tokens.

        Raises SourceUnavailable (retried in vain, or paused), SourceRefused or SourceCorrupt; the text
        names the source and holds no key.
        """
        request = self._client.build_request("GET", url, params=params, headers=headers)
        attempts = 0
        async for attempt in stamina.retry_context(
            on=self._wait_before_retry,
            attempts=self._timeouts.attempts,
            timeout=None,
            wait_initial=self._timeouts.first_wait,
            wait_max=self._timeouts.patience,
            wait_jitter=self._timeouts.first_wait,
        ):
            with attempt:
                attempts += 1
                return await self._attempt(request, name, expects=expects, cost=cost, number=attempts)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def health(self, name: str) -> HostHealth:
        """What is known of a host so far; a host never asked is closed and without latency."""
        host = self._host(name)
        return HostHealth(
            name=name,
            state=host.breaker.state(self._monotonic()),
            failures_in_a_row=host.breaker.failures_in_a_row,
            paused_s=host.queue.paused_s,
            latency_s=host.latency_s,
            limit=host.queue.limit,
            pace=host.queue.pace,
        )

    def silent_s(self, name: str) -> float:
        """Seconds since a host answered and did not turn us away; infinite when it never did."""
        return self._monotonic() - self._host(name).answered_at

    def _wait_before_retry(self, error: Exception) -> bool | float:
        if not isinstance(error, SourceError) or not error.retryable or isinstance(error, CircuitOpen):
            return False
        wait = getattr(error, "retry_after_s", None)
        if wait is None:
            return True
        if wait > self._timeouts.patience:
            return False
        return True if isinstance(error, SourceLimited) else float(wait)  # the queue itself waits for its pause

    async def _attempt(
        self, request: httpx2.Request, name: str, *, expects: Expects, cost: float, number: int
    ) -> Answer:
        host = self._host(name)
        if host.queue.paused_s > self._timeouts.patience:
            raise SourceUnavailable(
                f"{name} asked us to stay away for another {host.queue.paused_s:.0f} s; it was not asked",
                retry_after_s=host.queue.paused_s,
            )
        await self._enter(host)
        try:
            await host.queue.take(cost, unless=lambda: self._is_open(host))
            if self._is_open(host):  # others failed while this one waited for its turn
                host.enter(self._monotonic())
            answer = await self._send(request, name, number)
            if (date := date_of(answer)) is not None:
                self.ahead_s[name] = (answer.fetched_at - date).total_seconds()
            error = error_of(answer, name, expects=expects)
            self._judge(host, answer, error)
        except CircuitOpen:
            raise
        except SourceUnavailable as cause:
            host.breaker.failed(now=self._monotonic(), why=redact(str(cause), self._secrets))
            raise
        except BaseException:
            host.breaker.released()
            raise
        finally:
            host.settled.set()
        if error is not None:
            raise _redacted(error, self._secrets)
        return answer

    def _is_open(self, host: Host) -> bool:
        return host.breaker.state(self._monotonic()) is BreakerState.OPEN

    async def _enter(self, host: Host) -> None:
        """Pass the breaker. While a probe is under way the others wait for its outcome instead of failing."""
        while True:
            try:
                host.enter(self._monotonic())
            except CircuitOpen:
                if not host.breaker.probing:
                    raise
                await host.settled.wait()
            else:
                if host.breaker.probing:
                    host.settled.clear()
                return

    def _judge(self, host: Host, answer: Answer, error: SourceError | None) -> None:
        """Tell the breaker and the bucket what an answer means for the host."""
        before = host.latency_s
        host.latency_s = answer.elapsed_s if before is None else 0.7 * before + 0.3 * answer.elapsed_s
        if isinstance(error, SourceLimited):
            self._slow_down(host, error)
            return
        if isinstance(error, SourceUnavailable) and error.retry_after_s:
            host.queue.pause(error.retry_after_s)
        now = self._monotonic()
        if not isinstance(error, SourceUnavailable | SourceCorrupt):
            host.breaker.succeeded()  # a refusal is a proper answer of a healthy host
            host.queue.answered()
            if not (isinstance(error, SourceRefused) and error.outright):
                host.answered_at = now
        elif now - host.answered_at < FLAKY_S:
            host.breaker.released()
        else:
            host.breaker.failed(now=now, why=redact(str(error), self._secrets))

    def limited(self, name: str, error: SourceLimited) -> None:
        """Slow down for a host whose limit only the parser of its answer could read."""
        self._slow_down(self._host(name), error)

    def _slow_down(self, host: Host, error: SourceLimited) -> None:
        """Learn a slower pace. A burst that is refused counts once against the host, however many calls it had.

        A host that never answered yet and says so twice turns us away for another reason than our pace.
        """
        first = host.queue.refused(error.retry_after_s)
        error.retry_after_s = host.queue.paused_s
        if first:
            for _ in range(NEVER_ANSWERED if isinf(host.answered_at) else 1):
                host.breaker.failed(now=self._monotonic(), why=redact(str(error), self._secrets))
        else:
            host.breaker.released()

    async def _send(self, request: httpx2.Request, name: str, number: int) -> Answer:
        started = self._monotonic()
        try:
            async with asyncio.timeout(self._timeouts.total):
                response = await self._client.send(request, stream=True)
                try:
                    body = await _read(response, name)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx2.TimeoutException) as cause:
            raise SourceUnavailable(f"{name} did not answer in time ({type(cause).__name__})") from None
        except httpx2.TransportError as cause:
            reason = redact(str(cause) or type(cause).__name__, self._secrets)
            raise SourceUnavailable(f"{name} could not be reached or broke off: {reason}") from None
        except httpx2.DecodingError:
            raise SourceUnavailable(f"{name} broke off inside a compressed body") from None
        return Answer(
            url=redact(str(request.url), self._secrets),
            status=response.status_code,
            headers=redact_headers(response.headers, self._secrets),
            body=body,
            fetched_at=self._clock(),
            elapsed_s=self._monotonic() - started,
            attempts=number,
        )

    def _host(self, name: str) -> Host:
        if name not in self._hosts:
            limit = self._limits.get(name, DEFAULT_LIMIT)
            queue = HostQueue(limit, now=self._monotonic, sleep=self._sleep)
            self._hosts[name] = Host(name, queue, self._make_breaker())
        return self._hosts[name]


class _Redacting(logging.Filter):
    """Takes the secrets out of a logger's messages; the HTTP library logs whole URLs."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage(), self._secrets), ()
        return True


class _Browser(httpx2.AsyncBaseTransport):
    """Requests whose agent and TLS are a browser's, by the library `curl_cffi`."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._session = library.AsyncSession(impersonate="chrome", allow_redirects=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            answer = await self._session.request(request.method, str(request.url))
        except self._library.exceptions.RequestException as cause:
            raise httpx2.TransportError(str(cause)) from None
        headers = [pair for pair in answer.headers.multi_items() if pair[0].lower() not in DECODED]
        return httpx2.Response(answer.status_code, headers=headers, content=answer.content)

    async def aclose(self) -> None:
        await self._session.close()


def _as_browser(hosts: Collection[str]) -> dict[str, httpx2.AsyncBaseTransport]:
    """The way to hosts that turn programs away, where the library for it is installed; else they are asked plainly."""
    try:
        from curl_cffi import requests
    except ImportError:
        return {}
    return {f"all://{host}": _Browser(requests) for host in hosts}


async def _read(response: httpx2.Response, name: str) -> bytes:
    """The whole body, up to MAX_BODY."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_BODY:
            raise SourceCorrupt(f"{name} sends more than {MAX_BODY} bytes for one answer")
        parts.append(part)
    return b"".join(parts)


def _redacted(error: SourceError, secrets: tuple[str, ...]) -> SourceError:
    """The same error without a secret in its text."""
    text = redact(str(error), secrets)
    if isinstance(error, SourceUnavailable):
        return type(error)(text, retry_after_s=error.retry_after_s)
    return SourceRefused(text, outright=error.outright) if isinstance(error, SourceRefused) else type(error)(text)
