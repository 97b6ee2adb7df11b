"""The only HTTP client of the sources: limits, retries, circuit breaker, and every answer kept whole."""

from indexer.sources.http.answer import Answer, Expects
from indexer.sources.http.breaker import Breaker, BreakerState, CircuitOpen, reason_of
from indexer.sources.http.client import HttpClient, Timeouts
from indexer.sources.http.host import HostHealth
from indexer.sources.http.limits import LIMITS, HostLimit, TokenBucket
from indexer.sources.http.redact import redact

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
