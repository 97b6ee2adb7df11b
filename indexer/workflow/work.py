"""Settings → the pieces of work that the command line, the server and `deai up` share, and what people decide."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from indexer.alerts.deliver import AlertWatch, alerting
from indexer.config import Settings
from indexer.errors import InputError, NotEnoughDataError, StoreError
from indexer.files.importing import FileReport, Progress, import_files, quiet
from indexer.levels.markets import load_market, narrowed
from indexer.levels.pipeline import UpdateReport, stored_report, update
from indexer.levels.proforma import ProForma, compute_pro_forma
from indexer.levels.published import methodology_of, read_settled, registry_for
from indexer.levels.rules import events_of, in_force, load_rules
from indexer.live.clock import ClockSuspect, ClockWatch
from indexer.live.context import Live, archive_of, live_of
from indexer.live.jobs import chain_scheduler, history_scheduler, live_jobs
from indexer.live.mapping import venue_mappings
from indexer.live.scheduler import Scheduler
from indexer.live.standing import begin_first_fill
from indexer.live.upstream import Upstream, sources_of, upstream_of
from indexer.methodology.load import load_methodologies
from indexer.methodology.spec import universe_lines
from indexer.registry import Registry, load_registry
from indexer.store.bars import has_many_bars
from indexer.store.db import Store, open_store
from indexer.store.levels import has_levels
from indexer.store.runs import first_fill_is_open
from indexer.times import Clock, utc_now
from indexer.workflow import end_with_parent

CHAINS_AFTER_S = 60.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ImportAndUpdate:
    """What an import took from each file, and what the indices became (None when not computed)."""

    files: tuple[FileReport, ...]
    update: UpdateReport | None


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """Live work done now (instants), whether another process does it instead, jobs that failed, and the update."""

    done: int
    elsewhere: bool
    failed: Mapping[str, str]
    update: UpdateReport


def registry_of(settings: Settings) -> Registry:
    """The asset registry in use: the user's own file, or the shipped one."""
    return load_registry(settings.registry)


def import_and_update(
    store: Store,
    settings: Settings,
    *,
    paths: Sequence[Path],
    manifest: Path | None = None,
    options: Mapping[str, str] | None = None,
    compute: bool = True,
    progress: Progress = quiet,
    clock: Clock = utc_now,
) -> ImportAndUpdate:
    """Import files, then bring rates and levels up to date."""
    registry = registry_of(settings)
    report = import_files(
        store,
        paths,
        registry=registry,
        clock=clock,
        manifest=manifest,
        options=options or {},
        progress=progress,
        archive=archive_of(settings),
    )
    updated = run_update(store, settings, progress=progress, clock=clock) if compute else None
    return ImportAndUpdate(tuple(report.files), updated)


@contextmanager
def unseen() -> Iterator[Progress]:
    """Progress that nobody watches, as a block."""
    yield quiet


def imported_beside(
    settings: Settings,
    paths: Sequence[Path],
    *,
    options: Mapping[str, str] | None = None,
    shown: Callable[[], AbstractContextManager[Progress]] = unseen,
) -> ImportAndUpdate:
    """What an import in a process of its own gave: what it takes of memory is free afterwards, as a server stays.

    `shown` (a function of a module) makes the progress of that process. Raises as the import, and StoreError when the
    process ended before it was done.
    """
    return _beside(_import_alone, settings, paths, options, shown)


