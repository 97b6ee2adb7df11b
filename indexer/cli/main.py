"""The command tree, and the one place where an error becomes an exit code (the program's help says which)."""

from __future__ import annotations

import gc
import inspect
import sys
from collections import UserDict
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from indexer import errors
from indexer.cli import (
    administration,
    alerts,
    analysis,
    design,
    index,
    operation,
    portfolio,
    serving,
    sources,
    verify,
    work,
)
from indexer.cli.command import group, name_of, report_error

EXIT_CODES: dict[type[errors.DeaiError], int] = {
    errors.InputError: 2,
    errors.NotFoundError: 3,
    errors.NotEnoughDataError: 4,
    errors.SourceError: 5,
    errors.StoreError: 6,
    errors.BusyError: 6,
    errors.VerificationError: 7,
}
INTERRUPTED = 130

MODULES = (serving, work, verify, sources, index, analysis, portfolio, administration, design, operation, alerts)


class Commands(UserDict[str, Any]):
    """The commands by name, each built when it is taken out: to build them all is a third of a start."""

    def __getitem__(self, name: str) -> Any:
        part = self.data[name]
        if isinstance(part, typer.Typer):
            return typer.main.get_group(part)
        return typer.main.get_command(group("", "", part))


class Tree(TyperGroup):
    """The program: its list of commands is made of their first sentences alone."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Commands = Commands({name_of(part): part for module in MODULES for part in module.COMMANDS})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = []
        for name, part in self.commands.data.items():
            text = part.info.help if isinstance(part, typer.Typer) else inspect.getdoc(part)
            rows.append((name, TyperCommand(name, help=text).get_short_help_str(formatter.width - 20)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    name="deai",
    cls=Tree,
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


def exit_code(error: errors.DeaiError) -> int:
    """The documented exit code of an error."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)


def main() -> None:
    """Run the command line; errors of ours become one line on stderr and an exit code."""
    gc.disable()  # starting makes many objects and no garbage; `opened` and `serving` collect again (a quarter faster)
    try:
        app()
    except errors.DeaiError as error:
        report_error(error, as_json="--json" in sys.argv)
        sys.exit(exit_code(error))
    except SystemExit as done:
        if done.code == INTERRUPTED:
            sys.stderr.write("interrupted; the store is consistent, and running the same command again goes on\n")
        raise
