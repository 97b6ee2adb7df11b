"""Values as bytes: JSON with no NaN in it (what is missing is `null`), CSV for sheets and frames, Parquet, Arrow IPC.

CSV is RFC 4180, UTF-8, one header row, empty cell = missing, newest last.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from indexer.arrays import I8
from indexer.engine.market import STATUS_NAMES
from indexer.errors import InputError
from indexer.store.drafts import draft
from indexer.store.rows import IndexRow, LevelRows
from indexer.times import from_us, iso, to_us

if TYPE_CHECKING:
    import pyarrow as pa

OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def json_bytes(value: Any) -> bytes:
    """JSON of dicts, lists, numpy arrays and aware datetimes; NaN and infinities become null."""
    return orjson.dumps(value, option=OPTIONS)


def as_rows(columns: Mapping[str, NDArray[Any] | list[Any]]) -> orjson.Fragment:
    """Columns of equal length as the JSON of a list of objects, for use inside of what goes to `json_bytes`.

    Arrays are of numbers or instants, lists of anything. Four times faster than one dict for each row: every column
    is written as a whole, cut at its commas, and laid between the names.
    """
    width, length = 2 * len(columns), len(next(iter(columns.values()), ()))
    if not length:
        return orjson.Fragment(b"[]")
    pieces = [b""] * (width * length)
    for place, (name, column) in enumerate(columns.items()):
        pieces[2 * place :: width] = [(b"," if place else b"},{") + json_bytes(name) + b":"] * length
        pieces[2 * place + 1 :: width] = _cells(column)
    pieces[0] = pieces[0].removeprefix(b"},")
    return orjson.Fragment(b"".join([b"[", *pieces, b"}]"]))


def _cells(column: NDArray[Any] | list[Any]) -> list[bytes]:
    if isinstance(column, np.ndarray):
        return json_bytes(column)[1:-1].split(b",")
    if all(isinstance(value, str) for value in column):
        words = {word: json_bytes(word) for word in set(column)}
        return [words[word] for word in column]
    return [json_bytes(value) for value in column]


def iso_times(times_us: NDArray[np.int64]) -> NDArray[np.str_]:
    """`2025-01-27T21:00:00Z` of each instant in microseconds; whole seconds (fractions are cut)."""
    seconds = times_us.astype("datetime64[us]").astype("datetime64[s]")
    text: NDArray[np.str_] = np.datetime_as_string(seconds)
    return np.strings.add(text, "Z") if text.size else text


def as_json_times(times_us: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Instants in the form that `json_bytes` writes as ISO text without a Python loop."""
    return times_us.astype("datetime64[us]")


