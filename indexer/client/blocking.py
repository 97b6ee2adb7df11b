"""`Client`: the methods of `AsyncClient` for code without await, tables as pandas frames.

Each method is the asynchronous one, called through a portal to an event loop in a thread of its own; names, parameters
and documentation come from there, so there is nothing to keep in step. It works inside notebooks, whose own event loop
is left alone.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from indexer.client.asking import Patience
from indexer.client.frames import Frame
from indexer.client.reading import LOCAL_SERVER, AsyncClient
from indexer.store.db import Store

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")
T = TypeVar("T")


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
            answer: T = client._wait(method, *args, **kwargs)  # by the client, which lives as long as the call
            return answer

        return ask


class AsksForTable(Generic[P]):
    """A method that waits for the asynchronous one of the same name and gives its table as a pandas frame."""

    def __init__(self, method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Frame]]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, pd.DataFrame]: ...
    def __get__(self, client: Client | None, owner: type) -> Self | Callable[P, pd.DataFrame]:
        if client is None:
            return self
        method = self.method.__get__(client._client)

        @functools.wraps(method)
        def ask(*args: P.args, **kwargs: P.kwargs) -> pd.DataFrame:
            table: Frame = client._wait(method, *args, **kwargs)
            return table.to_pandas()

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
    async def following() -> T:
        item: T = await anext(items)
        return item

    try:
        while True:
            yield client._wait(following)
    except StopAsyncIteration:
        return
    finally:
        closing: Callable[[], Coroutine[Any, Any, None]] | None = getattr(items, "aclose", None)
        if closing is not None and client._closing.alive:
            client._wait(closing)


class Client:
    """Reads a server or a local store, as `AsyncClient` does, without await. Close it, or use it in `with`.

    `Client()` reads http://127.0.0.1:8000, `Client("https://…", key=…)` another server, `Client("var")` the store in
    a folder, `Client("postgresql://…")` one in PostgreSQL. What is a table comes as a pandas frame with a UTC index
    `time`; its `attrs` say which index, whether it is simulated, and the `units` of the columns. Safe to share between
    threads.
    """

    def __init__(
        self, where: str | Path | Store = LOCAL_SERVER, *, key: str | None = None, patience: Patience = Patience()
    ) -> None:
        self._client = AsyncClient(where, key=key, patience=patience)
        ending = ExitStack()
        self._portal = ending.enter_context(start_blocking_portal(name="deai-client"))
        self._closing = weakref.finalize(self, _close, self._client, self._portal, ending)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections and the thread; a second time does nothing."""
        self._closing()

    def _wait(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        """The result of asynchronous work; an interrupt here cancels it there."""
        if not self._closing.alive:
            raise RuntimeError("this client is closed; make another one")
        future = self._portal.start_task_soon(functools.partial(work, *args, **kwargs))
        try:
            answer: T = future.result()
        except BaseException:
            future.cancel()
            raise
        return answer

    get = Asks(AsyncClient.get)
    index = Asks(AsyncClient.index)
    latest = Asks(AsyncClient.latest)
    methodology = Asks(AsyncClient.methodology)
    chart = Asks(AsyncClient.chart)
    indices = AsksForTable(AsyncClient.indices)
    levels = AsksForTable(AsyncClient.levels)
    constituents = AsksForTable(AsyncClient.constituents)
    rebalances = AsksForTable(AsyncClient.rebalances)
    benchmarks = AsksForTable(AsyncClient.benchmarks)
    beta = AsksForTable(AsyncClient.beta)
    beta_history = AsksForTable(AsyncClient.beta_history)
    stream = Follows(AsyncClient.stream)


def _close(client: AsyncClient, portal: BlockingPortal, ending: ExitStack) -> None:
    try:
        portal.call(client.aclose)
    finally:
        ending.close()
