"""Rows with revisions into the store and out of it, many at a time, the same on SQLite and PostgreSQL.

Writing compares with what is there in numpy, under the writer's lock, so nothing is overwritten: a new key is
revision 1, an equal row is left alone, a different one becomes the next revision.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, Table, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

from indexer.arrays import F64, I64
from indexer.errors import InputError, NotFoundError
from indexer.store.columnar import Columns, array_of, driver_rows, fields, last_of_each, pick, read_columns, table_of
from indexer.store.db import Store
from indexer.store.rows import Written
from indexer.store.runs import known_by

CHUNK_ROWS = 100_000

Column = NDArray[Any] | list[Any]


@dataclass(frozen=True, slots=True)
class BulkTable:
    """A table of revisions. Its key is `series` (None when `fixed` names it), the fixed columns and `time`.

    `refers` maps a column to the model whose id it is, for the check that replaces foreign keys.
    """

    model: type[SQLModel]
    series: str | None
    fixed: tuple[str, ...]
    compared: tuple[str, ...]
    refers: Mapping[str, type[SQLModel]]

    @property
    def table(self) -> Table:
        """The model's table, for statements."""
        return table_of(self.model)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows for a BulkTable: key columns, the values compared, and values that ride along (or one for all)."""

    series: I64 | None
    fixed: Mapping[str, object]
    time_us: I64
    values: Mapping[str, Column]
    extra: Mapping[str, object]

    def take(self, index: NDArray[Any]) -> Batch:
        """The same rows in another order, or some of them."""
        return Batch(
            series=None if self.series is None else self.series[index],
            fixed=self.fixed,
            time_us=self.time_us[index],
            values={name: _take(column, index) for name, column in self.values.items()},
            extra={name: _take(column, index) if _is_column(column) else column for name, column in self.extra.items()},
        )


def append(store: Store, table: BulkTable, batch: Batch) -> Written:
    """Writes a batch in chunks, one transaction each, and says how many rows were new, revised, unchanged.

    Raises InputError when a key comes twice in the batch, StoreError when the database refuses.
    """
    series = batch.series if batch.series is not None else np.zeros(len(batch.time_us), dtype=np.int64)
    step = np.diff(series)
    within = (step == 0) & (np.diff(batch.time_us) <= 0)
    if ((step < 0) | within).any():
        batch = batch.take(np.lexsort((batch.time_us, series)))
        _refuse_twice(table, batch)
    written = Written()
    for start in range(0, len(batch.time_us), CHUNK_ROWS):
        chunk = batch.take(np.arange(start, min(start + CHUNK_ROWS, len(batch.time_us))))
        with store.writing() as connection:
            _check_references(connection, table, chunk)
            written += _append_chunk(connection, table, chunk)
    return written


def _refuse_twice(table: BulkTable, batch: Batch) -> None:
    same = np.diff(batch.time_us) == 0
    if batch.series is not None:
        same &= np.diff(batch.series) == 0
    if same.any():
        first = int(np.flatnonzero(same)[0])
        of = "" if batch.series is None else f" of {table.series} {batch.series[first]}"
        count, name = int(same.sum()), table.table.name
        raise InputError(
            f"{name}: {count} keys come twice in one batch, first time {batch.time_us[first]}{of}; give each once"
        )


def _check_references(connection: Connection, table: BulkTable, batch: Batch) -> None:
    held: Mapping[str, Any] = {**batch.values, **batch.extra, **({str(table.series): batch.series})}
    for column, model in table.refers.items():
        target, wanted = table_of(model), set(np.unique(held[column]).tolist())
        missing = wanted - set(connection.execute(select(target.c.id).where(target.c.id.in_(wanted))).scalars())
        if missing:
            message = f"{table.table.name}: no {target.name} {min(missing)} in the store; write it before its rows"
            raise NotFoundError(message)


def _append_chunk(connection: Connection, table: BulkTable, batch: Batch) -> Written:
    rows = len(batch.time_us)
    revision = np.ones(rows, dtype=np.int64)
    keep = np.ones(rows, dtype=np.bool_)
    for part in _parts(batch.series, rows):
        known = _known(connection, table, batch, part)
        if known is None:
            continue
        old_time, old_revision, old_values = known
        at = np.minimum(np.searchsorted(old_time, batch.time_us[part]), len(old_time) - 1)
        hit = old_time[at] == batch.time_us[part]
        equal = hit.copy()
        for name in table.compared:
            equal &= _equal(_as_array(_take(batch.values[name], part)), old_values[name][at])
        revision[part] = np.where(hit, old_revision[at] + 1, 1)
        keep[part] = ~equal
    if keep.any():
        chosen = batch if keep.all() else batch.take(np.flatnonzero(keep))
        _insert(connection, table, chosen, revision[keep])
    revised = int((revision[keep] > 1).sum())
    return Written(new=int(keep.sum()) - revised, revised=revised, unchanged=int((~keep).sum()))


def _parts(series: I64 | None, rows: int) -> Iterable[slice]:
    if series is None:
        return [slice(0, rows)]
    edges = [0, *(np.flatnonzero(np.diff(series)) + 1).tolist(), rows]
    return [slice(a, b) for a, b in pairwise(edges)]


def _known(
    connection: Connection, table: BulkTable, batch: Batch, part: slice
) -> tuple[I64, I64, dict[str, NDArray[Any]]] | None:
    """Times, latest revisions and values already stored for one series within the span of the batch."""
    times, columns = batch.time_us[part], table.table.c
    query = select(columns.time, columns.revision, *(columns[name] for name in table.compared))
    query = query.where(columns.time.between(int(times[0]), int(times[-1])))
    query = query.where(*(columns[name] == batch.fixed[name] for name in table.fixed))
    if batch.series is not None:
        query = query.where(columns[str(table.series)] == int(batch.series[part.start]))
    stored = driver_rows(connection, query.order_by(columns.time, columns.revision))
    if not stored:
        return None
    time, revision, *values = zip(*stored, strict=True)
    stamps = np.array(time, dtype=np.int64)
    last = np.flatnonzero(np.r_[stamps[1:] != stamps[:-1], True])
    arrays = {
        name: array_of(column, _as_array(batch.values[name]).dtype)[last]
        for name, column in zip(table.compared, values, strict=True)
    }
    return stamps[last], np.array(revision, dtype=np.int64)[last], arrays


def _insert(connection: Connection, table: BulkTable, batch: Batch, revision: I64) -> None:
    columns: dict[str, object] = {} if batch.series is None else {str(table.series): batch.series}
    columns |= {**batch.fixed, "time": batch.time_us, "revision": revision, **batch.values, **batch.extra}
    if connection.dialect.name == "sqlite":
        statement = insert(table.table).compile(dialect=connection.dialect, column_keys=list(columns))
        ordered = [columns[name] for name in statement.positiontup or ()]
        lists = [_pylist(column) if _is_column(column) else repeat(column, len(revision)) for column in ordered]
        cursor: Any = connection.connection.cursor()  # past SQLAlchemy, which would make a dictionary of each row
        cursor.executemany(str(statement), zip(*lists, strict=True))
        cursor.close()
    else:
        copy_columns(connection, table.table.name, columns, rows=len(revision))


def copy_columns(connection: Connection, table: str, columns: Mapping[str, object], *, rows: int) -> None:
    """Writes columns by COPY on PostgreSQL; text made by Arrow, floats in their shortest exact form."""
    import pyarrow as pa
    from pyarrow import csv

    def arrow(column: object) -> pa.Array:
        if not _is_column(column):
            return pa.array([column] * rows)
        values = column if isinstance(column, np.ndarray) else _hex(column)
        return pa.array(values, from_pandas=True)

    out = io.BytesIO()
    plain = csv.WriteOptions(include_header=False)
    csv.write_csv(pa.table({name: arrow(column) for name, column in columns.items()}), out, plain)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(out.getbuffer())


def upsert(
    session: Session,
    model: type[SQLModel],
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str],
    update: Sequence[str] = (),
) -> None:
    """Inserts rows of a small table; where the key is there already, sets `update` if it differs or leaves it alone.

    An empty key is any key of the table.
    """
    if not rows:
        return
    connection = session.connection()
    make: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = make(model)
    if update:
        fresh = {name: statement.excluded[name] for name in update}
        differs = or_(*(table_of(model).c[name].is_distinct_from(value) for name, value in fresh.items()))
        statement = statement.on_conflict_do_update(index_elements=list(key), set_=fresh, where=differs)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=list(key) or None)
    connection.execute(statement, [dict(row) for row in rows])


def _as_array(column: Any) -> NDArray[Any]:
    """Lists hold text or bytes: numpy's own string types would strip the zeros at their end."""
    return column if isinstance(column, np.ndarray) else array_of(column, np.dtype(object))


