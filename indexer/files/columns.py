"""Reads the tables of files into columns, part by part, keeping for every row the line it stands on.

A part is a block of text or BATCH_ROWS rows, so that memory does not grow with the file; where symbols stand side by
side, those of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.arrays import I64, Bools
from indexer.errors import ImportFileError, did_you_mean
from indexer.files.containers import Table, opened, whole_bytes
from indexer.files.manifest import NUMBERS, TEXTS, Column, Manifest
from indexer.files.numbers import Numbers, Style, parse_numbers, style_of
from indexer.files.stamps import Stamps, instants, is_text
from indexer.files.text import Block, blocks, delimiter_of, head_lines, parse_block, split, table_start, usual_width

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 60_000
HEAD_ROWS = 50
HOURS = re.compile(r"(?i)hour|hr|stunde|heure|hora")  # names of columns
Texts = Callable[[Sequence[int]], dict[int, str]]


@dataclass(frozen=True, slots=True)
class Words:
    """A text column (R,) as codes into its distinct values; an empty cell is the value ''."""

    codes: I64
    values: list[str]

    def where(self, test: Callable[[str], object]) -> Bools:
        """The rows (R,) whose value passes a test."""
        return np.array([bool(test(value)) for value in self.values] or [False])[self.codes]

    def of(self, row: int) -> str:
        """The value of a row."""
        return self.values[int(self.codes[row])]

    def rows(self, index: I64) -> list[str]:
        """The values of some rows."""
        return [self.values[code] for code in self.codes[index].tolist()]


@dataclass(frozen=True, slots=True)
class FileColumns:
    """Rows of a file by role: `lines` (R,) counts from 1 with the header (other forms: rows from 1).

    `keep` are the columns that rows are chosen by; `malformed` are lines that are no rows, with why; `share` is how
    much of the file is read by now.
    """

    lines: I64
    stamps: Stamps
    numbers: dict[str, Numbers]
    words: dict[str, Words]
    keep: dict[str, Words]
    malformed: list[tuple[int, str]]
    texts: Texts
    share: float


@dataclass(frozen=True, slots=True)
class Shape:
    """What the head of a text says of it: the mark between columns, their names, the line of the first row."""

    delimiter: str
    header: list[str]
    first: int
    lines: list[str]


def header_of(table: Table, manifest: Manifest | None = None) -> list[str]:
    """The column names of a table. Raises ImportFileError when it is empty or cannot be read."""
    if table.form == "text":
        return shape_of(table, manifest).header
    return _record_batches(table)[0]


def shape_of(table: Table, manifest: Manifest | None = None) -> Shape:
    """The shape of a text, by the manifest where there is one."""
    lines = head_lines(table)
    if not any(line.strip() for line in lines):
        raise ImportFileError(f"{table.name} is empty: it has no header line")
    skip = manifest.skip if manifest else table_start(lines, delimiter_of(lines))
    inner = lines[skip:]
    if not inner:
        raise ImportFileError(f"{table.name} has {len(lines)} lines, and the manifest skips {skip}")
    mark = (manifest.delimiter if manifest else "") or _delimiter(inner, manifest)
    rows = [split(line, mark) for line in inner[:HEAD_ROWS] if line.strip()]
    if manifest is None or manifest.header:
        after = manifest.skip_after if manifest else 0
        header = _header(split(inner[0], mark), rows[1:])
        return Shape(mark, header, skip + 1 + after + 1, lines)
    return Shape(mark, [str(n + 1) for n in range(usual_width([len(row) for row in rows]))], skip + 1, lines)


def _header(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The column names, with one without a name where the rows have a column more: a last empty one, or row names."""
    header = [name.strip().lstrip("# ") for name in names]
    if rows and usual_width([len(row) for row in rows]) == len(header) + 1:
        return [*header, ""] if all(not row[-1].strip() for row in rows if row) else ["", *header]
    return header


def sample_of(table: Table) -> tuple[list[str], list[list[str]]]:
    """The column names of a table that is no text, and the cells of its first rows as text."""
    first, _ = next(_tables(table), (None, 0.0))
    if first is None:
        return header_of(table), []
    first = first.slice(0, HEAD_ROWS)
    columns = [["" if cell is None else str(cell) for cell in column.to_pylist()] for column in first.columns]
    return list(first.column_names), [list(row) for row in zip(*columns, strict=True)]


