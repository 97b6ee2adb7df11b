"""The circuit breaker: after several failures a host is left alone, then tried with a single call."""

from __future__ import annotations

from enum import StrEnum

from indexer.errors import SourceError, SourceUnavailable


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


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """One host's breaker. Times are a monotonic clock's seconds, given with every call.

    Opens after `failures` in a row, for `rest_s`; then one probe may pass (half open). A probe that fails
    doubles the rest, up to `max_rest_s`; one that succeeds closes the breaker and forgets.
    """

    def __init__(self, *, failures: int = 5, rest_s: float = 30.0, max_rest_s: float = 600.0) -> None:
        self._limit = failures
        self._first_rest_s = rest_s
        self._max_rest_s = max_rest_s
        self._rest_s = rest_s
        self._open_until: float | None = None
        self._probing = False
        self.failures_in_a_row = 0
        self._last = ""

    def state(self, now: float) -> BreakerState:
        """Whether calls pass, are refused, or one may probe."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def enter(self, name: str, *, now: float) -> None:
        """Let a call through, or raise CircuitOpen. In the half-open state only the first caller passes."""
        state = self.state(now)
        if state is BreakerState.CLOSED:
            return
        if state is BreakerState.HALF_OPEN and not self._probing:
            self._probing = True
            return
        wait = max((self._open_until or now) - now, 1.0)
        raise CircuitOpen(
            f"{name} failed {self.failures_in_a_row} times in a row and is left alone for {wait:.0f} s; "
            f"another source is used meanwhile{f' (last: {self._last})' if self._last else ''}",
            retry_after_s=wait,
            last=self._last,
        )

    @property
    def probing(self) -> bool:
        """Whether the one probe is under way: its outcome decides for all who wait."""
        return self._probing

    def succeeded(self) -> None:
        """The host answered properly."""
        self.failures_in_a_row = 0
        self._open_until = None
        self._probing = False
        self._rest_s = self._first_rest_s

    def failed(self, *, now: float, why: str = "") -> None:
        """The host did not answer, or not with what it promises; `why` is repeated to those who are refused."""
        self.failures_in_a_row += 1
        self._last = why
        if self._probing:
            self._rest_s = min(2.0 * self._rest_s, self._max_rest_s)
            self._open_until = now + self._rest_s
            self._probing = False
        elif self._open_until is None and self.failures_in_a_row >= self._limit:
            self._open_until = now + self._rest_s

    def released(self) -> None:
        """The call ended without saying anything about the host (cancelled, refused for its arguments)."""
        self._probing = False
