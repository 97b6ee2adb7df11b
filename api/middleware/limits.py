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

from api.middleware.keys import KeyRing
from indexer.times import Clock, utc_now

RawHeaders = list[tuple[bytes, bytes]]
LOOPBACK = ("127.", "::1", "testclient")
KEY_HEADERS = (b"authorization", b"x-api-key")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server. `requests` per `window_s` seconds and client; sizes in bytes."""

    requests: int = 600
    window_s: int = 60
    max_query: int = 16_384
    max_path: int = 4096
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
        self.buckets: dict[str, _Bucket] = {}

    def judge(self, client: str, headers: RawHeaders) -> Verdict:
        """Takes one token of the key that the headers carry, or else of the client's address."""
        for name, value in headers:
            if name in KEY_HEADERS and self.keys is not None:
                text = value.decode("latin-1").removeprefix("Bearer ").strip()
                key = self.keys.find(text, now=self.clock())
                if key is not None:
                    return self.take(f"key:{key.prefix}", requests=key.requests_per_minute)
        return self.take(client)

    def take(self, client: str, *, requests: int | None = None) -> Verdict:
        """Takes one token of this client's bucket, which holds `requests` (or as many as the limits say)."""
        if not self.limits.count_loopback and client.startswith(LOOPBACK):
            return FREE
        most = requests or self.limits.requests
        bucket, rate = self._refilled(client, most), most / self.limits.window_s
        allowed = bucket.tokens >= 1.0
        if allowed:
            bucket.tokens -= 1.0
        wait = 0 if allowed else max(1, math.ceil((1.0 - bucket.tokens) / rate))
        reset = math.ceil((most - bucket.tokens) / rate)
        return Verdict(allowed, self._headers(most, int(bucket.tokens), wait=wait, reset=reset), wait)

    def _headers(self, most: int, remaining: int, *, wait: int, reset: int) -> RawHeaders:
        headers: RawHeaders = [
            (b"ratelimit-policy", f'"default";q={most};w={self.limits.window_s}'.encode()),
            (b"ratelimit", f'"default";r={remaining};t={wait or reset}'.encode()),
            (b"x-ratelimit-limit", str(most).encode()),
            (b"x-ratelimit-remaining", str(remaining).encode()),
            (b"x-ratelimit-reset", str(reset).encode()),
        ]
        return [*headers, (b"retry-after", str(wait).encode())] if wait else headers

    def _refilled(self, client: str, most: int) -> _Bucket:
        now, full = self.monotonic(), float(most)
        bucket = self.buckets.pop(client, None) or _Bucket(full, now)
        bucket.tokens = min(full, bucket.tokens + (now - bucket.at) * full / self.limits.window_s)
        bucket.at = now
        self.buckets[client] = bucket
        if len(self.buckets) > self.limits.clients:
            del self.buckets[next(iter(self.buckets))]
        return bucket
