"""Tables as CSV for sheets and frames: RFC 4180, UTF-8, one header row, empty cell = missing, newest last."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from indexer.times import iso, to_us

RISKY = ("=", "+", "-", "@", "\t", "\r")


def to_csv(columns: Mapping[str, Sequence[Any]], *, text: Iterable[str] = ()) -> bytes:
    """CSV bytes of columns of equal length. `text` names the free-text columns, guarded against formulas."""
    guarded = set(text)
    cells = [
        [_guard(value) for value in values] if name in guarded else [_cell(value) for value in values]
        for name, values in columns.items()
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
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
