"""Seals: a digest of what each run that is done wrote, chained, so that any row changed afterwards is found and named.

Place in the flow: every update seals what is not sealed yet; `verify` compares. Numbers enter by their
bits, texts by their bytes, nulls by a mark of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    LargeBinary,
    String,
    Text,
    case,
    cast,
    func,
    literal_column,
    type_coerce,
)
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from indexer.store.columnar import Columns, fields, pick, read_columns, table_of
from indexer.store.db import Store
from indexer.store.heads import broken_heads, write_heads
from indexer.store.runs import COMPUTING, DONE, RUNNING, forgotten_before, is_provisional, runs_before
from indexer.store.sealed import (
    EARLIER,
    EARLIER_RUN,
    RUN,
    RUNS,
    STATES,
    Encoded,
    Sealed,
    digest_of,
    marks_of,
    pack_keys,
    shown_key,
    unpack_keys,
)
from indexer.store.tables import Payload, Rebalancing, RebalancingItem, Run, Seal
from indexer.times import iso

GENESIS = b"\0" * 32
FEW, MOST = 5, 20  # rows of a run, and in all, that are named
NULL_TEXT, NULL_NUMBER = "\x01", -(2**62)
MISSING = (NULL_TEXT, NULL_NUMBER, -np.inf)
INSTANTS = ("time", "observed_at", "effective_at", "valid_from", "opened_at", "start_at")


def seal_runs(store: Store) -> int:
    """Seals every run that is done and not sealed yet, but for provisional ones; how many there were.

    Tables that belong to no run are sealed where they have changed, but not where rows that may not change did, or
    where no run has ended since they were sealed: then the seal stays as it was, for `verify` to name. The head of the
    chain goes into the store's head files (see `heads.py`).
    """
    runs, may_change = unsealed_runs(store), _ended_since_sealing(store)
    if not runs and not may_change and all(path.exists() for path in store.head_files):
        return 0
    last = _last_of_states(store)
    written = {(table.about, rows.run_id): rows for table in RUNS for rows in _runs_of(store, table, only=runs)}
    bodies = [
        (run_id, _body(table, rows))
        for run_id in sorted(runs)
        for table in RUNS
        if (rows := written.get((table.about, run_id))) is not None
    ]
    newest = _newest_ended(store)
    if newest is not None:
        states = [(table, _state(store, table, last.get(table.about), may_change=may_change)) for table in STATES]
        bodies += [(newest, _body(table, rows)) for table, rows in states if rows is not None]
    if bodies:
        _append(store, bodies)
    write_heads(store)
    return len(runs)


def unsealed_runs(store: Store, *, before_an_update: bool = False) -> list[int]:
    """The runs that are done and not sealed, ascending.

    With `before_an_update` only those that an update which ended later, or they themselves, should have sealed:
    a process was killed then, or seals were taken away.
    """
    sealed = select(Seal.run_id).where(col(Seal.about).in_([RUN.about, EARLIER_RUN.about]))
    query = select(Run.id).where(Run.outcome == DONE, ~is_provisional(), col(Run.id).not_in(sealed))
    query = query.order_by(col(Run.id))
    if before_an_update:
        newest = select(func.max(Run.finished_at)).where(Run.kind == COMPUTING, Run.outcome == DONE)
        query = query.where(col(Run.finished_at) <= newest.scalar_subquery())
    with store.session() as session:
        return [int(number or 0) for number in session.exec(query)]


def _newest_ended(store: Store) -> int | None:
    """The run that ended last, however; None before any."""
    query = select(Run.id).where(col(Run.finished_at).is_not(None))
    with store.session() as session:
        return session.exec(query.order_by(col(Run.finished_at).desc(), col(Run.id).desc()).limit(1)).first()


def _state(store: Store, table: Sealed, seal: Seal | None, *, may_change: bool) -> _Rows | None:
    """A whole table as it is now, to be sealed so; None where it is sealed so already or may not be sealed so."""
    rows = _all_rows(store, table)
    if rows is None or (seal is not None and (seal.digest == rows.digest or not may_change)):
        return None
    if seal is not None and table.grows and not np.isin(np.frombuffer(seal.marks, dtype="<u8"), rows.marks).all():
        return None
    return rows


def _body(table: Sealed, rows: _Rows) -> Body:
    marks = np.ascontiguousarray(rows.marks, dtype="<u8").tobytes()
    return Body(table.about, len(rows.marks), rows.digest, marks, pack_keys(rows.keys))


def _append(store: Store, bodies: Sequence[tuple[int, Body]]) -> None:
    """Writes seals after the last one. Of two processes that seal at once, the second finds it done."""
    with store.writing_session(log=True) as session:
        previous = session.exec(select(Seal.hash).order_by(col(Seal.id).desc()).limit(1)).first() or GENESIS
        known = set(session.exec(select(Seal.run_id, Seal.about)))
        bodies = [(run_id, body) for run_id, body in bodies if (run_id, body.about) not in known]
        seals: list[dict[str, Any]] = []
        for run_id, body in bodies:
            own = link(previous, run_id, body)
            seals.append({"run_id": run_id, **body._asdict(), "prev_hash": previous, "hash": own})
            previous = own
        session.add_all(Seal(**seal) for seal in seals)


def _last_of_states(store: Store) -> dict[str, Seal]:
    """The newest seal of each whole table, by what it is about."""
    newest = (
        select(func.max(Seal.id)).where(col(Seal.about).in_([table.about for table in STATES])).group_by(Seal.about)
    )
    with store.session() as session:
        return {seal.about: seal for seal in session.exec(select(Seal).where(col(Seal.id).in_(newest)))}


class Body(NamedTuple):
    """What a seal says of a run and a table."""

    about: str
    rows: int
    digest: bytes
    marks: bytes
    keys: bytes


def link(previous: bytes, run_id: int, body: Body) -> bytes:
    """The hash of a seal: over the one before it and all its fields."""
    digest = sha256(previous)
    digest.update(f"{run_id}:{body.about}:{body.rows}:".encode())
    digest.update(body.digest)
    digest.update(sha256(body.marks).digest())
    digest.update(sha256(body.keys).digest())
    return digest.digest()


def altered_rows(store: Store) -> list[str]:
    """Every sealed row that is not what it was, named, at most twenty; and every seal that is not. Empty is good."""
    with store.session() as session:
        seals = list(session.exec(select(Seal).order_by(col(Seal.id))))
    altered = [*_broken_seals(seals), *broken_heads(store, [seal.hash for seal in seals])]
    for tables, run in ((EARLIER, EARLIER_RUN), (RUNS, RUN)):
        runs = {seal.run_id for seal in seals if seal.about == run.about}
        for table in tables:
            if len(altered) >= MOST or not runs:
                break
            altered += _altered_by_run(store, table, seals=[one for one in seals if one.run_id in runs], runs=runs)
    for table in STATES if len(altered) < MOST else ():
        altered += _altered_state(store, table)
    return altered[:MOST]


def _altered_by_run(store: Store, table: Sealed, *, seals: Iterable[Seal], runs: set[int]) -> Iterator[str]:
    """The rows that runs wrote into a table and that are not as they were sealed."""
    expected = {seal.run_id: seal for seal in seals if seal.about == table.about}
    present = {rows.run_id: rows for rows in _runs_of(store, table, only=runs)}
    swept = runs_before(store, forgotten_before(store)) if table.model is Payload else ()
    for run_id in sorted(expected.keys() | present.keys()):
        seal, rows = expected.get(run_id), present.get(run_id)
        if seal is None or rows is None or seal.digest != rows.digest:
            yield from _differences(table, run_id, seal=seal, rows=rows, may_be_gone=run_id in swept)


def _altered_state(store: Store, table: Sealed) -> Iterator[str]:
    """The rows of a table that belongs to no run that are not as sealed.

    While a run is working, or has ended since the last sealing, rows may have changed by it: then only those are named
    that never may.
    """
    seal = _last_of_states(store).get(table.about)
    rows = _all_rows(store, table)
    if seal is None or (rows is not None and seal.digest == rows.digest):
        return
    may_change = _ended_since_sealing(store)
    for text in _differences(table, seal.run_id, seal=seal, rows=rows, may_be_gone=False):
        if not may_change or (table.grows and text.endswith("is gone")):
            yield text


def _ended_since_sealing(store: Store) -> bool:
    """Whether a run is working, or has ended after all that are sealed."""
    sealed = select(func.max(Run.finished_at)).where(col(Run.id).in_(select(Seal.run_id))).scalar_subquery()
    query = select(Run.id).where((col(Run.finished_at) > sealed) | (Run.outcome == RUNNING) | sealed.is_(None))
    with store.session() as session:
        return session.exec(query.limit(1)).first() is not None


def _broken_seals(seals: list[Seal]) -> Iterator[str]:
    previous = GENESIS
    for seal in seals:
        own = link(previous, seal.run_id, Body(seal.about, seal.rows, seal.digest, seal.marks, seal.keys))
        if seal.prev_hash != previous or seal.hash != own:
            yield f"seal {seal.id} (of what run {seal.run_id} wrote into {seal.about}) was changed"
        previous = seal.hash


@dataclass(slots=True)
class _Rows:
    """What a run has in a table now, or all that is there (run 0); `keys` are the columns to name rows by."""

    run_id: int
    digest: bytes
    marks: NDArray[np.uint64]
    keys: dict[str, NDArray[Any]]


def _all_rows(store: Store, table: Sealed) -> _Rows | None:
    """A table that belongs to no run, None when it is empty."""
    return next(_split(table, read_sealed(store, table)), None)


def _runs_of(store: Store, table: Sealed, *, only: Collection[int]) -> Iterator[_Rows]:
    """What each of these runs has in a table, by run; runs without rows are absent."""
    return _split(table, read_sealed(store, table, only=only)) if only else iter(())


def _split(table: Sealed, stored: Columns) -> Iterator[_Rows]:
    """Rows by run, each run's by key."""
    runs = stored["run_id"]
    if not len(runs):
        return
    of = table_of(table.model).c
    encoded = {
        name: Encoded(stored[name], hashes=name in of and isinstance(of[name].type, LargeBinary))
        for name in (*table.key, *table.values)
    }
    # the bits of a number order as it does when it is not negative, and keys are not
    order = np.lexsort([encoded[name].numbers for name in reversed(table.key)] + [runs])
    if (np.diff(order) != 1).any():
        stored = pick(stored, order)
        encoded = {name: column.take(order) for name, column in encoded.items()}
    edges = np.flatnonzero(np.diff(stored["run_id"])) + 1
    for rows in np.split(np.arange(len(order)), edges):
        part = encoded if len(rows) == len(order) else {name: column.take(rows) for name, column in encoded.items()}
        yield _Rows(
            run_id=int(stored["run_id"][rows[0]]),
            digest=digest_of(table.name, part),
            marks=marks_of(list(part.values())),
            keys={name: stored[name][rows] for name in table.key},
        )


