"""Commands that stay: up, serve, schedule, demo, mcp. The only module that starts servers."""

from __future__ import annotations

import errno
import gc
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.command import migrated, progress, settings_in_force
from indexer.errors import BusyError, ConfigError, DeaiError, StoreError
from indexer.times import utc_now

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI

    from indexer.config import Settings
    from indexer.live.standing import Standing
    from indexer.store.db import Store

Lines = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout instead of sentences.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on (setting DEAI_HOST).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on (setting DEAI_PORT).")]
Say = Callable[[str], None]
LOOK_S = 1.0


def up(
    host: Host = None,
    port: Port = None,
    import_path: Annotated[
        list[Path] | None, typer.Option("--import", help="Files or folders to import first.")
    ] = None,
    as_json: Lines = False,
) -> None:
    """Start everything: scheduler, API and page. Example: deai up --import ./data"""
    from indexer.store.levels import has_levels
    from indexer.workflow.work import imported_beside, scheduled

    settings, say = settings_in_force(host=host, port=port), _voice(as_json)
    _listener(settings).close()  # refused before anything is imported or simulated
    with _staying(settings) as store:
        if import_path:
            report = imported_beside(settings, import_path, shown=partial(progress, "importing bytes", "computing"))
            for problem in (file.problem for file in report.files if file.problem):
                say(problem)
            for index in report.update.indices if report.update else ():
                say(f"{index.index_id}: {index.levels:,} levels, {index.level:,.2f} at {index.last} ({index.status})")
        with scheduled(store, settings), _history_told(store, say):
            _serve(store, settings, say=say, demo_beside=not has_levels(store))


def serve(host: Host = None, port: Port = None, as_json: Lines = False) -> None:
    """Start the API and the page only. Reads the store; changes nothing in it."""
    settings = settings_in_force(host=host, port=port)
    _listener(settings).close()
    with _staying(settings) as store:
        _serve(store, settings, say=_voice(as_json))


def schedule(as_json: Lines = False) -> None:
    """Run the scheduled updates only. Several may run on one store: one works, the others stand by."""
    from indexer.workflow.work import scheduled

    settings, say = settings_in_force(), _voice(as_json)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with _staying(settings) as store, scheduled(store, settings) as scheduler, _history_told(store, say):
        _collect_from_here()
        say(f"scheduler {scheduler.holder} running; Ctrl-C stops it")
        stopped.wait()


def demo(host: Host = None, port: Port = None, as_json: Lines = False) -> None:
    """Serve a SIMULATED market with a known beta of 1.5, in a store of its own."""
    settings, say = settings_in_force(host=host, port=port), _voice(as_json)
    _listener(settings).close()
    with _demo_store(settings, say=say) as store:
        _serve(store, settings.for_demo(), say=say)


def mcp() -> None:
    """Answer an agent on stdin and stdout by MCP; its settings name the command `deai mcp`. Reads the store only."""
    import anyio

    from api.compat.mcp import serve_stdio

    with _staying(settings_in_force()) as store:
        _collect_from_here()
        anyio.run(serve_stdio, store)


