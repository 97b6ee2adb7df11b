"""The text of a CSV file → blocks of whole lines → Arrow tables, with the line of every row; nothing is read at once.

No line vanishes: what Arrow would swallow or refuse is named by its line. A quotation over a line's end is refused.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.arrays import I64
from indexer.errors import ImportFileError
from indexer.files.containers import Table, opened

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 4 << 20
LONGEST_LINE = 16 << 20
HEAD_LINES = 200
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"
DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a file; `first` is the number of the first one, from 1, `share` how much of the file is read."""

    first: int
    content: bytes
    share: float = 1.0

    def texts(self, lines: Sequence[int]) -> dict[int, str]:
        """Those of the lines (by number) that stand in this block."""
        every = self.content.split(b"\n")
        wanted = [line for line in lines if self.first <= line < self.first + len(every)]
        return {line: every[line - self.first].decode("utf-8", errors="replace") for line in wanted}


def blocks(table: Table, *, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """The text of a file in blocks of whole lines, ended by LF whatever the file has (CR, CRLF, a mixture).

    UTF-16 comes as UTF-8. Raises ImportFileError when it cannot be unpacked, or has a line of more than LONGEST_LINE
    bytes.
    """
    first, rest = 1, b""
    decoder: codecs.IncrementalDecoder | None = None
    with opened(table.name, table.stream) as stream:
        for part, ended in _pieces(lambda: opened(table.name, lambda: stream.read(size)), size):
            if first == 1 and not rest and part.startswith(UTF_16):
                decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
            whole = rest + (decoder.decode(part, final=ended).encode() if decoder else part)
            if first == 1 and (ended or len(whole) > 3):
                whole = whole.removeprefix(BOM)
            held = b"\r" if whole.endswith(b"\r") and not ended else b""  # an LF may follow in the next part
            content = whole[: len(whole) - len(held)]
            if b"\r" in content:
                content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            cut = len(content) if ended else content.rfind(b"\n") + 1
            rest = content[cut:] + held
            if len(rest) > LONGEST_LINE:
                raise ImportFileError(f"{table.name}: line {first:,} is longer than 16 MB; this is no table")
            if cut:
                yield Block(first, content[:cut], stream.share)
                first += content.count(b"\n", 0, cut)


def _pieces(read: Callable[[], bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """What is read, and whether it is the last: a short end comes with what is before it, to be judged with it."""
    piece = read()
    while piece:
        after = read()
        if len(after) < size // 2:
            piece, after = piece + after, b""
        yield piece, not after
        piece = after


def head_lines(table: Table) -> list[str]:
    """The first lines of a file, to be recognised by."""
    lines: list[str] = []
    for block in blocks(table, size=1 << 16):
        lines += [decoded(line) for line in block.content.removesuffix(b"\n").split(b"\n")]
        if len(lines) > 1:
            break
    return lines[:HEAD_LINES]


def decoded(line: bytes) -> str:
    """A line as text; one that is no UTF-8, such as a header with umlauts, is Windows' text."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")


def split(line: str, delimiter: str) -> list[str]:
    """The cells of one line; a quotation left open ends with the line. One cell of 128 kB is none of a table's."""
    try:
        return next(csv.reader([line.replace("\0", "")], delimiter=delimiter), [])
    except csv.Error:
        return [line]


def delimiter_of(lines: Sequence[str]) -> str:
    """The character between columns: the one that gives the same number of cells on most lines, and the most cells.

    A blank where no line has another.
    """
    sample = [line for line in lines[:30] if line.strip()]
    marks = DELIMITERS if any(mark in line for line in sample for mark in DELIMITERS) else " "
    scores: dict[str, tuple[bool, int, int]] = {}
    for mark in marks:
        widths = [len(split(line, mark)) for line in sample]
        usual = usual_width(widths)
        scores[mark] = (usual > 1, widths.count(usual), usual)
    return max(marks, key=lambda mark: scores[mark]) if sample else ","


def table_start(lines: Sequence[str], delimiter: str) -> int:
    """How many lines stand before a table: empty ones, comments, a title, Excel's `sep=;`."""
    widths = [len(split(line, delimiter)) if line.strip() else 0 for line in lines]
    usual = usual_width(widths)
    rows = (
        n
        for n, (line, width) in enumerate(zip(lines, widths, strict=True))
        if width >= max(usual - 1, min(usual, 2)) and not re.match(r"sep=|#\s*[^,;\t|]*$", line, re.IGNORECASE)
    )
    return next(rows, 0)


def usual_width(widths: Sequence[int]) -> int:
    """The number of cells that most rows have; 1 where there are none."""
    present = [width for width in widths if width]
    return max(set(present), key=present.count, default=1)


def parse_block(
    block: Block, *, width: int, types: dict[int, str], delimiter: str, decimal: str
) -> tuple[pa.Table, I64, list[tuple[int, str]]]:
    """The asked columns by position ("0", "1", …), the line of each row, and lines that are no rows, with why.

    `types` are number or text by position; a number column that holds something else comes as text.
    """
    import pyarrow as pa

    content, unreadable = block.content, dict[int, str]()
    numbers = [place for place, kind in types.items() if kind == "number"]
    arrow = {str(place): pa.float64() if kind == "number" else pa.string() for place, kind in types.items()}
    names = [str(place) for place in range(width)]
    count = content.count(b"\n") + (not content.endswith(b"\n"))
    try:
        table, malformed = _arrow(content, names, arrow, delimiter=delimiter, decimal=decimal)
        sound = count <= table.num_rows + len(malformed) and b"\0" not in content
    except pa.ArrowInvalid:
        sound = False
    if not sound:  # a cell that is no number, a quotation mark that swallowed lines, bytes that are no text
        content, unreadable = _blanked(block)
        arrow |= {str(place): pa.string() for place in numbers}
        table, malformed = _arrow(content, names, arrow, delimiter=delimiter, decimal=decimal)
    if malformed:  # only the single-threaded reader knows their line numbers
        table, malformed = _arrow(content, names, arrow, delimiter=delimiter, decimal=decimal, threads=False)
    apart = [(number + block.first - 1, text) for number, text in malformed]
    lines = np.arange(block.first, block.first + table.num_rows + len(apart), dtype=np.int64)
    if apart:
        lines = np.setdiff1d(lines, np.array([line for line, _ in apart], dtype=np.int64), assume_unique=True)
    blank = _blank(block)
    if unreadable or blank:  # they stand in the table as empty rows, so that the others keep their numbers
        keep = ~np.isin(lines, [*unreadable, *blank])
        table, lines = table.filter(pa.array(keep)), lines[keep]
    return table, lines, sorted([*((line, why) for line, why in apart if line not in blank), *unreadable.items()])


def _blank(block: Block) -> set[int]:
    """The lines on which nothing stands: no rows, and nothing to refuse."""
    if b"\n\n" not in block.content and not block.content.startswith(b"\n"):
        return set()
    return {block.first + n for n, line in enumerate(block.content.split(b"\n")) if not line.strip()}


def _blanked(block: Block) -> tuple[bytes, dict[int, str]]:
    """The content with lines emptied that cannot be a row, and why: bytes that are no text, a quotation left open."""
    lines = block.content.split(b"\n")
    unreadable: dict[int, str] = {}
    for i, line in enumerate(lines):
        number = block.first + i
        try:
            line.decode()
        except UnicodeDecodeError as error:
            unreadable[number] = f"not UTF-8 text: byte 0x{line[error.start]:02x} at position {error.start + 1}"
        if b"\0" in line:
            unreadable.setdefault(number, f"a byte that is zero at position {line.index(0) + 1}")
        if line.count(b'"') % 2:
            unreadable.setdefault(number, "a quotation mark is not closed")
        if number in unreadable:
            lines[i] = b""
    return b"\n".join(lines), unreadable


def _arrow(
    content: bytes, names: list[str], types: dict[str, Any], *, delimiter: str, decimal: str, threads: bool = True
) -> tuple[pa.Table, list[tuple[int, str]]]:
    """The columns, and rows of another width. Raises ArrowInvalid for a cell that is not of its column's type."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    malformed: list[tuple[int, str]] = []

    def skip(row: Any) -> str:
        malformed.append((row.number or 0, f"{row.actual_columns} columns instead of {row.expected_columns}"))
        return "skip"

    convert = arrow_csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
        decimal_point=decimal,
    )
    parse = arrow_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=skip, ignore_empty_lines=False)
    read = arrow_csv.ReadOptions(use_threads=threads, column_names=names, block_size=1 << 22)
    source = pa.BufferReader(content)
    pool = pa.system_memory_pool()  # Arrow's own keeps 30 MB
    table = arrow_csv.read_csv(
        source, read_options=read, parse_options=parse, convert_options=convert, memory_pool=pool
    )
    return table, malformed
