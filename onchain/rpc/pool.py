"""A pool of endpoints for one chain: sends, fails over, waits where told to, and records every call.

The only file of `onchain` that opens sockets; everything above asks a `Pool`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from onchain.chains import Chain
from onchain.errors import AllEndpointsFailed, BudgetSpent, Kind, RpcError, malformed, redact_parts, redact_url
from onchain.rpc.limits import Breaker, TokenBucket
from onchain.rpc.wire import CallRecord, parse_answer, parse_cbor, parse_json, parsing, request_body, status_error

T = TypeVar("T")
Params = Sequence[object] | Mapping[str, object]
EACH_WAIT_S = 5.0  # one limited endpoint must not hold up the others for long
_FINAL = frozenset({Kind.REVERT, Kind.TOO_BIG})  # the same on every endpoint: raise at once
_PASSING = frozenset({Kind.UNAVAILABLE, Kind.SLOW})  # worth a second try
BREAK_AFTER = 3  # failures in a row that open the breaker
COOL_DOWN_S = 5.0  # doubled for each probe that fails
MAX_COOL_DOWN_S = 300.0
PAUSE_S = 1.0  # after a rate limit that does not say how long
MAX_RETRY_AFTER_S = 600.0
_SICK = frozenset({Kind.UNAVAILABLE, Kind.SLOW, Kind.MALFORMED, Kind.REFUSED})


@dataclass(slots=True, eq=False)
class Endpoint:
    """One URL with what was learnt about it. Times are seconds of the pool's monotonic clock."""

    url: str
    order: int  # position in the configuration: own endpoints first
    rate_per_s: float = 10.0
    burst: float = 20.0
    label: str = ""
    operator: str = ""  # who runs it: answers of one operator count as one
    score: float = 1.0  # moving share of good answers, 0 to 1
    latency_s: float = 0.0
    archive: float = 0.5  # moving share of old-state reads it could serve; a load balancer makes it a share
    requests: int = 0
    limited: int = 0  # rate limits in a row
    banned: str = ""  # wrong chain: never used again
    identified: bool = False
    bare_to: int = -1  # newest block seen to have no Multicall3
    by_hash: bool | None = None  # accepts EIP-1898 block references
    bucket: TokenBucket = field(init=False)
    breaker: Breaker = field(init=False)

    def __post_init__(self) -> None:
        self.label = self.label or redact_url(self.url)
        self.operator = self.operator or self.url
        self.bucket = TokenBucket(self.rate_per_s, self.burst)
        self.breaker = Breaker(failures=BREAK_AFTER, rest_s=COOL_DOWN_S, max_rest_s=MAX_COOL_DOWN_S)

    def wait_s(self, now: float) -> float:
        """Seconds until a request may be sent; infinity when banned or when another probe is under way."""
        if self.banned:
            return float("inf")
        if self.breaker.probing:
            return float("inf")
        return max(self.breaker.rest_s(now), self.bucket.paused_s(now))

    @property
    def broken(self) -> bool:
        """The breaker is not closed: the next request, when allowed, is a single probe."""
        return not self.breaker.closed

    def rank(self) -> tuple[float, int, float]:
        """Sort key, best first: health in tenths, then the configured order, then latency."""
        return (-round(self.score, 1), self.order, self.latency_s)

    def take(self, now: float) -> float:
        """Reserve one request of the token bucket; returns the seconds to wait before sending it."""
        self.breaker.admits(now)
        self.requests += 1
        return self.bucket.take(now)

    def succeeded(self, *, elapsed_s: float) -> None:
        self.breaker.succeeded()
        self.limited = 0
        self.score += 0.2 * (1.0 - self.score)
        self.latency_s = elapsed_s if not self.latency_s else 0.8 * self.latency_s + 0.2 * elapsed_s

    def failed(self, kind: Kind, *, now: float, retry_after_s: float | None = None) -> None:
        """Account for a failed request. A revert or a missing block says nothing about the node's health."""
        if kind is Kind.RATE_LIMIT:
            self.breaker.released()
            # a daily quota says nothing of how long: each further refusal doubles the pause
            self._pause(PAUSE_S * 2.0 ** min(self.limited, 12) if retry_after_s is None else retry_after_s, now)
            self.limited += 1
            self.score *= 0.9
        elif kind in _SICK:
            self.breaker.failed(now=now)
            if retry_after_s is not None:
                self._pause(retry_after_s, now)
            self.score *= 0.7
        else:
            self.breaker.succeeded()
            if kind is Kind.MISSING_STATE:
                self.archive *= 0.5

    def _pause(self, seconds: float, now: float) -> None:
        self.bucket.pause(min(seconds, MAX_RETRY_AFTER_S), now)

    def distrust(self) -> None:
        """Lower the score for an answer that was outvoted: the endpoint is asked last until good answers restore it."""
        self.score *= 0.2

    def served_old_state(self) -> None:
        self.archive += 0.3 * (1.0 - self.archive)


