"""What all commands share: options, the store they open, tables and sentences for people, `--json` for programs."""

from __future__ import annotations

import functools
import gc
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer.errors import DeaiError
from indexer.studies.report.blocks import NOTHING, day, figure, p_value, percent, simple
from indexer.times import iso, parse_instant

if TYPE_CHECKING:
    from indexer.config import Settings
    from indexer.store.db import Store

INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):00Z")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of text.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="By what was known until then (date or instant).")]
IndexId = Annotated[str, typer.Argument(help="Index id, e.g. deai.", show_default=True)]
IndexOption = Annotated[str, typer.Option("--index", help="Index id.")]
At = Annotated[str | None, typer.Option(help="Instant (date, ISO, epoch seconds); the newest when not given.")]


def instant_us(text: str | None) -> int | None:
    """Unix microseconds of an option that may not be there. Raises InputError for what is no instant."""
    return parse_instant(text) if text else None


@contextmanager
def migrated(settings: Settings) -> Iterator[Store]:
    """The store of these settings at this program's version, closed at the end."""
    from indexer.store.db import open_store

    with closing(open_store(settings.store_url, head_file=settings.head_in_use)) as store:
        store.migrate()
        yield store


def settings_in_force(**given: Any) -> Settings:
    """The settings of this process; what is given on the command line, and is not None, goes before."""
    from indexer.config import load_settings

    return load_settings(**given)


@contextmanager
def opened(as_of: str | None = None) -> Iterator[tuple[Store, Settings]]:
    """The migrated store, as it was known at an instant, and the settings of this process, for one command."""
    gc.enable()  # off since the start, see `main`
    settings = settings_in_force()
    with migrated(settings) as store:
        yield (store.as_known(instant_us(as_of)) if as_of else store), settings


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answers: `text` for people, printed or said, and `payload` as one JSON document for programs.

    With `wire`, its fields have the names that the API answers with. `failed` is raised when it is shown.
    """

    payload: object
    text: Callable[[], None] | str
    wire: bool = False
    failed: DeaiError | typer.Exit | None = None

    def show(self, *, as_json: bool) -> None:
        if as_json:
            from indexer.arrays import to_json  # comes with numpy

            say(json.dumps(to_json(self.payload, wire=self.wire), indent=2, allow_nan=False))
        elif isinstance(self.text, str):
            say(self.text)
        else:
            self.text()
        sys.stdout.flush()
        if self.failed is not None:
            raise self.failed


def shown(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a command: if it answers, its answer is shown, as --json says; it may take that itself too."""
    signature = inspect.signature(function, eval_str=True)
    if signature.return_annotation is not Answer:
        return function
    own = "as_json" in signature.parameters
    option = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)

    @functools.wraps(function)
    def command(**options: Any) -> None:
        as_json = options["as_json"] if own else options.pop("as_json")
        function(**options).show(as_json=as_json)

    if not own:
        parameters = [*signature.parameters.values(), option]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # Typer reads it
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def name_of(part: Any) -> str:
    """What a command or group is called."""
    return str(part.info.name) if isinstance(part, typer.Typer) else part.__name__.removesuffix("_command")


