"""What a schema cannot say: a range ends after it starts, closes have no interval (both refusals have tests)."""

from __future__ import annotations

from typing import Any

import schemathesis

from api.answers.params import EARLIEST_US, LATEST_US
from indexer.times import parse_instant


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: Any, kwargs: dict[str, Any]) -> None:
    """Gives a well-formed range that would end before it starts the widest bounds there are."""
    query = case.query or {}
    if query.get("at") == "close":
        query.pop("interval", None)
    try:
        start, end = (parse_instant(str(query[name])) for name in ("start", "end"))
    except (KeyError, ValueError):
        return
    if min(end, LATEST_US) <= max(start, EARLIEST_US):
        query |= {"start": "1970-01-01", "end": "2199-12-31"}
