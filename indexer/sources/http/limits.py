"""How fast each host may be asked (`limits.toml`), the queue that keeps to it, and what is known of the host."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from importlib import resources
from typing import Final

from indexer.errors import SourceError, SourceUnavailable
from onchain.rpc.limits import Breaker, BreakerState, TokenBucket


@dataclass(frozen=True, slots=True)
class HostLimit:
    """A token bucket's size: `per_second` refills up to `burst`; `why` says where the figure comes from."""

    per_second: float
    burst: float
    why: str


DEFAULT_LIMIT: Final = HostLimit(1.0, 2, "unknown host: one a second is polite everywhere")


def _shipped() -> dict[str, HostLimit]:
    text = resources.files("indexer.sources.http").joinpath("limits.toml").read_text(encoding="utf-8")
    return {name: HostLimit(**limit) for name, limit in tomllib.loads(text).items()}


LIMITS: Final = _shipped()


SLOWEST: Final = 16  # times slower than the limit at most
FASTER: Final = 1.03  # after each answer: back at twice the pace after two dozen
LONGEST_PAUSE_S: Final = 16.0
LEAST_S: Final = 1e-6  # a shorter wait is the rounding of a clock


class HostQueue:
    """Waiters for one host's tokens. `take` waits until there are enough; `pause` stops it until a time.

    `now` is a monotonic clock in seconds and `sleep` its way to wait, both given, so that tests need neither.
    Waiters are served in order of arrival. What the host answers teaches the pace: `refused` slows it down, each
    `answered` brings it a little nearer to the limit again.
    """

    def __init__(
        self, limit: HostLimit, *, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self.limit = limit
        self.bucket = TokenBucket(limit.per_second, limit.burst)
        self.bucket.refill(now())
        self._now = now
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._refusals = 0  # in a row, each burst counted once

    def pause(self, seconds: float) -> None:
        """Take no token for so long (the host's Retry-After)."""
        self.bucket.pause(seconds, self._now())

    def refused(self, wait_s: float | None) -> bool:
        """Slow down after a rate limit, and pause for `wait_s`, or ever longer where the host does not say how long.

        Calls that were under way when the pause began say the same once more: False for those.
        """
        first = self.paused_s == 0.0
        if first:
            self._refusals += 1
            slowest = self.limit.per_second / SLOWEST
            self.bucket.per_second = max(self.bucket.per_second / 2.0, slowest)
            self.bucket.burst = max(self.limit.burst / SLOWEST, 1.0)
        self.pause(min(2.0 ** (self._refusals - 1), LONGEST_PAUSE_S) if wait_s is None else wait_s)
        return first

    def answered(self) -> None:
        """The host answered at this pace: try a slightly faster one, up to the limit."""
        self._refusals = 0
        self.bucket.per_second = min(self.bucket.per_second * FASTER, self.limit.per_second)
        if self.bucket.per_second == self.limit.per_second:
            self.bucket.burst = self.limit.burst

    @property
    def pace(self) -> HostLimit:
        """The limit at the pace learnt so far."""
        return replace(self.limit, per_second=self.bucket.per_second, burst=self.bucket.burst)

    @property
    def paused_s(self) -> float:
        """Seconds the host still asks us to stay away; 0 when it does not."""
        return self.bucket.paused_s(self._now())

    async def take(self, cost: float = 1.0, *, unless: Callable[[], bool] = lambda: False) -> float:
        """Take tokens, waiting as long as needed; gives back the seconds waited.

        Who finds `unless` true when its turn comes, or while it waits, takes nothing and waits no longer.
        """
        waited = 0.0
        async with self._turn:
            while not unless() and (wait := self.bucket.wait_s(self._now(), cost=cost)) > LEAST_S:
                await self._sleep(wait)
                waited += wait
            if not unless():
                self.bucket.take(self._now(), cost=cost)
        return waited


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
