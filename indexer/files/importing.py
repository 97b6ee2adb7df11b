"""Files → store: finds each file's manifest, reads, gates and writes it, and keeps what was not taken.

A file is imported once per content, manifest and registry (the run's key); a killed import is completed by importing
again. Bad rows never stop an import: they go to the rejects with file, line and reason.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np

from indexer.errors import DeaiError, ImportFileError
from indexer.files.archived import KIND, keep_import
from indexer.files.columns import check_columns, header_of
from indexer.files.containers import ENDINGS, Table, tables_of
from indexer.files.manifest import Manifest, beside, read_manifest
from indexer.files.recognising import check_options, question, recognise, with_options
from indexer.files.records import FileRows, bars_of, benchmarks_of, metrics_of, supplies_of
from indexer.files.rows import gated
from indexer.registry import Registry
from indexer.store.archive import Archive, write_payloads
from indexer.store.assets import ensure_benchmarks, ensure_listings, read_listings, write_registry
from indexer.store.bars import write_bars, write_benchmark_bars, write_metrics
from indexer.store.db import Store
from indexer.store.quality import write_rejects
from indexer.store.rows import RejectRow, Written
from indexer.store.runs import finish_run, start_run
from indexer.store.supplies import write_supplies
from indexer.times import Clock, to_us

Progress = Callable[[int, int], None]
Tick = Callable[[float], None]
NO_OPTIONS: Mapping[str, str] = {}
LEFT_OUT = "left out"
REJECTS_AT_ONCE = 5_000


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one table of a file. `reasons` counts rejected rows by rule, `left_out`
    those that the manifest leaves out by quantity and why, `note` says why it was left out,
    `problem` why it could not be read, `notes` what should be looked at."""

    name: str
    rows: int = 0
    new: int = 0
    revised: int = 0
    unchanged: int = 0
    rejected: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    filtered: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    note: str = ""
    problem: str = ""
    manifest: str = ""
    notes: tuple[str, ...] = ()

    @property
    def gave_nothing(self) -> bool:
        """Whether no row of the file was taken, now or by an import before."""
        return not self.note and not self.problem and not self.new + self.revised + self.unchanged


@dataclass(frozen=True, slots=True)
class _Into:
    """Where files go, and by what they are read."""

    store: Store
    registry: Registry
    clock: Clock
    archive: Archive | None
    given: Manifest | None
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of every file, in the order they were taken."""

    files: tuple[FileReport, ...]


def import_files(
    store: Store,
    paths: Sequence[Path],
    *,
    registry: Registry,
    clock: Clock,
    manifest: Path | None = None,
    options: Mapping[str, str] = NO_OPTIONS,
    progress: Progress = quiet,
    archive: Archive | None = None,
) -> ImportReport:
    """Imports files, or those of a folder that have a manifest or a known layout, and says what became of each.

    `options` (symbol, venue, interval, …) say what a file does not. With an `archive` each file is kept there, so that
    its rows can be read again (see `archived.py`). `progress(done, total)` counts bytes of files. A file that cannot be
    read as a whole has its `problem`, and the others follow. Raises ImportFileError when that is so of every file, or
    when there is nothing to import.
    """
    check_options(options)
    stated = read_manifest(manifest) if manifest is not None else None
    files = [(file, path.is_dir()) for path in paths for file in files_of(path)]
    write_registry(store, registry)
    into = _Into(store, registry, clock, archive, stated, options)
    ends = list(accumulate((file.stat().st_size if file.exists() else 0 for file, _ in files), initial=0))

    def tick(first: int, last: int, share: float) -> None:
        progress(first + int(share * (last - first)), ends[-1])

    reports: list[FileReport] = []
    for (file, in_folder), first, last in zip(files, ends, ends[1:], strict=False):
        reports += _import_file(into, file, in_folder=in_folder, tick=partial(tick, first, last))
    if all(report.problem or report.note.startswith(LEFT_OUT) for report in reports):
        problems = [report.problem for report in reports if report.problem]
        names = ", ".join(report.name for report in reports)
        nothing = f"nothing to import here, no table has a manifest or a known layout (there are: {names})"
        raise ImportFileError("\n".join(problems) or f"{paths[0].name}: {nothing}")
    return ImportReport(tuple(reports))


def _import_file(into: _Into, file: Path, *, in_folder: bool, tick: Tick) -> Iterator[FileReport]:
    """What became of each table of a file; `tick` is told the share of it that is done."""
    try:
        tables = chosen_tables(file, into.options)
    except ImportFileError as error:
        yield FileReport(file.name, problem=str(error))
        return
    among = in_folder or len(tables) > 1  # what nothing describes is left out
    while tables:  # let go of one by one: what is read as a whole stays with its table
        table = tables.pop(0)
        try:
            yield _import_table(into, table, in_folder=in_folder, among=among, tick=tick)
        except ImportFileError as error:
            text = str(error)
            yield FileReport(table.name, problem=text if table.name in text else f"{table.name}: {text}")


def manifest_of(
    table: Table, *, given: Manifest | None, registry: Registry, options: Mapping[str, str], in_folder: bool = False
) -> tuple[Manifest | None, str]:
    """The manifest of a table and where it is from: the one given, the TOML beside the file, or a known layout's.

    (None, "") for a table that nothing describes. Raises ImportFileError with a question where a layout fits and
    does not say all; in a folder only where the layout is one of its own.
    """
    path = beside(table.path)
    if given is not None or path is not None:
        described = given or read_manifest(path)  # type: ignore[arg-type]
        return with_options(described, options), described.name
    recognised = recognise(table, registry, options)
    if recognised is None or (in_folder and not recognised.manifest and not recognised.certain):
        return None, ""
    if recognised.manifest is None:
        raise question(table, recognised, options, registry)
    certainty = "" if recognised.certain else "; other tables look like it"
    return recognised.manifest, f"{recognised.layout}, told by {', '.join(recognised.by)}{certainty}"


def files_of(path: Path) -> list[Path]:
    """The file, or those in a folder that may hold tables."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.name.lower().endswith(ENDINGS) and file.is_file())
    if not files:
        raise ImportFileError(f"{path.name}: nothing to import here (no {', '.join(ENDINGS)})")
    return files


