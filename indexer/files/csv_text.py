"""The text of a CSV file → an Arrow table and the lines that are no rows: opened, decoded, split.

Place in the flow: files.py asks for it. No line vanishes: what Arrow would swallow or refuse is named by its line.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from indexer.arrays import I64
from indexer.errors import ImportFileError

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def first_line(path: Path) -> str:
    """The header line. Raises ImportFileError when there is none, or the text is of another encoding."""
    with opened(path, lambda: _stream(path)) as stream:
        first = opened(path, stream.readline)
    if first.startswith(UTF_16):
        raise ImportFileError(f"{path.name} is UTF-16 text; save it as UTF-8 and import it again")
    text = first.decode("utf-8-sig", errors="replace").strip()
    if not text:
        raise ImportFileError(f"{path.name} is empty: it has no header line")
    return text


def content_of(path: Path) -> bytes:
    """The text of a CSV file, unpacked."""

    def read() -> bytes:
        with _stream(path) as stream:
            return stream.read()

    return opened(path, read)


def read_csv(
    path: Path, *, time: str, numbers: Sequence[str], words: Sequence[str], delimiter: str
) -> tuple[pa.Table, I64, list[tuple[int, str]]]:
    """The named columns, the line of each row (the header is line 1), and lines that are no rows, with why.

    A number column that holds something else comes as text. Raises ImportFileError when it is no CSV at all.
    """
    import pyarrow as pa

    content, unreadable = content_of(path), dict[int, str]()
    coded = pa.dictionary(pa.int32(), pa.string())
    types = {name: pa.float64() for name in numbers} | dict.fromkeys(words, coded) | {time: pa.string()}
    try:
        table, malformed = _parse(content, types, delimiter=delimiter)
        sound = _count_lines(content) <= 1 + table.num_rows + len(malformed)  # else a quotation mark swallowed lines
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise ImportFileError(f"{path.name} cannot be read as CSV: {said(error)}") from None
        sound = False
    if not sound:
        content, unreadable = _blanked(content)
        types = types | {name: pa.string() for name in numbers}
        table, malformed = _parse(content, types, delimiter=delimiter)
    if malformed:  # only the single-threaded reader knows their line numbers
        table, malformed = _parse(content, types, delimiter=delimiter, threads=False)
    apart = [(number or 0, text) for number, text in malformed]
    lines = _lines(table.num_rows, [line for line, _ in apart])
    if unreadable:  # they stand in the table as empty rows, so that the others keep their numbers
        keep = ~np.isin(lines, list(unreadable))
        table, lines = table.filter(keep), lines[keep]
    return table, lines, sorted([*apart, *unreadable.items()])


def _blanked(content: bytes) -> tuple[bytes, dict[int, str]]:
    """The content with lines emptied that cannot be a row, and why: bytes that are no text, a quotation left open."""
    lines = content.split(b"\n")
    unreadable: dict[int, str] = {}
    for i, line in enumerate(lines[1:], start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            unreadable[i + 1] = f"not UTF-8 text: byte 0x{line[error.start]:02x} at position {error.start + 1}"
        if line.count(b'"') % 2:
            unreadable.setdefault(i + 1, "a quotation mark is not closed")
        if i + 1 in unreadable:
            lines[i] = b""
    return b"\n".join(lines), unreadable


def _parse(
    content: bytes, types: dict[str, Any], *, delimiter: str, threads: bool = True
) -> tuple[pa.Table, list[tuple[int | None, str]]]:
    """The columns, and rows of another width. Raises ArrowInvalid for a cell that is not of its column's type."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    malformed: list[tuple[int | None, str]] = []

    def skip(row: Any) -> str:
        malformed.append((row.number, f"{row.actual_columns} columns instead of {row.expected_columns}"))
        return "skip"

    convert = arrow_csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    parse = arrow_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=skip, ignore_empty_lines=False)
    read = arrow_csv.ReadOptions(use_threads=threads)
    source = pa.BufferReader(content)
    return arrow_csv.read_csv(source, read_options=read, parse_options=parse, convert_options=convert), malformed


def _lines(rows: int, malformed: Sequence[int]) -> I64:
    """Line numbers of the rows kept, when the header is line 1 and some lines were skipped."""
    every = np.arange(2, rows + len(malformed) + 2, dtype=np.int64)
    return every if not malformed else np.setdiff1d(every, np.array(malformed, dtype=np.int64), assume_unique=True)


def _count_lines(content: bytes) -> int:
    return content.count(b"\n") + (not content.endswith(b"\n"))


def _stream(path: Path) -> IO[bytes]:
    opener: Callable[[Path, str], Any] = gzip.open if path.suffix == ".gz" else Path.open
    stream: IO[bytes] = opener(path, "rb")
    return stream


def opened(path: Path, work: Callable[[], T]) -> T:
    """What `work` gives, or ImportFileError for a file that cannot be opened or is not what its name says."""
    import pyarrow as pa

    try:
        return work()
    except FileNotFoundError:
        raise ImportFileError(f"{path.name} is not there") from None
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise ImportFileError(f"{path.name} cannot be read: {said(error)}") from None


def said(error: BaseException) -> str:
    """What an error says, on one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
