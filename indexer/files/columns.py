"""Reads CSV, CSV.gz and Parquet into columns, keeping for every row the line it stands on.

Place in the flow: manifest → here → stamps → gates → store. Well-formed numbers take Arrow's fast path; where a
number column holds something else the file is read again as text, so that the bad rows can be named.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.errors import ImportFileError, did_you_mean
from indexer.files.csv_text import content_of, first_line, opened, read_csv

if TYPE_CHECKING:
    import pyarrow as pa


CSV = (".csv", ".csv.gz")
PARQUET = (".parquet", ".pq")
SUFFIXES = (*CSV, *PARQUET)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number column (R,): NaN where the file has NaN, nothing, or (marked in `bad`) something else."""

    values: F64
    empty: Bools
    bad: Bools


@dataclass(frozen=True, slots=True)
class Words:
    """A text column (R,) as codes into its distinct values; an empty cell is the value ''."""

    codes: I64
    values: list[str]


@dataclass(frozen=True, slots=True)
class FileColumns:
    """What was read: `lines` (R,) counts from 1 with the header (Parquet: rows from 1); malformed rows apart."""

    lines: I64
    time: Any
    numbers: dict[str, Numbers]
    words: dict[str, Words]
    malformed: list[tuple[int, str]]


def header_of(path: Path, *, delimiter: str = ",") -> list[str]:
    """The column names of a file. Raises ImportFileError when it is empty or not of a known format."""
    if _is_parquet(path):
        import pyarrow.parquet as pq

        return list(opened(path, lambda: pq.read_schema(path)).names)
    return next(csv.reader([first_line(path)], delimiter=delimiter))


def check_columns(path: Path, header: Sequence[str], wanted: Iterable[str]) -> None:
    """Raises ImportFileError for a column that is not there, naming what is and the closest, or is there twice."""
    wanted = tuple(wanted)
    missing = [column for column in wanted if column not in header]
    if missing:
        named = ", ".join(f'"{column}"' for column in missing)
        hints = "".join(did_you_mean(column, header) for column in missing)
        raise ImportFileError(
            f"{path.name}: expected column {named}, found: {', '.join(header)}.{hints} "
            "Correct the manifest's [columns] or the file."
        )
    for column in wanted:
        if header.count(column) > 1:
            raise ImportFileError(f'{path.name}: column "{column}" is there {header.count(column)} times; keep one')


def read_columns(
    path: Path, *, time: str, numbers: Sequence[str], words: Sequence[str], delimiter: str = ","
) -> FileColumns:
    """The named columns of a file. Raises ImportFileError when the file as a whole cannot be read."""
    check_columns(path, header_of(path, delimiter=delimiter), dict.fromkeys((time, *numbers, *words)))
    if _is_parquet(path):
        table = _read_parquet(path, (time, *numbers, *words))
        malformed: list[tuple[int, str]] = []
        lines = np.arange(1, table.num_rows + 1, dtype=np.int64)
    else:
        table, lines, malformed = read_csv(path, time=time, numbers=numbers, words=words, delimiter=delimiter)
    return FileColumns(
        lines=lines,
        time=table.column(time),
        numbers={name: _numbers(table.column(name)) for name in numbers},
        words={name: _words(table.column(name)) for name in words},
        malformed=malformed,
    )


def row_texts(path: Path, lines: Iterable[int]) -> dict[int, str]:
    """The rows on some lines, as they stand in the file (Parquet: as JSON)."""
    wanted = set(lines)
    if not wanted:
        return {}
    if _is_parquet(path):
        import pyarrow.parquet as pq

        ordered = sorted(wanted)
        rows = pq.read_table(path).take([line - 1 for line in ordered]).to_pylist()
        return {line: json.dumps(row, default=str) for line, row in zip(ordered, rows, strict=True)}
    every = content_of(path).split(b"\n")
    return {line: every[line - 1].decode("utf-8", errors="replace").rstrip("\r") for line in wanted}


def _read_parquet(path: Path, names: Sequence[str]) -> pa.Table:
    import pyarrow.parquet as pq

    return opened(path, lambda: pq.read_table(path, columns=list(dict.fromkeys(names))))


def _numbers(column: Any) -> Numbers:
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = column.is_null().to_numpy()
    bad = np.zeros(len(column), dtype=np.bool_)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        values = np.full(len(column), np.nan)
        for i, word in enumerate(column.to_pylist()):
            if word is None or not word.strip():
                empty[i] = True
                continue
            try:
                values[i] = float(word) if "_" not in word else np.nan
                bad[i] = "_" in word
            except ValueError:
                bad[i] = True
        return Numbers(values, empty, bad)
    values = pc.cast(column, pa.float64(), safe=False).to_numpy().astype(np.float64)
    return Numbers(values, empty, bad)


def _words(column: Any) -> Words:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        column = pc.cast(column, pa.string()).dictionary_encode()
    column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if hasattr(column, "num_chunks"):
        column = column.unify_dictionaries().combine_chunks().chunk(0) if column.num_chunks else column
    if len(column) == 0:
        return Words(np.zeros(0, dtype=np.int64), [])
    values = [value or "" for value in column.dictionary.to_pylist()]
    codes = pc.fill_null(column.indices, len(values)).to_numpy().astype(np.int64)
    return Words(codes, [*values, ""])


def _is_parquet(path: Path) -> bool:
    if not path.exists():
        raise ImportFileError(f"{path.name} is not there")
    if not path.name.endswith(SUFFIXES):
        raise ImportFileError(f"{path.name}: not a known format; give {', '.join(SUFFIXES)}")
    return path.name.endswith(PARQUET)