def as_decimal_text(value: Any) -> Any:
    """The value with each number that is not whole as text: all its digits, no exponent; missing stays null."""
    if isinstance(value, float):
        return np.format_float_positional(value, unique=True, trim="0") if np.isfinite(value) else None
    if isinstance(value, dict):
        return {name: as_decimal_text(item) for name, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return as_decimal_text(value.tolist())
    return [as_decimal_text(item) for item in value] if isinstance(value, list) else value


def counts_of(constituents: NDArray[np.int64]) -> list[int | None]:
    """How many constituents each level has, None where that was not stored."""
    return [count or None for count in constituents.tolist()]


def level_at(rows: LevelRows, row: int) -> dict[str, Any]:
    """One of some levels as it goes over the wire."""
    return {
        "time": from_us(int(rows.times_us[row])),
        "level": float(rows.levels[row]),
        "status": status_name(int(rows.status[row])),
        "carried_weight": float(rows.carried_weight[row]),
        "perpetual_weight": float(rows.perpetual_weight[row]),
        "constituents": counts_of(rows.constituents)[row],
        "revision": int(rows.revision[row]),
        "published_at": from_us(int(rows.published_at_us[row])),
    }


RISKY = ("=", "+", "-", "@", "\t", "\r")


def to_csv(columns: Mapping[str, Sequence[Any]], *, text: Iterable[str] = (), header: bool = True) -> bytes:
    """CSV bytes of columns of equal length. `text` names the free-text columns, guarded against formulas."""
    guarded = set(text)
    cells = [
        [_guard(value) for value in values] if name in guarded else [_cell(value) for value in values]
        for name, values in columns.items()
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    if header:
        writer.writerow(columns)
    writer.writerows(zip(*cells, strict=True))
    return out.getvalue().encode()


def rows_to_csv(rows: Sequence[Mapping[str, Any]], names: Iterable[str], *, text: Iterable[str] = ()) -> bytes:
    """CSV bytes of objects that have these names, with the header even where there is no object."""
    return to_csv({name: [row[name] for row in rows] for name in names}, text=text)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return iso(to_us(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ""
    return str(value)


def _guard(value: Any) -> str:
    cell = _cell(value)
    return "'" + cell if cell.startswith(RISKY) else cell


def status_name(code: int) -> str:
    """The word of a status code; a rate that is missing altogether counts as suspended."""
    return STATUS_NAMES[min(code, len(STATUS_NAMES) - 1)]


def status_names(codes: I8) -> list[str]:
    """The words of status codes."""
    if len(codes) and codes.min() == codes.max():
        return [status_name(int(codes[0]))] * len(codes)
    return [STATUS_NAMES[min(code, len(STATUS_NAMES) - 1)] for code in codes.tolist()]


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


def write_levels(path: Path, index: IndexRow, rows: LevelRows, *, version: str, chain: Mapping[str, str | int]) -> None:
    """Writes levels to a file of the kind its name says. Raises InputError for another kind or where it cannot."""
    ending = path.suffix.removeprefix(".")
    if ending not in tuple(FileKind):
        raise InputError(f'"{path.name}": name the file {", ".join(f".{kind}" for kind in FileKind)}')
    with draft(path) as part:
        part.write_bytes(levels_as(FileKind(ending), index, rows, version=version, chain=chain))


def levels_as(
    kind: FileKind, index: IndexRow, rows: LevelRows, *, version: str, chain: Mapping[str, str | int]
) -> bytes:
    """The file of levels, with revision and publication time; `chain` are the heads of the hash chains then.

    Texts have ISO 8601 and words. Arrow has timestamp[us, UTC] and a dictionary, and says in the schema's metadata
    which index it is, whether simulated, by which methodology and data version, and the heads of the chains.
    """
    columns: dict[str, Any] = {
        "time": rows.times_us,
        "level": rows.levels,
        "status": rows.status,
        "carried_weight": rows.carried_weight,
        "perpetual_weight": rows.perpetual_weight,
        "constituents": counts_of(rows.constituents),
        "revision": rows.revision,
        "published_at": rows.published_at_us,
    }
    if kind not in MEDIA_TYPES:
        columns |= {name: iso_times(columns[name]) for name in ("time", "published_at")}
        columns["status"] = status_names(rows.status)
        lists = {name: column if isinstance(column, list) else column.tolist() for name, column in columns.items()}
        return to_csv(lists) if kind is FileKind.CSV else json_bytes(as_rows(lists))
    import pyarrow as pa

    columns |= {name: instants(columns[name]) for name in ("time", "published_at")}
    columns["status"] = pa.DictionaryArray.from_arrays(pa.array(rows.status, pa.int8()), pa.array(STATUS_NAMES))
    columns |= {name: pa.array(columns[name], pa.int32()) for name in ("constituents", "revision")}
    about = {
        "index": index.id,
        "simulated": str(index.simulated).lower(),
        "methodology_version": index.version,
        "methodology_hash": index.hash,
        "data_version": version,
        "unit": "index points",
        **{f"chain_{name}": str(value) for name, value in chain.items()},
    }
    return table_as(kind, pa.table(columns).replace_schema_metadata(about))


def instants(times_us: NDArray[np.int64]) -> pa.Array:
    """Microseconds as Arrow timestamps in UTC."""
    import pyarrow as pa

    return pa.array(times_us, pa.timestamp("us", tz="UTC"))


def table_as(kind: FileKind, table: pa.Table) -> bytes:
    """An Arrow table as a Parquet file or Arrow IPC (Feather)."""
    from pyarrow import BufferOutputStream, feather, parquet

    body = BufferOutputStream()
    if kind is FileKind.PARQUET:
        parquet.write_table(table, body, compression="zstd")
    else:
        feather.write_feather(table, body, compression="uncompressed")
    return bytes(body.getvalue().to_pybytes())
