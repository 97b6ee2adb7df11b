"""Commands of index design and of documents: methodology, backtest, sweep, document."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.command import Answer, group, instant_us, migrated, opened, progress, say, table
from indexer.errors import InputError

if TYPE_CHECKING:
    from indexer.backtest.backtest import Result
    from indexer.backtest.sweep import Tried
    from indexer.config import Settings
    from indexer.methodology.spec import Methodology

Costs = Annotated[float, typer.Option(min=0, max=1000, help="Costs of what is bought and sold, in bps a side.")]
Cluster = Annotated[str, typer.Option(help="Compute on the dask cluster at tcp://HOST:PORT.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes on this machine; as many as cores, where it pays, when not given.")
]


def new(
    index: Annotated[str, typer.Argument(help="Its id, e.g. my-index; the file is my-index.toml in this folder.")],
) -> None:
    """Write an index of your own to begin with, commented. Example: deai methodology new my-index"""
    from indexer.methodology.load import SHIPPED
    from indexer.times import utc_now

    path = Path(f"{index}.toml")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,63}", index):
        raise InputError(f'"{index}" cannot be an id: small letters, digits and hyphens, e.g. my-index')
    if path.exists():
        raise InputError(f"{path} is there already; nothing was written")
    own = {"id": index, "name": index, "version": "1.0.0", "description": "", "reason": "The first version."}
    text = (SHIPPED / "deai.toml").read_text(encoding="utf-8")
    head, rest = text.split("\n[universe]", 1)
    for name, value in own.items():
        head = re.sub(rf'^{name} = ("""[\s\S]*?"""|".*")', f'{name} = "{value}"', head, flags=re.MULTILINE)
    head = re.sub(r"^effective_from = .*", f"effective_from = {utc_now():%Y-%m-%d}T00:00:00Z", head, flags=re.MULTILINE)
    path.write_text(f"{head}\n[universe]{rest}", encoding="utf-8")
    say(f"{path}: change what you like, then")
    say(f"  deai methodology check {path}")
    say(f"  deai backtest {path}")


def check(
    file: Annotated[Path, typer.Argument(help="An index TOML file.")],
) -> Answer:
    """Check a methodology file and say everything that does not hold. Example: deai methodology check my.toml"""
    from indexer.config import load_settings
    from indexer.methodology.load import check_file
    from indexer.workflow.work import registry_of

    settings = load_settings()
    report = check_file(file, registry=registry_of(settings))
    late = _late(settings, report.methodology) if report.methodology is not None else ""

    def text() -> None:
        if report.methodology is None:
            say(f"{report.source} does not hold:")
            for problem in report.problems:
                say(f"  {problem}")
            return
        rules = report.methodology
        say(f"{report.source} holds: index {rules.id} {rules.version}, {len(report.lines)} candidates")
        say(f"  candidates: {', '.join(report.lines)}")
        say(f"  hash {rules.hash}")
        if late:
            say(f"  over the stored history: {late}")
        for warning in report.warnings:
            say(f"  warning: {warning}")

    return Answer(report, text, failed=typer.Exit(2) if report.problems else None)


def _late(settings: Settings, rules: Methodology) -> str:
    """Why the index begins after its base date over the stored history; '' when it does not, or nothing is stored."""
    from indexer.backtest.design import base_note
    from indexer.store.levels import has_levels

    if not settings.database_url and not (settings.data_dir / "deai.sqlite").exists():
        return ""
    with migrated(settings) as store:
        return base_note(store, settings, rules) if has_levels(store) else ""


def list_command() -> Answer:
    """List the methodologies in use, with version and hash."""
    from indexer.config import load_settings
    from indexer.methodology.load import load_methodologies
    from indexer.workflow.work import registry_of

    settings = load_settings()
    loaded = load_methodologies(settings.methodology_dir, registry=registry_of(settings))
    for reason in loaded.refused.values():
        sys.stderr.write(f"refused: {reason}\n")
    rules = loaded.methodologies.values()
    rows = [(m.id, m.version, m.hash[:16], m.name) for m in rules]
    payload = [{"id": m.id, "version": m.version, "hash": m.hash, "name": m.name} for m in rules]
    return Answer(payload, lambda: table(("id", "version", "hash", "name"), rows))


def backtest(
    files: Annotated[list[Path], typer.Argument(help="Index TOML files.")],
    hourly: Annotated[bool, typer.Option("--hourly", help="Over hourly levels instead of daily ones.")] = False,
    end: Annotated[str | None, typer.Option(help="Last instant to use; a date is its 00:00 UTC.")] = None,
    costs: Costs = 0.0,
    out: Annotated[
        Path | None, typer.Option(help="Write levels, status, turnover and weights by day (.csv, .parquet).")
    ] = None,
    cluster: Cluster = "",
    workers: Workers = None,
) -> Answer:
    """Run methodologies over the stored history; nothing is stored.
    Example: deai backtest my-index.toml --end 2025-10-01 --costs 20 --out my-index.csv"""
    from indexer.backtest.design import run_backtests

    end_us = instant_us(end)
    with opened() as (store, settings), progress("backtests") as tick:
        results = run_backtests(
            store, settings, files=files, hourly=hourly, end_us=end_us, cost_bps=costs,
            out=out, cluster=cluster, workers=workers, progress=tick,
        )  # fmt: skip

    def text() -> None:
        for result in results:
            _show_result(result)
        if out is not None:
            say(f"every day is in {out}")

    return Answer(results[0] if len(results) == 1 else results, text)


def _show_result(result: Result) -> None:
    beside = ("index", "note", "notes", "warnings")
    rows = [(name, getattr(result, name)) for name in result.__dataclass_fields__ if name not in beside]
    table(("figure", "value"), rows, title=f"{result.index} ({result.note})")
    for warning in result.warnings:
        say(f"  warning: {warning}")
    for note in result.notes:
        say(f"  {note}")


def sweep(
    file: Annotated[Path, typer.Argument(help="An index TOML file with a table [sweep] of lists.")],
    by: Annotated[
        str, typer.Option(help="Rank by: net_annual_return, sharpe, tracking_error, turnover, effective_number, …")
    ] = "tracking_error",
    top: Annotated[int, typer.Option(min=1, help="Show so many.")] = 15,
    costs: Costs = 0.0,
    out: Annotated[Path | None, typer.Option(help="Write every row to this file (.csv, .parquet).")] = None,
    cluster: Cluster = "",
    workers: Workers = None,
) -> Answer:
    """Try a grid of parameters over the daily history and rank them. Example: deai sweep grid.toml --by sharpe

    The grid: [sweep] with lists at dotted places, e.g. "caps.single" = [0.15, 0.2].
    """
    from indexer.backtest.design import run_sweep
    from indexer.backtest.sweep import as_table

    with opened() as (store, settings), progress("trying") as tick:
        tried = run_sweep(
            store, settings, file=file, by=by, cost_bps=costs,
            out=out, cluster=cluster, workers=workers, progress=tick,
        )  # fmt: skip
    rows = as_table(tried)
    return Answer(rows, lambda: _show(tried, by, top=top, out=out))


def _show(tried: list[Tried], by: str, *, top: int, out: Path | None) -> None:
    places = list(tried[0].values) if tried else []
    figures = {
        "net/y": "net_annual_return", "Sharpe": "sharpe", "turnover": "turnover", "eff. N": "effective_number",
        "largest": "largest_weight", "TE": "tracking_error", "return/y": "annual_return", "vol/y": "volatility",
    }  # fmt: skip
    body = [
        (
            row.rank,
            *(str(row.values[place]) for place in places),
            *(getattr(row.result, name) for name in figures.values()),
        )
        for row in tried[:top]
        if row.result is not None
    ]
    table(("rank", *places, *figures), body, title=f"{len(tried):,} combinations by {by}")
    without = [row for row in tried if row.result is None]
    if without:
        say(f"{len(without):,} give no index, e.g.: {without[0].problem}")
    if out is not None:
        say(f"every row is in {out}")


def document(
    index: Annotated[str, typer.Argument(help="Index id.")],
    out: Annotated[Path, typer.Option(help="File to write: .html, .txt; .pdf for a factsheet.")],
    kind: Annotated[str, typer.Option(help="methodology, statement or factsheet.")] = "methodology",
    token: Annotated[str, typer.Option(help="A constituent (slug or symbol): its own factsheet.")] = "",
    at: Annotated[str | None, typer.Option(help="A factsheet as of this instant; the newest when not given.")] = None,
) -> Answer:
    """Write a document of an index, or the factsheet of one of its tokens.

    Example: deai document deai --kind factsheet --token TAO --out tao.pdf
    """
    from indexer.administration.documents import FOREVER_US, write_document
    from indexer.times import parse_instant, utc_now

    at_us = parse_instant(at) if at else FOREVER_US
    with opened() as (store, settings):
        size = write_document(
            store, settings, index_id=index, kind=kind, path=out, now=utc_now(), token=token, at_us=at_us
        )
    payload = {"index": index, "kind": kind, "token": token or None, "file": str(out), "bytes": size}
    of = f"{token} in {index}" if token else index
    return Answer(payload, f"{kind} of {of} is in {out} ({size:,} bytes)")


COMMANDS = (
    backtest,
    sweep,
    document,
    group("methodology", "Begin, check, list index methodologies.", new, check, list_command),
)
