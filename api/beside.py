"""Work in a process beside the server: what holds the interpreter (pictures, papers, backtests) keeps nobody waiting.

A few may wait for their turn; more are told to come again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as LateError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

from indexer.errors import BusyError
from indexer.workflow import end_with_parent

T = TypeVar("T")
# Ctrl-C is for the server, which ends this process.
ALONE = partial(end_with_parent, ignored=(signal.SIGINT,))


class Beside:
    """One process, started with the first work. At most `waiting` are in it or wait for it, `within_s` seconds each.

    With `once` (and one in it) it ends with each work and gives back what that took. Safe for several threads.
    """

    def __init__(self, noun: str, *, waiting: int, within_s: float, once: bool = False) -> None:
        self.noun = noun
        self.within_s = within_s
        self.once = once
        self._turns = threading.BoundedSemaphore(waiting)
        self._guard = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def run(self, work: Callable[..., T], *args: object) -> T:
        """What a function of a module gives there. Raises what it raises, or BusyError when it is late."""
        with self.turn():
            pool, future = self._submit(work, *args)
            try:
                return future.result(timeout=self.within_s)
            except LateError:
                if future.done():  # the work's own
                    raise
                self._end(pool)  # the next work has a process of its own
                late = f"The {self.noun} was not ready within {self.within_s:g} s; ask for less, or again later"
                raise BusyError(late) from None
            except (BrokenProcessPool, CancelledError):
                self._end(pool)
                raise BusyError(f"The process of the {self.noun} ended before it was done; ask again") from None
            finally:
                if self.once:
                    self._end(pool)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One of the places, while the block lasts. Raises BusyError when there is none."""
        if not self._turns.acquire(blocking=False):
            raise BusyError(f"Others wait for a {self.noun}; ask again in a few seconds")
        try:
            yield
        finally:
            self._turns.release()

    def close(self) -> None:
        """Ends the process, in the middle of its work too: what hangs would be waited for without end."""
        if (pool := self._pool) is not None:
            self._end(pool)

    def _end(self, pool: ProcessPoolExecutor) -> None:
        with self._guard:
            if self._pool is not pool:  # another thread has ended it, and may have begun the next one
                return
            self._pool = None
        for process in list((pool._processes or {}).values()):  # `kill_workers` comes with Python 3.14
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[..., T], *args: object) -> tuple[ProcessPoolExecutor, Future[T]]:
        with self._guard:  # or another thread could close the pool before it takes the work
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=ALONE)
            return self._pool, self._pool.submit(work, *args)


def as_png(svg: bytes, scale: float) -> bytes:
    """The picture as PNG, `scale` pixels to one of its own."""
    import vl_convert  # its fonts come with it

    png: bytes = vl_convert.svg_to_png(svg.decode(), scale=scale)
    return png