def group(name: str, text: str, *functions: Callable[..., Any]) -> typer.Typer:
    """A command that has these commands."""
    app = typer.Typer(name=name, help=text, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
    for function in functions:
        app.command(name_of(function))(shown(function))
    return app


def say(line: str) -> None:
    """One line on stdout."""
    sys.stdout.write(line + "\n")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A table on stdout, as wide as the terminal and 80 columns elsewhere (COLUMNS says otherwise).

    The columns that matter most come first: what does not fit is left out and named. Numbers are right-aligned.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console()
    body = [list(row) for row in rows]
    columns = [[row[n] for row in body] for n in range(len(headers))]
    numeric = [bool(body) and all(map(_is_number, column)) for column in columns]
    cells = [_cells(column) for column in columns]
    least = [_least(header, cells[n], whole=numeric[n]) for n, header in enumerate(headers)]
    fit = max(1, sum(end + 2 * n <= console.width for n, end in enumerate(accumulate(least))))
    spare = console.width - sum(least[:fit]) - 2 * (fit - 1)
    grid = Table(box=None, pad_edge=False)
    for header, number, width, texts in zip(headers[:fit], numeric, least, cells, strict=False):
        more = min(spare, max(map(len, [header, *texts])) - width)
        spare -= more
        grid.add_column(header, justify="right" if number else "left", width=width + more)
    for row in zip(*cells[:fit], strict=True):
        grid.add_row(*row)
    if title:
        console.print(title, style="italic", highlight=False, markup=False)
    console.print(grid)
    if fit < len(headers):
        say(f"(too narrow for: {', '.join(headers[fit:])}; a wider terminal, COLUMNS=200 or --json has them)")


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        digits = value.removesuffix("%").strip("+-−< ").replace(".", "").replace(",", "")
        return digits.isdecimal() or value == NOTHING
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _least(header: str, cells: Sequence[str], *, whole: bool) -> int:
    """The characters a column needs: a number is never broken, words may be set one under the other."""
    words = [word for text in [header, *([] if whole else cells)] for word in text.split()]
    return max(map(len, [*words, *(cells if whole else [])]), default=1)


def table_of(records: Iterable[Any], columns: str, *, title: str = "") -> None:
    """A table of records or mappings. `columns` is `header: field form` with commas between.

    The field alone is its own header; the form is one of FORMS. `estimate.se` is a field of a field; one that ends in
    `_us` is an instant.
    """
    pairs = [(header, field or header) for header, _, field in (part.partition(": ") for part in columns.split(", "))]
    rows = [[_field(record, *field.partition(" ")[::2]) for _, field in pairs] for record in records]
    table([header for header, _ in pairs], rows, title=title)


def _field(record: object, path: str, form: str) -> object:
    value: Any = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None if value is None else getattr(value, name)
    if form:
        return None if value is None else FORMS[form](value)
    return iso(value) if path.endswith("_us") and isinstance(value, int) else value


FORMS: Mapping[str, Callable[[Any], object]] = {
    "%": lambda share: f"{share:.1%}",
    "±%": percent,
    "fig": figure,
    "log%": lambda log_return: percent(simple(log_return)),
    "p": p_value,
    "day": day,
    "ms": lambda seconds: f"{seconds * 1e3:.0f} ms",
    "cut": lambda text: text if len(text) <= 160 else f"{text[:159]}…",
}
"""How a cell may be written: a fraction as percent, a log return as the simple one, a p value, an instant as a day."""


def _cells(column: Sequence[object]) -> list[str]:
    """The texts of a column; whole numbers have no decimals."""
    floats = [value for value in column if isinstance(value, float)]
    if all(map(float.is_integer, floats)):
        column = [int(value) if isinstance(value, float) else value for value in column]
    return [_cell(value) for value in column]


def _cell(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else INSTANT.sub(_short, str(value))


def _short(instant: re.Match[str]) -> str:
    """A day for its 00:00 UTC, else the minute."""
    day, time = instant.groups()
    return day if time == "00:00" else f"{day} {time}Z"


def report_error(error: DeaiError, *, as_json: bool) -> None:
    """The error on stderr: `error: …`, or the same object that the API answers with."""
    if as_json:
        problem = {"code": error.code, "detail": str(error), "retryable": error.retryable}
        sys.stderr.write(json.dumps({"error": problem}) + "\n")
    else:
        sys.stderr.write(f"error: {error}\n")


def _rate(speed: float) -> str:
    return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s"


@contextmanager
def progress(*labels: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr with rate and time left; call it with (done, total). Silent when stderr is no terminal.

    Another total is another piece of work: it is counted anew, under the next of the labels if there is one.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(labels[0], total=None, rate="")
        pieces: list[int] = []

        def update(done: int, total: int) -> None:
            if total not in pieces[-1:]:
                pieces.append(total)
                bar.reset(task, total=total, description=labels[min(len(pieces), len(labels)) - 1], rate="")
            speed = bar.tasks[task].speed
            bar.update(task, completed=done, total=total, rate=_rate(speed) if speed else "")

        yield update
