"""Seals: a digest of what each finished run wrote, chained, so that any row changed afterwards is found and named.

Place in the flow: the end of an update seals what is not sealed yet; `verify` compares. Numbers enter by their
bits, texts by their bytes, nulls by a mark of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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
from sqlmodel import SQLModel, col, select

from indexer.store.bulk import upsert
from indexer.store.columnar import Columns, fields, pick, read_columns, table_of
from indexer.store.db import Store
from indexer.store.digests import Encoded, digest_of, marks_of, pack_keys, shown_key, unpack_keys
from indexer.store.provisional import is_provisional
from indexer.store.runs import DONE, forgotten_before, runs_before
from indexer.store.tables import (
    Announcement,
    Bar,
    BenchmarkBar,
    Level,
    Membership,
    Metric,
    Payload,
    Rate,
    Rebalancing,
    RebalancingItem,
    Run,
    Seal,
    Supply,
)
from indexer.times import iso

GENESIS = b"\0" * 32
FEW = 5  # rows of a run that are named
NULL_TEXT, NULL_NUMBER = "\x01", -(2**62)
MISSING = (NULL_TEXT, NULL_NUMBER, -np.inf)
INSTANTS = ("time", "observed_at", "effective_at", "valid_from")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A table that is sealed: the columns that name a row, and the others, in the order of the digest."""

    model: type[SQLModel]
    key: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """The table's name."""
        return table_of(self.model).name


SEALED = (
    Sealed(Run, ("run_id",), ("kind", "key", "started_at", "outcome", "detail")),
    Sealed(Bar, ("listing_id", "time", "revision"), ("open", "high", "low", "close", "volume_base", "volume_usd")),
    Sealed(
        BenchmarkBar,
        ("benchmark_id", "interval", "time", "revision"),
        ("close", "adjusted_close", "volume", "price_basis", "source"),
    ),
    Sealed(
        Supply,
        ("asset_id", "kind", "source", "observed_at", "revision"),
        ("origin", "amount", "chain", "block_number", "block_hash", "finality"),
    ),
    Sealed(Metric, ("subject", "name", "source", "time", "revision"), ("value",)),
    Sealed(Rate, ("asset_id", "time", "revision"), ("rate", "status", "method", "verdicts")),
    Sealed(
        Rebalancing,
        ("index_id", "effective_at", "kind", "revision"),
        ("id", "reference_at", "withdrawn", "methodology_id", "level", "divisor_before", "divisor_after", "turnover"),
    ),
    Sealed(
        RebalancingItem,
        ("rebalancing_id", "asset_id"),
        (
            "units_before", "units_after", "weight_drifted", "weight_target", "price", "supply", "supply_source",
            "free_float_cap_usd", "median_adv_usd", "rank", "reason",
        ),
    ),
    Sealed(
        Membership,
        ("index_id", "asset_id", "valid_from", "revision"),
        ("valid_to", "reason_in", "reason_out", "withdrawn"),
    ),
    Sealed(
        Level,
        ("index_id", "time", "revision"),
        (
            "level", "status", "carried_weight", "methodology_id", "published_at", "inputs_hash", "prev_hash", "hash",
        ),
    ),
    Sealed(Payload, ("sha256",), ("source", "url", "fetched_at", "bytes")),
    Sealed(
        Announcement, ("key",), ("kind", "index_id", "published_at", "effective_at", "title", "detail")
    ),
)  # fmt: skip


