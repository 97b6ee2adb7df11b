"""What is seen in a file before anything is written, by the same reading and gates as an import."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from indexer.arrays import I64
from indexer.errors import ImportFileError
from indexer.files.columns import header_of
from indexer.files.containers import Table
from indexer.files.importing import chosen_tables, files_of, manifest_of, undescribed
from indexer.files.manifest import Manifest, read_manifest
from indexer.files.recognising import Unsaid, check_options
from indexer.files.records import FileRows
from indexer.files.rows import gated
from indexer.registry import Registry
from indexer.times import Clock, iso, to_us

SHOWN = 3


@dataclass(frozen=True, slots=True)
class SeenRow:
    """One row as it is read: its line, the instant at which its values are true, and these."""

    line: int
    time: str
    series: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is seen in one table. `manifest` is the TOML in force, `problem` why the table cannot be read, `asked` what
    it does not say."""

    path: str
    name: str
    form: str
    described_by: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    interval: str = ""
    stamp: str = ""
    timezone: str = ""
    units: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    rows: int = 0
    good: int = 0
    first: tuple[SeenRow, ...] = ()
    last: tuple[SeenRow, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    refused_first: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    manifest: str = ""
    problem: str = ""
    sheet: str = ""
    asked: tuple[str, ...] = ()


def explain_files(
    paths: Sequence[Path],
    *,
    registry: Registry,
    clock: Clock,
    manifest: Path | None = None,
    options: Mapping[str, str],
) -> list[Explanation]:
    """What is seen in each table of the files. A table that cannot be read has its `problem`, and the others follow."""
    check_options(options)
    stated = read_manifest(manifest) if manifest is not None else None
    reports = []
    for file in (file for path in paths for file in files_of(path)):
        try:
            tables = chosen_tables(file, options)
        except ImportFileError as error:
            reports.append(Explanation(str(file), file.name, "", problem=str(error)))
            continue
        for table in tables:
            try:
                reports.append(_explained(table, stated=stated, registry=registry, clock=clock, options=options))
            except ImportFileError as error:
                asked = error.asked if isinstance(error, Unsaid) else ()
                reports.append(
                    Explanation(str(file), table.name, table.form, sheet=table.sheet, asked=asked, problem=str(error))
                )
    return reports


def save_manifest(report: Explanation) -> Path:
    """Where the manifest in force of a file was saved: beside it. Raises ImportFileError rather than overwrite one."""
    path = Path(report.path).with_name(Path(report.path).name.split(".")[0] + ".toml")
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(report.manifest)
    except FileExistsError:
        if path.read_text(encoding="utf-8") != report.manifest:
            raise ImportFileError(f"{path.name} is there already, with another text; move it away first") from None
    return path


def explanation_text(report: Explanation) -> str:
    """The report for people."""
    if report.problem:
        return f"{report.name}\n  {report.problem}"
    facts = {
        "described by": report.described_by,
        "kind": f"{report.kind}, bars of {report.interval}" if report.kind in ("tokens", "benchmarks") else report.kind,
        "stamps": f"{report.stamp}, {' and '.join(report.units) or 'written as dates'}, "
        f"without an offset in {report.timezone}",
        "quote": ", ".join(report.quotes) or "none",
        "columns": ", ".join(f"{column!r} = {role}" for role, column in report.columns.items()),
        "not read": ", ".join(map(repr, report.unread)),
        "for all rows": ", ".join(f"{name} = {value}" for name, value in report.constants.items()),
        "rows": f"{report.rows:,}, of which {report.good:,} would be taken",
    }
    lines = [report.name, *(f"  {name}: {text}" for name, text in facts.items() if text)]
    shown = [*report.first, *(row for row in report.last if row not in report.first)]
    for row in shown:
        values = ", ".join(f"{role} {value:g}" for role, value in row.values.items())
        lines.append(f"    line {row.line:,}: {row.time}  {row.series}  {values}")
    lines += [
        f"  refused: {n:,} × {why} (first: line {report.refused_first[why]:,})" for why, n in report.refused.items()
    ]
    return "\n".join([*lines, *(f"  look at: {note}" for note in report.notes)])


def _explained(
    table: Table, *, stated: Manifest | None, registry: Registry, clock: Clock, options: Mapping[str, str]
) -> Explanation:
    manifest, described_by = manifest_of(table, given=stated, registry=registry, options=options)
    if manifest is None:
        raise ImportFileError(undescribed(table))
    wanted = manifest.wanted()
    columns = manifest.columns_by_symbol().items()
    report = Explanation(
        path=str(table.path),
        name=table.name,
        form=table.form,
        described_by=described_by,
        columns={f"{of} {role}".lstrip(): str(column) for of, roles in columns for role, column in roles.items()},
        unread=tuple(
            name for n, name in enumerate(header_of(table, manifest), 1) if name not in wanted and n not in wanted
        ),
        constants=manifest.constants,
        kind=manifest.kind,
        interval=manifest.interval,
        stamp=manifest.stamp,
        timezone=manifest.timezone,
        manifest=manifest.text,
        sheet=table.sheet,
    )
    for rows in gated(table, manifest, registry=registry, now_us=to_us(clock())):
        report = _with_part(report, rows)
    return report


def _with_part(report: Explanation, rows: FileRows) -> Explanation:
    """The report with what is seen in a part of the file added."""
    refused = Counter(report.refused) + Counter(reason for _, reason in rows.rejects)
    taken = np.sort(rows.order)
    return replace(
        report,
        rows=report.rows + rows.total,
        good=report.good + len(rows.order),
        refused=dict(refused.most_common()),
        refused_first={**{reason: line for line, reason in reversed(rows.rejects)}, **report.refused_first},
        first=report.first or _seen(rows, taken[:SHOWN]),
        last=(*report.last, *_seen(rows, taken[-SHOWN:]))[-SHOWN:],
        units=tuple(sorted({*report.units, *rows.read.stamps.units})),
        quotes=tuple(sorted({*report.quotes, *(listing.quote for listing in rows.listings)})),
        notes=tuple(dict.fromkeys([*report.notes, *rows.notes()])),
    )


def _seen(rows: FileRows, places: I64) -> tuple[SeenRow, ...]:
    return tuple(
        SeenRow(
            line=int(rows.read.lines[row]),
            time=iso(int(rows.time_us[row])),
            series=rows.words["symbol"].of(row),
            values={role: float(column.values[row]) for role, column in rows.numbers.items()},
        )
        for row in places.tolist()
    )
