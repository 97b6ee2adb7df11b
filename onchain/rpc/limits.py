"""How fast a host may be asked and when it is left alone: token bucket, circuit breaker, Retry-After.

Pure: nothing here waits or reads a clock. `now` is the caller's monotonic clock in seconds. The chain reader, the
sources' HTTP client and the API's request limits all count with these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

_SECONDS = re.compile(r"\d+(\.\d+)?\Z")


def retry_after_s(value: str | None, now: float) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as an HTTP date against `now` (epoch); None where absent."""
    text = (value or "").strip()
    if _SECONDS.match(text):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    return None if until.tzinfo is None else max(0.0, until.timestamp() - now)


@dataclass(slots=True)
class TokenBucket:
    """Tokens that refill at `per_second` up to `burst`, full at first; `pause` stops it until a time.

    Rate and burst may be changed at any time: what a host answers can teach a slower pace.
    """

    per_second: float
    burst: float
    tokens: float | None = None
    filled_at: float = 0.0
    paused_until: float = 0.0

    def refill(self, now: float) -> float:
        """The tokens there are now; below zero where some are promised already."""
        if self.tokens is None:
            self.tokens, self.filled_at = self.burst, now
        self.tokens = min(self.burst, self.tokens + (now - self.filled_at) * self.per_second)
        self.filled_at = now
        return self.tokens

    def wait_s(self, now: float, *, cost: float = 1.0) -> float:
        """Seconds until so many tokens are there, if nobody else takes any. A cost above the burst takes it whole."""
        lacking = min(cost, self.burst) - self.refill(now)
        return max(lacking / self.per_second, self.paused_s(now), 0.0)

    def take(self, now: float, *, cost: float = 1.0) -> float:
        """Take tokens at once, on credit where there are too few; gives the seconds until they are earned."""
        left = self.refill(now) - min(cost, self.burst)
        self.tokens = left
        return max(-left / self.per_second, 0.0)

    def pause(self, seconds: float, now: float) -> None:
        """Take no token for so long; a longer pause that is under way stays."""
        self.paused_until = max(self.paused_until, now + seconds)

    def paused_s(self, now: float) -> float:
        """Seconds of the pause that are left."""
        return max(self.paused_until - now, 0.0)


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after `failures` in a row, for `rest_s`; then one probe may pass (half open).

    A probe that fails doubles the rest, up to `max_rest_s`; one that succeeds closes the breaker and forgets.
    """

    def __init__(self, *, failures: int = 5, rest_s: float = 30.0, max_rest_s: float = 600.0) -> None:
        self._limit = failures
        self._first_rest_s = self._rest_s = rest_s
        self._max_rest_s = max_rest_s
        self._open_until: float | None = None
        self.failures_in_a_row = 0
        self.probing = False  # the one probe is under way: its outcome decides for all who wait
        self.last = ""  # what the last failure said

    @property
    def closed(self) -> bool:
        """Whether calls pass freely."""
        return self._open_until is None

    def state(self, now: float) -> BreakerState:
        """Whether calls pass, are refused, or one may probe."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def rest_s(self, now: float) -> float:
        """Seconds until a call may pass; 0 also while a probe is awaited."""
        return max((self._open_until or now) - now, 0.0)

    def admits(self, now: float) -> bool:
        """Let a call through, or not. Half open, only the first passes: it is the probe."""
        state = self.state(now)
        if state is BreakerState.HALF_OPEN and not self.probing:
            self.probing = True
            return True
        return state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """The host answered properly."""
        self.failures_in_a_row = 0
        self._open_until = None
        self._rest_s = self._first_rest_s
        self.probing = False

    def failed(self, *, now: float, why: str = "") -> None:
        """The host did not answer, or not with what it promises; `why` is repeated to those who are refused."""
        self.failures_in_a_row += 1
        self.last = why
        if self.probing:
            self._rest_s = min(2.0 * self._rest_s, self._max_rest_s)
            self._open_until = now + self._rest_s
            self.probing = False
        elif self._open_until is None and self.failures_in_a_row >= self._limit:
            self._open_until = now + self._rest_s

    def released(self) -> None:
        """The call ended without saying anything about the host (cancelled, refused for its arguments)."""
        self.probing = False
