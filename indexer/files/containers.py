"""A file on disk → the tables in it: a CSV, the members of a ZIP, a sheet of Excel, Parquet, feather, JSON.

Place in the flow: the first thing that happens to a file; `text.py` and `columns.py` read what is found here. What is
packed is unpacked as it is read, and refused where it grows beyond measure: a small file can hold terabytes.
"""

from __future__ import annotations

import gzip
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from indexer.errors import ImportFileError

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
FORMS = {
    ".csv": "text", ".tsv": "text", ".txt": "text", ".json": "json", ".xlsx": "sheet",
    ".parquet": "parquet", ".pq": "parquet", ".feather": "feather", ".arrow": "feather",
}  # fmt: skip
ENDINGS = (*FORMS, ".gz", ".zip")
MOST_RATIO = 1_000  # unpacked : packed; tables of prices lie between 3 and 20, a bomb of one byte above this
RATIO_FROM = 64 << 20  # bytes unpacked before the ratio is judged: what is read ahead weighs little then
MOST_WHOLE = 64 << 20  # of what can only be read as a whole: Excel, JSON, packed Parquet
MOST_SHEET = 512 << 20  # of a workbook's unpacked parts
MOST_MEMBERS = 10_000


@dataclass(frozen=True)
class Table:
    """One table of a file: `inner` is the member of a ZIP, `form` how it is written (text, parquet, …)."""

    path: Path
    form: str
    inner: str = ""

    @property
    def name(self) -> str:
        """What reports call it: the file's name, with the member's where there are several."""
        return f"{self.path.name}/{self.inner}" if self.inner else self.path.name

    @property
    def own_name(self) -> str:
        """The name that says what is in it: the member's, else the file's."""
        return Path(self.inner).name if self.inner else self.path.name

    @cached_property
    def whole(self) -> pa.Table:
        """The table of a form that is read at once, Excel or JSON; parsed once, kept as long as this is."""
        import pyarrow as pa

        parse = _sheet if self.form == "sheet" else _json
        content = whole_bytes(self)
        names, columns = opened(self.name, lambda: parse(self.name, content))
        return pa.Table.from_arrays([_array(column) for column in columns], names=names)

    def stream(self) -> Measured:
        """The unpacked bytes, to be read once from the beginning."""
        if self.inner:
            archive = zipfile.ZipFile(self.path)
            info = archive.getinfo(self.inner)
            member: Any = archive.open(self.inner)
            stream = gzip.GzipFile(fileobj=member) if self.inner.lower().endswith(".gz") else member
            if info.file_size > max(RATIO_FROM, MOST_RATIO * info.compress_size):
                raise ImportFileError(_bomb(self.name))
            return Measured(stream, self.name, where=member, size=info.file_size)
        raw, size = self.path.open("rb"), self.path.stat().st_size
        marked = raw.peek(2)[:2] == b"\x1f\x8b"
        packed = marked or self.path.name.lower().endswith(".gz")
        if marked and size > 4:
            raw.seek(-4, 2)  # a gzip ends in its unpacked size, modulo 2³²
            if int.from_bytes(raw.read(4), "little") > max(RATIO_FROM, MOST_RATIO * size):
                raw.close()
                raise ImportFileError(_bomb(self.name))
            raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        return Measured(stream, self.name, where=raw, size=size)


class Measured:
    """An unpacked stream that refuses to grow to more than MOST_RATIO times its packed size.

    `where` is read beneath it, to its `size`: how far that is read says how much of the file is done.
    """

    def __init__(self, stream: Any, name: str, *, where: Any, size: int) -> None:
        self._stream, self._name, self._where, self._size = stream, name, where, size
        self._bytes = 0

    @property
    def share(self) -> float:
        """How much of the file is read, 0 to 1."""
        return min(1.0, float(self._where.tell()) / max(1, self._size))

    def read(self, size: int) -> bytes:
        """The next bytes. Raises ImportFileError when far more comes out than any table holds."""
        part: bytes = self._stream.read(size)
        self._bytes += len(part)
        if self._bytes > RATIO_FROM and self._bytes > MOST_RATIO * max(1, self._where.tell()):
            raise ImportFileError(_bomb(self._name))
        return part

    def __enter__(self) -> Measured:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._where.close()


def _bomb(name: str) -> str:
    return f"{name}: more than {MOST_RATIO} bytes come out of each packed one; this is no table of prices"


def tables_of(path: Path) -> list[Table]:
    """The tables of a file. Raises ImportFileError when it is not there, or of no known form."""
    if not path.exists():
        raise ImportFileError(f"{path.name} is not there")
    form = form_of(path.name)
    if form == "zip":
        return opened(path.name, lambda: _members(path))
    if not form:
        raise ImportFileError(f"{path.name}: not a known format; give {', '.join(ENDINGS)}")
    return [Table(path, form)]


def form_of(name: str) -> str:
    """text, json, sheet, parquet, feather or zip by the ending of a name, '' for another."""
    lower = name.lower().removesuffix(".gz")
    if lower.endswith(".zip"):
        return "zip"
    return next((form for ending, form in FORMS.items() if lower.endswith(ending)), "")


def whole_bytes(table: Table) -> bytes:
    """The unpacked bytes of a table. Raises ImportFileError when there are more than MOST_WHOLE."""

    def read() -> bytes:
        with table.stream() as stream:
            return stream.read(MOST_WHOLE + 1)

    content = opened(table.name, read)
    if len(content) > MOST_WHOLE:
        raise ImportFileError(f"{table.name} is over {MOST_WHOLE >> 20} MB unpacked; save it as CSV or plain Parquet")
    return content


