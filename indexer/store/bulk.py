"""Rows with revisions into the store and out of it, many at a time, the same on SQLite and PostgreSQL.

Writing compares with what is there in numpy, under the writer's lock, so nothing is overwritten: a new key is
revision 1, an equal row is left alone, a different one becomes the next revision.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, Table, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

from indexer.arrays import F64
from indexer.errors import InputError, NotFoundError
from indexer.store.columnar import Columns, array_of, driver_rows, fields, last_of_each, pick, read_columns, table_of
from indexer.store.db import Store
from indexer.store.rows import Written
from indexer.store.runs import known_by

CHUNK_ROWS = 100_000
Column = NDArray[Any] | Sequence[str] | Sequence[bytes]


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


def append(store: Store, table: BulkTable, columns: Mapping[str, Column], **same: object) -> Written:
    """Writes columns (R,) and what is the `same` in all rows; says how many rows were new, revised, unchanged.

    In chunks, one transaction each. Raises InputError when a key comes twice, StoreError when the database refuses.
    """
    rows = {name: _as_array(column) for name, column in columns.items()}
    keys = [rows[name] for name in ("time", table.series) if name]
    later = keys[-1][1:] > keys[-1][:-1]
    if not (later | ((keys[-1][1:] == keys[-1][:-1]) & (np.diff(keys[0]) > 0))).all():
        rows = pick(rows, np.lexsort(keys))
        _refuse_twice(table, rows)
    written = Written()
    for start in range(0, len(keys[0]), CHUNK_ROWS):
        chunk = pick(rows, slice(start, start + CHUNK_ROWS))
        with store.writing() as connection:
            _check_references(connection, table, {**same, **chunk})
            written += _append_chunk(connection, table, chunk, same)
    return written


def _refuse_twice(table: BulkTable, rows: Columns) -> None:
    same = np.diff(rows["time"]) == 0
    if table.series is not None:
        same &= np.diff(rows[table.series]) == 0
    if same.any():
        first = int(np.flatnonzero(same)[0])
        of = "" if table.series is None else f" of {table.series} {rows[table.series][first]}"
        count, name = int(same.sum()), table.table.name
        raise InputError(
            f"{name}: {count} keys come twice in one batch, first time {rows['time'][first]}{of}; give each once"
        )


def _check_references(connection: Connection, table: BulkTable, held: Mapping[str, Any]) -> None:
    for column, model in table.refers.items():
        target, wanted = table_of(model), set(np.unique(held[column]).tolist())
        missing = wanted - set(connection.execute(select(target.c.id).where(target.c.id.in_(wanted))).scalars())
        if missing:
            message = f"{table.table.name}: no {target.name} {min(missing)} in the store; write it before its rows"
            raise NotFoundError(message)


def _append_chunk(connection: Connection, table: BulkTable, rows: Columns, same: Mapping[str, object]) -> Written:
    count = len(rows["time"])
    revision = np.ones(count, dtype=np.int64)
    keep = np.ones(count, dtype=np.bool_)
    edges = np.flatnonzero(np.diff(rows[table.series])) + 1 if table.series else ()
    for start, stop in pairwise([0, *edges, count]):
        part = pick(rows, slice(start, stop))
        known = _known(connection, table, part, same)
        if not len(known["time"]):
            continue
        at = np.minimum(np.searchsorted(known["time"], part["time"]), len(known["time"]) - 1)
        hit = known["time"][at] == part["time"]
        equal = hit.copy()
        for name in table.compared:
            equal &= _equal(part[name], known[name][at])
        revision[start:stop] = np.where(hit, known["revision"][at] + 1, 1)
        keep[start:stop] = ~equal
    if keep.any():
        _insert(connection, table, {**same, **pick(rows, keep), "revision": revision[keep]}, rows=int(keep.sum()))
    revised = int((revision[keep] > 1).sum())
    return Written(new=int(keep.sum()) - revised, revised=revised, unchanged=int((~keep).sum()))


def _known(connection: Connection, table: BulkTable, part: Columns, same: Mapping[str, object]) -> Columns:
    """Times, latest revisions and values already stored for one series within the span of its new rows."""
    columns, times = table.table.c, part["time"]
    names = ("time", "revision", *table.compared)
    query = select(*(columns[name] for name in names))
    query = query.where(columns.time.between(int(times[0]), int(times[-1])))
    query = query.where(*(columns[name] == same[name] for name in table.fixed))
    if table.series is not None:
        query = query.where(columns[table.series] == int(part[table.series][0]))
    stored = driver_rows(connection, query.order_by(columns.time, columns.revision))
    lists: list[Any] = list(zip(*stored, strict=True)) or [()] * len(names)
    kinds = [times.dtype, times.dtype, *(part[name].dtype for name in table.compared)]
    known = {name: array_of(values, kind) for name, values, kind in zip(names, lists, kinds, strict=True)}
    return pick(known, last_of_each(known["time"]))


def _insert(connection: Connection, table: BulkTable, columns: Mapping[str, object], *, rows: int) -> None:
    if connection.dialect.name != "sqlite":
        _copy(connection, table.table.name, columns, rows=rows)
        return
    statement = insert(table.table).compile(dialect=connection.dialect, column_keys=list(columns))
    ordered = [columns[name] for name in statement.positiontup or ()]
    lists = [column.tolist() if isinstance(column, np.ndarray) else repeat(column, rows) for column in ordered]
    cursor: Any = connection.connection.cursor()  # past SQLAlchemy, which would make a dictionary of each row
    cursor.executemany(str(statement), zip(*lists, strict=True))
    cursor.close()


def _copy(connection: Connection, table: str, columns: Mapping[str, object], *, rows: int) -> None:
    """Writes columns by COPY on PostgreSQL; text made by Arrow, floats in their shortest exact form."""
    import pyarrow as pa
    from pyarrow import csv

    def arrow(column: object) -> pa.Array:
        if not isinstance(column, np.ndarray):
            return pa.array([column] * rows)
        texts = column.dtype == object
        values = ["\\x" + one.hex() if isinstance(one, bytes) else one for one in column] if texts else column
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


def copy_rows(
    store: Store, into: Store, model: type[SQLModel], *, run: int | None = None, run_id: int | None = None
) -> None:
    """Writes a table's rows into another store where they are not there yet.

    All of them under their own numbers, or those of one run as the run `run_id` there.
    """
    table = table_of(model)
    query = select(table).order_by(*table.primary_key)
    if run is not None:
        query = query.where(table.c.run_id == run)
    with store.reading() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    if run is not None:
        rows = [{name: value for name, value in row.items() if name != "id"} | {"run_id": run_id} for row in rows]
    with into.writing_session() as session:
        upsert(session, model, rows, key=())


def _as_array(column: Column) -> NDArray[Any]:
    """Lists hold text or bytes: numpy's own string types would strip the zeros at their end."""
    return column if isinstance(column, np.ndarray) else array_of(column, np.dtype(object))


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
