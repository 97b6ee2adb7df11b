"""The health of one endpoint: score, token bucket, rate-limit pause, circuit breaker. Pure, the clock is passed in.

Place in the flow: owned by `rpc.Pool`, which asks it "may I send now?" and tells it how requests ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from onchain.errors import Kind

BREAK_AFTER = 3  # failures in a row that open the breaker
COOL_DOWN_S = 5.0  # doubled for each further failure
MAX_COOL_DOWN_S = 300.0
PAUSE_S = 1.0  # after a rate limit that does not say how long
MAX_RETRY_AFTER_S = 600.0
SECRET_CHARS = 8  # shorter parts of a path are words of the service
_SICK = frozenset({Kind.UNAVAILABLE, Kind.SLOW, Kind.MALFORMED, Kind.REFUSED})


def redact(url: str) -> str:
    """The URL without what may be a key: user info, path and query become `…`; scheme, host and port stay."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    hidden = "/…" if parts.path.strip("/") or parts.query or parts.username else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{hidden}"


def scrub(text: str, url: str) -> str:
    """`text` without the parts of `url` that may be a key, should an answer repeat them, even cut off."""
    parts = urlsplit(url)
    given = [parts.username, parts.password, *parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    for secret in given:
        if secret and len(secret) >= SECRET_CHARS:
            text = re.sub(re.escape(secret[:SECRET_CHARS]) + r"[\w.~%-]*", "…", text)
    return text


@dataclass(slots=True, eq=False)
class Endpoint:
    """One URL with what was learnt about it. Times are seconds of the pool's monotonic clock."""

    url: str
    order: int  # position in the configuration: own endpoints first
    rate_per_s: float = 10.0
    burst: float = 20.0
    label: str = ""
    score: float = 1.0  # moving share of good answers, 0 to 1
    latency_s: float = 0.0
    archive: float = 0.5  # moving share of old-state reads it could serve; a load balancer makes it a share
    requests: int = 0
    failures: int = 0
    limited: int = 0  # rate limits in a row
    open_until: float = 0.0
    blocked_until: float = 0.0
    probing: bool = False
    banned: str = ""  # wrong chain: never used again
    identified: bool = False
    canonical_multicall: bool | None = None
    by_hash: bool | None = None  # accepts EIP-1898 block references
    batches: bool | None = None
    tokens: float = 0.0
    refilled_at: float | None = None

    def __post_init__(self) -> None:
        self.label = self.label or redact(self.url)

    def wait_s(self, now: float) -> float:
        """Seconds until a request may be sent; infinity when banned or when another probe is under way."""
        if self.banned:
            return float("inf")
        if self.failures >= BREAK_AFTER:  # open, or half open when the cool-down is over
            if now >= self.open_until and self.probing:
                return float("inf")
            return max(0.0, self.open_until - now, self.blocked_until - now)
        return max(0.0, self.blocked_until - now)

    @property
    def broken(self) -> bool:
        """The breaker is not closed: the next request, when allowed, is a single probe."""
        return self.failures >= BREAK_AFTER

    def rank(self) -> tuple[float, int, float]:
        """Sort key, best first: health in tenths, then the configured order, then latency."""
        return (-round(self.score, 1), self.order, self.latency_s)

    def take(self, now: float) -> float:
        """Reserve one request of the token bucket; returns the seconds to wait before sending it."""
        if self.refilled_at is None:
            self.tokens, self.refilled_at = self.burst, now
        self.tokens = min(self.burst, self.tokens + (now - self.refilled_at) * self.rate_per_s)
        self.refilled_at = now
        self.tokens -= 1.0
        if self.broken:
            self.probing = True
        self.requests += 1
        return 0.0 if self.tokens >= 0 else -self.tokens / self.rate_per_s

    def succeeded(self, *, elapsed_s: float) -> None:
        self.failures = self.limited = 0
        self.probing = False
        self.score += 0.2 * (1.0 - self.score)
        self.latency_s = elapsed_s if not self.latency_s else 0.8 * self.latency_s + 0.2 * elapsed_s

    def failed(self, kind: Kind, *, now: float, retry_after_s: float | None = None) -> None:
        """Account for a failed request. A revert or a missing block says nothing about the node's health."""
        self.probing = False
        if kind is Kind.RATE_LIMIT:
            # a daily quota says nothing of how long: each further refusal doubles the pause
            pause = retry_after_s if retry_after_s is not None else PAUSE_S * 2.0 ** min(self.limited, 12)
            self._pause(pause, now)
            self.limited += 1
            self.score *= 0.9
        elif kind in _SICK:
            if retry_after_s is not None:
                self._pause(retry_after_s, now)
            self.failures += 1
            self.score *= 0.7
            if self.failures >= BREAK_AFTER:
                cool = COOL_DOWN_S * 2.0 ** (self.failures - BREAK_AFTER)
                self.open_until = now + min(cool, MAX_COOL_DOWN_S)
        else:
            self.failures = 0
            if kind is Kind.MISSING_STATE:
                self.archive *= 0.5

    def _pause(self, seconds: float, now: float) -> None:
        self.blocked_until = max(self.blocked_until, now + min(seconds, MAX_RETRY_AFTER_S))

    def distrust(self) -> None:
        """Lower the score for an answer that was outvoted: the endpoint is asked last until good answers restore it."""
        self.score *= 0.2

    def served_old_state(self) -> None:
        self.archive += 0.3 * (1.0 - self.archive)
