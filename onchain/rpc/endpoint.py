"""One endpoint: its health, its pace, and whether it is the chain that it is configured for.

Owned by `Pool`, which asks it "may I send now?" and tells it how requests ended; the clock is passed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from eth_utils.crypto import keccak

from onchain.chains import Chain
from onchain.errors import Kind, RpcError
from onchain.rpc.limits import Breaker, TokenBucket
from onchain.rpc.redact import redact_url
from onchain.rpc.wire import parse_cbor

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
    canonical_multicall: bool | None = None
    by_hash: bool | None = None  # accepts EIP-1898 block references
    batches: bool | None = None
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


MULTICALL3_CODE_HASH = "d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891"


class Asked(Protocol):
    """What is needed of a pool here: single endpoints asked, before they are trusted."""

    chain: Chain

    async def send(self, endpoint: Endpoint, method: str, params: Sequence[Any]) -> object: ...
    async def batch(
        self, requests: Sequence[tuple[str, Sequence[Any]]], *, on: Endpoint
    ) -> list[object | RpcError]: ...
    async def fetch(self, endpoint: Endpoint, path: str) -> tuple[object, Mapping[str, str]]: ...
    async def get_bytes(self, path: str, *, on: Endpoint) -> bytes: ...


async def identify(pool: Asked, endpoint: Endpoint) -> None:
    """Ask for the chain's identity and compare it with the configured one. Raises RpcError(MALFORMED) and bans.

    EVM endpoints are asked for the Multicall3 code in the same HTTP request where they take batches.
    """
    chain = pool.chain
    if chain.family == "evm":
        identity = await _evm(pool, endpoint)
    elif chain.family == "cosmos":
        body, _ = await pool.fetch(endpoint, "/cosmos/base/tendermint/v1beta1/node_info")
        identity = str(_dig(body, "default_node_info", "network"))
    elif chain.family == "arweave":
        body, _ = await pool.fetch(endpoint, "/info")
        identity = str(_dig(body, "network"))
    elif chain.identity_method:
        answer = await pool.send(endpoint, chain.identity_method, chain.identity_params)
        identity = str(answer.get("chain_id") if isinstance(answer, dict) else answer)
    elif chain.family == "icp" and chain.identity:
        identity = await _root_key(pool, endpoint)
    else:
        return
    if chain.identity and identity.lower() not in chain.identity.lower().split("|"):
        endpoint.banned = f"serves chain {identity}, not {chain.name} ({chain.identity})"
        raise RpcError(endpoint.banned, kind=Kind.MALFORMED, endpoint=endpoint.label)


async def _evm(pool: Asked, endpoint: Endpoint) -> str:
    asked = [("eth_chainId", ()), ("eth_getCode", (pool.chain.multicall, "latest"))]
    try:
        chain_id, code = await pool.batch(asked, on=endpoint)
        endpoint.batches = True
    except RpcError as error:
        if error.kind not in {Kind.MALFORMED, Kind.REJECTED, Kind.NO_METHOD, Kind.UNKNOWN}:
            raise
        endpoint.batches = False
        endpoint.breaker.succeeded()  # refusing batches is allowed
        chain_id = await pool.send(endpoint, "eth_chainId", ())
        code = await pool.send(endpoint, "eth_getCode", (pool.chain.multicall, "latest"))
    if isinstance(chain_id, RpcError):
        raise chain_id
    if isinstance(code, str) and code.startswith("0x"):
        try:
            raw = bytes.fromhex(code[2:])
        except ValueError:
            text = f"the code {code[:20]!r} is not hex data"
            raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label) from None
        endpoint.canonical_multicall = keccak(raw).hex() == MULTICALL3_CODE_HASH
    return str(chain_id)


async def _root_key(pool: Asked, endpoint: Endpoint) -> str:
    """The first half of the sha256 of the network's root key, as chain-agnostic identifiers name it."""
    status = parse_cbor(await pool.get_bytes("/api/v2/status", on=endpoint))
    key = _dig(status, "root_key")
    if not isinstance(key, bytes):
        raise RpcError("the root key is not bytes", kind=Kind.MALFORMED, endpoint=endpoint.label)
    return hashlib.sha256(key).hexdigest()[:32]


def _dig(body: object, *keys: str) -> object:
    for key in keys:
        if not isinstance(body, dict) or key not in body:
            raise RpcError(f'the answer has no "{key}"', kind=Kind.MALFORMED)
        body = body[key]
    return body