def chosen_tables(file: Path, options: Mapping[str, str]) -> list[Table]:
    """The tables of a file; of a workbook with several the sheet that is named, which has to be where a symbol is."""
    tables, sheet = tables_of(file), options.get("sheet", "")
    titles = ", ".join(table.sheet for table in tables)
    if sheet and any(table.sheet for table in tables):
        tables = [table for table in tables if table.sheet == sheet]
        if not tables:
            raise ImportFileError(f'{file.name}: there is no sheet "{sheet}" with a table; there are: {titles}')
    elif options.get("symbol") and len(tables) > 1 and tables[0].sheet:
        raise ImportFileError(f"{file.name} has tables on {len(tables)} sheets ({titles}); say which by --sheet")
    return tables


def _import_table(into: _Into, table: Table, *, in_folder: bool, among: bool, tick: Tick) -> FileReport:
    manifest, _ = manifest_of(
        table, given=into.given, registry=into.registry, options=into.options, in_folder=in_folder
    )
    if manifest is None and not among:
        raise ImportFileError(undescribed(table))
    if manifest is None:
        return FileReport(table.name, note=f"{LEFT_OUT}: no manifest describes it")
    check_columns(table.name, header_of(table, manifest), manifest)
    store, clock, sha = into.store, into.clock, _sha256(table.path)
    member = f":{table.part}" if table.part else ""
    key = f"import:{sha}{member}:{manifest.hash[:16]}:{_registry_hash(into.registry)[:16]}"
    run_id = start_run(store, kind=KIND, key=key, now=clock())
    if run_id is None:
        return FileReport(table.name, note="already imported", manifest=manifest.name)
    try:
        report, archived = _taken(into, run_id, table, manifest=manifest, sha256=sha, tick=tick)
    except KeyboardInterrupt:
        finish_run(store, run_id, now=clock(), outcome="interrupted")
        raise
    except DeaiError as error:
        with suppress(DeaiError):  # a store that cannot even take that leaves the run as running, to be taken up again
            finish_run(store, run_id, now=clock(), outcome="failed", detail={"error": str(error)})
        raise
    outcome = "failed" if report.gave_nothing else "done"
    finish_run(store, run_id, now=clock(), outcome=outcome, detail=asdict(report) | archived)
    tick(1.0)
    return report


def undescribed(table: Table) -> str:
    stem = table.path.name.split(".")[0]
    return (
        f"{table.name} has no manifest, and its columns are those of no known download: put {stem}.toml beside it, or "
        f"give one by --manifest; it must name the columns (there are: {', '.join(header_of(table))}), the interval "
        "and what the stamp means"
    )