def check_columns(name: str, header: Sequence[str], manifest: Manifest) -> None:
    """Raises ImportFileError for a column that is not there, naming what is and the closest, or is there twice."""
    wanted = manifest.wanted()
    beyond = [str(column) for column in wanted if isinstance(column, int) and column > len(header)]
    if beyond:
        raise ImportFileError(f"{name}: expected column {', '.join(beyond)}, there are {len(header)}")
    missing = [column for column in wanted if isinstance(column, str) and column not in header]
    if missing:
        named = ", ".join(f'"{column}"' for column in missing)
        hints = "".join(did_you_mean(column, header) for column in missing)
        raise ImportFileError(
            f"{name}: expected column {named}, found: {', '.join(header)}.{hints} "
            "Correct the manifest's [columns] or the file."
        )
    for column in wanted:
        if isinstance(column, str) and header.count(column) > 1:
            raise ImportFileError(f'{name}: column "{column}" is there {header.count(column)} times; keep one')


def read_parts(table: Table, manifest: Manifest) -> Iterator[FileColumns]:
    """The rows of a table by role, part by part; where symbols stand side by side, those of each in turn.

    Raises ImportFileError when it cannot be read as described.
    """
    header = header_of(table, manifest)
    check_columns(table.name, header, manifest)
    place = {column: _place(column, header) for column in manifest.wanted()}
    for frame in (_text_frames if table.form == "text" else _arrow_frames)(table, manifest, place):
        malformed = frame.malformed
        for symbol, roles in manifest.columns_by_symbol().items():
            yield replace(_by_role(_of_symbol(frame, manifest, symbol), manifest, roles, symbol), malformed=malformed)
            malformed = []


def _delimiter(lines: Sequence[str], manifest: Manifest | None) -> str:
    """A comma where it gives the columns that the manifest names, else what the lines have in common."""
    if manifest is not None and manifest.header and lines:
        names = [name.strip() for name in split(lines[0], ",")]
        wanted = [column for column in manifest.wanted() if isinstance(column, str)]
        if wanted and all(column in names for column in wanted):
            return ","
    return delimiter_of(lines)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Some rows as the file has them: the columns that are read, their lines, how numbers are written."""

    columns: dict[Column, Any]
    lines: I64
    style: Style
    texts: Texts
    share: float
    malformed: list[tuple[int, str]]


def _text_frames(table: Table, manifest: Manifest, place: Mapping[Column, int]) -> Iterator[_Frame]:
    shape = shape_of(table, manifest)
    by_symbol = manifest.columns_by_symbol().values()
    numeric = {place[columns[role]] for columns in by_symbol for role in NUMBERS if role in columns}
    rows = (split(line, shape.delimiter) for line in shape.lines[shape.first - 1 :])
    style = _style(manifest, (row[n] for row in rows for n in numeric if n < len(row)))
    text = {place[manifest.columns[role]] for role in ("time", "clock", *TEXTS, "supply") if role in manifest.columns}
    text |= {place[column] for column in manifest.keep}
    types = {n: "number" if n in numeric - text else "text" for n in sorted(numeric | text)}
    for block in blocks(table):
        inner = _without_head(block, shape.first)
        if not inner.content:
            continue
        arrow, lines, malformed = parse_block(
            inner, width=len(shape.header), types=types, delimiter=shape.delimiter, decimal=style.decimal
        )
        columns = {column: arrow.column(str(n)) for column, n in place.items()}
        yield _Frame(columns, lines, style, inner.texts, block.share, malformed)


def _without_head(block: Block, first: int) -> Block:
    """The block without the lines before the first row."""
    drop = max(0, first - block.first)
    parts = block.content.split(b"\n", drop) if drop else [block.content]
    return Block(block.first + drop, parts[drop] if len(parts) > drop else b"")


def _arrow_frames(table: Table, manifest: Manifest, place: Mapping[Column, int]) -> Iterator[_Frame]:
    header, style, first = header_of(table), None, 1
    by_name = table.form == "parquet"  # in other forms a name may be there twice, as in a sheet
    for batch, share in _tables(table, list(dict.fromkeys(header[n] for n in place.values()))):
        lines = np.arange(first, first + batch.num_rows, dtype=np.int64)
        at = {column: batch.schema.names.index(header[n]) if by_name else n for column, n in place.items()}
        columns = {column: batch.column(n) for column, n in at.items()}
        style = style or _style(manifest, _written_numbers(columns, manifest))
        yield _Frame(columns, lines, style, _row_texts(batch, first), share, [])
        first += batch.num_rows


def _tables(table: Table, names: list[str] | None = None) -> Iterator[tuple[pa.Table, float]]:
    """The rows, BATCH_ROWS at a time whatever pieces they are kept in, and how much of the table is read."""
    import pyarrow as pa

    _, total, batches = _record_batches(table, names)
    pieces: list[pa.RecordBatch] = []
    done = rows = 0
    while (batch := opened(table.name, lambda: next(batches, None))) is not None:
        pieces.append(batch)
        rows += batch.num_rows
        while rows >= 1.5 * BATCH_ROWS:  # so that the last part is no short one: rows are judged together
            both = pa.Table.from_batches(pieces)
            done += BATCH_ROWS
            yield both.slice(0, BATCH_ROWS), min(1.0, done / total)
            pieces, rows = both.slice(BATCH_ROWS).to_batches(), rows - BATCH_ROWS
    if rows:
        yield pa.Table.from_batches(pieces), 1.0


def _record_batches(table: Table, names: list[str] | None = None) -> tuple[list[str], int, Iterator[pa.RecordBatch]]:
    """Column names, how many rows there are (1 where nothing says it), and the rows as they are kept; of Parquet only
    the columns of some names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if table.form not in ("parquet", "feather"):
        return list(table.whole.column_names), table.whole.num_rows or 1, iter(table.whole.to_batches())
    source = opened(table.name, lambda: _by_position(table))
    if table.form == "parquet":
        file = opened(table.name, lambda: pq.ParquetFile(source))
        rows = file.iter_batches(batch_size=BATCH_ROWS, columns=names, use_threads=False)
        return list(file.schema_arrow.names), file.metadata.num_rows or 1, rows
    if source.read(6) != b"ARROW1":
        source.seek(0)
        reader = opened(table.name, lambda: pa.ipc.open_stream(source))
        return list(reader.schema.names), 1, iter(reader)
    reader = opened(table.name, lambda: pa.ipc.open_file(source))
    return list(reader.schema.names), 1, (reader.get_batch(n) for n in range(reader.num_record_batches))


