"""What the client keeps for each host: whose turn it is, the breaker, latency; and what others may know of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from indexer.errors import SourceError, SourceUnavailable
from indexer.sources.http.limits import HostLimit, HostQueue
from onchain.rpc.limits import Breaker, BreakerState


class CircuitOpen(SourceUnavailable):
    """The host failed too often just now; it was not asked. Not to be retried before `retry_after_s`.

    `last` is what its last failure said.
    """

    code = "source_circuit_open"

    def __init__(self, message: str, *, retry_after_s: float, last: str = "") -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.last = last


def reason_of(error: SourceError) -> str:
    """An error's code and text; of a host that is left alone, what it is left alone for."""
    if isinstance(error, CircuitOpen) and error.last:
        return f"{SourceUnavailable.code}: {error.last}"
    return f"{error.code}: {error}"


@dataclass(frozen=True, slots=True)
class HostHealth:
    """What is known of one host: for `doctor`, for asking the healthy source first, and for the time that is left.

    `pace` is its limit as far as its answers taught a slower one.
    """

    name: str
    state: BreakerState
    failures_in_a_row: int
    paused_s: float
    latency_s: float | None
    limit: HostLimit
    pace: HostLimit


class Host:
    """Queue, breaker and recent latency of one host."""

    def __init__(self, name: str, queue: HostQueue, breaker: Breaker) -> None:
        self.name = name
        self.queue = queue
        self.breaker = breaker
        self.latency_s: float | None = None
        self.answered_at = float("-inf")  # properly, in monotonic seconds
        self.settled = asyncio.Event()
        self.settled.set()

    def enter(self, now: float) -> None:
        """Let a call through, or raise CircuitOpen. In the half-open state only the first caller passes."""
        if self.breaker.admits(now):
            return
        wait, last = max(self.breaker.rest_s(now), 1.0), self.breaker.last
        raise CircuitOpen(
            f"{self.name} failed {self.breaker.failures_in_a_row} times in a row and is left alone for {wait:.0f} s; "
            f"another source is used meanwhile{f' (last: {last})' if last else ''}",
            retry_after_s=wait,
            last=last,
        )
