"""The sources with their one HTTP client, and the bridge on which plain functions wait for coroutines."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, ExitStack
from functools import partial
from typing import Any, Final, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from indexer.config import Settings
from indexer.errors import Stopped
from indexer.sources.base import Dataset, Source
from indexer.sources.http import HttpClient, Timeouts
from indexer.sources.registry import build_sources
from indexer.times import Clock, utc_now

T = TypeVar("T")
MakeHttp = Callable[[], HttpClient]
NO_SOURCES: Final = ("none",)


class Bridge:
    """The way from plain functions to coroutines: one event loop on a thread of its own. `close` it at the end.

    Safe to use from any thread. The loop lasts as long as the process: limits and breakers are remembered between jobs.
    """

    def __init__(self) -> None:
        self._ends = ExitStack()
        self._portal: BlockingPortal | None = None
        self._guard = threading.Lock()
        self._under_way: set[Future[Any]] = set()
        self._closed = False

    def run(self, work: Callable[[], Awaitable[T]], *, what: str) -> T:
        """The result of a coroutine; `what` says what it is doing. Raises Stopped when closed before or meanwhile."""
        with self._guard:
            future = self._open(what).start_task_soon(work)
            self._under_way.add(future)
        try:
            return future.result()
        except CancelledError:
            raise Stopped(f"stopped while {what}") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            with self._guard:
                self._under_way.discard(future)

    def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Enter a resource on the loop; it is left when the bridge closes. Raises Stopped when that is so already."""
        with self._guard:
            return self._ends.enter_context(
                self._open("opening what is to be asked").wrap_async_context_manager(resource)
            )

    def close(self) -> None:
        """End what is under way, leave what was entered, end the loop."""
        with self._guard:
            self._closed = True
            under_way = tuple(self._under_way)
        for future in under_way:
            future.cancel()
        self._ends.close()

    def _open(self, what: str) -> BlockingPortal:
        if self._closed:
            raise Stopped(f"stopped while {what}")
        if self._portal is None:
            self._portal = self._ends.enter_context(start_blocking_portal("asyncio"))
        return self._portal


class Upstream:
    """The sources in use and their one HTTP client, which waits for its first use. Close it at the end."""

    def __init__(self, sources: Mapping[str, Source], make_http: MakeHttp) -> None:
        self.sources = dict(sources)
        self.bridge = Bridge()
        self._make_http = make_http
        self._http: HttpClient | None = None
        self._guard = threading.Lock()

    def run(self, work: Callable[[HttpClient], Awaitable[T]]) -> T:
        """The result of a coroutine that asks the sources. Raises Stopped when closed before or meanwhile."""
        with self._guard:
            if self._http is None:
                self._http = self.bridge.enter(self._make_http())
        http = self._http
        return self.bridge.run(lambda: work(http), what="waiting for the sources")

    def close(self) -> None:
        """End what is under way and let go of every connection."""
        self.bridge.close()


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


def upstream_of(
    settings: Settings, *, clock: Clock = utc_now, timeouts: Timeouts = Timeouts(), only: Dataset | None = None
) -> Upstream:
    """The sources of these settings (that give `only`) with a client that knows which words are secret."""
    import stamina.instrumentation

    stamina.instrumentation.set_on_retry_hooks([])  # each retry as a warning says less than the job's one summary
    secrets = tuple(keys_of(settings).values())
    sources = sources_of(settings)
    chosen = {name: source for name, source in sources.items() if only is None or only in source.capabilities.datasets}

    http = partial(HttpClient, timeouts=timeouts, secrets=secrets, clock=clock, agent=settings.user_agent)
    return Upstream(chosen, http)
