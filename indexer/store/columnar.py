"""Columns out of the store: few rows by the driver's cursor, many by Arrow, the same either way.

Measured: Arrow is about ten times as fast from some ten thousand rows on; below, its start costs more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from indexer.store.bulk import array_of
from indexer.store.db import Store

CURSOR_ROWS = 10_000


def columns(
    store: Store,
    kinds: Mapping[str, str],
    *,
    source: str,
    params: Mapping[str, object],
    order: str = "",
    parts: Sequence[str] = (),
) -> dict[str, NDArray[Any]]:
    """The rows of `SELECT … FROM source ORDER BY order` as numpy columns.

    `kinds` gives each column's SQL and dtype: int64, int8, float64, object, or "maybe" for a float that may be
    null. Few rows come by the cursor, many by Arrow; then `parts` (SQL conditions that share the rows out, in
    order) are read side by side.
    """
    names = ", ".join(maybe(store, name) if kind == "maybe" else name for name, kind in kinds.items())
    ordered = f" ORDER BY {order}" if order else ""
    with store.reading() as connection:
        probe = text(f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT {CURSOR_ROWS + 1}) AS probe")
        few = connection.execute(probe, params).scalar_one() <= CURSOR_ROWS
        if few:
            found = connection.execute(text(f"SELECT {names} FROM {source}{ordered}"), params).fetchall()
            lists: Sequence[Any] = list(zip(*found, strict=True)) if found else [()] * len(kinds)
            return {name: _shaped(column, kind) for column, (name, kind) in zip(lists, kinds.items(), strict=True)}
    joint = "AND" if " WHERE " in source else "WHERE"
    sources = [f"{source} {joint} {part}" for part in parts] or [source]
    tables = store.arrow_tables([(f"SELECT {names} FROM {each}{ordered}", params) for each in sources])
    return {name: _joined(tables, i, kind) for i, (name, kind) in enumerate(kinds.items())}


def _joined(tables: Sequence[Any], column: int, kind: str) -> NDArray[Any]:
    """One column of all tables, copied once."""
    chunks = [chunk for table in tables for chunk in table.column(column).chunks]
    if kind == "object":
        return array_of([value for chunk in chunks for value in chunk.to_pylist()], np.dtype(object))
    dtype = np.dtype("float64" if kind == "maybe" else kind)
    array = np.concatenate([chunk.to_numpy() for chunk in chunks] or [np.zeros(0)], dtype=dtype, casting="unsafe")
    if kind == "maybe":
        array[np.isinf(array)] = np.nan
    return array


def maybe(store: Store, column: str) -> str:
    """SQL for a float column that may be null, so that both drivers see floats only (infinity is 'none')."""
    infinity = "9e999" if store.is_sqlite else "CAST('Infinity' AS double precision)"
    return f"coalesce({column}, {infinity})"


def _shaped(column: Any, kind: str) -> NDArray[Any]:
    array = array_of(column, np.dtype("float64" if kind == "maybe" else kind))
    if kind == "maybe":
        array[np.isinf(array)] = np.nan
    return array
