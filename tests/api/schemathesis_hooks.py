"""What a schema cannot say: a range must end after it starts (that refusal has a test of its own)."""

from __future__ import annotations

from typing import Any

import schemathesis

from indexer.times import parse_instant


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: Any) -> bool:
    query = case.query or {}
    try:
        start, end = (parse_instant(str(query[name])) for name in ("start", "end"))
    except (KeyError, ValueError):
        return True
    return start < end
