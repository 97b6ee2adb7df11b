"""Shared and exclusive use of a store's file within this process.

SQLite's locks belong to the process, and ADBC brings a second SQLite library with its own idea of them: two
libraries that hold the same file open at the same time truncate and unlock each other's shared memory
(sqlite.org/howtocorrupt, "multiple copies of SQLite"; seen here: "database disk image is malformed" within a
second). So row connections share the gate, and a bulk read takes it alone, with every row connection of this
process closed. Other processes are not held up. Open the file by nothing but a `Store` in this process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from weakref import WeakSet

from sqlalchemy import Engine

from indexer.errors import StoreError


class Gate:
    """Many sharers or one owner, in turn: who waits when an owner leaves goes before the next owner.

    Sharing again in the same thread is free.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._sharers = 0
        self._sharers_waiting = 0
        self._passes = 0  # sharers let in before the next owner
        self._owners_waiting = 0
        self._owned = False
        self._mine = threading.local()
        self._engines: WeakSet[Engine] = WeakSet()

    def guards(self, engine: Engine) -> None:
        """Takes an engine among those whose connections an owner finds closed."""
        self._engines.add(engine)

    @contextmanager
    def share(self) -> Iterator[None]:
        """Holds the gate together with other sharers, for the length of a connection."""
        depth = getattr(self._mine, "depth", 0)
        if depth == 0:
            self._enter()
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            if depth == 0:
                with self._turn:
                    self._sharers -= 1
                    self._turn.notify_all()

    @contextmanager
    def own(self) -> Iterator[None]:
        """Holds the gate alone. Raises StoreError in a thread that shares it, which would wait for itself."""
        if getattr(self._mine, "depth", 0):
            raise StoreError("A bulk read inside an open session would wait for itself; close the session first.")
        with self._turn:
            self._owners_waiting += 1
            self._turn.wait_for(lambda: not self._owned and not self._sharers and not self._passes)
            self._owners_waiting -= 1
            self._owned = True
        try:
            for engine in list(self._engines):
                engine.dispose()
            yield
        finally:
            with self._turn:
                self._owned = False
                self._passes = self._sharers_waiting
                self._turn.notify_all()

    def _enter(self) -> None:
        with self._turn:
            self._sharers_waiting += 1
            self._turn.wait_for(lambda: not self._owned and (not self._owners_waiting or self._passes > 0))
            self._sharers_waiting -= 1
            self._passes = max(0, self._passes - 1)
            self._sharers += 1


@cache
def gate_of(path: str) -> Gate:
    """The one gate of a file in this process: the locks it stands for are the process's too."""
    return Gate()
