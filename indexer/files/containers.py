"""A file on disk → the tables in it: a CSV, the members of a ZIP, a sheet of Excel, Parquet, feather, JSON.

What is packed is unpacked as it is read, and refused where it grows beyond measure: a small file can hold terabytes.
"""

from __future__ import annotations

import gzip
import json
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from indexer.errors import ImportFileError
from indexer.times import read_time

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
SHIPPED = tomllib.loads(Path(__file__).with_name("forms.toml").read_text(encoding="utf-8"))
FORMS = {ending: form for form, endings in SHIPPED["forms"].items() for ending in endings.split()}
MARKS = [(mark.encode("latin-1"), form) for form, marks in SHIPPED["marks"].items() for mark in marks]
FOREIGN = {ending: meaning for endings, meaning in SHIPPED["foreign"].items() for ending in endings.split()}
ENDINGS = (*FORMS, ".gz", ".zip")
MOST_RATIO = 1_000  # unpacked : packed; tables of prices lie between 3 and 20, a bomb of one byte above this
RATIO_FROM = 64 << 20  # bytes unpacked before the ratio is judged: what is read ahead weighs little then
MOST_WHOLE = 64 << 20  # of what can only be read as a whole: Excel, JSON, packed Parquet
MOST_SHEET = 512 << 20  # of a workbook's unpacked parts
MOST_MEMBERS = 10_000
BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, ValueError, RuntimeError, OverflowError)


@dataclass(frozen=True)
class Table:
    """One table of a file: `inner` is the member of a ZIP, `form` how it is written (text, parquet, …), `sheet` the
    title of one sheet of several."""

    path: Path
    form: str
    inner: str = ""
    sheet: str = ""

    @property
    def part(self) -> str:
        """The member or the sheet that it is of its file; '' where it is the whole."""
        return self.inner or self.sheet

    @property
    def name(self) -> str:
        """What reports call it: the file's name, with the member's or the sheet's where there are several."""
        return f"{self.path.name}/{self.part}" if self.part else self.path.name

    @property
    def own_name(self) -> str:
        """The name that says what is in it: the member's or the sheet's, else the file's."""
        return f"{self.sheet}.xlsx" if self.sheet else Path(self.inner).name if self.inner else self.path.name

    @cached_property
    def whole(self) -> pa.Table:
        """The table of a form that is read at once, Excel or JSON; parsed once, kept as long as this is."""
        import pyarrow as pa

        content = whole_bytes(self)
        names, columns = opened(
            self.name, lambda: _sheet(self, content) if self.form == "sheet" else _json(self.name, content)
        )
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
        raw = self.path.open("rb")
        packed = raw.peek(2)[:2] == b"\x1f\x8b" or self.path.name.lower().endswith(".gz")
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        return Measured(stream, self.name, where=raw, size=self.path.stat().st_size)


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
    form = _form(path)
    if form == "zip":
        return opened(path.name, lambda: _members(path))
    if form == "sheet" and not path.name.lower().endswith(".gz"):
        titles = opened(path.name, lambda: _titles(Table(path, form)))
        return [Table(path, form, sheet=title) for title in titles if len(titles) > 1] or [Table(path, form)]
    return [Table(path, form)]


def _form(path: Path) -> str:
    """The form of a file by how it begins, else by its name. Raises ImportFileError with what it is and what to do."""
    ending = next((word for word in (*FOREIGN, *FORMS) if path.name.lower().endswith(word)), "")
    with opened(path.name, lambda: path.open("rb")) as file:
        start = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip()
    inside = next((form for mark, form in MARKS if start.startswith(mark) or start.lower().startswith(mark)), "")
    if start.startswith(b"PK\x03\x04"):
        with opened(path.name, lambda: zipfile.ZipFile(path)) as archive:
            office = {"[Content_Types].xml", "content.xml"} & {*archive.namelist()}
        inside = "sheet" if office else "zip"
    form = inside or form_of(path.name)
    if (foreign := inside if inside in FOREIGN else ending) in FOREIGN:
        raise ImportFileError(f"{path.name} is {FOREIGN[foreign]}")
    if form == "sheet" != inside and not path.name.lower().endswith(".gz"):
        raise ImportFileError(f"{path.name} is no workbook, whatever its ending says; if it is text, call it .csv")
    if not form:
        raise ImportFileError(f"{path.name}: not a known format; give {', '.join(ENDINGS)}")
    return form


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
    except (*BROKEN, pa.ArrowException) as error:
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


def _book(table: Table, content: bytes) -> Any:
    import io

    from python_calamine import CalamineError, CalamineWorkbook

    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MOST_SHEET:
                raise ImportFileError(f"{table.name} unpacks to over {MOST_SHEET >> 20} MB; save it as CSV")
    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(content))
    except CalamineError as error:
        raise ImportFileError(f"{table.name} cannot be read: {error}") from None