def opened(name: str, work: Callable[[], T]) -> T:
    """What `work` gives, or ImportFileError for a file that cannot be opened or is not what its name says."""
    import pyarrow as pa

    try:
        return work()
    except ImportFileError:
        raise
    except FileNotFoundError:
        raise ImportFileError(f"{name} is not there") from None
    except (
        OSError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        pa.ArrowException,
        ValueError,
        RuntimeError,
        OverflowError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImportFileError(f"{name} cannot be read: {reason}") from None


def _members(path: Path) -> list[Table]:
    with zipfile.ZipFile(path) as archive:
        inside = [info for info in archive.infolist() if not info.is_dir()]
    if len(inside) > MOST_MEMBERS:
        raise ImportFileError(f"{path.name} has {len(inside):,} members; unpack those that are wanted")
    named = [info.filename for info in inside if not Path(info.filename).name.startswith((".", "_"))]
    tables = [Table(path, form_of(name), name) for name in named if form_of(name) not in ("", "zip")]
    if not tables:
        raise ImportFileError(f"{path.name}: no table in this ZIP ({', '.join(named[:5]) or 'it is empty'})")
    return tables


def _sheet(name: str, content: bytes) -> tuple[list[str], list[list[Any]]]:
    """The sheet with a table: names of its first row, columns of what is below. Raises ImportFileError for several."""
    import io

    from python_calamine import CalamineError, CalamineWorkbook

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(info.file_size for info in archive.infolist()) > MOST_SHEET:
            raise ImportFileError(f"{name} unpacks to over {MOST_SHEET >> 20} MB; save it as CSV")
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheets = {title: book.get_sheet_by_name(title).to_python(skip_empty_area=True) for title in book.sheet_names}
    except CalamineError as error:
        raise ImportFileError(f"{name} cannot be read: {error}") from None
    wide = {title: rows for title, rows in sheets.items() if max((_filled(row) for row in rows), default=0) > 1}
    if len(wide) > 1:
        raise ImportFileError(f"{name} has tables on {len(wide)} sheets ({', '.join(wide)}); save each as its own file")
    rows = next(iter(wide.values()), next((sheet for sheet in sheets.values() if sheet), []))
    if not rows:
        raise ImportFileError(f"{name} is empty: it has no header line")
    filled = [_filled(row) for row in rows]
    start = next(n for n, cells in enumerate(filled) if cells >= min(2, max(filled)))  # after any title
    return [str(cell).strip() for cell in rows[start]], [list(row) for row in zip(*rows[start + 1 :], strict=True)]


def _filled(cells: list[Any]) -> int:
    return sum(cell != "" for cell in cells)


def _json(name: str, content: bytes) -> tuple[list[str], list[list[Any]]]:
    """The table in a JSON answer: rows as objects or lists, lists by name, or pairs [instant, value] by name."""
    try:
        inner = json.loads(content)
    except (ValueError, RecursionError) as error:
        try:  # one object a line
            inner = [json.loads(line) for line in content.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise ImportFileError(f"{name} is not JSON: {error}") from None
    while isinstance(inner, dict) and not _lists(inner):
        inner = next((value for value in inner.values() if isinstance(value, dict | list) and value), None)
    if isinstance(inner, dict):
        lists = _lists(inner)
        pairs = {
            key: rows for key, rows in lists.items() if all(isinstance(row, list) and len(row) == 2 for row in rows)
        }
        if pairs:
            return _joined(pairs)
        if len({len(column) for column in lists.values()}) == 1 and not _is_rows(next(iter(lists.values()))):
            return list(lists), list(lists.values())
        inner = max(lists.values(), key=len)
    if isinstance(inner, list) and inner and all(isinstance(row, dict) for row in inner):
        names = list(dict.fromkeys(key for row in inner for key in row))
        return names, [[row.get(key) for row in inner] for key in names]
    if isinstance(inner, list) and inner and _is_rows(inner) and len({len(row) for row in inner}) == 1:
        return [str(n + 1) for n in range(len(inner[0]))], [list(column) for column in zip(*inner, strict=True)]
    raise ImportFileError(f"{name}: no table in this JSON; give a list of rows, or of [instant, value] by name")


def _lists(inner: dict[str, Any]) -> dict[str, list[Any]]:
    return {key: value for key, value in inner.items() if isinstance(value, list) and value}


def _is_rows(rows: list[Any]) -> bool:
    return all(isinstance(row, list | dict) for row in rows)


def _joined(pairs: dict[str, list[list[Any]]]) -> tuple[list[str], list[list[Any]]]:
    """Pairs [instant, value] of several names as one table by instant."""
    by_name = {
        key: {row[0]: row[1] for row in rows if isinstance(row[0], int | float | str)} for key, rows in pairs.items()
    }
    times = list(dict.fromkeys(at for values in by_name.values() for at in values))
    return ["time", *by_name], [times, *([values.get(at) for at in times] for values in by_name.values())]


def _array(column: list[Any]) -> pa.Array:
    """Cells as Arrow has them; those of mixed kinds as text."""
    import pyarrow as pa

    cells = [None if cell == "" else cell for cell in column]
    present = {type(cell) for cell in cells if cell is not None}
    if present <= {int, float} or (len(present) <= 1 and not present & {dict, list}):
        try:
            return pa.array(cells, pa.float64() if present == {int, float} else None)
        except (pa.ArrowException, OverflowError):
            pass
    return pa.array([None if cell is None else _text(cell) for cell in cells], pa.string())


def _text(cell: Any) -> str:
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