def _by_position(table: Table) -> Any:
    """What is read by position: the file itself, or its unpacked bytes."""
    import pyarrow as pa

    if not table.inner and not table.path.name.lower().endswith(".gz"):
        return pa.memory_map(str(table.path))
    return pa.BufferReader(whole_bytes(table))


def _row_texts(batch: pa.Table, first: int) -> Texts:
    def texts(lines: Sequence[int]) -> dict[int, str]:
        mine = [line for line in lines if first <= line < first + batch.num_rows]
        try:
            rows = batch.take([line - first for line in mine]).to_pylist() if mine else []
        except (OverflowError, ValueError):  # a stamp beyond what Python's dates can hold
            rows = ["a row that cannot be shown"] * len(mine)
        return {line: json.dumps(row, default=str) for line, row in zip(mine, rows, strict=True)}

    return texts


def _place(column: Column, header: Sequence[str]) -> int:
    return column - 1 if isinstance(column, int) else list(header).index(column)


def _written_numbers(columns: Mapping[Column, Any], manifest: Manifest) -> Iterator[str]:
    """The first cells of number columns that hold text."""
    for roles in manifest.columns_by_symbol().values():
        for column in (columns[roles[role]] for role in NUMBERS if role in roles):
            if is_text(column.type):
                yield from filter(None, column.slice(0, HEAD_ROWS).to_pylist())


def _style(manifest: Manifest, cells: Iterable[str]) -> Style:
    decimal, thousands = style_of(cells, decimal=manifest.decimal, thousands=manifest.thousands)
    return Style(decimal, thousands, manifest.constants.get("quote", ""), tuple(manifest.missing))


