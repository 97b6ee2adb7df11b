"""Stored levels → a file: CSV, JSON or Parquet by its name, written beside and moved in place when whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from indexer.engine.market import Status
from indexer.errors import InputError
from indexer.store.db import Store
from indexer.store.read import read_levels
from indexer.store.records import LevelRows
from indexer.times import iso

COLUMNS = ("time", "level", "status", "carried_weight", "revision")


def export_levels(
    store: Store,
    index_id: str,
    *,
    path: Path,
    step_us: int | None = None,
    start_us: int | None = None,
    end_us: int | None = None,
) -> int:
    """Write the levels to the file and give their number. Raises InputError for another kind of file."""
    writer = WRITERS.get(path.suffix)
    if writer is None:
        raise InputError(f'"{path.name}": name the file .csv, .json or .parquet')
    rows = read_levels(store, index_id, start_us=start_us, end_us=end_us, step_us=step_us)
    part = path.with_name(path.name + ".part")
    try:
        writer(part, rows)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    return len(rows)


def _records(rows: LevelRows) -> list[tuple[str, float, str, float, int]]:
    return [
        (iso(time), level, Status(status).name.lower(), carried, revision)
        for time, level, status, carried, revision in zip(
            rows.times_us.tolist(),
            rows.levels.tolist(),
            rows.status.tolist(),
            rows.carried_weight.tolist(),
            rows.revision.tolist(),
            strict=True,
        )
    ]


def _write_csv(path: Path, rows: LevelRows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        made = csv.writer(file, lineterminator="\r\n")
        made.writerow(COLUMNS)
        made.writerows(_records(rows))


def _write_json(path: Path, rows: LevelRows) -> None:
    records = [dict(zip(COLUMNS, record, strict=True)) for record in _records(rows)]
    path.write_text(json.dumps(records, allow_nan=False), encoding="utf-8")


def _write_parquet(path: Path, rows: LevelRows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "time": pa.array(rows.times_us, type=pa.timestamp("us", tz="UTC")),
            "level": rows.levels,
            "status": [Status(code).name.lower() for code in rows.status.tolist()],
            "carried_weight": rows.carried_weight,
            "revision": rows.revision,
        }
    )
    pq.write_table(table, path, compression="zstd")


WRITERS: dict[str, Callable[[Path, LevelRows], None]] = {
    ".csv": _write_csv,
    ".json": _write_json,
    ".parquet": _write_parquet,
}
