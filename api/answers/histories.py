"""Histories of levels as columns in memory, for one data version: a page of one is a slice, not a query.

Place in the flow: between the store and the level routes. The hot cache keeps answers by address; this keeps what
many addresses (ranges, pages, forms) are cut from. Used by worker threads, so it has a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from api.answers.reads import LevelPage, read_level_page
from indexer.store.db import Store
from indexer.store.read import IndexRow, read_index

MAX_ROWS = 100_000  # of one history: 2.5 MB; a longer one is read page by page
MAX_HISTORIES = 32
Grid = tuple[str, int]


@dataclass(slots=True)
class _Kept:
    """What was read while one version held. `wanted`: histories asked for once, None in `pages`: too long."""

    version: str
    indices: dict[str, IndexRow] = field(default_factory=dict)
    wanted: set[Grid] = field(default_factory=set)
    pages: dict[Grid, LevelPage | None] = field(default_factory=dict)


class Histories:
    """Indices and their whole histories, each read once for a data version; none is kept while that is unknown."""

    def __init__(self, store: Store, version: Callable[[], str | None]) -> None:
        self.store = store
        self.version = version
        self._lock = threading.Lock()
        self._kept: _Kept | None = None

    def index(self, index_id: str) -> IndexRow:
        """One index. Raises NotFoundError, as `read_index` does."""
        kept = self._current()
        if kept is None:
            return read_index(self.store, index_id)
        if index_id not in kept.indices:
            kept.indices[index_id] = read_index(self.store, index_id)
        return kept.indices[index_id]

    def whole(self, index_id: str, step_us: int) -> LevelPage | None:
        """All levels on a grid, oldest first. None to read just what is needed: asked for once, or too long."""
        kept, grid = self._current(), (index_id, step_us)
        if kept is None:
            return None
        with self._lock:
            if grid not in kept.pages and grid in kept.wanted:
                kept.pages[grid] = self._read(index_id, step_us)
                while len(kept.pages) > MAX_HISTORIES:
                    del kept.pages[next(iter(kept.pages))]
            kept.wanted.add(grid)
            return kept.pages.get(grid)

    def _read(self, index_id: str, step_us: int) -> LevelPage | None:
        page = read_level_page(
            self.store, index_id, start_us=None, end_us=None, step_us=step_us, as_of_us=None, limit=MAX_ROWS
        )
        return page if page.next_us is None else None

    def _current(self) -> _Kept | None:
        version = self.version()
        kept = self._kept
        if kept is None or kept.version != version:
            kept = self._kept = None if version is None else _Kept(version)
        return kept


def cut(whole: LevelPage, *, start_us: int | None, end_us: int | None, limit: int, newest: bool) -> LevelPage:
    """The levels of a history in [start, end): the oldest `limit` and where the next page begins, or the newest."""
    first = 0 if start_us is None else int(np.searchsorted(whole.times_us, start_us))
    end = len(whole) if end_us is None else max(first, int(np.searchsorted(whole.times_us, end_us)))
    first, last = (max(first, end - limit), end) if newest else (first, min(end, first + limit))
    following = int(whole.times_us[last]) if last < end else None
    span = slice(first, last)
    return LevelPage(
        whole.times_us[span], whole.levels[span], whole.status[span], whole.carried_weight[span], following
    )
