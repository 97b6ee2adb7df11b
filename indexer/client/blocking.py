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
R = TypeVar("R")


class Blocking(Generic[P, R]):
    """A method of `Client` made of the asynchronous one of the same name; `call` waits for what that one gives."""

    def __init__(self, method: Any, call: Callable[..., R]) -> None:
        self.method = method
        self.call = call
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, R]: ...
    def __get__(self, client: Client | None, owner: type) -> Self | Callable[P, R]:
        if client is None:
            return self
        method = self.method.__get__(client._client)

        @functools.wraps(method)
        def ask(*args: P.args, **kwargs: P.kwargs) -> R:
            return self.call(client, method, *args, **kwargs)  # by the client, which lives as long as the call

        return ask


def asks(method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]) -> Blocking[P, T]:
    """The method that waits for the answer."""
    return Blocking(method, lambda client, work, *args, **kwargs: client._wait(work, *args, **kwargs))


def tables(method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Frame]]) -> Blocking[P, pd.DataFrame]:
    """The method that waits for the table and gives it as a pandas frame."""
    return Blocking(method, lambda client, work, *args, **kwargs: client._wait(work, *args, **kwargs).to_pandas())


def follows(method: Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]) -> Blocking[P, Generator[T]]:
    """The method that gives a generator, which waits for each item."""
    return Blocking(method, _followed)


def _followed(client: Client, work: Callable[..., AsyncIterator[T]], *args: Any, **kwargs: Any) -> Generator[T]:
    items = work(*args, **kwargs)

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

    get = asks(AsyncClient.get)
    index = asks(AsyncClient.index)
    latest = asks(AsyncClient.latest)
    methodology = asks(AsyncClient.methodology)
    chart = asks(AsyncClient.chart)
    event = asks(AsyncClient.event)
    explain = asks(AsyncClient.explain)
    indices = tables(AsyncClient.indices)
    levels = tables(AsyncClient.levels)
    constituents = tables(AsyncClient.constituents)
    rebalances = tables(AsyncClient.rebalances)
    benchmarks = tables(AsyncClient.benchmarks)
    metrics = tables(AsyncClient.metrics)
    fundamentals = asks(AsyncClient.fundamentals)
    beta = tables(AsyncClient.beta)
    beta_history = tables(AsyncClient.beta_history)
    breaks = tables(AsyncClient.breaks)
    drawdowns = tables(AsyncClient.drawdowns)
    attribution = tables(AsyncClient.attribution)
    candles = tables(AsyncClient.candles)
    closes = tables(AsyncClient.closes)
    prices = tables(AsyncClient.prices)
    portfolio = tables(AsyncClient.portfolio)
    scenario = asks(AsyncClient.scenario)
    scenario_record = tables(AsyncClient.scenario_record)
    hedge = asks(AsyncClient.hedge)
    stream = follows(AsyncClient.stream)


def _close(client: AsyncClient, portal: BlockingPortal, ending: ExitStack) -> None:
    try:
        portal.call(client.aclose)
    finally:
        ending.close()
