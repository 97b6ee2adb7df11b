"""The first fill of a fresh store: until it is complete, or a day old, the levels it makes are provisional.

The run log holds one run of the kind `first-fill`: its `due_at` is when the fill began, and it is done when nothing is
owed any more. Levels of the time before are computed again from all quotes then, and become official in one run.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from indexer.store.db import Store
from indexer.store.levels import has_levels
from indexer.store.runs import FIRST_FILL, finish_run, first_fill_is_open, read_runs, start_run


def begin_first_fill(store: Store, *, now: datetime) -> bool:
    """Whether the store is being filled for the first time; begun here when it has neither levels nor history."""
    if first_fill_is_open(store, now=now):
        return True
    if has_levels(store) or read_runs(store, kind=FIRST_FILL, limit=1) or read_runs(store, kind="history", limit=1):
        return False
    return start_run(store, kind=FIRST_FILL, key=FIRST_FILL, now=now, due_at=now) is not None


def end_first_fill(store: Store, owed: Collection[str], *, now: datetime) -> bool:
    """Close an open first fill to which nothing is owed; whether it was closed now."""
    runs = read_runs(store, kind=FIRST_FILL, limit=1)
    if owed or not runs or runs[0].outcome == "done":
        return False
    finish_run(store, runs[0].id, now=now, detail={})
    return True
