"""Levels as files: CSV, JSON, Parquet, Arrow IPC. A file appears by rename, whole or not at all.

Readers such as polars fetch a URL in parts, so the API's files are real ones, served with Range: made once for each
data version and kept in a folder; those of former versions are removed when a new one is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.answers.answer import Answer
from api.answers.encode import as_rows, counts_of, iso_times, json_bytes, status_names, to_csv
from indexer.engine.market import STATUS_NAMES
from indexer.errors import InputError
from indexer.store.drafts import draft
from indexer.store.heads import chain_of
from indexer.store.levels import read_levels
from indexer.store.rows import IndexRow
from indexer.times import INTERVAL_US

if TYPE_CHECKING:
    import pyarrow as pa

    from indexer.store.db import Store
    from indexer.store.rows import LevelRows


class FileKind(StrEnum):
    """A file format for whole histories, by the ending of the file's name."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


MEDIA_TYPES = {
    FileKind.PARQUET: "application/vnd.apache.parquet",
    FileKind.ARROW: "application/vnd.apache.arrow.file",
}


@dataclass(frozen=True, slots=True)
class Export:
    """A finished file and its strong ETag."""

    path: Path
    etag: str


def export_levels(
    store: Store, index: IndexRow, *, interval: str, kind: FileKind, version: str, folder: Path
) -> Export:
    """The file of all levels of an index on a grid, made now if this data version has none yet."""
    digest = blake2b(f"{store.url}|{version}|{index.hash}".encode(), digest_size=10).hexdigest()
    stem = f"{index.id}-{interval}"
    path = folder / f"{stem}-{digest}.{kind}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows = read_levels(store, index.id, step_us=INTERVAL_US[interval])
        write_levels(path, index, rows, version=version, chain=chain_of(store, index.id))
        for former in folder.glob(f"{stem}-*.{kind}"):
            if former != path and len(former.stem) == len(path.stem):
                with suppress(FileNotFoundError):
                    former.unlink()
    return Export(path, f'"{digest}-{interval}-{kind}"')


def write_levels(path: Path, index: IndexRow, rows: LevelRows, *, version: str, chain: Mapping[str, str | int]) -> None:
    """Writes levels to a file of the kind its name says; `chain` are the heads of the hash chains then.

    Raises InputError for another kind or where it cannot.
    """
    if path.suffix.removeprefix(".") not in tuple(FileKind):
        raise InputError(f'"{path.name}": name the file {", ".join(f".{kind}" for kind in FileKind)}')
    with draft(path) as part:
        _write(part, index, rows, kind=FileKind(path.suffix.removeprefix(".")), version=version, chain=chain)


def _write(
    part: Path, index: IndexRow, rows: LevelRows, *, kind: FileKind, version: str, chain: Mapping[str, str | int]
) -> None:
    if kind is FileKind.CSV:
        part.write_bytes(to_csv(level_texts(rows)))
    elif kind is FileKind.JSON:
        part.write_bytes(json_bytes(as_rows(level_texts(rows))))
    elif kind is FileKind.PARQUET:
        from pyarrow import parquet

        parquet.write_table(levels_table(index, rows, version=version, chain=chain), part, compression="zstd")
    else:
        from pyarrow import feather

        feather.write_feather(levels_table(index, rows, version=version, chain=chain), part, compression="uncompressed")


def level_texts(rows: LevelRows) -> dict[str, list[Any]]:
    """Levels by column for what has no types: instants are ISO 8601, a status is its word."""
    return {
        "time": iso_times(rows.times_us).tolist(),
        "level": rows.levels.tolist(),
        "status": status_names(rows.status),
        "carried_weight": rows.carried_weight.tolist(),
        "perpetual_weight": rows.perpetual_weight.tolist(),
        "constituents": counts_of(rows.constituents),
        "revision": rows.revision.tolist(),
        "published_at": iso_times(rows.published_at_us).tolist(),
    }


def levels_table(index: IndexRow, rows: LevelRows, *, version: str, chain: Mapping[str, str | int]) -> pa.Table:
    """Levels as an Arrow table: time timestamp[us, UTC], level, status, carried_weight,
    perpetual_weight, constituents, revision, published_at.

    The schema's metadata says which index, whether simulated, by which methodology and data version, and the heads of
    the chains of levels and seals.
    """
    import pyarrow as pa

    instant = pa.timestamp("us", tz="UTC")
    words = pa.DictionaryArray.from_arrays(pa.array(rows.status, pa.int8()), pa.array(STATUS_NAMES))
    columns = {
        "time": pa.array(rows.times_us, pa.int64()).cast(instant),
        "level": pa.array(rows.levels, pa.float64()),
        "status": words,
        "carried_weight": pa.array(rows.carried_weight, pa.float64()),
        "perpetual_weight": pa.array(rows.perpetual_weight, pa.float64()),
        "constituents": pa.array(counts_of(rows.constituents), pa.int32()),
        "revision": pa.array(rows.revision, pa.int32()),
        "published_at": pa.array(rows.published_at_us, pa.int64()).cast(instant),
    }
    about = {
        "index": index.id,
        "simulated": str(index.simulated).lower(),
        "methodology_version": index.version,
        "methodology_hash": index.hash,
        "data_version": version,
        "unit": "index points",
        **{f"chain_{name}": str(value) for name, value in chain.items()},
    }
    return pa.table(columns).replace_schema_metadata(about)


def parquet_answer(columns: Mapping[str, Any]) -> Answer:
    """A table as a Parquet file; its `time` is in microseconds."""
    import pyarrow
    from pyarrow import parquet

    time = pyarrow.array(columns["time"], pyarrow.timestamp("us", tz="UTC"))
    body = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table({**columns, "time": time}), body, compression="zstd")
    return Answer(body.getvalue().to_pybytes(), media_type=MEDIA_TYPES[FileKind.PARQUET], compress=False)
