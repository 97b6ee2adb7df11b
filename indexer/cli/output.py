"""How commands speak: a table or sentence for people, `--json` for programs; progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from indexer.arrays import to_json
from indexer.errors import DeaiError

if TYPE_CHECKING:
    from collections.abc import Callable


PIPE_WIDTH = 500


def emit(payload: object, *, as_json: bool, text: Callable[[], None]) -> None:
    """Print the payload as one JSON document, or let `text` print it for people."""
    if as_json:
        sys.stdout.write(json.dumps(to_json(payload), indent=2, allow_nan=False) + "\n")
    else:
        text()


def say(line: str) -> None:
    """One line on stdout."""
    sys.stdout.write(line + "\n")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A table on stdout; numbers are right-aligned."""
    from rich.console import Console
    from rich.table import Table

    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    body = [list(row) for row in rows]
    for n, header in enumerate(headers):
        numeric = all(isinstance(row[n], int | float) or row[n] is None for row in body)
        made.add_column(header, justify="right" if numeric and body else "left")
    for row in body:
        made.add_row(*(_cell(cell) for cell in row))
    console = Console()
    # Into a pipe a table is as wide as it needs to be: nothing is cut off.
    (console if console.is_terminal else Console(width=PIPE_WIDTH)).print(made)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


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
def progress(*labels: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr with rate and time left; call it with (done, total). Silent when stderr is no terminal.

    Another total is another piece of work: it is counted anew, under the next of the labels if there is one.
    """
    if quiet or not sys.stderr.isatty():
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
