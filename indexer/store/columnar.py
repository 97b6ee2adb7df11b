"""Columns out of the store: few rows by the driver's cursor, many by Arrow, the same either way.

Measured: Arrow is about ten times as fast from some ten thousand rows on; below, its start costs more. Where it is not
loaded yet its import costs as much as the cursor takes for a hundred thousand rows, which no single answer repays.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from indexer.store.bulk import array_of
from indexer.store.db import Store

CURSOR_ROWS = 10_000
COLD_CURSOR_ROWS = 50_000
ARROW = "adbc_driver_manager.dbapi"


def columns(
    store: Store,
    kinds: Mapping[str, str],
    *,
    source: str,
    params: Mapping[str, object],
    order: str = "",
    series: str | None = None,
) -> dict[str, NDArray[Any]]:
    """The rows of `SELECT … FROM source ORDER BY order` as numpy columns.

    `kinds` gives each column's SQL and dtype: int64, int8, float64, object, or "maybe" for a float that may be
    null. Few rows come by the cursor, many by Arrow. `series` names a column of ids that leads the table's key:
    then each id is a statement of its own, several are read side by side, and the column itself is not read.
    """
    names = {name: maybe(store, name) if kind == "maybe" else name for name, kind in kinds.items()}
    ordered = f" ORDER BY {order}" if order else ""
    few = CURSOR_ROWS if ARROW in sys.modules else max(CURSOR_ROWS, COLD_CURSOR_ROWS)
    with store.reading() as connection:
        probe = text(f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT {few + 1}) AS probe")
        if connection.execute(probe, params).scalar_one() <= few:
            sql = f"SELECT {', '.join(names.values())} FROM {source}{ordered}"
            found = connection.execute(text(sql), params).fetchall()
            lists: Sequence[Any] = list(zip(*found, strict=True)) if found else [()] * len(kinds)
            return {name: _shaped(column, kind) for column, (name, kind) in zip(lists, kinds.items(), strict=True)}
        ids = _ids(connection, series) if series and store.is_sqlite else []
    if not ids:
        (table,) = store.arrow_tables([(f"SELECT {', '.join(names.values())} FROM {source}{ordered}", params)])
        return {name: _joined([table], i, kind) for i, (name, kind) in enumerate(kinds.items())}
    others = [name for name in kinds if name != series]
    start = f"SELECT {', '.join(names[name] for name in others)} FROM {source}"
    joint = "AND" if " WHERE " in source else "WHERE"
    tables = store.arrow_tables([(f"{start} {joint} {series} = {number}{ordered}", params) for number in ids])
    read = {name: _joined(tables, i, kinds[name]) for i, name in enumerate(others)}
    repeated = np.repeat(np.array(ids, dtype=np.int64), [table.num_rows for table in tables])
    return {name: repeated if name == series else read[name] for name in kinds}


def _ids(connection: Connection, series: str) -> list[int]:
    """Every id that a series column may hold, ascending: `listing_id` is the id of a `listing`."""
    return list(connection.execute(text(f"SELECT id FROM {series.removesuffix('_id')} ORDER BY id")).scalars())


def _joined(tables: Sequence[Any], column: int, kind: str) -> NDArray[Any]:
    """One column of all tables, copied once."""
    chunks = [chunk for table in tables if table.num_rows for chunk in table.column(column).chunks]
    if kind == "object":
        texts = np.empty(sum(map(len, chunks)), dtype=object)
        texts[:] = [value for chunk in chunks for value in chunk.to_pylist()]
        return texts
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
