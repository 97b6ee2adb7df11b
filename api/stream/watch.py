"""Looks for new data: drops kept answers and tells the listeners. One task for each application.

Reads only a token while nothing changes. While somebody listens it looks every few milliseconds: on SQLite at the
write-ahead log's size and time, which costs next to nothing, elsewhere at the token.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from api.answers.services import Services
from api.stream.messages import LevelMessage, newest_message
from indexer.errors import DeaiError
from indexer.store.db import Store
from indexer.store.read_serving import read_version

log = logging.getLogger("deai.api")
IDLE_S, LIVE_S, GLANCE_S, PING_S = 0.5, 0.02, 0.004, 15.0
TICK_S = 0.05  # a file's time moves in steps: two writes within one look the same


class Glance:
    """Whether a SQLite file may have been written to since the last glance; for other stores it cannot tell."""

    def __init__(self, store: Store) -> None:
        self.log = None if store.path is None else Path(f"{store.path}-wal")
        self.seen: tuple[int, int] | None = None

    def shows_a_write(self) -> bool:
        """False when nothing was written for sure, True when something may have been."""
        if self.log is None:
            return True
        former = self.seen
        try:
            found = self.log.stat()
        except OSError:  # nobody has the store open: nobody writes
            self.seen = None
            return former is not None
        self.seen = (found.st_mtime_ns, found.st_size)
        return self.seen != former or time.time() - found.st_mtime < TICK_S


async def watch(services: Services) -> None:
    """Runs until cancelled. While the store does not answer, nothing is kept and the failure is logged once."""
    failing, glance = False, Glance(services.store)
    looked, pinged = 0.0, time.monotonic()
    while True:
        now = time.monotonic()
        if glance.shows_a_write() or now - looked >= IDLE_S:
            looked = now
            try:
                await look(services)
                failing = False
            except DeaiError as error:
                if not failing:
                    log.warning("cannot look for new data: %s", error)
                failing = True
                services.cache.publish(None)
        if now - pinged >= PING_S:
            pinged = now
            services.hub.ping()
        await asyncio.sleep(_pause(services, glance))


def _pause(services: Services, glance: Glance) -> float:
    if not services.hub.boxes:
        return IDLE_S
    return LIVE_S if glance.log is None else GLANCE_S


async def look(services: Services) -> None:
    """One look: on a new data version, drops the kept answers and publishes the newest levels."""
    version = await asyncio.to_thread(read_version, services.store)
    if version == services.cache.version:
        return
    services.cache.publish(version)
    for message in await asyncio.to_thread(_newest, services.store, list(services.hub.boxes)):
        services.hub.publish(*message)


def _newest(store: Store, index_ids: list[str]) -> list[tuple[str, LevelMessage]]:
    found = [(index_id, newest_message(store, index_id)) for index_id in index_ids]
    return [(index_id, message) for index_id, message in found if message is not None]
