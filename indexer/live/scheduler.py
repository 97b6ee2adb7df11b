"""When work is due, who does it, and what was missed.

APScheduler says when to wake; what is due and not in the run log is done, oldest gap included, so a process that was
down catches up by itself. One elected leader works (a lease in the store); another process stands by and takes over
when the lease expires. Work that fails is tried again soon, then after ever longer rests; other jobs go on meanwhile.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog

from indexer.errors import DeaiError, SourceUnavailable, Stopped
from indexer.store.db import Store
from indexer.store.runs import (
    COMPUTING,
    close_gone_runs,
    enter_covered,
    finish_run,
    last_due,
    release_lease,
    start_run,
    take_lease,
)
from indexer.times import Clock, from_us, iso, to_us, utc_now

LEASE = "scheduler"
AFTERWARDS = "update"
LEASE_S, LOOK_S = 14.0, 4.0  # a leader that is gone is replaced within their sum
WORK = "work"
AGAIN_S = 15
# A run is entered for each missed instant; beyond this many only the newest are (a year of hours).
MAX_CAUGHT_UP = 24 * 366
MAX_REST_S = 900
SUMMARY = timedelta(hours=1)  # how often a job that goes on failing is logged

if TYPE_CHECKING:
    from indexer.live.clock import ClockWatch

log = structlog.get_logger(__name__)
Work = Callable[[datetime, int], Mapping[str, Any]]


class Owing(SourceUnavailable):
    """Part of a job's work did not come. `detail` is kept of the run, so that the next try asks for the rest only."""

    def __init__(self, detail: Mapping[str, Any]) -> None:
        super().__init__(f"{', '.join(detail['owed'])} did not come and will be asked for again in minutes")
        self.detail = dict(detail)


@dataclass(frozen=True, slots=True)
class Job:
    """Work due at every multiple of `every` after the epoch, done `delay` later (bars need time to close).

    `work` takes the due instant and the id of its run, and gives what the run log keeps of it. Of several missed
    instants the newest `singly` are done one by one, oldest first; the first of these covers all that are older.
    What follows the jobs follows an `urgent` one at once.
    """

    name: str
    every: timedelta
    delay: timedelta
    work: Work
    singly: int = 1
    urgent: bool = False


@dataclass(slots=True)
class _Failing:
    """A job's failures in a row, what the last one said, until when it rests, and when that was last logged."""

    times: int
    said: str
    rests_until: datetime
    logged_at: datetime