def _taken(
    into: _Into, run_id: int, table: Table, *, manifest: Manifest, sha256: str, tick: Tick
) -> tuple[FileReport, dict[str, str]]:
    """Writes a table's rows while another thread puts the file into the archive; what is kept of that in the run."""
    at_us = to_us(into.clock())
    report = FileReport(table.name, manifest=manifest.name)
    with ThreadPoolExecutor(1, thread_name_prefix="archive") as aside:
        keep = partial(keep_import, table=table, sha256=sha256, manifest=manifest, registry=into.registry, at_us=at_us)
        keeping = aside.submit(keep, into.archive) if into.archive else None
        for rows in gated(table, manifest, registry=into.registry, now_us=at_us):
            written = write_rows(into.store, run_id, rows)
            _keep_rejects(into.store, run_id, table, rows, sha256=sha256)
            report = _with_part(report, rows, written)
            tick(rows.read.share)
        if keeping is None:
            return report, {}
        try:
            record, payloads = keeping.result()
        except OSError as error:
            raise ImportFileError(
                f"{table.name} could not be kept in the archive ({error.strerror}); free some space and import again"
            ) from error
    write_payloads(into.store, run_id, payloads)
    return report, {"record": record}


def write_rows(store: Store, run_id: int, rows: FileRows) -> Written:
    """Writes the good rows of a part of a file."""
    kind = rows.manifest.kind
    if kind == "supply":
        return write_supplies(store, run_id, supplies_of(rows))
    if kind == "metrics":
        return write_metrics(store, run_id, metrics_of(rows))
    used = np.unique(rows.series[rows.order]).tolist()
    numbers = np.full(max(used, default=0) + 1, -1, dtype=np.int64)
    if kind == "benchmarks":
        ids = ensure_benchmarks(store, [rows.benchmarks[place] for place in used])
        numbers[used] = [ids[rows.benchmarks[place].symbol] for place in used]
        return write_benchmark_bars(store, run_id, benchmarks_of(rows, numbers))
    numbers[used] = ensure_listings(store, [rows.listings[place] for place in used])
    _check_quotes(store, rows, used, numbers)
    return write_bars(store, run_id, bars_of(rows, numbers))


def _check_quotes(store: Store, rows: FileRows, used: Sequence[int], numbers: np.ndarray) -> None:
    """Raises ImportFileError where a listing is kept in another currency: one series holds prices of one quote."""
    stored = {listing.id: listing.quote for listing in read_listings(store)}
    for place in used:
        listing, quote = rows.listings[place], stored[int(numbers[place])]
        if quote != listing.quote:
            raise ImportFileError(
                f"{listing.symbol} at {listing.venue} from {listing.source!r} ({listing.interval}) is kept in {quote}, "
                f"and here in {listing.quote}: give these prices a source of their own (--source)"
            )


def _keep_rejects(store: Store, run_id: int, table: Table, rows: FileRows, *, sha256: str) -> None:
    name = table.name
    for first in range(0, len(rows.rejects), REJECTS_AT_ONCE):
        some = rows.rejects[first : first + REJECTS_AT_ONCE]
        texts = rows.read.texts([line for line, _ in some])
        rejects = [RejectRow(name, sha256, line, reason, texts.get(line, "")) for line, reason in some]
        write_rejects(store, run_id, rejects)


def _with_part(report: FileReport, rows: FileRows, written: Written) -> FileReport:
    """The report with what became of a part of the file added."""
    rules = Counter(report.reasons) + Counter(reason.split(":")[0] for _, reason in rows.rejects)
    return replace(
        report,
        rows=report.rows + rows.total,
        new=report.new + written.new,
        revised=report.revised + written.revised,
        unchanged=report.unchanged + written.unchanged,
        rejected=report.rejected + len(rows.rejects),
        duplicates=report.duplicates + rows.duplicates,
        out_of_order=report.out_of_order + rows.out_of_order,
        filtered=report.filtered + rows.filtered,
        reasons=dict(rules.most_common()),
        left_out=dict(Counter(report.left_out) + rows.left_out),
        notes=tuple(dict.fromkeys([*report.notes, *rows.notes()])),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _registry_hash(registry: Registry) -> str:
    """Changes when a symbol would be resolved, or a supply scaled, differently."""
    known = [
        (
            asset.slug,
            asset.decimals,
            [(label.symbol, str(label.valid_from), str(label.valid_to)) for label in asset.symbols],
        )
        for asset in registry.assets
    ]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()
