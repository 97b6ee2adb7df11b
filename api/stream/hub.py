"""Who listens to which index, and one mailbox for each listener.

A mailbox holds one message: a client that is too slow to take it gets the newest instead, so memory stays bounded
whatever clients do. Messages reach every process through the store, because each process watches it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from api.stream.messages import Key, LevelMessage


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

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.boxes: dict[str, set[Mailbox]] = {}
        self.newest: dict[str, Key] = {}
        self.closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return sum(map(len, self.boxes.values()))

    @property
    def full(self) -> bool:
        """Whether no more may listen."""
        return self.listeners >= self.most

    @contextmanager
    def listening(self, index_id: str) -> Iterator[Mailbox]:
        """A mailbox for the messages of an index, for as long as the block lasts."""
        box = Mailbox()
        if self.closed:
            box.close()
        self.boxes.setdefault(index_id, set()).add(box)
        try:
            yield box
        finally:
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