class Pool:
    """JSON-RPC and REST access to one chain. Use as `async with Pool(chain) as pool`.

    `confirm` operators must agree on what is read through this pool. `max_wait_s` bounds the time one call may wait
    for rate limits, `max_requests` what the pool may send in all: then BudgetSpent is raised. `records` keeps the
    last 20,000 calls.
    `session`, `clock` (monotonic), `wall` (epoch) and `sleep` may be replaced; a given session is not closed.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        confirm: int = 2,
        session: aiohttp.ClientSession | None = None,
        timeout_s: float = 20.0,
        max_bytes: int = 128_000_000,
        max_wait_s: float = 30.0,
        max_requests: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.chain, self.confirm = chain, confirm
        self.endpoints = [
            Endpoint(
                url=url,
                order=i,
                rate_per_s=chain.rate_per_s,
                burst=2 * chain.rate_per_s,
                operator=chain.operator(url),
            )
            for i, url in enumerate(chain.endpoints)
        ]
        self.records: deque[CallRecord] = deque(maxlen=20_000)
        self.wall = wall
        self._session, self._owned = session, session is None
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._max_bytes, self._max_wait_s, self._max_requests = max_bytes, max_wait_s, max_requests
        self._clock, self._sleep = clock, sleep
        self._ids = 0
        self._locks: dict[Endpoint, asyncio.Lock] = {}

    def quorum(self, count: int) -> int:
        """How many operators must agree where `count` are wanted: no more than the chain has, and at least one."""
        return min(count, max(1, len({e.operator for e in self.endpoints})))

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._owned and self._session is not None:
            await self._session.close()

    # -- asking -------------------------------------------------------------------------------------------

    async def call(
        self, method: str, params: Params = (), *, on: Endpoint | None = None, null_ok: bool = False
    ) -> object:
        """The result of one JSON-RPC call, from the best endpoint that answers, or from `on` alone."""

        async def ask(endpoint: Endpoint) -> object:
            await self.ready(endpoint)
            return await self.send(endpoint, method, params, null_ok=null_ok)

        return await ask(on) if on is not None else await self.on_any(ask, what=method)

    async def send(self, endpoint: Endpoint, method: str, params: Params, *, null_ok: bool = False) -> object:
        """One JSON-RPC call to one endpoint, without the identity check (which itself uses this)."""
        self._ids += 1
        ident = self._ids
        data = json.dumps(request_body(ident, method, params), separators=(",", ":")).encode()
        return await self._exchange(
            endpoint, method, data, lambda raw, _: parse_answer(parse_json(raw), ident, null_ok=null_ok)
        )

    async def fetch(
        self,
        endpoint: Endpoint,
        path: str,
        *,
        decode: Callable[[bytes], Any] = parse_json,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Any, Mapping[str, str]]:
        """(decoded answer, response headers) of one GET, or POST of a body, below one endpoint's URL."""
        verb = "GET" if body is None else "POST"
        return await self._exchange(
            endpoint, f"{verb} {path}", body, lambda raw, got: (decode(raw), got), path=path, headers=headers
        )

    # -- choosing -----------------------------------------------------------------------------------------

    async def on_any(
        self,
        ask: Callable[[Endpoint], Awaitable[T]],
        *,
        what: str,
        exclude: Sequence[Endpoint] = (),
        old: bool = False,
        wait_s: float = float("inf"),
    ) -> T:
        """`ask(endpoint)` on the best endpoint; the next one when it fails in a way another may not.

        `old` state is asked last of endpoints that have shown not to keep it. Waits for rate limits within `wait_s`
        and `max_wait_s`; tries an endpoint twice when only availability failed.
        Raises RpcError for a revert or "too big" at once, AllEndpointsFailed when nothing is left.
        """
        errors: dict[Endpoint, RpcError] = {}
        tries: dict[Endpoint, int] = {}
        deadline = self._clock() + min(wait_s, self._max_wait_s)
        while True:
            endpoint = await self._next(tries, exclude, deadline, old=old)
            if endpoint is None:
                blocked = [e for e in self.endpoints if e not in errors and e not in exclude]
                listed = [*errors.values(), *(self._idle_reason(e) for e in blocked)]
                raise AllEndpointsFailed(self.chain.name, what, listed)
            tries[endpoint] = tries.get(endpoint, 0) + 1
            try:
                await self.ready(endpoint)
                return await ask(endpoint)
            except RpcError as error:
                if error.kind in _FINAL:
                    raise
                errors[endpoint] = error
                if error.kind is Kind.RATE_LIMIT and endpoint.wait_s(self._clock()):
                    tries[endpoint] -= 1  # waiting is bounded by the deadline instead
                elif error.kind not in _PASSING:
                    tries[endpoint] = 2

    async def each(
        self, ask: Callable[[Endpoint], Awaitable[T]], *, among: Sequence[Endpoint] | None = None
    ) -> dict[Endpoint, T | RpcError]:
        """`ask(endpoint)` on all of these (every one) at once; failures as values, also of those paused or banned."""
        asked = self.endpoints if among is None else among
        return dict(zip(asked, await asyncio.gather(*(self._alone(endpoint, ask) for endpoint in asked)), strict=True))

    async def _alone(self, endpoint: Endpoint, ask: Callable[[Endpoint], Awaitable[T]]) -> T | RpcError:
        others = [other for other in self.endpoints if other is not endpoint]
        try:
            return await self.on_any(ask, what="", exclude=others, wait_s=EACH_WAIT_S)
        except RpcError as error:
            return error
        except AllEndpointsFailed as failure:
            return failure.errors[0]

    async def ready(self, endpoint: Endpoint) -> None:
        """Check once that the endpoint serves this chain. Raises RpcError; a wrong chain bans it for good."""
        if endpoint.identified:
            return
        async with self._locks.setdefault(endpoint, asyncio.Lock()):
            if not endpoint.identified:
                await self._identify(endpoint)
                endpoint.identified = True

    async def _identify(self, endpoint: Endpoint) -> None:
        """Ask for the chain's identity and compare it with the configured one. Raises RpcError(MALFORMED) and bans."""
        chain = self.chain
        answer: Any
        with parsing("the endpoint's identity", endpoint.label):
            if chain.family == "cosmos":
                answer, _ = await self.fetch(endpoint, "/cosmos/base/tendermint/v1beta1/node_info")
                identity = str(answer["default_node_info"]["network"])
            elif chain.family == "arweave":
                answer, _ = await self.fetch(endpoint, "/info")
                identity = str(answer["network"])
            elif method := chain.identity_method or ("eth_chainId" if chain.family == "evm" else ""):
                answer = await self.send(endpoint, method, chain.identity_params)
                identity = str(answer.get("chain_id") if isinstance(answer, dict) else answer)
            elif chain.family == "icp" and chain.identity:
                answer, _ = await self.fetch(endpoint, "/api/v2/status", decode=parse_cbor)
                identity = _root_key(answer)
            else:
                return
        if chain.identity and identity.lower() not in chain.identity.lower().split("|"):
            endpoint.banned = f"serves chain {identity}, not {chain.name} ({chain.identity})"
            raise malformed(endpoint.banned, endpoint.label)

    async def _next(
        self, tries: Mapping[Endpoint, int], exclude: Sequence[Endpoint], deadline: float, *, old: bool
    ) -> Endpoint | None:
        while True:
            now = self._clock()
            left = [e for e in self.endpoints if tries.get(e, 0) < 2 and e not in exclude]
            ready = [e for e in left if e.wait_s(now) == 0.0]
            if ready:
                return min(ready, key=lambda e: (tries.get(e, 0), old and e.archive < 0.2, e.rank()))
            waits = [e.wait_s(now) for e in left if not e.broken]
            soonest = min(waits, default=float("inf"))
            if now + soonest > deadline:
                return None
            await self._sleep(soonest)

    def _idle_reason(self, endpoint: Endpoint) -> RpcError:
        wait = endpoint.wait_s(self._clock())
        text = endpoint.banned or (
            f"breaker open for {wait:.0f} s more" if endpoint.broken else f"rate limited for {wait:.0f} s more"
        )
        return RpcError(text, kind=Kind.UNAVAILABLE, endpoint=endpoint.label)

    # -- sending ------------------------------------------------------------------------------------------

    async def _exchange(
        self,
        endpoint: Endpoint,
        method: str,
        data: bytes | None,
        decode: Callable[[bytes, Mapping[str, str]], T],
        *,
        path: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Send, account for the endpoint's health, decode, record."""
        if self._max_requests is not None and sum(e.requests for e in self.endpoints) >= self._max_requests:
            text = f"{self.chain.name}: {method} not sent, the budget of {self._max_requests} requests is spent"
            raise BudgetSpent(f"{text}; read less or allow more")
        if pause := endpoint.take(self._clock()):
            await self._sleep(pause)
        started, wall, raw, outcome = self._clock(), self.wall(), b"", "ok"
        try:
            raw, got = await self._transfer(endpoint, data, path, headers)
            value = decode(raw, got)
        except RpcError as error:
            outcome = error.kind.value
            endpoint.failed(error.kind, now=self._clock(), retry_after_s=error.retry_after_s)
            raise error.at(endpoint.label, method, message=redact_parts(error.message, endpoint.url)) from None
        except BaseException:
            endpoint.breaker.released()
            raise
        else:
            endpoint.succeeded(elapsed_s=self._clock() - started)
            return value
        finally:
            asked = hashlib.sha256(data or path.encode()).hexdigest()
            answered = hashlib.sha256(raw).hexdigest()
            elapsed = self._clock() - started
            record = (self.chain.name, endpoint.label, method, wall, elapsed, outcome, len(raw), asked, answered)
            self.records.append(CallRecord(*record))

    async def _transfer(
        self, endpoint: Endpoint, data: bytes | None, path: str, headers: Mapping[str, str] | None
    ) -> tuple[bytes, Mapping[str, str]]:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers={"User-Agent": "deai-index"})
        sent = {"Content-Type": "application/json", **(headers or {})} if data is not None else dict(headers or {})
        url = endpoint.url.rstrip("/") + path if path else endpoint.url
        verb = "POST" if data is not None else "GET"
        try:
            async with self._session.request(verb, url, data=data, headers=sent, timeout=self._timeout) as got:
                raw = await self._read(got)
                if got.status != 200:
                    raise status_error(got.status, raw, got.headers.get("Retry-After"), self.wall())
                return raw, got.headers
        except TimeoutError:
            raise RpcError(f"no answer in {self._timeout.total:g} s", kind=Kind.SLOW) from None
        except (aiohttp.ClientError, OSError) as error:  # its text may carry the URL, and the URL a key
            raise RpcError(f"connection failed ({type(error).__name__})", kind=Kind.UNAVAILABLE) from None

    async def _read(self, got: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in got.content.iter_any():
            size += len(part)
            if size > self._max_bytes:
                raise RpcError(f"response size exceeds the cap of {self._max_bytes} bytes", kind=Kind.TOO_BIG)
            parts.append(part)
        return b"".join(parts)


def _root_key(status: Any) -> str:
    """The first half of the sha256 of the network's root key, as chain-agnostic identifiers name it."""
    assert isinstance(status["root_key"], bytes), "the root key is not bytes"
    return hashlib.sha256(status["root_key"]).hexdigest()[:32]
