"""What the client keeps for each host: bucket, breaker, latency; and what others may know of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from indexer.sources.http.breaker import Breaker, BreakerState
from indexer.sources.http.limits import HostLimit, TokenBucket


@dataclass(frozen=True, slots=True)
class HostHealth:
    """What is known of one host: for `doctor`, and for asking the healthy source first."""

    name: str
    state: BreakerState
    failures_in_a_row: int
    paused_s: float
    latency_s: float | None
    limit: HostLimit


class Host:
    """Bucket, breaker and recent latency of one host."""

    def __init__(self, bucket: TokenBucket, breaker: Breaker) -> None:
        self.bucket = bucket
        self.breaker = breaker
        self.latency_s: float | None = None
        self.settled = asyncio.Event()
        self.settled.set()
