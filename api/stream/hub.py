"""A published level as a message, who listens to which index, and the level between fixings.

A mailbox holds one message: a client that is too slow to take it gets the newest instead, so memory stays bounded
whatever clients do. Messages reach every process through the store, because each process watches it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.answers.encode import json_bytes, level_at
from indexer.config import Settings
from indexer.errors import InputError
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.levels import read_latest_level, read_levels
from indexer.store.rows import LevelRows
from indexer.times import Clock

if TYPE_CHECKING:
    from indexer.live.live_level import LiveLevel
    from indexer.live.ticker import Ticker

MAX_REPLAY = 1000
PING = b": ping\n\n"
RETRY = b"retry: 5000\n\n"

Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LevelMessage:
    """A level with its key (instant, revision): later keys are newer. Encoded once, however many listen.

    `event` is the server-sent event, `text` the WebSocket frame; `id` is the key as clients send it back.
    """

    key: Key
    id: str
    event: bytes
    text: str


def message_of(key: Key, data: dict[str, Any]) -> LevelMessage:
    """The message for a level."""
    name = f"{key[0]}.{key[1]}"
    event = b"event: level\nid: " + name.encode() + b"\ndata: " + json_bytes(data) + b"\n\n"
    return LevelMessage(key, name, event, json_bytes({"event": "level", "id": name, "data": data}).decode())


def parse_id(text: str) -> Key:
    """The key of a Last-Event-ID. Raises InputError on anything we did not send."""
    time, _, revision = text.strip().partition(".")
    if not (text.isascii() and time.isdigit() and revision.isdigit() and len(time) <= 18 and len(revision) <= 9):
        raise InputError(f'Last-Event-ID "{text[:40]}" is not one of ours; leave it out to begin with the newest level')
    return int(time), int(revision)


def newest_message(store: Store, index_id: str) -> LevelMessage | None:
    """The newest level of an index, or None while it has none. Raises NotFoundError for an unknown index."""
    rows = read_latest_level(store, index_id)
    return None if rows is None else _messages(store, index_id, rows)[-1]


def missed_messages(store: Store, index_id: str, after: Key) -> list[LevelMessage]:
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
        self.newest: dict[str, Key] = {}
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