def seal_runs(store: Store) -> int:
    """Seals every finished run that is not sealed yet, but for provisional ones; how many there were."""
    sealed = select(Seal.run_id).where(Seal.about == "run")
    with store.session() as session:
        finished = select(Run.id).where(Run.outcome == DONE, ~is_provisional())
        unsealed = session.exec(finished.where(col(Run.id).not_in(sealed)))
        runs = [number or 0 for number in unsealed]
    if not runs:
        return 0
    previous = read_heads(store) or GENESIS
    written = {(table.name, rows.run_id): rows for table in SEALED for rows in _runs_of(store, table, only=runs)}
    seals: list[dict[str, Any]] = []
    for run_id in sorted(runs):
        for table in SEALED:
            rows = written.get((table.name, run_id))
            if rows is None:
                continue
            marks = np.ascontiguousarray(rows.marks, dtype="<u8").tobytes()
            body = Body(table.name, len(rows.marks), rows.digest, marks, pack_keys(rows.keys))
            own = link(previous, run_id, body)
            seals.append({"run_id": run_id, **body._asdict(), "prev_hash": previous, "hash": own})
            previous = own
    with store.writing_session() as session:
        upsert(session, Seal, seals, key=["run_id", "about"])
    return len(runs)


def read_seals(store: Store) -> list[Seal]:
    """Every seal in the order of its chain."""
    with store.session() as session:
        return list(session.exec(select(Seal).order_by(col(Seal.id))))


def read_heads(store: Store) -> bytes | None:
    """The hash of the newest seal: what someone else can keep to hold us to all that was sealed; None before any."""
    with store.session() as session:
        return session.exec(select(Seal.hash).order_by(col(Seal.id).desc()).limit(1)).first()


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


def altered_rows(store: Store, *, most: int = 20) -> list[str]:
    """Every sealed row that is not what it was, named, at most so many; and every seal that is not. Empty is good."""
    seals = read_seals(store)
    altered = list(_broken_seals(seals))
    runs = {seal.run_id for seal in seals}
    swept = runs_before(store, forgotten_before(store))
    for table in SEALED:
        expected = {seal.run_id: seal for seal in seals if seal.about == table.name}
        present = {rows.run_id: rows for rows in _runs_of(store, table, only=runs if expected else ())}
        for run_id in sorted(expected.keys() | present.keys()):
            seal, rows = expected.get(run_id), present.get(run_id)
            if seal is None or rows is None or seal.digest != rows.digest:
                over = table.name == "payload" and run_id in swept
                altered.extend(_differences(table, run_id, seal=seal, rows=rows, may_be_gone=over))
        if len(altered) >= most:
            break
    return altered[:most]


def _broken_seals(seals: list[Seal]) -> Iterator[str]:
    previous = GENESIS
    for seal in seals:
        own = link(previous, seal.run_id, Body(seal.about, seal.rows, seal.digest, seal.marks, seal.keys))
        if seal.prev_hash != previous or seal.hash != own:
            yield f"seal {seal.id} (of what run {seal.run_id} wrote into {seal.about}) was changed"
        previous = seal.hash


@dataclass(slots=True)
class _RunRows:
    """What a run has in a table now; `keys` are the columns to name rows by."""

    run_id: int
    digest: bytes
    marks: NDArray[np.uint64]
    keys: dict[str, NDArray[Any]]


def _runs_of(store: Store, table: Sealed, *, only: Collection[int]) -> Iterator[_RunRows]:
    """What each of these runs has in a table, by run; runs without rows are absent."""
    if not only:
        return
    stored = read_sealed(store, table, only=only)
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
        yield _RunRows(
            run_id=int(stored["run_id"][rows[0]]),
            digest=digest_of(table.name, part),
            marks=marks_of(list(part.values())),
            keys={name: stored[name][rows] for name in table.key},
        )


def read_sealed(store: Store, table: Sealed, *, only: Collection[int] | None = None) -> Columns:
    """The sealed columns and `run_id` of all rows or of some runs', by key where a database has it so.

    A run's own id is its number, an item has that of its rebalancing. What is missing is one of `MISSING`.
    """
    run_id = fields(
        Rebalancing if table.model is RebalancingItem else table.model, "id" if table.model is Run else "run_id"
    )[0]
    names = [name for name in (*table.key, *table.values) if name != "run_id"]
    columns = [_without_null(store, column) for column in fields(table.model, *names)]
    query = select_columns(run_id.label("run_id"), *columns)
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
    table: Sealed, run_id: int, *, seal: Seal | None, rows: _RunRows | None, may_be_gone: bool
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
