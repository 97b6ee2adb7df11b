"""The command tree, and the one place where an error becomes an exit code.

Exit codes: 0 done · 1 unexpected error · 2 wrong input or usage · 3 not found · 4 not enough data ·
5 a source failed · 6 store error or busy · 7 verification failed · 130 interrupted (Ctrl-C).
"""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer

from indexer.cli import (
    administration,
    alerts,
    analysis,
    design,
    index,
    keys,
    live,
    onchain,
    portfolio,
    serving,
    settings,
    verify,
    work,
)
from indexer.errors import (
    BusyError,
    DeaiError,
    InputError,
    NotEnoughDataError,
    NotFoundError,
    SourceError,
    StoreError,
    VerificationError,
)

EXIT_CODES: tuple[tuple[type[DeaiError], int], ...] = (
    (InputError, 2),
    (NotFoundError, 3),
    (NotEnoughDataError, 4),
    (SourceError, 5),
    (StoreError, 6),
    (BusyError, 6),
    (VerificationError, 7),
)
INTERRUPTED = 130

app = typer.Typer(
    name="deai",
    help="The open, self-hosted index of decentralized-AI tokens, and its beta to tech equities.",
    epilog="Exit codes: 0 done, 2 wrong input, 3 not found, 4 not enough data, 5 source failed, 6 store or busy, "
    "7 verification failed, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"deai-index {version('deai-index')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Say the version and end.")
    ] = False,
) -> None:
    """The options of the program itself."""


for group in (serving, settings, work, verify, live, index, analysis, portfolio, administration, design):
    group.register(app)
app.add_typer(onchain.app, name="onchain")
app.add_typer(keys.app, name="keys")
app.add_typer(alerts.app, name="alert")


def exit_code(error: DeaiError) -> int:
    """The documented exit code of an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def main() -> None:
    """Run the command line; errors of ours become one line on stderr and an exit code."""
    gc.disable()  # starting makes many objects and no garbage; `opened` and `serving` collect again (a quarter faster)
    try:
        app()
    except DeaiError as error:
        from indexer.cli.command import report_error

        report_error(error, as_json="--json" in sys.argv)
        sys.exit(exit_code(error))
    except SystemExit as done:
        if done.code == INTERRUPTED:
            sys.stderr.write("interrupted; the store is consistent, and running the same command again goes on\n")
        raise