def due_instants(job: Job, *, last_done: datetime | None, now: datetime) -> list[datetime]:
    """The instants due by `now` and after `last_done`, oldest first; only the newest when nothing was ever done."""
    every = int(job.every / timedelta(microseconds=1))
    newest = (to_us(now - job.delay) // every) * every
    if last_done is None:
        return [from_us(newest)]
    first = max((to_us(last_done) // every + 1) * every, newest - every * (MAX_CAUGHT_UP - 1))
    return [from_us(us) for us in range(first, newest + 1, every)]


class Scheduler:
    """Runs jobs as the leader, or stands by. `tick` does what is due; `start` lets APScheduler call it on time.

    `afterwards` is done at the end of a tick in which any job did something, and at the first tick (it must be
    harmless to do twice). `closing` is called by `stop`, to end what a job waits for. With a `watch` nothing is done
    while the clock is doubted. Schedulers with another `lease` work beside each other; so does one `beside` another of
    its process, under the lease of that one, which is stopped after it.
    """

    def __init__(
        self,
        store: Store,
        jobs: Sequence[Job],
        *,
        clock: Clock,
        holder: str = "",
        lease: str = LEASE,
        afterwards: Callable[[], object] | None = None,
        closing: Callable[[], object] | None = None,
        watch: ClockWatch | None = None,
        beside: Scheduler | None = None,
    ) -> None:
        self.store, self.jobs, self.clock = store, tuple(jobs), clock
        self.holder = holder or f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._lease, self._beside, self._watch = lease, beside, watch
        self._afterwards, self._closing = afterwards, closing
        self._unfinished = True
        self._failing: dict[str, _Failing] = {}
        self._background: Any = None
        self._over = threading.Event()
        self._looking: threading.Thread | None = None
        self._leads = False

    @property
    def leads(self) -> bool:
        """Whether this process did the last tick's work, or another one does it."""
        return self._leads

    @property
    def failed(self) -> dict[str, str]:
        """What jobs that fail at present say, by name."""
        return {name: failing.said for name, failing in self._failing.items()}

    def tick(self) -> int:
        """Do what is due, if this process is or becomes the leader; the number of instants done."""
        leads = (self._watch is None or self._watch.believes()) and self._take()
        if leads and not self._leads:  # nobody else does this work, so who began it is gone
            kinds = [*(job.name for job in self.jobs), *([COMPUTING] if self._afterwards else [])]
            close_gone_runs(self.store, kinds, now=self.clock())
        self._leads = leads
        if not leads:
            return 0
        done = 0
        try:
            for job in self.jobs:
                instants = self._catch_up(job)
                self._unfinished |= bool(instants)
                done += instants
                if instants and job.urgent:
                    self._finish()
            self._finish()
        except Stopped:
            log.info("stopped in the middle of work; it is taken up at the next start")
        return done

    def work_once(self) -> int:
        """Do what is due now with the lease kept meanwhile, then give it back; the number of instants done."""
        self._begin_to_look()
        try:
            return self.tick()
        finally:
            self.stop()

    def beat(self) -> None:
        """Prolong the lease of a leader whose work takes longer than the lease lasts."""
        if self._leads:
            self._leads = self._take()

    def _take(self) -> bool:
        if self._beside is not None:
            return self._beside._take()
        # A clock that is played is that of a machine of its own.
        elapsed_s = time.monotonic() if self.clock is utc_now else to_us(self.clock()) / 1e6
        return take_lease(self.store, self._lease, self.holder, LEASE_S, elapsed_s=elapsed_s)

    def _catch_up(self, job: Job) -> int:
        if self._rests(job.name):
            return 0
        due = due_instants(job, last_done=last_due(self.store, job.name, now=self.clock()), now=self.clock())
        own = due[-max(job.singly, 1) :]
        for number, instant in enumerate(own):
            if not self._do(job, instant):
                return number
            if number == 0:  # its work covered what was missed before
                covered = {_key(job, missed): missed for missed in due[: -len(own)]}
                enter_covered(self.store, covered, kind=job.name, now=self.clock(), by=_key(job, instant))
        return len(due)

    def _do(self, job: Job, due: datetime) -> bool:
        self.beat()
        if not self._leads:  # another one took over while this process stood still
            return False
        run = start_run(self.store, kind=job.name, key=_key(job, due), now=self.clock(), due_at=due)
        if run is None:
            return False
        try:
            detail = job.work(due, run)
        except BaseException as error:
            if isinstance(error, Stopped) or not isinstance(error, Exception):
                finish_run(self.store, run, now=self.clock(), outcome="interrupted")
                raise
            self._fails(job.name, error, due=iso(to_us(due)))  # a defect in one job must not stop the others
            detail = {**getattr(error, "detail", {}), "error": str(error)}
            finish_run(self.store, run, now=self.clock(), outcome="failed", detail=detail)
            return False
        finish_run(self.store, run, now=self.clock(), detail=detail)
        self._failing.pop(job.name, None)
        brief = {name: value for name, value in detail.items() if not isinstance(value, Mapping)}
        log.info("job done", job=job.name, due=iso(to_us(due)), **brief)
        return True

    def _finish(self) -> None:
        """Do what follows the jobs; when it fails, at a later tick again."""
        if self._afterwards is None or not self._unfinished or self._rests(AFTERWARDS):
            return
        try:
            self._afterwards()
        except Stopped:
            raise
        except Exception as error:
            self._fails(AFTERWARDS, error)
        else:
            self._failing.pop(AFTERWARDS, None)
            self._unfinished = False

    def _rests(self, name: str) -> bool:
        failing, now = self._failing.get(name), self.clock()
        return failing is not None and now < failing.rests_until <= now + timedelta(seconds=MAX_REST_S)

    def _fails(self, name: str, error: Exception, **what: str) -> None:
        """Note a failure: tried again at the next tick, then after 30 s, 60 s … up to a quarter of an hour.

        It is logged when it begins, then once an hour with how often it failed.
        """
        now, before = self.clock(), self._failing.get(name)
        times = before.times + 1 if before else 1
        rest_s = 0.0 if times == 1 else min(AGAIN_S * 2.0 ** (times - 1), MAX_REST_S)
        silent = before is not None and now - before.logged_at < SUMMARY
        logged_at = before.logged_at if before and silent else now
        self._failing[name] = _Failing(times, str(error), now + timedelta(seconds=rest_s), logged_at)
        if not silent:
            code, ours = getattr(error, "code", "defect"), not isinstance(error, DeaiError)
            event = "job not complete" if isinstance(error, Owing) else "job failed"
            log.warning(event, job=name, code=code, error=str(error), times=times, exc_info=ours, **what)

    def start(self, *, after_s: float = 0.0) -> None:
        """Work after these seconds and every minute, on a thread of its own, until `stop`."""
        from apscheduler.schedulers.background import BackgroundScheduler
        from apscheduler.triggers.base import BaseTrigger

        class EveryMinute(BaseTrigger):  # type: ignore[misc]  # a library without types
            """From now on: what was missed is one wake, however far the clock leapt."""

            def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
                return now.replace(second=0, microsecond=0) + timedelta(minutes=1)

        background = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
        first = utc_now() + timedelta(seconds=after_s)
        background.add_job(self._work, EveryMinute(), id=WORK, next_run_time=first, misfire_grace_time=None)
        self._background = background
        background.start()
        self._begin_to_look()

    def _begin_to_look(self) -> None:
        self._over.clear()
        self._looking = threading.Thread(target=self._keep_looking, name=f"{self._lease}-look", daemon=True)
        self._looking.start()

    def _keep_looking(self) -> None:
        """Looks every few seconds of the machine's own time, which no clock disturbs."""
        while not self._over.wait(LOOK_S):
            try:
                self._look()
            except DeaiError:  # a busy store is looked at again
                continue
            except Exception:  # a lease that nobody keeps any more would be two leaders
                log.exception("the look at the lease failed")

    def _work(self) -> None:
        """Tick until nothing is due: instants that came due during long work had nobody to wake for them."""
        while self.tick() and self._background is not None:
            continue

    def _look(self) -> None:
        """Keep a leader's lease; wake the work of a stand-by, which may lead now, of jobs that have rested, and when
        the clock has leapt: the next minute may be one that was never meant."""
        self.beat()
        background, failing = self._background, list(self._failing.values())  # other threads change them meanwhile
        rested = any(self.clock() >= one.rests_until for one in failing)
        leapt = self._watch is not None and self._watch.leapt()
        if (rested or leapt or not self._leads) and background is not None:
            background.modify_job(WORK, next_run_time=utc_now())

    def stop(self) -> None:
        """End the running tick, its lease kept until then, and give it back, so that a stand-by takes over at once."""
        if self._closing is not None:
            self._closing()
        background, self._background = self._background, None
        if background is not None:
            background.shutdown(wait=True)
        self._over.set()
        if self._looking is not None:
            self._looking.join()
        if self._beside is None:
            release_lease(self.store, self._lease, self.holder)


def _key(job: Job, due: datetime) -> str:
    return f"{job.name}:{iso(to_us(due))}"
