"""New levels as they are published: a watcher looks for them, a hub gives them to everyone who listens."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from api.answers.answer import CLOSED_US
from api.answers.encode import json_bytes, level_at
from api.middleware.cache import Key
from indexer.config import Settings
from indexer.errors import InputError
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.levels import read_latest_level, read_levels
from indexer.store.rows import LevelRows
from indexer.store.runs import oldest_change, read_version
from indexer.times import Clock, to_us

if TYPE_CHECKING:
    from api.answers.services import Services
    from indexer.live.standing import LiveLevel
    from indexer.live.ticker import Ticker

MAX_REPLAY = 1000
PING = b": ping\n\n"
RETRY = b"retry: 5000\n\n"

Moment = tuple[int, int]  # instant and revision of a level


@dataclass(frozen=True, slots=True)
class LevelMessage:
    """A level with its key (instant, revision): later keys are newer. Encoded once, however many listen.

    `event` is the server-sent event, `text` the WebSocket frame; `id` is the key as clients send it back.
    """

    key: Moment
    id: str
    event: bytes
    text: str


def message_of(key: Moment, data: dict[str, Any]) -> LevelMessage:
    """The message for a level."""
    name = f"{key[0]}.{key[1]}"
    event = b"event: level\nid: " + name.encode() + b"\ndata: " + json_bytes(data) + b"\n\n"
    return LevelMessage(key, name, event, json_bytes({"event": "level", "id": name, "data": data}).decode())


def parse_id(text: str) -> Moment:
    """The key of a Last-Event-ID. Raises InputError on anything we did not send."""
    time, _, revision = text.strip().partition(".")
    if not (text.isascii() and time.isdigit() and revision.isdigit() and len(time) <= 18 and len(revision) <= 9):
        raise InputError(f'Last-Event-ID "{text[:40]}" is not one of ours; leave it out to begin with the newest level')
    return int(time), int(revision)


def newest_message(store: Store, index_id: str) -> LevelMessage | None:
    """The newest level of an index, or None while it has none. Raises NotFoundError for an unknown index."""
    rows = read_latest_level(store, index_id)
    return None if rows is None else _messages(store, index_id, rows)[-1]


def missed_messages(store: Store, index_id: str, after: Moment) -> list[LevelMessage]:
    """What was published after a key, oldest first, at most the newest 1,000; a correction of that level included."""
    rows = read_levels(store, index_id, start_us=after[0], limit=MAX_REPLAY)
    return [message for message in _messages(store, index_id, rows) if message.key > after]


def _messages(store: Store, index_id: str, rows: LevelRows) -> list[LevelMessage]:
    simulated = read_index(store, index_id).simulated
    return [
        message_of(
            (int(rows.times_us[row]), int(rows.revision[row])),
            {"index": index_id, "simulated": simulated, **level_at(rows, row)},
        )
        for row in range(len(rows))
    ]


class Mailbox:
    """The newest message that a listener has not taken yet, or a ping."""

    def __init__(self) -> None:
        self.message: LevelMessage | None = None
        self.filled = asyncio.Event()
        self.closed = False

    def close(self) -> None:
        """Wakes the listener for the last time."""
        self.closed = True
        self.filled.set()

    def put(self, message: LevelMessage | None) -> None:
        """Leaves a message (None is a ping, which never displaces one)."""
        if message is not None:
            self.message = message
        self.filled.set()

    async def take(self) -> LevelMessage | None:
        """Waits for a message or a ping (None)."""
        await self.filled.wait()
        self.filled.clear()
        message, self.message = self.message, None
        return message


class Hub:
    """The listeners of one application. Used from its event loop only."""

    def __init__(self, *, most: int, most_each: int = 50) -> None:
        self.most = most
        self.most_each = most_each
        self.by_client: Counter[str] = Counter()
        self.boxes: dict[str, set[Mailbox]] = {}
        self.newest: dict[str, Moment] = {}
        self.closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return sum(map(len, self.boxes.values()))

    def refuses(self, client: str) -> str:
        """Why this client (an address; empty for this machine, which is not counted) may not listen too, or nothing."""
        if self.listeners >= self.most:
            return f"{self.most} clients listen already; ask /latest, or try again"
        if client and self.by_client[client] >= self.most_each:
            return f"{self.most_each} streams of your address are open already; close one, or ask /latest"
        return ""

    @contextmanager
    def listening(self, index_id: str, client: str = "") -> Iterator[Mailbox]:
        """A mailbox for the messages of an index, for as long as the block lasts."""
        box = Mailbox()
        self.by_client[client] += 1
        if self.closed:
            box.close()
        self.boxes.setdefault(index_id, set()).add(box)
        try:
            yield box
        finally:
            self.by_client -= Counter([client])  # which forgets who has none
            self.boxes[index_id].discard(box)
            if not self.boxes[index_id]:
                del self.boxes[index_id]

    def publish(self, index_id: str, message: LevelMessage) -> None:
        """Gives a message to everyone who listens to its index, once."""
        if message.key > self.newest.get(index_id, (0, 0)):
            self.newest[index_id] = message.key
            for box in self.boxes.get(index_id, ()):
                box.put(message)

    def close(self) -> None:
        """Ends every stream, those that begin from now on too: the server is about to stop."""
        self.closed = True
        for boxes in self.boxes.values():
            for box in boxes:
                box.close()

    def ping(self) -> None:
        """Lets every connection show that it lives."""
        for boxes in self.boxes.values():
            for box in boxes:
                box.put(None)


class LiveFeed:
    """The live levels of one application. Safe for several threads; asks nobody until somebody asks it."""

    def __init__(self, store: Store, settings: Settings, *, clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self._ticker: Ticker | None = None
        self._lock = threading.Lock()

    def level(self, index_id: str) -> LiveLevel:
        """The live level of an index. Raises as `Ticker.level`, and ConfigError for settings that do not hold."""
        with self._lock:
            if self._ticker is None:
                self._ticker = self._made()
        return self._ticker.level(index_id)

    def _made(self) -> Ticker:
        # The HTTP client comes with it: not on the way to the first answer.
        from indexer.levels.published import registry_for
        from indexer.live.context import live_of
        from indexer.live.ticker import Ticker
        from indexer.live.upstream import upstream_of
        from indexer.sources.http import Timeouts

        registry = registry_for(self._store, self._settings)
        quick = Timeouts(connect=1.5, read=2.5, total=3.0, patience=0.0, attempts=1)  # a dark venue holds up nobody
        upstream = upstream_of(self._settings, clock=self._clock, timeouts=quick)
        return Ticker(live_of(self._store, self._settings, registry=registry, upstream=upstream, clock=self._clock))

    def close(self) -> None:
        """Close the connections to the venues, where there are any."""
        with self._lock:
            if self._ticker is not None:
                self._ticker.live.upstream.close()
                self._ticker = None


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
    now, closed = services.clock(), any(answer.closed for answer in services.cache.answers.values())
    if closed:
        oldest_us = await asyncio.to_thread(oldest_change, services.store, now)
        closed = oldest_us is not None and oldest_us >= to_us(now) - CLOSED_US
    dropped = services.cache.publish(version, closed=closed)
    for message in await asyncio.to_thread(_newest, services.store, list(services.hub.boxes)):
        services.hub.publish(*message)
    return dropped


def _newest(store: Store, index_ids: list[str]) -> list[tuple[str, LevelMessage]]:
    messages = [(index_id, newest_message(store, index_id)) for index_id in index_ids]
    return [(index_id, message) for index_id, message in messages if message is not None]
