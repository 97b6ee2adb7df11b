"""Finished answers by request, valid for one data version and dropped as a whole when it changes.

The edge looks here before FastAPI is entered: routing and dependency injection cost more than the answer.
Bounded by bytes; the oldest entry leaves first. One event loop uses it, so it needs no lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.answers.answer import Answer

MAX_BYTES = 64 * 1024 * 1024
Key = tuple[bytes, bytes, bytes]


@dataclass(slots=True)
class Slot:
    """Where a route's answer is put down; `version` is the one that held before the route read the store."""

    key: Key
    version: str
    answer: Answer | None = None


class HotCache:
    """A dict of answers with one version. Off (`version` is None) until a version is known."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.version: str | None = None
        self.answers: dict[Key, Answer] = {}
        self.bytes = 0
        self.making: dict[Key, asyncio.Future[None]] = {}

    def publish(self, version: str | None) -> None:
        """Drops everything when the version is another one."""
        if version != self.version:
            self.version, self.answers, self.bytes = version, {}, 0

    async def wait_for(self, key: Key) -> Answer | None:
        """The answer that another request is making right now, if it is one to keep; None to make it oneself."""
        making = self.making.get(key)
        if making is None or self.version is None:
            return None
        await asyncio.shield(making)
        return self.answers.get(key)

    def claim(self, key: Key) -> Callable[[], None]:
        """Lets others wait for what this request makes: a thousand who ask at once cost one answer.

        Gives back what ends their waiting; call it when the answer is kept, or is seen not to be one to keep.
        """
        if key in self.making or self.version is None:
            return _nothing
        made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.making[key] = made

        def release() -> None:
            if not made.done():
                del self.making[key]
                made.set_result(None)

        return release

    def keep(self, slot: Slot) -> None:
        """Keeps a route's answer, unless data changed while it was built or it is larger than an eighth."""
        answer = slot.answer
        if answer is None or slot.version != self.version or answer.size > self.max_bytes // 8:
            return
        former = self.answers.pop(slot.key, None)
        self.bytes += answer.size - (former.size if former else 0)
        self.answers[slot.key] = answer
        while self.bytes > self.max_bytes:
            oldest = next(iter(self.answers))
            self.bytes -= self.answers.pop(oldest).size


def _nothing() -> None:
    """Nobody waits."""
