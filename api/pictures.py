"""Pictures drawn by one process beside the server, so that no number of them keeps anybody else waiting.

vl-convert holds the interpreter for as long as it draws: 1.4 s for the largest picture, in which nothing else was
answered. A few may wait for their turn; more are told to come again.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as LateError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from indexer.errors import BusyError

WAITING = 4  # of the threads that also answer everything else
WITHIN_S = 20.0


class Pictures:
    """The process that draws; it starts with the first picture. Safe for several threads."""

    def __init__(self, *, waiting: int = WAITING, within_s: float = WITHIN_S) -> None:
        self.within_s = within_s
        self._turns = threading.BoundedSemaphore(waiting)
        self._guard = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def svg(self, spec: dict[str, Any]) -> bytes:
        """The chart of a Vega-Lite specification as SVG. Raises BusyError when too many wait."""
        return self._draw(spec, None)

    def png(self, spec: dict[str, Any], *, scale: float) -> bytes:
        """The chart as PNG, `scale` pixels of the picture to one of the specification."""
        return self._draw(spec, scale)

    def close(self) -> None:
        """Ends the process, in the middle of a picture too: a drawing that hangs would be waited for without end."""
        with self._guard:
            pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):  # `kill_workers` comes with Python 3.14
                process.kill()
            pool.shutdown(wait=True, cancel_futures=True)

    def _draw(self, spec: dict[str, Any], scale: float | None) -> bytes:
        if not self._turns.acquire(blocking=False):
            raise BusyError("Pictures are being drawn for others; ask again in a few seconds")
        try:
            return self._submit(spec, scale).result(timeout=self.within_s)
        except (BrokenProcessPool, CancelledError, LateError):
            self.close()  # the next picture has a process of its own
            raise BusyError("The picture could not be drawn in time; ask again in a few seconds") from None
        finally:
            self._turns.release()

    def _submit(self, spec: dict[str, Any], scale: float | None) -> Future[bytes]:
        with self._guard:  # or another thread could close the pool before it takes the picture
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            return self._pool.submit(draw, spec, scale)


def draw(spec: dict[str, Any], scale: float | None) -> bytes:
    """The picture, in the process that draws: PNG with a scale, SVG without."""
    import vl_convert

    if scale is None:
        text: str = vl_convert.vegalite_to_svg(spec)
        return text.encode()
    png: bytes = vl_convert.vegalite_to_png(spec, scale=scale)
    return png