def read_sealed(store: Store, table: Sealed, *, only: Collection[int] | None = None) -> Columns:
    """The sealed columns and `run_id` of all rows or of some runs', by key where a database has it so.

    A run's own id is its number, an item has that of its rebalancing, and 0 stands where a table belongs to no run.
    What is missing is one of `MISSING`.
    """
    owner = Rebalancing if table.model is RebalancingItem else table.model
    own = "id" if table.model is Run else "run_id"
    run_id = literal_column("0", BigInteger()) if table in STATES else fields(owner, own)[0]
    names = [name for name in (*table.key, *table.values) if name != "run_id"]
    columns = [_without_null(store, column) for column in fields(table.model, *names)]
    query = select_columns(run_id.label("run_id"), *columns).select_from(table_of(table.model))
    if only is not None:
        query = query.where(run_id.in_(sorted(only)))
    elif table.model is not Run:
        query = query.order_by(*fields(table.model, *table.key))
    if table.model is RebalancingItem:
        query = query.join_from(RebalancingItem, Rebalancing)
    return read_columns(store, query)


def _without_null(store: Store, column: Any) -> Any:
    """The column as both drivers read it alike: no nulls, booleans as numbers, exact amounts as text."""
    kind = column.type.impl_instance if hasattr(column.type, "impl_instance") else column.type
    if isinstance(kind, LargeBinary):
        return column
    if isinstance(kind, Boolean):
        return case((column, 1), else_=0).label(column.key)
    if isinstance(kind, Float):
        infinity = "-9e999" if store.is_sqlite else "CAST('-Infinity' AS double precision)"
        return func.coalesce(column, literal_column(infinity, Float())).label(column.key) if column.nullable else column
    if isinstance(kind, String):
        return func.coalesce(cast(column, Text), NULL_TEXT).label(column.key)
    return func.coalesce(type_coerce(column, BigInteger), NULL_NUMBER).label(column.key)


