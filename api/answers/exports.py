"""Whole histories as files (Parquet, Arrow IPC), made once for each data version and kept in a folder.

Readers such as polars fetch a URL in parts, so these are real files served with Range. A file appears by rename,
so that two processes may make the same one; files of former versions are removed when a new one is made.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from api.answers.wire import STATUS_NAMES
from indexer.store.read import IndexRow, read_levels
from indexer.times import INTERVAL_US

if TYPE_CHECKING:
    import pyarrow as pa

    from indexer.store.db import Store
    from indexer.store.records import LevelRows


class FileKind(StrEnum):
    """A file format for whole histories."""

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
        table = levels_table(index, read_levels(store, index.id, step_us=INTERVAL_US[interval]), version=version)
        _write(table, path, kind=kind)
        for former in folder.glob(f"{stem}-*.{kind}"):
            if former != path and len(former.stem) == len(path.stem):
                with suppress(FileNotFoundError):
                    former.unlink()
    return Export(path, f'"{digest}-{interval}-{kind}"')


def levels_table(index: IndexRow, rows: LevelRows, *, version: str) -> pa.Table:
    """Levels as an Arrow table: time timestamp[us, UTC], level, status, carried_weight, revision, published_at.

    The schema's metadata says which index, whether simulated, and by which methodology and data version.
    """
    import pyarrow as pa

    instant = pa.timestamp("us", tz="UTC")
    words = pa.DictionaryArray.from_arrays(pa.array(rows.status, pa.int8()), pa.array(STATUS_NAMES))
    columns = {
        "time": pa.array(rows.times_us, pa.int64()).cast(instant),
        "level": pa.array(rows.levels, pa.float64()),
        "status": words,
        "carried_weight": pa.array(rows.carried_weight, pa.float64()),
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
    }
    return pa.table(columns).replace_schema_metadata(about)


def _write(table: pa.Table, path: Path, *, kind: FileKind) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".making-")
    os.close(handle)
    part = Path(name)
    try:
        if kind is FileKind.PARQUET:
            from pyarrow import parquet

            parquet.write_table(table, part, compression="zstd")
        else:
            from pyarrow import feather

            feather.write_feather(table, part, compression="uncompressed")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
