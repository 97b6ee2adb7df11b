"""The only place that reads time. Everything else receives an instant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current instant, aware UTC. Pass it on as a `Clock`, so that tests can pass a fixed one."""
    return datetime.now(UTC)
