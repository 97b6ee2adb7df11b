"""Columns out of the store: few rows by the driver's cursor, many by Arrow, the same either way.

Measured: Arrow is about ten times as fast from some ten thousand rows on; below, its start costs more. Where it is not
loaded yet its import costs as much as the cursor takes for a hundred thousand rows, which no single answer repays.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    Column,
    Connection,
    Float,
    LargeBinary,
    Select,
    String,
    Table,
    TypeDecorator,
    func,
    literal_column,
    select,
)
from sqlmodel import SQLModel

from indexer.store.db import Store

CURSOR_ROWS = 10_000
COLD_CURSOR_ROWS = 50_000
ARROW = "adbc_driver_manager.dbapi"
INFINITY = {True: "9e999", False: "CAST('Infinity' AS double precision)"}  # by Store.is_sqlite

Columns = dict[str, NDArray[Any]]


def table_of(model: type[SQLModel]) -> Table:
    """The table of a model."""
    return SQLModel.metadata.tables[str(model.__tablename__)]


def fields(model: type[SQLModel], *names: str) -> list[Any]:
    """Columns of a model's table by their names, to select."""
    return [table_of(model).c[name] for name in names]


def read_columns(store: Store, query: Select[Any], *, series: Column[Any] | None = None, few: bool = False) -> Columns:
    """The rows of a SELECT as numpy columns by name: int64, float64 (NaN where null), or object for texts and bytes.

    Only floats may be null; instants come as int64 microseconds. `series` names a selected column of ids that leads
    the table's key: then many rows are read by a statement for each id, several side by side. `few` rows are not
    counted first.
    """
    wanted: list[Any] = list(query.selected_columns)
    most = CURSOR_ROWS if ARROW in sys.modules else max(CURSOR_ROWS, COLD_CURSOR_ROWS)
    with store.reading() as connection:
        probe: Select[Any] = (
            query.with_only_columns(literal_column("1"), maintain_column_froms=True).order_by(None).limit(most + 1)
        )
        if few or connection.execute(select(func.count()).select_from(probe.subquery())).scalar_one() <= most:
            lists: Sequence[Any] = list(zip(*driver_rows(connection, query), strict=True)) or [()] * len(wanted)
            return {column.key: array_of(values, _dtype(column)) for values, column in zip(lists, wanted, strict=True)}
        ids = _ids(connection, series) if series is not None and store.is_sqlite else []
    query = query.with_only_columns(*(_never_null(store, column) for column in wanted), maintain_column_froms=True)
    if series is None or not ids:
        (table,) = store.arrow_tables([query])
        return {column.key: _joined([table], n, column) for n, column in enumerate(wanted)}
    places = [n for n, column in enumerate(wanted) if column.key != series.key]
    parts = query.with_only_columns(*(list(query.selected_columns)[n] for n in places), maintain_column_froms=True)
    tables = store.arrow_tables([parts.where(series == number) for number in ids])
    repeated = np.repeat(np.array(ids, dtype=np.int64), [table.num_rows for table in tables])
    read = {wanted[n].key: _joined(tables, place, wanted[n]) for place, n in enumerate(places)}
    return {column.key: repeated if column.key == series.key else read[column.key] for column in wanted}


def driver_rows(connection: Connection, query: Select[Any]) -> list[tuple[Any, ...]]:
    """The driver's own tuples: a row object for each costs more than the read."""
    result: Any = connection.execute(query)
    rows: list[tuple[Any, ...]] = result.cursor.fetchall()
    result.close()
    return rows


def last_of_each(*keys: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows are the last with their key (R,), where rows of a key stand together, oldest revision first."""
    if not len(keys[0]):
        return np.zeros(0, dtype=np.bool_)
    last: NDArray[np.bool_] = np.r_[np.any([key[1:] != key[:-1] for key in keys], axis=0), True]
    return last


def pick(columns: Columns, index: NDArray[Any] | slice) -> Columns:
    """Some of the rows, or all in another order."""
    return {name: column[index] for name, column in columns.items()}


def array_of(values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values as an array; texts and bytes stay what they are, because numpy's own types strip zeros at the end."""
    if dtype.kind in "OUS":
        array = np.empty(len(values), dtype=object)
        array[:] = [bytes(value) if isinstance(value, memoryview) else value for value in values]
        return array
    return np.asarray(values, dtype=dtype)


def _dtype(column: Any) -> np.dtype[Any]:
    kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    if isinstance(kind, Float):
        return np.dtype(np.float64)
    return np.dtype(object if isinstance(kind, (String, LargeBinary)) else np.int64)


def _ids(connection: Connection, series: Column[Any]) -> list[int]:
    """Every id that a series column may hold, ascending: `listing_id` is the id of a `listing`."""
    parent = SQLModel.metadata.tables[series.key.removesuffix("_id")]
    return list(connection.execute(select(parent.c.id).order_by(parent.c.id)).scalars())


def _never_null(store: Store, column: Any) -> Any:
    """A float that may be null as infinity: ADBC types a column by its first rows."""
    if isinstance(column.type, Float) and getattr(column, "nullable", False):
        return func.coalesce(column, literal_column(INFINITY[store.is_sqlite], Float())).label(column.key)
    return column


def _joined(tables: Sequence[Any], place: int, column: Any) -> NDArray[Any]:
    """One column of all tables, copied once."""
    chunks = [chunk for table in tables if table.num_rows for chunk in table.column(place).chunks]
    dtype = _dtype(column)
    if dtype.kind == "O":
        texts = np.empty(sum(map(len, chunks)), dtype=object)
        texts[:] = [value for chunk in chunks for value in chunk.to_pylist()]
        return texts
    array = np.concatenate([chunk.to_numpy() for chunk in chunks] or [np.zeros(0)], dtype=dtype, casting="unsafe")
    if getattr(column, "nullable", False) and dtype == np.float64:
        array[np.isinf(array)] = np.nan
    return array