def _differences(
    table: Sealed, run_id: int, *, seal: Seal | None, rows: _Rows | None, may_be_gone: bool
) -> Iterator[str]:
    """The rows that are not as sealed: by what is there now, and by the key they had when they are gone."""
    sealed = np.frombuffer(seal.marks, dtype="<u8") if seal else np.zeros(0, dtype=np.uint64)
    there = rows.marks if rows else np.zeros(0, dtype=np.uint64)
    strange = np.flatnonzero(~np.isin(there, sealed))
    now = (
        [{name: shown_key(name, column[row]) for name, column in rows.keys.items()} for row in strange.tolist()]
        if rows
        else []
    )
    for key in now[:FEW]:
        yield f"{table.name}: {_named(key)} was changed or added after run {run_id} was sealed"
    lost = np.flatnonzero(~np.isin(sealed, there)).tolist()
    if may_be_gone and not len(strange):
        return
    gone = [key for key in unpack_keys(seal.keys, lost) if key not in now] if seal and lost else []
    for key in gone[:FEW]:
        yield f"{table.name}: {_named(key)} that run {run_id} wrote is gone"
    if len(gone) > FEW:
        yield f"{table.name}: {len(gone) - FEW:,} more rows that run {run_id} wrote are gone"
    if not len(strange) and not lost:
        yield f"{table.name}: what run {run_id} wrote is not in the order or form it was sealed in"


def _named(key: Mapping[str, Any]) -> str:
    words = [f"{name} {iso(int(value)) if name in INSTANTS else value}" for name, value in key.items()]
    return "row " + ", ".join(words)