@contextmanager
def _history_told(store: Store, say: Say) -> Iterator[None]:
    """Tell how far the history is meanwhile: one updating block on a terminal, else a line for each step."""
    over = threading.Event()
    watching = threading.Thread(target=_tell_history, args=(store, say, over), daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _tell_history(store: Store, say: Say, over: threading.Event) -> None:
    from rich.console import Console
    from rich.live import Live

    from indexer.live.standing import standing_of

    console = Console(stderr=True)
    block = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    stage, before = "", None
    with block or nullcontext():
        while not over.wait(LOOK_S):
            try:
                standing = standing_of(store, now=utc_now())
            except DeaiError:  # a busy store is looked at again
                continue
            if news := news_of(before, standing):
                say(news)
            before = standing
            if block is not None:
                block.update(_block(standing), refresh=True)
            elif standing.under_way and standing.stage != stage:
                stage = standing.stage
                say(f"{standing.sentence} ({stage or 'what failed is asked again'})")


def news_of(before: Standing | None, standing: Standing) -> str:
    """What a first fill has reached since the look before, in a sentence; empty when nothing."""
    if before is None or not before.provisional:
        return ""
    if not standing.provisional:
        return "the first fill is over: levels become official now"
    if before.first_levels_s is not None and standing.under_way and standing.first_levels_s is None:
        return "the first levels are there; they are provisional until the history is complete"
    return ""


def _block(standing: Standing) -> str:
    """What is fetched, n of m, time left, who answers, and who does not."""
    if not standing.sentence:
        return ""
    lines = [standing.sentence]
    if standing.under_way:
        stage = standing.stage or "what failed"
        calls = f"{standing.done:,} of {standing.of:,} calls, {standing.calls_per_s:g} a second"
        lines.append(f"  {stage}: {calls}, {standing.bars:,} bars")
        lines.append(f"  answering: {', '.join(standing.answering) or 'nobody yet'}")
        lines += [f"  failing: {name}: {text}" for name, text in standing.failing.items()]
    return "\n".join(lines)


def _voice(as_json: bool) -> Say:
    """How a server tells what it does: sentences, or one JSON object a line; at once, whoever reads."""

    def speak(line: str) -> None:
        sys.stdout.write((json.dumps({"event": line}) if as_json else line) + "\n")
        sys.stdout.flush()

    return speak


@contextmanager
def _staying(settings: Settings) -> Iterator[Store]:
    """The store of a process that stays, with its logs set up."""
    from indexer.config import configure_logs

    configure_logs(settings.log_level)
    with migrated(settings) as store:
        yield store


def _collect_from_here() -> None:
    """Collect garbage again, without ever looking at what the start made: it stays as long as the process."""
    gc.freeze()
    gc.enable()


@contextmanager
def _demo_store(settings: Settings, *, say: Say) -> Iterator[Store]:
    from indexer.demo import build_demo

    with _staying(settings.for_demo()) as store:
        with progress("simulating") as tick:
            build_demo(store, clock=utc_now, progress=tick)
        say("SIMULATED market ready: true beta 1.5 to the simulated QQQ")
        yield store


def _serve(store: Store, settings: Settings, *, say: Say, demo_beside: bool = False) -> None:
    import uvicorn

    from api.app import create_app, end_streams
    from api.middleware.limits import Limits, bounded
    from indexer.cli.operation import owner_link

    app = create_app(store, settings=settings)

    class Server(uvicorn.Server):
        """Ends open streams before waiting for connections: a stream would only end with its client."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            end_streams(app)
            super().handle_exit(sig, frame)

    listener = _listener(settings)
    port = listener.getsockname()[1]
    http = bounded(Limits(), trusted=settings.trusted_proxies)
    server = Server(uvicorn.Config(app, http=http, log_level="warning", access_log=False, proxy_headers=False))
    _collect_from_here()
    say(f"http://{settings.host}:{port}/  (API under /v1, documentation at /docs; Ctrl-C stops)")
    try:
        link = owner_link(settings.model_copy(update={"port": port}), app.state.services.keys)
        say(f"yours to administer: {link}  (works once, within an hour)")
    except StoreError as error:
        say(f"nobody can administer: {error}")
    if not demo_beside:
        server.run(sockets=[listener])
        return
    say("no levels yet: import files or wait for the sources; a SIMULATED market appears at /demo/ in a moment")
    stopped = threading.Event()
    beside = threading.Thread(target=_mount_demo, args=(app, settings, stopped, say))
    beside.start()
    try:
        server.run(sockets=[listener])
    finally:
        stopped.set()
        beside.join()


def _listener(settings: Settings) -> socket.socket:
    """What the server listens on. Raises BusyError where it is taken, ConfigError where it cannot be."""
    place = (settings.host, settings.port)
    try:
        family = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server(place, family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            taken = f"port {place[1]} at {place[0]} is taken: is another deai running there?"
            raise BusyError(f"{taken} End it, or give another by --port") from None
        why = error.strerror or str(error)
        raise ConfigError(
            f"cannot listen on {place[0]}:{place[1]}: {why}; choose another by --host and --port"
        ) from None


def _mount_demo(app: FastAPI, settings: Settings, stopped: threading.Event, say: Say) -> None:
    """Build the simulated market while the real API already answers, then serve it at /demo until the end."""
    from api.app import create_app

    with _demo_store(settings, say=say) as store:
        app.mount("/demo", create_app(store, settings=settings.for_demo()))
        stopped.wait()


COMMANDS = (up, serve, schedule, demo, mcp)
