"""Files → store: finds each file's manifest, reads, gates and writes it, and keeps what was not taken.

Place in the flow: the door to imported data, beside the live sources. A file is imported once per content,
manifest and registry (the run's key); a killed import is completed by importing again, because rows already
written are found unchanged. Bad rows never stop an import: they go to the rejects with file, line and reason.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from indexer.errors import DeaiError, ImportFileError
from indexer.files.columns import SUFFIXES, check_columns, header_of, row_texts
from indexer.files.kept import KIND, keep_import
from indexer.files.manifest import Manifest, manifest_for, read_manifest
from indexer.files.records import bars_of, benchmarks_of, metrics_of, supplies_of
from indexer.files.rows import FileRows, gated
from indexer.registry import Registry
from indexer.store.archive import Archive
from indexer.store.bulk import CHUNK_ROWS
from indexer.store.db import Store
from indexer.store.records import AssetRow, RejectRow, Written
from indexer.store.write import (
    ensure_benchmarks,
    ensure_listings,
    finish_run,
    start_run,
    write_assets,
    write_bars,
    write_benchmark_bars,
    write_metrics,
    write_payloads,
    write_rejects,
    write_supplies,
)
from indexer.times import Clock, to_us

Progress = Callable[[int, int], None]


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file. `reasons` counts rejected rows by rule; `note` says why a file was left out."""

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
    note: str = ""
    manifest: str = ""


@dataclass(frozen=True, slots=True)
class _Into:
    """Where files go, and by what they are read."""

    store: Store
    registry: Registry
    clock: Clock
    archive: Archive | None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of every file, in the order they were taken."""

    files: tuple[FileReport, ...]

    @property
    def rejected(self) -> int:
        """Rows not taken, over all files."""
        return sum(file.rejected for file in self.files)


def import_files(
    store: Store,
    paths: Sequence[Path],
    *,
    registry: Registry,
    clock: Clock,
    manifest: Path | None = None,
    progress: Progress = quiet,
    archive: Archive | None = None,
) -> ImportReport:
    """Imports files, or every file with a manifest in a folder, and says what became of each.

    With an `archive` each file is kept there, so that its rows can be read again (see `kept_imports`).
    `progress(done, total)` counts bytes of files. Raises ImportFileError when there is nothing to import, or when
    a file as a whole cannot be read: after the others have been imported, and naming them all.
    """
    given = read_manifest(manifest) if manifest is not None else None
    jobs = [(path, described) for path in paths for path, described in _jobs(path, given)]
    write_assets(store, asset_rows(registry))
    into = _Into(store, registry, clock, archive)
    sizes = [path.stat().st_size for path, _ in jobs]
    reports: list[FileReport] = []
    failures: list[str] = []
    for i, (path, described) in enumerate(jobs):
        tick = _ticker(progress, before=sum(sizes[:i]), size=sizes[i], total=sum(sizes))
        try:
            reports.append(_import_file(into, path, manifest=described, tick=tick))
        except ImportFileError as error:
            failures.append(str(error))
    if failures:
        others = f"\n{len(reports)} other files were imported or left out." if reports else ""
        raise ImportFileError("\n".join(failures) + others)
    return ImportReport(tuple(reports))


def asset_rows(registry: Registry) -> list[AssetRow]:
    """The registry's assets as the store keeps them."""
    return [
        AssetRow(
            slug=asset.slug,
            name=asset.name,
            symbol=asset.symbol,
            chain=asset.chain,
            contract=asset.contract,
            decimals=asset.decimals,
            sub_sector=asset.sub_sector,
            status=asset.status,
            line=asset.line or asset.slug,
            line_ratio=asset.line_ratio,
        )
        for asset in registry.assets
    ]


def _ticker(progress: Progress, *, before: int, size: int, total: int) -> Callable[[float], None]:
    """Turns the share of one file that is done into bytes of all files."""
    return lambda share: progress(before + int(share * size), total)


