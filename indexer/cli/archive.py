"""Commands about the archive of raw answers."""

from __future__ import annotations

import typer

from indexer.cli.command import Json, emit, opened, progress, say

app = typer.Typer(help="The archive of raw answers and imported files.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The archive of raw answers and imported files."""


@app.command()
def pack(as_json: Json = False) -> None:
    """Put the answers of past days into one compressed container a source and day; nothing is lost.

    The scheduler does the same daily. May be interrupted; running again goes on. Example: deai archive pack
    """
    from indexer.live.context import archive_of
    from indexer.live.packing import pack_answers
    from indexer.times import utc_now

    with opened() as (store, settings), progress("packing answers", quiet=as_json) as tick:
        report = pack_answers(store, archive_of(settings), before=utc_now(), progress=tick)

    def text() -> None:
        say(
            f"{report.answers:,} answers in {report.containers:,} containers: "
            f"{report.before_bytes:,} bytes of files became {report.after_bytes:,}"
        )

    emit(report, as_json=as_json, text=text)
