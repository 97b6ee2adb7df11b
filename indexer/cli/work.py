"""Commands that bring the store up to date: import and what it did not take, update."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.command import Answer, opened, progress, say, table_of
from indexer.errors import ImportFileError
from indexer.times import utc_now

if TYPE_CHECKING:
    from indexer.files.importing import FileReport


def import_command(
    paths: Annotated[
        list[Path], typer.Argument(help="Files or folders: CSV, Excel, Parquet, feather, JSON; also as .gz or .zip.")
    ],
    manifest: Annotated[Path | None, typer.Option(help="Manifest (TOML) that describes the files.")] = None,
    symbol: Annotated[str, typer.Option(help="Token or benchmark, where the file does not say it.")] = "",
    venue: Annotated[str, typer.Option(help="Exchange that the prices are of, e.g. binance.")] = "",
    interval: Annotated[str, typer.Option(help="Length of a bar: 1m, 5m, 1h, 1d.")] = "",
    quote: Annotated[str, typer.Option(help="Currency of the prices, e.g. USDT.")] = "",
    timezone: Annotated[str, typer.Option(help="Zone of stamps without an offset, e.g. America/New_York.")] = "",
    market: Annotated[str, typer.Option(help="Kind of market: spot, perpetual, aggregate.")] = "",
    source: Annotated[str, typer.Option(help="Where the file is from, in your words.")] = "",
    kind: Annotated[str, typer.Option(help="tokens or benchmarks, where a file could be either.")] = "",
    stamp: Annotated[str, typer.Option(help="When a price is true: bar_open (an interval later), instant …")] = "",
    date_format: Annotated[str, typer.Option(help="Order of a date, e.g. %d/%m/%Y.")] = "",
    decimal: Annotated[str, typer.Option(help="Decimal mark, where 1,029 could be either: , or .")] = "",
    thousands: Annotated[str, typer.Option(help="Mark between thousands.")] = "",
    sheet: Annotated[str, typer.Option(help="One sheet of a workbook with several tables.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Show what is seen in the files; write nothing.")] = False,
    write_manifest: Annotated[
        bool, typer.Option("--write-manifest", help="Save the manifest in force beside each file; import nothing.")
    ] = False,
    compute: Annotated[bool, typer.Option(help="Compute the indices afterwards.")] = True,
) -> Answer:
    """Import prices, benchmarks, supplies and metrics from files, then compute. Example: deai import ./data

    Well-known downloads need no manifest. Exit code 0 if every file gave something, 2 if any gave nothing.
    """
    words = {"symbol": symbol, "venue": venue, "interval": interval, "quote": quote, "timezone": timezone}
    words |= {"market": market, "source": source, "kind": kind, "stamp": stamp, "date_format": date_format}
    words |= {"decimal": decimal, "thousands": thousands, "sheet": sheet}
    options = {name: word for name, word in words.items() if word}
    if explain or write_manifest:
        return _explain(paths, manifest=manifest, options=options, save=write_manifest)
    from indexer.workflow.work import import_and_update

    with opened() as (store, settings), progress("importing bytes", "computing") as tick:
        report = import_and_update(
            store, settings, paths=paths, manifest=manifest, options=options, compute=compute, progress=tick
        )

    def text() -> None:
        _show_files(report.files)
        if report.update:
            _show_update(report.update)

    return Answer(report, text, failed=_nothing_taken(report.files))


def _show_files(files: Sequence[FileReport]) -> None:
    table_of(files, "file: name, rows, new, revised, unchanged, rejected, note", title="Imported")
    for file in files:
        for what, count in _besides(file):
            say(f"  {file.name}: {count:,} {'row' if count == 1 else 'rows'} {what}")
        for note in file.notes:
            say(f"  {file.name}: {note}")
    if any(file.rejected for file in files):
        say("  deai rejects shows them, with line, reason and row")


def _nothing_taken(files: Sequence[FileReport]) -> ImportFileError | None:
    """The error that names the files of which no row was taken, if there are any; the others stay imported."""
    problems = [file.problem for file in files if file.problem]
    reasons = [f"{file.name} ({next(iter(file.reasons), 'no rows')})" for file in files if file.gave_nothing]
    if reasons:
        either = "; say --decimal where 1,029 could be either" * any("is not a number" in one for one in reasons)
        problems.append(f"no row was taken of {', '.join(reasons)}; deai import --explain shows what is seen{either}")
    return ImportFileError("\n".join(problems)) if problems else None


def _explain(paths: list[Path], *, manifest: Path | None, options: dict[str, str], save: bool) -> Answer:
    from indexer.config import Settings
    from indexer.files.explain import explain_files, explanation_text, save_manifest
    from indexer.workflow.work import registry_of

    reports = explain_files(paths, registry=registry_of(Settings()), clock=utc_now, manifest=manifest, options=options)
    saved = [save_manifest(report) for report in reports if save and report.manifest]

    def text() -> None:
        for report in reports:
            say(explanation_text(report))
        for path in saved:
            say(f"saved {path}")

    failed = [report.problem for report in reports if report.problem]
    return Answer(reports, text, failed=ImportFileError("\n".join(failed)) if failed else None)


def _besides(file: FileReport) -> list[tuple[str, int]]:
    """What became of rows that were not simply taken, and how many."""
    reasons = [(f"kept as rejects: {reason}", count) for reason, count in sorted(file.reasons.items())]
    others = {
        **{f"left out: {what}": count for what, count in file.left_out.items()},
        "not wanted by the manifest": file.filtered - sum(file.left_out.values()),
        "there twice, taken once": file.duplicates,
        "after a later one, sorted": file.out_of_order,
    }
    return reasons + [(what, count) for what, count in others.items() if count]


def rejects(
    file: Annotated[str, typer.Argument(help="Only rows of this file (its name); of every file when not given.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many reasons.")] = 30,
) -> Answer:
    """Show rows of files that were not taken: how many for which reason, and the first with its line.

    Newest import first. Example: deai rejects tokens_daily.csv.gz
    """
    from indexer.store.quality import read_reject_groups

    with opened() as (store, _):
        groups = read_reject_groups(store, file=file or None, limit=limit)

    def text() -> None:
        for group in groups:
            count = f"{group.rows:,} {'row' if group.rows == 1 else 'rows'}"
            say(f"{group.imported_at:%Y-%m-%d %H:%M}  {group.file}: {count}: {group.reason}")
            say(f"    line {group.line:,}: {group.row}")
        if not groups:
            say(f"No row of {file or 'any file'} was refused.")

    return Answer(groups, text)


def update(
    offline: Annotated[
        bool, typer.Option("--offline", help="Only compute from what is stored; ask no source.")
    ] = False,
) -> Answer:
    """Do the live work due now, then bring rates and levels up to date. Doing it twice changes nothing.

    A source that fails is said on stderr and stops nothing: what is stored is computed all the same.
    """
    from indexer.config import configure_logs
    from indexer.workflow.work import run_update, update_live

    with opened() as (store, settings), progress("updating") as tick:
        store.check_whole()
        if offline:
            report = run_update(store, settings, progress=tick)
        else:
            configure_logs("error")  # what failed is said once, below
            live = update_live(store, settings, progress=tick)
            report = live.update
            for job, reason in live.failed.items():
                sys.stderr.write(f"{job}: {reason}\n")
            if live.elsewhere:
                sys.stderr.write("the live work is done by another process on this store\n")
                from indexer.live.standing import standing_of

                sys.stderr.write(standing_of(store, now=utc_now()).sentence + "\n")
    return Answer(report, lambda: _show_update(report), failed=typer.Exit(2) if report.refused else None)


def _show_update(report: object) -> None:
    from indexer.levels.pipeline import UpdateReport

    assert isinstance(report, UpdateReport)
    if report.unchanged and report.indices:
        say("Nothing new: levels are up to date.")
    elif report.unchanged:
        return
    columns = "index: index_id, from: first, to: last, levels, new, level, status"
    table_of(report.indices, columns, title="Indices")
    for index in report.indices:
        if index.note:
            say(f"  {index.note}")
    for wait in report.waiting:
        say(f"  {wait}")
    for why in report.not_started.values():
        say(f"  no levels: {why}")
    for why in report.refused.values():
        sys.stderr.write(f"refused: {why}\n")


COMMANDS = (import_command, rejects, update)
