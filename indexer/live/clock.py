"""Whether this machine's clock can be believed: by the providers' clocks, the machine's own time and the run log.

While there is doubt no scheduled work is done and nothing is removed. The doubt ends when the providers agree with the
clock, when the clock is back, or by `deai clock accept`. It stands in the run log, so that every process can tell it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from statistics import median
from typing import Final

import structlog
from anyio import move_on_after

from indexer.errors import BusyError, ConfigError, SourceError
from indexer.live.health import PROBES, probe
from indexer.live.standing import BOUND, accept_clock, behind, newest_doubt
from indexer.live.upstream import Upstream
from indexer.sources.base import RestSource
from indexer.sources.http import HttpClient
from indexer.store.db import Store
from indexer.store.runs import CLOCK, RUNNING, finish_run, newest_instant, start_run, write_progress
from indexer.times import Clock, iso, to_us

AWAY: Final = timedelta(days=1)  # nothing was entered for so long: the clock may have leapt, or the machine was off
ASKED: Final = 3  # providers
ASK_S: Final = 5.0
AGAIN_S: Final = 60.0

log = structlog.get_logger(__name__)


class ClockSuspect(BusyError):  # noqa: N818 - reads as a state
    """Nothing was done, because this machine's clock is doubted."""

    code = "clock_suspect"
    retryable = True


class ClockWatch:
    """Believes the clock, or says why not. One for all schedulers of a process; safe for several threads."""

    def __init__(
        self, store: Store, upstream: Upstream, *, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.store, self.upstream = store, upstream
        self.clock, self.monotonic = clock, monotonic
        self.doubt = ""
        self._believed: tuple[datetime, float] | None = None  # an instant, and the machine's seconds at it
        self._confirmed = self._contradicted = False  # by a provider
        self._asked_s = float("-inf")
        self._guard = threading.Lock()

    def leapt(self) -> bool:
        """Whether the clock has moved otherwise than the machine's own seconds since it was last believed."""
        if self._believed is None:
            return True
        at, seconds = self._believed
        return abs(self.clock() - at - timedelta(seconds=self.monotonic() - seconds)) > BOUND

    def believes(self) -> bool:
        """Whether work may be done at the clock's present time. Asks providers when there is something to ask."""
        with self._guard:
            settled = not self.doubt and not self.leapt()
            if settled and self._confirmed:
                return True
            newest = newest_doubt(self.store) if self.doubt else None
            if newest is not None and "accepted" in newest.detail:
                self._end("accepted")
            else:
                due = self.monotonic() - self._asked_s >= AGAIN_S
                self._judge(settled=settled, ask=due or not (settled or self.doubt))
            return not self.doubt

    def _judge(self, *, settled: bool, ask: bool) -> None:
        off = self._off_by() if ask else None
        now = self.clock()
        if off is not None:
            self._confirmed = abs(off) <= BOUND
            self._contradicted = not self._confirmed
            doubt = "" if self._confirmed else f"the providers' clocks differ from this machine's by {_words(-off)}"
        elif settled or (self._contradicted and self.leapt()):  # only a provider, or the clock itself, takes it back
            return
        else:
            doubt = behind(self.store, now) or self._unexplained(now)
        if doubt:
            self._begin(doubt)
        else:
            self._end("the providers agree" if self._confirmed else "the clock is back")

    def _unexplained(self, now: datetime) -> str:
        """A leap that nothing explains yet: of a running process, or since the last entry of the run log."""
        if self._believed is not None and self.leapt():
            at, seconds = self._believed
            real = timedelta(seconds=self.monotonic() - seconds)
            return f"the clock moved by {_words(now - at - real)} of its own, and no provider could be asked the time"
        newest = newest_instant(self.store)
        if self._believed is None and self.upstream.sources and newest is not None and now - newest > AWAY:
            return f"{_words(now - newest)} have passed since the last run, and no provider could be asked the time"
        return ""

    def _begin(self, doubt: str) -> None:
        if not self.doubt:
            now = self.clock()
            run = start_run(self.store, kind=CLOCK, key=f"{CLOCK}:{iso(to_us(now))}", now=now)
            if run is not None:
                write_progress(self.store, run, {"doubt": doubt})
            log.warning("clock_suspect", doubt=doubt, todo="set the clock, or `deai clock accept` if it is right")
        self.doubt = doubt

    def _end(self, why: str) -> None:
        """Believes the clock from here on. A doubt in the run log, of a process that is gone too, is over."""
        now, newest = self.clock(), newest_doubt(self.store)
        if newest is not None and newest.outcome == RUNNING:
            log.warning("clock believed again", why=why)
            finish_run(self.store, newest.id, now=now, detail={**newest.detail, "ended": why})
        elif behind(self.store, now):
            accept_clock(self.store, now=now)
        self.doubt, self._believed = "", (now, self.monotonic())

    def _off_by(self) -> timedelta | None:
        """How far the clock is ahead of the providers' (their median), or None where none could be asked."""
        self._asked_s = self.monotonic()
        sources = self.upstream.sources
        known = [name for name, source in sources.items() if isinstance(source, RestSource) and name in PROBES]
        if not known:
            return None
        now_us = to_us(self.clock())

        async def one(http: HttpClient, name: str) -> None:
            with contextlib.suppress(SourceError, ConfigError):
                call = sources[name].calls(probe(name, now_us))[-1]
                await sources[name].fetch(call, http)

        async def ask(http: HttpClient) -> list[float]:
            http.ahead_s.clear()
            with move_on_after(ASK_S):
                await asyncio.gather(*(one(http, name) for name in known[:ASKED]))
            return list(http.ahead_s.values())

        ahead = self.upstream.run(ask)
        return timedelta(seconds=median(ahead)) if ahead else None


def _words(span: timedelta) -> str:
    seconds = abs(span.total_seconds())
    for unit, size in (("days", 86_400), ("hours", 3600)):
        if seconds >= 2 * size:
            return f"{'-' if span < timedelta(0) else ''}{seconds / size:,.1f} {unit}"
    return f"{'-' if span < timedelta(0) else ''}{seconds / 60:.0f} minutes"
