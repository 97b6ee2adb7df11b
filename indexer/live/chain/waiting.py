"""Reads of chains with an end: given up after a while, and ended at once when the process stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from indexer.errors import InputError, SourceError, SourceUnavailable
from indexer.live.scheduler import Stopped
from onchain.errors import ChainConfigError, OnchainError

T = TypeVar("T")


class Waiting:
    """Waits for reads of chains, each on an event loop of its own. `close` ends those under way, from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._under_way: dict[asyncio.Task[Any], asyncio.AbstractEventLoop] = {}
        self._closed = False

    def run(self, read: Callable[[], Coroutine[Any, Any, T]], *, within_s: float, what: str) -> T:
        """The result of a read, its errors in ours.

        Raises InputError, SourceError, SourceUnavailable (also when it took longer than `within_s` seconds), and
        Stopped when closed before or meanwhile.
        """
        try:
            return asyncio.run(self._bounded(read, within_s))
        except TimeoutError:
            raise SourceUnavailable(f"{what} took longer than {within_s:g} s and was given up; try again") from None
        except asyncio.CancelledError:
            raise Stopped(f"stopped while {what}") from None
        except ChainConfigError as error:
            raise InputError(str(error)) from None
        except OnchainError as error:
            raise SourceUnavailable(str(error)) if error.retryable else SourceError(str(error)) from None

    def close(self) -> None:
        """End every read under way and refuse further ones."""
        with self._guard:
            self._closed = True
            for task, loop in self._under_way.items():
                loop.call_soon_threadsafe(task.cancel)

    async def _bounded(self, read: Callable[[], Coroutine[Any, Any, T]], within_s: float) -> T:
        task = asyncio.current_task()
        assert task is not None
        with self._guard:
            if self._closed:
                raise asyncio.CancelledError
            self._under_way[task] = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within_s):
                return await read()
        finally:
            with self._guard:
                del self._under_way[task]