def _titles(table: Table) -> list[str]:
    """The sheets with a table: rows of more than one cell. All where there is one, or none has such rows."""
    book = _book(table, whole_bytes(table))
    titles: list[str] = list(book.sheet_names)
    if len(titles) < 2:
        return titles
    wide = [title for title in titles if max(map(_filled, _cells(book, title)), default=0) > 1]
    return wide or titles[:1]


def _sheet(table: Table, content: bytes) -> tuple[list[str], list[list[Any]]]:
    """The sheet of a table: names of its first row after any title, columns of what is below."""
    book = _book(table, content)
    wide = {title: _cells(book, title) for title in ([table.sheet] if table.sheet else book.sheet_names)}
    rows = max(wide.values(), key=lambda rows: max(map(_filled, rows), default=0), default=[])
    if not rows:
        raise ImportFileError(f"{table.name} is empty: it has no header line")
    least = min(2, max(map(_filled, rows)))
    tables = [n for n, row in enumerate(rows) if _filled(row) >= least]
    start = next((n for n in tables if all(isinstance(cell, str) for cell in rows[n])), tables[0])
    header, *cells = rows[start:]
    return [str(name).strip() for name in header], [[row[n] for row in cells] for n in range(len(header))]


def _cells(book: Any, title: str) -> list[list[Any]]:
    cells: list[list[Any]] = book.get_sheet_by_name(title).to_python(skip_empty_area=True)
    return cells


def _filled(cells: list[Any]) -> int:
    return sum(cell != "" for cell in cells)


def _json(name: str, content: bytes) -> tuple[list[str], list[list[Any]]]:
    """The longest table in a JSON answer, wherever in it: rows as objects or lists, lists by name, objects by stamp,
    or pairs [instant, value] by name."""
    try:
        inner = json.loads(content)
    except (ValueError, RecursionError) as error:
        try:  # one object a line
            inner = [json.loads(line) for line in content.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise ImportFileError(f"{name} is not JSON: {error}") from None
    lists = [(key, rows) for key, rows in _lists(inner) if rows]
    rows = max((rows for _, rows in lists if _is_rows(rows)), key=len, default=[])
    pairs = {key: rows for key, rows in lists if all(isinstance(row, list) and len(row) == 2 for row in rows)}
    if max(map(len, pairs.values()), default=0) >= max(1, len(rows)):
        return _joined(pairs)
    flat = {key: cells for key, cells in lists if not any(isinstance(cell, list | dict) for cell in cells)}
    size = max(map(len, flat.values()), default=0)
    if size > len(rows) and sum(len(cells) == size for cells in flat.values()) > 1:
        columns = {key: cells for key, cells in flat.items() if len(cells) == size}
        return list(columns), list(columns.values())
    if rows and all(isinstance(row, dict) for row in rows):
        rows = [_flat(row) for row in rows]
        names = list(dict.fromkeys(key for row in rows for key in row))
        return names, [[row.get(key) for row in rows] for key in names]
    if rows and all(isinstance(row, list) for row in rows) and len({len(row) for row in rows}) == 1:
        width = len(rows[0])
        named = (cells for cells in flat.values() if len(cells) == width and all(isinstance(c, str) for c in cells))
        names = next(named, [str(n + 1) for n in range(width)])
        index = [("", flat["index"])] if len(flat.get("index", ())) == len(rows) else []  # of pandas' orient="split"
        return [*dict(index), *names], [*dict(index).values(), *(list(column) for column in zip(*rows, strict=True))]
    raise ImportFileError(f"{name}: no table in this JSON; give a list of rows, or of [instant, value] by name")


def _lists(inner: Any, key: str = "") -> Iterator[tuple[str, list[Any]]]:
    """The lists of a document by name, in whatever objects they stand; objects by stamp as a list of objects."""
    if isinstance(inner, list):
        nested = (
            len(inner) == 1 and isinstance(inner[0], dict) and any(_is_rows([value]) for value in inner[0].values())
        )
        yield from _lists(inner[0], key) if nested else [(key, inner)]
    elif isinstance(inner, dict) and len(inner) > 1 and all(isinstance(value, dict) for value in inner.values()):
        outer, first = list(inner), next(iter(inner.values()))
        if first and read_time(outer[0]):
            yield key, [{"": at, **values} for at, values in inner.items()]
        elif first and read_time(next(iter(first))):
            yield key, [{"": at, **{name: inner[name].get(at) for name in outer}} for at in first]
        else:
            for name, value in inner.items():
                yield from _lists(value, name)
    elif isinstance(inner, dict):
        for name, value in inner.items():
            yield from _lists(value, name)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row with what stands in the one object inside of it, if there is one."""
    inside = [value for value in row.values() if isinstance(value, dict)]
    rest = {key: value for key, value in row.items() if not isinstance(value, dict)}
    return {**rest, **_flat(inside[0])} if len(inside) == 1 else row


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
