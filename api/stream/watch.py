"""Looks for new data: drops the cache and tells the listeners. One task for each application.

On SQLite the operating system says when a process writes to the write-ahead log, so that a new level is on its way
within milliseconds and nothing runs while nothing happens. Elsewhere the data version is asked for while somebody
listens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

import anyio

from api.answers.answer import CLOSED_US
from api.answers.services import Services
from api.middleware.cache import Key
from api.stream.hub import LevelMessage, newest_message
from indexer.store.db import Store
from indexer.store.runs import oldest_change, read_version
from indexer.times import to_us

Dropped = dict[Key, int]  # addresses, and how often each was asked for again
Renew = Callable[[Dropped], Coroutine[None, None, None]]
log = logging.getLogger("deai.api")
# Without a sign of a write: with none to come, and while somebody listens where none can come.
IDLE_S, ASKING_S = 0.5, 0.05
# A write shows before its transaction does: looked for until it must have ended, no oftener than this.
ENDING_S, SPACING_S = 0.1, 0.01
PING_S = 15.0


async def watch(services: Services, renew: Renew | None = None) -> None:
    """Runs until cancelled. While the store does not answer, nothing is kept and the failure is logged once.

    `renew` is told of each new version with the addresses of the answers that were dropped for it, unless it is still
    at work. Its work in threads has ended when this ends, so that the store can be closed.
    """
    failing, pinged, written_at = False, time.monotonic(), 0.0
    at_work = anyio.Lock()
    async with anyio.create_task_group() as renewals:
        with writes_to(services.store) as written:
            while True:
                try:
                    dropped = await look(services)
                    failing = False
                    if renew is not None and dropped is not None and not at_work.locked():
                        renewals.start_soon(_renew, renew, dropped, at_work)
                except Exception as error:  # a watcher that ended would leave old answers for new ones, unseen
                    if not failing:
                        log.warning("cannot look for new data: %s", error)
                    failing = True
                    services.cache.publish(None)
                if time.monotonic() - pinged >= PING_S:
                    pinged = time.monotonic()
                    services.hub.ping()
                ending = time.monotonic() - written_at < ENDING_S
                asking = written is None and services.hub.boxes
                await asyncio.sleep(SPACING_S)
                if await is_set(written, within_s=SPACING_S if ending else ASKING_S if asking else IDLE_S):
                    written_at = time.monotonic()


async def _renew(renew: Renew, dropped: Dropped, at_work: anyio.Lock) -> None:
    async with at_work:
        await renew(dropped)


async def is_set(event: asyncio.Event | None, *, within_s: float) -> bool:
    """Whether the event came in time; it is cleared then. Without an event: a wait."""
    if event is None:
        await asyncio.sleep(within_s)
        return False
    try:
        async with asyncio.timeout(within_s):  # wait_for may lose a cancellation that comes with the event
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True


@contextmanager
def writes_to(store: Store) -> Iterator[asyncio.Event | None]:
    """An event that is set whenever any process writes to a SQLite store; None where the system cannot tell."""
    if store.path is None:
        yield None
        return
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    written, loop, wal = asyncio.Event(), asyncio.get_running_loop(), f"{store.path.name}-wal"

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if str(event.src_path).endswith(wal):
                loop.call_soon_threadsafe(written.set)

    observer = Observer()
    observer.schedule(Handler(), str(store.path.resolve().parent))
    try:
        observer.start()
    except OSError as error:  # no more watches to be had, or a file system without them
        log.info("the system does not tell of writes to %s (%s): it is looked at now and then", store.path, error)
        yield None
        return
    try:
        yield written
    finally:
        observer.stop()
        observer.join()


async def look(services: Services) -> Dropped | None:
    """One look: on a new data version, drops the cache, publishes the newest levels and gives what was dropped."""
    version = await asyncio.to_thread(read_version, services.store)
    if version == services.cache.version:
        return None
    oldest_us = await asyncio.to_thread(oldest_change, services.store)
    closed = oldest_us is not None and oldest_us >= to_us(services.clock()) - CLOSED_US
    dropped = services.cache.publish(version, closed=closed)
    for message in await asyncio.to_thread(_newest, services.store, list(services.hub.boxes)):
        services.hub.publish(*message)
    return dropped


def _newest(store: Store, index_ids: list[str]) -> list[tuple[str, LevelMessage]]:
    messages = [(index_id, newest_message(store, index_id)) for index_id in index_ids]
    return [(index_id, message) for index_id, message in messages if message is not None]
