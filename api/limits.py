"""How much one client may ask: sizes of a request, and a token bucket with the RateLimit headers.

Headers follow draft-ietf-httpapi-ratelimit-headers-11 (`RateLimit`, `RateLimit-Policy`) and, for older
clients, `X-RateLimit-*`; the draft is pinned in this one file. Requests from loopback are the owner's own and
are not counted unless `count_loopback` is set.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

RawHeaders = list[tuple[bytes, bytes]]
LOOPBACK = ("127.", "::1", "testclient")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server. `requests` per `window_s` seconds and client; sizes in bytes."""

    requests: int = 600
    window_s: int = 60
    max_query: int = 16_384
    max_path: int = 1024
    max_body: int = 65_536
    max_streams: int = 1000
    clients: int = 10_000
    count_loopback: bool = False


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may pass, the headers that say so, and how long to wait if not."""

    allowed: bool
    headers: RawHeaders
    retry_after_s: int = 0


FREE = Verdict(True, [])


class RateLimiter:
    """A token bucket for each client, refilled evenly; at most `limits.clients` are remembered."""

    def __init__(self, limits: Limits, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.monotonic = monotonic
        self.buckets: dict[str, _Bucket] = {}
        policy = f'"default";q={limits.requests};w={limits.window_s}'.encode()
        self.fixed: RawHeaders = [
            (b"ratelimit-policy", policy),
            (b"x-ratelimit-limit", str(limits.requests).encode()),
        ]

    def take(self, client: str) -> Verdict:
        """Takes one token of this client's bucket."""
        if not self.limits.count_loopback and client.startswith(LOOPBACK):
            return FREE
        bucket, rate = self._refilled(client), self.limits.requests / self.limits.window_s
        allowed = bucket.tokens >= 1.0
        if allowed:
            bucket.tokens -= 1.0
        wait = 0 if allowed else max(1, math.ceil((1.0 - bucket.tokens) / rate))
        remaining = int(bucket.tokens)
        reset = math.ceil((self.limits.requests - bucket.tokens) / rate)
        headers: RawHeaders = [
            *self.fixed,
            (b"ratelimit", f'"default";r={remaining};t={wait or reset}'.encode()),
            (b"x-ratelimit-remaining", str(remaining).encode()),
            (b"x-ratelimit-reset", str(reset).encode()),
        ]
        if not allowed:
            headers.append((b"retry-after", str(wait).encode()))
        return Verdict(allowed, headers, wait)

    def _refilled(self, client: str) -> _Bucket:
        now, full = self.monotonic(), float(self.limits.requests)
        bucket = self.buckets.pop(client, None) or _Bucket(full, now)
        bucket.tokens = min(full, bucket.tokens + (now - bucket.at) * full / self.limits.window_s)
        bucket.at = now
        self.buckets[client] = bucket
        if len(self.buckets) > self.limits.clients:
            del self.buckets[next(iter(self.buckets))]
        return bucket
