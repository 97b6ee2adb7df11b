"""Processes that stay: API, scheduler, both, or the simulated market. The only module that starts servers."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from indexer.config import Settings, configure_logs
from indexer.store.db import Store, open_store
from indexer.times import utc_now

if TYPE_CHECKING:
    from fastapi import FastAPI

Say = Callable[[str], None]


@contextmanager
def open_migrated(settings: Settings) -> Iterator[Store]:
    """The store of these settings, at this program's version, closed at the end."""
    configure_logs(settings.log_level)
    store = open_store(settings.store_url)
    store.migrate()
    try:
        yield store
    finally:
        store.close()


def collect_from_here() -> None:
    """Collect garbage again, without ever looking at what the start made: it stays as long as the process."""
    gc.freeze()
    gc.enable()


def run_serve(settings: Settings, *, say: Say) -> None:
    """Serve the API and the page until interrupted."""
    with open_migrated(settings) as store:
        _serve(store, settings, say=say)


def run_schedule(settings: Settings, *, say: Say) -> None:
    """Run the scheduled work until interrupted (SIGINT or SIGTERM)."""
    from indexer.workflow.work import scheduled

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with open_migrated(settings) as store, scheduled(store, settings) as scheduler:
        collect_from_here()
        say(f"scheduler {scheduler.holder} running; Ctrl-C stops it")
        stopped.wait()


def run_up(settings: Settings, *, imports: Sequence[Path], say: Say) -> None:
    """Import the files given, then run scheduler and API together until interrupted.

    Without any level yet the simulated market is offered beside the real, empty index, at /demo.
    """
    from indexer.cli.output import progress
    from indexer.store.levels import has_levels
    from indexer.workflow.work import import_and_update, scheduled

    with open_migrated(settings) as store:
        if imports:
            collect_from_here()
            with progress("importing bytes", "computing") as tick:
                report = import_and_update(store, settings, paths=imports, progress=tick)
            for made in report.update.indices if report.update else ():
                say(f"{made.index_id}: {made.levels:,} levels, {made.level:,.2f} at {made.last} ({made.status})")
        with scheduled(store, settings):
            _serve(store, settings, say=say, demo_beside=not has_levels(store))


def run_demo(settings: Settings, *, say: Say) -> None:
    """Serve the simulated market from a store of its own."""
    with _demo_store(settings, say=say) as store:
        _serve(store, settings.for_demo(), say=say)


@contextmanager
def _demo_store(settings: Settings, *, say: Say) -> Iterator[Store]:
    from indexer.cli.output import progress
    from indexer.demo.build import build_demo

    with open_migrated(settings.for_demo()) as store:
        with progress("simulating") as tick:
            build_demo(store, clock=utc_now, progress=tick)
        say("SIMULATED market ready: true beta 1.5 to the simulated QQQ")
        yield store


def _serve(store: Store, settings: Settings, *, say: Say, demo_beside: bool = False) -> None:
    import uvicorn

    from api.app import create_app, end_streams

    app = create_app(store, settings=settings)

    class Server(uvicorn.Server):
        """Ends open streams before waiting for connections: a stream would only end with its client."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            end_streams(app)
            super().handle_exit(sig, frame)

    server = Server(uvicorn.Config(app, host=settings.host, port=settings.port, log_level="warning", access_log=False))
    collect_from_here()
    say(f"http://{settings.host}:{settings.port}/  (API under /v1, documentation at /docs; Ctrl-C stops)")
    if not demo_beside:
        server.run()
        return
    say("no levels yet: import files or wait for the sources; a SIMULATED market appears at /demo/ in a moment")
    stopped = threading.Event()
    beside = threading.Thread(target=_mount_demo, args=(app, settings, stopped, say))
    beside.start()
    try:
        server.run()
    finally:
        stopped.set()
        beside.join()


def _mount_demo(app: FastAPI, settings: Settings, stopped: threading.Event, say: Say) -> None:
    """Build the simulated market while the real API already answers, then serve it at /demo until the end."""
    from api.app import create_app

    with _demo_store(settings, say=say) as store:
        app.mount("/demo", create_app(store, settings=settings.for_demo()))
        stopped.wait()