def _beside(work: Callable[..., T], *arguments: object) -> T:
    """What a function of this module gives in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as executor:
        try:
            return executor.submit(work, *arguments).result()
        except BrokenProcessPool:
            raise StoreError("the work beside ended before it was done; start it again") from None


def _import_alone(
    settings: Settings,
    paths: Sequence[Path],
    options: Mapping[str, str] | None,
    shown: Callable[[], AbstractContextManager[Progress]],
) -> ImportAndUpdate:
    with _opened(settings) as store, shown() as tick:
        return import_and_update(store, settings, paths=paths, options=options, progress=tick)


def _compute_alone(settings: Settings) -> UpdateReport:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who waits for this, to the end as for work of its own
    with _opened(settings) as store:
        return computed(store, settings)


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    store = open_store(settings.store_url, head_file=settings.head_in_use)
    try:
        store.migrate()
        yield store
    finally:
        store.close()


def run_update(
    store: Store, settings: Settings, *, progress: Progress = quiet, clock: Clock = utc_now, rebuild: str = ""
) -> UpdateReport:
    """Bring rates and levels up to date with what is stored; with `rebuild`, a public reason, all of them anew.

    Where nothing is new, the report says what is published.
    """
    report = computed(store, settings, progress=progress, clock=clock, rebuild=rebuild)
    return stored_report(store, refused=report.refused) if report.unchanged else report


def computed(
    store: Store,
    settings: Settings,
    *,
    progress: Progress = quiet,
    clock: Clock = utc_now,
    rebuild: str = "",
    beside: bool = False,
) -> UpdateReport:
    """The same for nobody who reads on: where nothing is new, no level is read.

    `beside`: where all of a large store must be computed, in a process of its own.
    """
    registry = registry_of(settings)
    loaded = load_methodologies(settings.methodology_dir, registry=registry)
    return update(
        store,
        registry=registry,
        methodologies=loaded.methodologies,
        refused=loaded.refused,
        clock=clock,
        progress=progress,
        rules=load_rules(registry, folder=settings.methodology_dir),
        rebuild=rebuild,
        beside=partial(_beside, _compute_alone, settings) if beside and not rebuild and has_many_bars(store) else None,
    )


@contextmanager
def live_means(store: Store, settings: Settings, *, clock: Clock = utc_now) -> Iterator[Live]:
    """What live work needs, with its sources closed at the end."""
    upstream = upstream_of(settings, clock=clock)
    try:
        yield live_of(store, settings, registry=registry_of(settings), upstream=upstream, clock=clock)
    finally:
        upstream.close()


def make_schedulers(
    store: Store,
    settings: Settings,
    *,
    clock: Clock,
    upstream: Upstream | None = None,
    progress: Progress = quiet,
    history_beside: bool = False,
    stays: bool = False,
    watch: ClockWatch | None = None,
) -> list[Scheduler]:
    """The scheduler of the live jobs; `history_beside`: and one for the history, which works at the same time.

    A process that `stays` has large computations done in another one, so that it stays small.
    """
    sources = upstream or upstream_of(settings, clock=clock)
    computing = threading.Lock()

    def compute() -> None:
        with computing:
            computed(store, settings, clock=clock, progress=progress, beside=stays and clock is utc_now)

    live = live_of(store, settings, registry=registry_of(settings), upstream=sources, clock=clock, compute=compute)
    jobs = live_jobs(live, update_minutes=settings.update_minutes, history_beside=history_beside)
    main = Scheduler(store, jobs, clock=clock, afterwards=compute, closing=sources.close, watch=watch)
    return [main, history_scheduler(live, main, watch=watch)] if history_beside else [main]


def _watch(store: Store, upstream: Upstream, clock: Clock) -> ClockWatch | None:
    """Who doubts the machine's clock; a clock that is played is nobody's to doubt."""
    return ClockWatch(store, upstream, clock=clock) if clock is utc_now else None


def _fills(settings: Settings) -> bool:
    """Whether any source in use gives prices of the past."""
    return bool(venue_mappings(registry_of(settings), sources_of(settings)))


@contextmanager
def scheduled(store: Store, settings: Settings, *, clock: Clock = utc_now) -> Iterator[Scheduler]:
    """The scheduled work running in the background until the end: the sources', and the chains' if they are read.

    On a new store the chains are read a minute later, so that they do not delay the first level.
    """
    upstream = upstream_of(settings, clock=clock)
    watch = _watch(store, upstream, clock)
    beside = chain_scheduler(store, settings, registry=registry_of(settings), clock=clock, watch=watch)
    fills = _fills(settings)
    running = make_schedulers(
        store, settings, clock=clock, upstream=upstream, history_beside=fills, stays=True, watch=watch
    )
    later = 0.0 if has_levels(store) else CHAINS_AFTER_S
    if fills:
        begin_first_fill(store, now=clock())
    try:
        for scheduler in running:
            scheduler.start()
        if beside:
            running.append(beside)
            beside.start(after_s=later)
        with alerting(store, settings, clock=clock, leads=lambda: running[0].leads):
            yield running[0]
    finally:
        for one in reversed(running):  # who works beside another one first
            one.stop()


def update_live(store: Store, settings: Settings, *, progress: Progress = quiet, clock: Clock = utc_now) -> LiveUpdate:
    """Do the work that is due now, once, then bring the indices up to date, whatever the sources gave.

    That of the chains too, where they are read, and after the sources': it holds pool prices against their rates.
    """
    upstream = upstream_of(settings, clock=clock)
    watch = _watch(store, upstream, clock)
    if watch is not None and not watch.believes():
        upstream.close()
        raise ClockSuspect(f"{watch.doubt}: set the clock, or say `deai clock accept` if it is right; nothing was done")
    if _fills(settings):
        begin_first_fill(store, now=clock())
    main = make_schedulers(store, settings, clock=clock, upstream=upstream, watch=watch)[0]
    registry = registry_of(settings)
    beside = chain_scheduler(store, settings, registry=registry, clock=clock, progress=progress, watch=watch)
    done, elsewhere, failed = 0, False, dict[str, str]()
    for one in (main, beside) if beside else (main,):
        done += one.work_once()
        elsewhere |= not one.leads
        failed |= one.failed
    if elsewhere and first_fill_is_open(store, now=clock()):
        report = stored_report(store)  # the other process computes the provisional levels
    else:
        report = run_update(store, settings, progress=progress, clock=clock)
    AlertWatch(store, settings, clock=clock).look()
    return LiveUpdate(done, elsewhere, failed, report)


def rebuild(
    store: Store, settings: Settings, *, reason: str, progress: Progress = quiet, clock: Clock = utc_now
) -> UpdateReport:
    """All history stated anew by what is known now, with a public reason. Raises InputError without one."""
    if len(reason.strip()) < 10:
        raise InputError("a rebuild restates published history: say why in --reason, in 10 characters or more")
    return run_update(store, settings, progress=progress, clock=clock, rebuild=reason.strip())


def pro_forma(
    store: Store, settings: Settings, *, index_id: str, notional_usd: float | None = None, clock: Clock = utc_now
) -> ProForma:
    """The next rebalance of an index at the last known prices. Raises NotEnoughDataError before it can be known."""
    registry = registry_for(store, settings)
    rules = load_rules(registry, folder=settings.methodology_dir)
    methodology = methodology_of(store, settings, index_id=index_id)
    lines = universe_lines(methodology.universe, registry)
    market = narrowed(load_market(store, registry, effects=rules.supplies), methodology, registry)
    settled = read_settled(store, index_id, market=market)
    if settled is None:
        raise NotEnoughDataError(f"index {index_id} has no levels yet; import prices (`deai import`) and `deai update`")
    events = (*rules.events_of(lines), *events_of(in_force(store, now=clock()), index_id))
    return compute_pro_forma(
        market, methodology, settled=settled, policy=rules.policy, events=events, notional_usd=notional_usd
    )