def _jobs(path: Path, given: Manifest | None) -> list[tuple[Path, Manifest | None]]:
    """The files to import with their manifests; in a folder, those without one are listed with None."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
        jobs = [(file, given or manifest_for(file, header_of(file))) for file in files]
        if not any(described for _, described in jobs):
            found = ", ".join(file.name for file in files) or f"no {', '.join(SUFFIXES)}"
            raise ImportFileError(f"{path.name}: nothing to import here, no file has a manifest (found: {found})")
        return jobs
    header = header_of(path, delimiter=given.delimiter if given else ",")
    described = given or manifest_for(path, header)
    if described is None:
        stem = path.name.split(".")[0]
        raise ImportFileError(
            f"{path.name} has no manifest: put {stem}.toml beside it, or give one by --manifest; "
            f"it must name the columns (found: {', '.join(header)}), the interval and what the stamp means"
        )
    return [(path, described)]


def _import_file(into: _Into, path: Path, *, manifest: Manifest | None, tick: Callable[[float], None]) -> FileReport:
    if manifest is None:
        return FileReport(path.name, note="left out: no manifest describes it")
    check_columns(path, header_of(path, delimiter=manifest.delimiter), manifest.wanted())
    store, clock, sha = into.store, into.clock, _sha256(path)
    key = f"import:{sha}:{manifest.hash[:16]}:{_registry_hash(into.registry)[:16]}"
    run_id = start_run(store, kind=KIND, key=key, now=clock())
    if run_id is None:
        return FileReport(path.name, note="already imported", manifest=manifest.name)
    try:
        report, kept = _taken(into, run_id, path, manifest=manifest, sha256=sha, tick=tick)
    except KeyboardInterrupt:
        finish_run(store, run_id, now=clock(), outcome="interrupted")
        raise
    except DeaiError as error:
        _try_to_finish(store, run_id, clock, error)
        raise
    finish_run(store, run_id, now=clock(), outcome="done", detail=_detail(report) | kept)
    tick(1.0)
    return report


def _taken(
    into: _Into, run_id: int, path: Path, *, manifest: Manifest, sha256: str, tick: Callable[[float], None]
) -> tuple[FileReport, dict[str, str]]:
    """Writes a file's rows while another thread puts the file into the archive; what is kept of that in the run."""
    at_us = to_us(into.clock())
    with ThreadPoolExecutor(1, thread_name_prefix="archive") as beside:
        keeping = (
            beside.submit(
                keep_import, into.archive, path, sha256=sha256, manifest=manifest, registry=into.registry, at_us=at_us
            )
            if into.archive
            else None
        )
        rows = gated(path, manifest, registry=into.registry, now_us=at_us)
        written = write_rows(into.store, run_id, rows, tick=tick)
        _keep_rejects(into.store, run_id, path, rows, sha256=sha256)
        if keeping is None:
            return _report(path, rows, written), {}
        try:
            kept = keeping.result()
        except OSError as error:
            raise ImportFileError(
                f"{path.name} could not be kept in the archive ({error.strerror}); free some space and import again"
            ) from error
    write_payloads(into.store, run_id, kept.payloads)
    return _report(path, rows, written), {"record": kept.record}


def write_rows(
    store: Store, run_id: int, rows: FileRows, *, tick: Callable[[float], None] = lambda share: None
) -> Written:
    """Writes the good rows of a file, chunk by chunk; `tick` is told the share that is done."""
    written = Written()
    kind = rows.manifest.kind
    if kind == "supply":
        return write_supplies(store, run_id, supplies_of(rows))
    if kind == "metrics":
        return write_metrics(store, run_id, metrics_of(rows))
    used = np.unique(rows.series[rows.order]).tolist()
    numbers = np.full(max(used, default=0) + 1, -1, dtype=np.int64)
    if kind == "benchmarks":
        ids = ensure_benchmarks(store, [rows.benchmarks[one] for one in used])
        numbers[used] = [ids[rows.benchmarks[one].symbol] for one in used]
    else:
        numbers[used] = ensure_listings(store, [rows.listings[one] for one in used])
    for start in range(0, len(rows.order), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        if kind == "benchmarks":
            written += write_benchmark_bars(store, run_id, benchmarks_of(rows, part, numbers))
        else:
            written += write_bars(store, run_id, bars_of(rows, part, numbers))
        tick(min(1.0, (start + CHUNK_ROWS) / max(1, len(rows.order))))
    return written


def _keep_rejects(store: Store, run_id: int, path: Path, rows: FileRows, *, sha256: str) -> None:
    texts = row_texts(path, [line for line, _ in rows.rejects])
    for start in range(0, len(rows.rejects), CHUNK_ROWS):
        chunk = rows.rejects[start : start + CHUNK_ROWS]
        write_rejects(
            store,
            run_id,
            [RejectRow(path.name, sha256, line, reason, texts.get(line, "")) for line, reason in chunk],
        )


def _report(path: Path, rows: FileRows, written: Written) -> FileReport:
    rules = Counter(reason.split(":")[0] for _, reason in rows.rejects)
    return FileReport(
        path.name,
        rows=rows.total,
        new=written.new,
        revised=written.revised,
        unchanged=written.unchanged,
        rejected=len(rows.rejects),
        duplicates=rows.duplicates,
        out_of_order=rows.out_of_order,
        filtered=rows.filtered,
        reasons=dict(rules.most_common()),
        manifest=rows.manifest.name,
    )


def _detail(report: FileReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in FileReport.__dataclass_fields__}


def _try_to_finish(store: Store, run_id: int, clock: Clock, error: DeaiError) -> None:
    """Marks the run failed; a store that cannot even take that leaves it running, to be taken up again."""
    try:
        finish_run(store, run_id, now=clock(), outcome="failed", detail={"error": str(error)})
    except DeaiError:
        return


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _registry_hash(registry: Registry) -> str:
    """Changes when a symbol would be resolved, or a supply scaled, differently."""
    known = [
        (asset.slug, asset.decimals, [(one.symbol, str(one.valid_from), str(one.valid_to)) for one in asset.symbols])
        for asset in registry.assets
    ]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()
