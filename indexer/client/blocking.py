"""`Client`: the methods of `AsyncClient` for code without await, tables as pandas frames.

Each method is the asynchronous one, called through a portal to an event loop in a thread of its own: names, parameters
and documentation come from there, and the loop of a notebook is left alone.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from indexer.client.asking import Asker, Patience
from indexer.client.frames import Frame
from indexer.client.reading import LOCAL_SERVER, AsyncClient

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")
T = TypeVar("T")


def asks(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """The method that waits for the answer."""

    @functools.wraps(method)
    def ask(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._wait(method, client._client, *args, **kwargs)

    return ask


def tables(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Frame]],
) -> Callable[Concatenate[Client, P], pd.DataFrame]:
    """The method that waits for the table and gives it as a pandas frame."""

    @functools.wraps(method)
    def ask(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> pd.DataFrame:
        return client._wait(method, client._client, *args, **kwargs).to_pandas()

    return ask


def follows(
    method: Callable[Concatenate[AsyncClient, P], AsyncGenerator[T]],
) -> Callable[Concatenate[Client, P], Generator[T]]:
    """The method that gives a generator, which waits for each item."""

    @functools.wraps(method)
    def follow(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        items = method(client._client, *args, **kwargs)
        try:
            while True:
                yield client._wait(items.__anext__)
        except StopAsyncIteration:
            return
        finally:
            if client._closing.alive:
                client._wait(items.aclose)

    return follow


class Client:
    """Reads a server, as `AsyncClient` does, without await. Close it, or use it in `with`.

    `Client()` reads http://127.0.0.1:8000, `Client("https://…", key=…)` another server. What is a table comes as a
    pandas frame with a UTC index `time`; its `attrs` say which index, whether it is simulated, and the `units` of the
    columns. Safe to share between threads.
    """

    def __init__(
        self, where: str | Asker = LOCAL_SERVER, *, key: str | None = None, patience: Patience = Patience()
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
