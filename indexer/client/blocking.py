"""`Client`: the methods of `AsyncClient` for code without await. They run on an event loop in a thread of its own.

Each method is the asynchronous one, called through; names, parameters, documentation and types come from there, so
there is nothing to keep in step. It works inside notebooks, whose own event loop is left alone.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from indexer.client.asking import Patience
from indexer.client.reading import LOCAL_SERVER, AsyncClient
from indexer.store.db import Store

P = ParamSpec("P")
T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread, started on first use."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="deai-client", daemon=True)
        self.lock = threading.Lock()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine; an interrupt here cancels it there."""
        with self.lock:
            if not self.thread.is_alive() and not self.loop.is_closed():
                self.thread.start()
        try:
            future = asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError:
            work.close()
            raise RuntimeError("this client is closed; make another one") from None
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Ends the thread and the loop; a second time does nothing."""
        if self.thread.is_alive():
            self.run(self.loop.shutdown_asyncgens())  # streams that were left before their end
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
        self.loop.close()


class Asks(Generic[P, T]):
    """A method that waits for the asynchronous one of the same name."""

    def __init__(self, method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, T]: ...
    def __get__(self, client: Client | None, owner: type) -> Self | Callable[P, T]:
        if client is None:
            return self
        method = self.method.__get__(client._client)

        @functools.wraps(method)
        def ask(*args: P.args, **kwargs: P.kwargs) -> T:
            found: T = client._thread.run(method(*args, **kwargs))  # by the client, which lives as long as the call
            return found

        return ask


class Follows(Generic[P, T]):
    """A method that gives a generator of what the asynchronous one of the same name gives."""

    def __init__(self, method: Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, Generator[T]]: ...
    def __get__(self, client: Client | None, owner: type) -> Self | Callable[P, Generator[T]]:
        if client is None:
            return self
        method = self.method.__get__(client._client)

        @functools.wraps(method)
        def follow(*args: P.args, **kwargs: P.kwargs) -> Generator[T]:
            return _followed(client, method(*args, **kwargs))

        return follow


def _followed(client: Client, items: AsyncIterator[T]) -> Generator[T]:
    thread = client._thread

    async def following() -> T:
        item: T = await anext(items)
        return item

    try:
        while True:
            yield thread.run(following())
    except StopAsyncIteration:
        return
    finally:
        closing: Callable[[], Coroutine[Any, Any, None]] | None = getattr(items, "aclose", None)
        if closing is not None and not thread.loop.is_closed():
            thread.run(closing())


class Client:
    """Reads a server or a local store, as `AsyncClient` does, without await. Close it, or use it in `with`.

    `Client()` reads http://127.0.0.1:8000, `Client("https://…", key=…)` another server, `Client("var")` the store in
    a folder, `Client("postgresql://…")` one in PostgreSQL. Safe to share between threads.
    """

    def __init__(
        self, where: str | Path | Store = LOCAL_SERVER, *, key: str | None = None, patience: Patience = Patience()
    ) -> None:
        self._client = AsyncClient(where, key=key, patience=patience)
        self._thread = LoopThread()
        self._closing = weakref.finalize(self, _close, self._client, self._thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections and the thread."""
        self._closing()

    get = Asks(AsyncClient.get)
    indices = Asks(AsyncClient.indices)
    index = Asks(AsyncClient.index)
    latest = Asks(AsyncClient.latest)
    levels = Asks(AsyncClient.levels)
    constituents = Asks(AsyncClient.constituents)
    rebalances = Asks(AsyncClient.rebalances)
    methodology = Asks(AsyncClient.methodology)
    benchmarks = Asks(AsyncClient.benchmarks)
    beta = Asks(AsyncClient.beta)
    beta_history = Asks(AsyncClient.beta_history)
    chart = Asks(AsyncClient.chart)
    stream = Follows(AsyncClient.stream)


def _close(client: AsyncClient, thread: LoopThread) -> None:
    try:
        thread.run(client.aclose())
    finally:
        thread.close()
