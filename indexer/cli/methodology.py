"""`deai methodology`: look at index files before they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from indexer.cli.output import emit, say, table

app = typer.Typer(help="Check and list index methodologies.", no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of text.")]


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="An index TOML file.")],
    as_json: Json = False,
) -> None:
    """Check a methodology file and say everything that does not hold. Example: deai methodology check my.toml"""
    from indexer.config import load_settings
    from indexer.methodology.load import check_file
    from indexer.workflow.work import registry_of

    report = check_file(file, registry=registry_of(load_settings()))

    def text() -> None:
        if report.methodology is None:
            say(f"{report.source} does not hold:")
            for problem in report.problems:
                say(f"  {problem}")
            return
        made = report.methodology
        say(f"{report.source} holds: index {made.id} {made.version}, {len(report.lines)} candidates")
        say(f"  candidates: {', '.join(report.lines)}")
        say(f"  hash {made.hash}")

    emit(report, as_json=as_json, text=text)
    if report.problems:
        raise typer.Exit(2)


@app.command(name="list")
def list_command(as_json: Json = False) -> None:
    """List the methodologies in use, with version and hash."""
    from indexer.config import load_settings
    from indexer.workflow.work import methodologies_of, registry_of

    settings = load_settings()
    made = methodologies_of(settings, registry_of(settings))
    rows = [(m.id, m.version, m.hash[:16], m.name) for m in made.values()]
    payload = [{"id": m.id, "version": m.version, "hash": m.hash, "name": m.name} for m in made.values()]
    emit(payload, as_json=as_json, text=lambda: table(("id", "version", "hash", "name"), rows))
