"""The only HTTP client of the sources: limits, retries, circuit breaker, and every answer kept whole."""

from indexer.sources.http.answer import Answer, Expects
from indexer.sources.http.client import HttpClient, Timeouts
from indexer.sources.http.limits import LIMITS, CircuitOpen, HostHealth, HostLimit, HostQueue, reason_of
from onchain.errors import redact
from onchain.rpc.limits import Breaker, BreakerState

__all__ = [
    "LIMITS",
    "Answer",
    "Breaker",
    "BreakerState",
    "CircuitOpen",
    "Expects",
    "HostHealth",
    "HostLimit",
    "HostQueue",
    "HttpClient",
    "Timeouts",
    "reason_of",
    "redact",
]
