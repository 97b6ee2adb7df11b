"""The sources and their one HTTP client, on an event loop of their own that lasts as long as the process.

Limits and circuit breakers must be remembered from one job to the next, so the loop and the client outlive a job;
the jobs themselves are plain functions and wait here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from typing import Any, Final, TypeVar

from indexer.config import Settings
from indexer.live.scheduler import Stopped
from indexer.sources.base import Source
from indexer.sources.http import HttpClient, Timeouts
from indexer.sources.registry import build_sources
from indexer.times import Clock, utc_now

T = TypeVar("T")
MakeHttp = Callable[[], HttpClient]
NO_SOURCES: Final = ("none",)


class Upstream:
    """The sources in use, and the way to wait for them. Safe to use from any thread; close it at the end."""

    def __init__(self, sources: Mapping[str, Source], make_http: MakeHttp) -> None:
        self.sources = dict(sources)
        self._make_http = make_http
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._http: HttpClient | None = None
        self._guard = threading.Lock()
        self._closed = False

    def run(self, work: Callable[[HttpClient], Coroutine[Any, Any, T]]) -> T:
        """The result of a coroutine that asks the sources. Raises Stopped when closed before or meanwhile."""
        with self._guard:
            if self._closed:
                raise Stopped("the sources are closed because the process is stopping")
            loop = self._loop or self._start()
        future = asyncio.run_coroutine_threadsafe(self._with_http(work), loop)
        try:
            return future.result()
        except CancelledError:
            raise Stopped("stopped while waiting for the sources") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End what is under way and let go of every connection."""
        with self._guard:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()

        def live() -> None:
            loop.run_forever()
            loop.close()

        self._loop = loop
        self._thread = threading.Thread(target=live, name="sources", daemon=True)
        self._thread.start()
        return loop

    async def _with_http(self, work: Callable[[HttpClient], Coroutine[Any, Any, T]]) -> T:
        if self._http is None:
            self._http = await self._make_http().__aenter__()
        return await work(self._http)

    async def _end(self) -> None:
        mine = asyncio.current_task()
        under_way = [task for task in asyncio.all_tasks() if task is not mine]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._http is not None:
            await self._http.__aexit__(None, None, None)


def keys_of(settings: Settings) -> dict[str, str]:
    """The keys given in the settings, by source."""
    key = settings.coingecko_api_key
    return {"coingecko": key.get_secret_value()} if key else {}


def sources_of(settings: Settings) -> dict[str, Source]:
    """The sources that the settings allow: named ones, or every keyless one. `DEAI_SOURCES=none` means none.

    Raises ConfigError for a name that no source has.
    """
    if settings.sources == NO_SOURCES:
        return {}
    return build_sources(only=settings.sources, keys=keys_of(settings), base_url=settings.source_base_url)


def upstream_of(settings: Settings, *, clock: Clock = utc_now, timeouts: Timeouts = Timeouts()) -> Upstream:
    """The sources of these settings with a client that knows which words are secret."""
    import stamina.instrumentation

    stamina.instrumentation.set_on_retry_hooks([])  # each retry as a warning says less than the job's one summary
    secrets = tuple(keys_of(settings).values())
    return Upstream(sources_of(settings), lambda: HttpClient(timeouts=timeouts, secrets=secrets, clock=clock))
