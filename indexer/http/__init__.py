"""The only HTTP client of the sources: limits, retries, circuit breaker, and every answer kept whole."""

from indexer.http.answer import Answer, Expects
from indexer.http.breaker import Breaker, BreakerState, CircuitOpen, reason_of
from indexer.http.client import HttpClient, Timeouts
from indexer.http.host import HostHealth
from indexer.http.limits import LIMITS, HostLimit, TokenBucket
from indexer.http.redact import redact

__all__ = [
    "LIMITS",
    "Answer",
    "Breaker",
    "BreakerState",
    "CircuitOpen",
    "Expects",
    "HostHealth",
    "HostLimit",
    "HttpClient",
    "Timeouts",
    "TokenBucket",
    "reason_of",
    "redact",
]
