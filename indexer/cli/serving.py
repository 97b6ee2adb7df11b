"""Commands that stay: up, serve, schedule, demo."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout instead of sentences.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on (setting DEAI_HOST).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on (setting DEAI_PORT).")]


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(serve)
    app.command()(schedule)
    app.command()(demo)


def up(
    host: Host = None,
    port: Port = None,
    import_path: Annotated[
        list[Path] | None, typer.Option("--import", help="Files or folders to import first.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start everything: scheduler, API and page. Example: deai up --import ./data"""
    from indexer.cli.processes import run_up
    from indexer.config import load_settings

    run_up(load_settings(host=host, port=port), imports=import_path or [], say=_voice(as_json))


def serve(host: Host = None, port: Port = None, as_json: Json = False) -> None:
    """Start the API and the page only. Reads the store; changes nothing in it."""
    from indexer.cli.processes import run_serve
    from indexer.config import load_settings

    run_serve(load_settings(host=host, port=port), say=_voice(as_json))


def schedule(as_json: Json = False) -> None:
    """Run the scheduled updates only. Several may run on one store: one works, the others stand by."""
    from indexer.cli.processes import run_schedule
    from indexer.config import load_settings

    run_schedule(load_settings(), say=_voice(as_json))


def demo(host: Host = None, port: Port = None, as_json: Json = False) -> None:
    """Serve a SIMULATED market with a known beta of 1.5, in a store of its own."""
    from indexer.cli.processes import run_demo
    from indexer.config import load_settings

    run_demo(load_settings(host=host, port=port), say=_voice(as_json))


def _voice(as_json: bool) -> Callable[[str], None]:
    """How a server tells what it does: sentences, or one JSON object a line; at once, whoever reads."""

    def speak(line: str) -> None:
        sys.stdout.write((json.dumps({"event": line}) if as_json else line) + "\n")
        sys.stdout.flush()

    return speak