def _of_symbol(frame: _Frame, manifest: Manifest, symbol: str) -> _Frame:
    """The rows of a symbol that has columns of its own, without its empty places; all rows for ''."""
    if not symbol:
        return frame
    own = [frame.columns[column] for column in manifest.wide[symbol].values()]
    there = np.logical_or.reduce([column.is_valid().to_numpy(zero_copy_only=False) for column in own])
    columns = {column: values.filter(there) for column, values in frame.columns.items()}
    return replace(frame, columns=columns, lines=frame.lines[there])


def _by_role(frame: _Frame, manifest: Manifest, roles: Mapping[str, Column], symbol: str) -> FileColumns:
    columns, style = frame.columns, frame.style
    time = columns[roles["time"]]
    if "clock" in roles:
        time = date_and_clock(time, columns[roles["clock"]], name=roles["clock"])
    words = {role: _words(columns[roles[role]], roles[role]) for role in (*TEXTS, "supply") if role in roles}
    if symbol:
        words["symbol"] = Words(np.zeros(len(frame.lines), dtype=np.int64), [symbol])
    return FileColumns(
        lines=frame.lines,
        stamps=instants(time, timezone=manifest.timezone, date_format=manifest.date_format, name=str(roles["time"])),
        numbers={role: _numbers(columns[roles[role]], role, style, roles[role]) for role in NUMBERS if role in roles},
        words=words,
        keep={column: _words(columns[column], column) for column in manifest.keep},
        malformed=[],
        texts=frame.texts,
        share=frame.share,
    )


def date_and_clock(dates: Any, clocks: Any, *, name: Column) -> Any:
    """Dates and times of day as one text; plain digits are hours where the column is called so, else HHMM[SS]."""
    import pyarrow as pa
    import pyarrow.compute as pc

    date, clock = (pc.utf8_trim_whitespace(_cast(column, pa.string(), "time")) for column in (dates, clocks))
    if HOURS.search(str(name)):
        clock = pc.replace_substring_regex(clock, r"^(\d{1,2})$", r"\1:00")
    else:
        digits = pc.match_substring_regex(clock, r"^\d+$")
        width = 6 if pc.any(pc.greater(pc.utf8_length(clock.filter(digits)), 4)).as_py() else 4
        clock = pc.if_else(digits, pc.utf8_lpad(clock, width, "0"), clock)
        clock = pc.replace_substring_regex(clock, r"^(\d\d)(\d\d)(\d\d)?$", r"\1:\2:\3")
        clock = pc.replace_substring_regex(clock, r":$", "")
    return pc.binary_join_element_wise(date, pc.replace_substring_regex(clock, r"^(\d):", r"0\1:"), " ")


def _numbers(column: Any, role: str, style: Style, name: Column) -> Numbers:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = _cast(column, pa.string(), name)
    if is_text(column.type):
        scaled = role in ("volume", "value")
        return parse_numbers(column.to_pylist(), style, scaled=scaled, percent=role == "value")
    if pa.types.is_decimal(column.type):
        column = _cast(column, pa.string(), name)  # whose digits are read exactly; Arrow's own way to floats is not
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)):
        raise ImportFileError(f'column "{name}" is of the type {column.type}, which is no number; correct the manifest')
    values = _cast(column, pa.float64(), name).to_numpy(zero_copy_only=False).astype(np.float64)
    return Numbers(values, column.is_null().to_numpy(zero_copy_only=False), np.zeros(len(column), dtype=np.bool_))


def _words(column: Any, name: Column) -> Words:
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = _cast(column, pa.string(), name).dictionary_encode()
    coded = coded.unify_dictionaries().combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0) if coded.num_chunks else pa.array([], pa.dictionary(pa.int32(), pa.string()))
    if len(coded) == 0:
        return Words(np.zeros(0, dtype=np.int64), [])
    values = [value or "" for value in coded.dictionary.to_pylist()]
    codes = pc.fill_null(coded.indices, len(values)).to_numpy(zero_copy_only=False).astype(np.int64)
    return Words(codes, [*values, ""])


def _cast(column: Any, target: Any, name: Column | str) -> Any:
    """The column as another type. Raises ImportFileError for lists, structs and what else has no such form."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(column, target, safe=False)
    except pa.ArrowException:
        raise ImportFileError(
            f'column "{name}" is of the type {column.type}, which cannot be read as {target}; '
            "correct the manifest or the file"
        ) from None