def _is_column(value: object) -> bool:
    return isinstance(value, (np.ndarray, list))


def _take(column: Any, index: Any) -> Any:
    if isinstance(column, np.ndarray) or isinstance(index, slice):
        return column[index]
    return [column[i] for i in index.tolist()]


def _pylist(column: Any) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


def _hex(column: Any) -> list[Any]:
    return ["\\x" + value.hex() if isinstance(value, bytes) else value for value in column]


def _equal(new: NDArray[Any], old: NDArray[Any]) -> NDArray[np.bool_]:
    if new.dtype.kind == "f":
        both: NDArray[np.bool_] = (new == old) | (np.isnan(new) & np.isnan(old))
        return both
    return np.fromiter((a == b for a, b in zip(new.tolist(), old.tolist(), strict=True)), np.bool_, count=len(new))


def within(query: Select[Any], model: type[SQLModel], since_us: int | None, until_us: int | None) -> Select[Any]:
    """The query for rows with since <= time < until; None is no bound."""
    (time,) = fields(model, "time")
    if since_us is not None:
        query = query.where(time >= since_us)
    return query if until_us is None else query.where(time < until_us)


def read_newest(
    store: Store, query: Select[Any], model: type[SQLModel], *, series: str, as_of_us: int | None
) -> Columns:
    """Rows of a revisioned table, one revision per key, in key order: by `series`, then time.

    Where nothing is revised the revision is not even read; should a revision come in between, keys come twice
    and the rows are read again.
    """
    leading = None if series == "benchmark_id" else table_of(model).c[series]  # one benchmark is read at a time
    if as_of_us is None and not _revised(store, model):
        rows = read_columns(store, query, series=leading)
        if _ascending(rows, series):
            return rows
    query = query.add_columns(*fields(model, "revision")).where(*known_by(model, as_of_us))
    rows = read_columns(store, query, series=leading)
    if _ascending(rows, series):
        return rows
    rows = pick(rows, np.lexsort((rows["revision"], rows["time"], rows[series])))
    return pick(rows, last_of_each(rows[series], rows["time"]))


def _revised(store: Store, model: type[SQLModel]) -> bool:
    (revision,) = fields(model, "revision")
    with store.reading() as connection:
        return connection.execute(select(revision).where(revision > 1).limit(1)).first() is not None


def _ascending(rows: Columns, series: str) -> bool:
    """Whether keys are in order and none comes twice."""
    step = np.diff(rows[series])
    return bool(((step > 0) | ((step == 0) & (np.diff(rows["time"]) > 0))).all())


def refuse_bad(values: F64, table: str, column: str) -> None:
    """Raises InputError unless every value is finite and positive."""
    bad = ~(np.isfinite(values) & (values > 0.0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{table}.{column} must be finite and positive: {int(bad.sum())} of {len(values)} are not, "
            f"first row {first} = {values[first]}; leave missing rows out"
        )
