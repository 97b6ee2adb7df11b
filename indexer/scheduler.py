"""When work is due, who does it, and what was missed. It only decides; the work is `pipeline` and `fetch`.

The calendar is compared with the ledger of runs at every tick: what is due and not in the ledger is done, oldest
gap included, so a process that was down catches up by itself and a late tick never skips a bar. One elected leader
works (a lease in the store); a second process on the same store stands by and takes over when the lease expires.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog

from indexer.clock import Clock
from indexer.errors import DeaiError
from indexer.store.db import Store
from indexer.store.read_state import last_due
from indexer.store.write import finish_run, release_lease, start_run, take_lease
from indexer.times import from_us, iso, to_us

LEASE = "scheduler"
LEASE_S = 90.0
TICK_S = 15
# A ledger entry is written for each missed instant; beyond this many only the newest are (a year of hours).
MAX_CAUGHT_UP = 24 * 366

log = structlog.get_logger(__name__)
Work = Callable[[datetime], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """Work due at every multiple of `every` after the epoch, done `delay` later (bars need time to close)."""

    name: str
    every: timedelta
    delay: timedelta
    work: Work


def due_instants(job: Job, *, last_done: datetime | None, now: datetime) -> list[datetime]:
    """The instants due by `now` and after `last_done`, oldest first; only the newest when nothing was ever done."""
    every = int(job.every / timedelta(microseconds=1))
    newest = (to_us(now - job.delay) // every) * every
    if last_done is None:
        return [from_us(newest)]
    first = max((to_us(last_done) // every + 1) * every, newest - every * (MAX_CAUGHT_UP - 1))
    return [from_us(us) for us in range(first, newest + 1, every)]


class Scheduler:
    """Runs jobs as the leader, or stands by. `tick` does what is due; `start` lets APScheduler call it."""

    def __init__(self, store: Store, jobs: Sequence[Job], *, clock: Clock, holder: str = "") -> None:
        self.store = store
        self.jobs = tuple(jobs)
        self.clock = clock
        self.holder = holder or f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._background: Any = None
        self._leads = False

    def tick(self) -> int:
        """Do what is due, if this process is or becomes the leader; the number of instants done."""
        self._leads = take_lease(self.store, LEASE, self.holder, self.clock(), LEASE_S)
        if not self._leads:
            return 0
        return sum(self._catch_up(job) for job in self.jobs)

    def beat(self) -> None:
        """Prolong the lease of a leader whose work takes longer than the lease lasts."""
        if self._leads:
            self._leads = take_lease(self.store, LEASE, self.holder, self.clock(), LEASE_S)

    def _catch_up(self, job: Job) -> int:
        due = due_instants(job, last_done=last_due(self.store, job.name), now=self.clock())
        if not due or not self._do(job, due[-1]):
            return 0
        for missed in due[:-1]:  # one piece of work covered them all; the ledger says by which
            run = start_run(self.store, kind=job.name, key=_key(job, missed), now=self.clock(), due_at=missed)
            if run is not None:
                detail = {"caught_up_by": _key(job, due[-1])}
                finish_run(self.store, run, now=self.clock(), detail=detail)
        return len(due)

    def _do(self, job: Job, due: datetime) -> bool:
        run = start_run(self.store, kind=job.name, key=_key(job, due), now=self.clock(), due_at=due)
        if run is None:
            return False
        try:
            detail = job.work(due)
        except DeaiError as error:
            log.warning("job failed", job=job.name, due=iso(to_us(due)), code=error.code, error=str(error))
            finish_run(self.store, run, now=self.clock(), outcome="failed", detail={"error": str(error)})
            return False
        except BaseException:
            finish_run(self.store, run, now=self.clock(), outcome="interrupted")
            raise
        finish_run(self.store, run, now=self.clock(), detail=detail)
        log.info("job done", job=job.name, due=iso(to_us(due)), **detail)
        return True

    def start(self) -> None:
        """Tick now and then every few seconds on a thread of its own, until `stop`."""
        from apscheduler.schedulers.background import BackgroundScheduler

        self._background = BackgroundScheduler(timezone=UTC)
        self._background.add_job(
            self.tick,
            "interval",
            seconds=TICK_S,
            next_run_time=self.clock(),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=TICK_S,
        )
        self._background.add_job(self.beat, "interval", seconds=LEASE_S / 3, coalesce=True, max_instances=1)
        self._background.start()

    def stop(self) -> None:
        """Finish the running tick and give the lease back, so that a stand-by takes over at once."""
        if self._background is not None:
            self._background.shutdown(wait=True)
            self._background = None
        release_lease(self.store, LEASE, self.holder)


def _key(job: Job, due: datetime) -> str:
    return f"{job.name}:{iso(to_us(due))}"
