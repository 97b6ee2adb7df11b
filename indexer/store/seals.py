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
from sqlalchemy import text

from indexer.store.columnar import columns
from indexer.store.db import Store
from indexer.store.read import forgotten_before
from indexer.store.read_administration import read_seals
from indexer.store.read_state import runs_before
from indexer.store.records_administration import SealRow
from indexer.store.rowkeys import pack_keys, shown_key, unpack_keys
from indexer.store.rowmarks import Encoded, digest_of, marks_of
from indexer.store.sealed_tables import BYTES, FLOAT, INSTANTS, INT, MAYBE, SEALED, TEXT, Sealed
from indexer.store.write_administration import write_seals
from indexer.times import iso

GENESIS = b"\0" * 32
FEW = 5  # rows of a run that are named
NULL_TEXT, NULL_NUMBER = "\x01", -(2**62)
UNSEALED = "SELECT id FROM run WHERE outcome = 'done' AND id NOT IN (SELECT run_id FROM seal WHERE about = 'run')"


def seal_runs(store: Store) -> int:
    """Seals every finished run that is not sealed yet; how many there were."""
    with store.reading() as connection:
        runs = [int(row[0]) for row in connection.execute(text(UNSEALED))]
    if not runs:
        return 0
    known = read_heads(store)
    previous, made = known or GENESIS, []
    digests = {(table.name, one.run_id): one for table in SEALED for one in _runs_of(store, table, only=runs)}
    for run_id in sorted(runs):
        for table in SEALED:
            one = digests.get((table.name, run_id))
            if one is None:
                continue
            marks = np.ascontiguousarray(one.marks, dtype="<u8").tobytes()
            body = Body(table.name, len(one.marks), one.digest, marks, pack_keys(one.keys))
            own = link(previous, run_id, body)
            made.append(SealRow(run_id, *body, previous, own))
            previous = own
    write_seals(store, made)
    return len(runs)


def read_heads(store: Store) -> bytes | None:
    """The hash of the newest seal: what someone else can keep to hold us to all that was sealed; None before any."""
    with store.reading() as connection:
        found = connection.execute(text("SELECT hash FROM seal ORDER BY id DESC LIMIT 1")).scalar()
    return None if found is None else bytes(found)


class Body(NamedTuple):
    """What a seal says of a run and a table."""

    about: str
    rows: int
    digest: bytes
    marks: bytes
    keys: bytes


def link(previous: bytes, run_id: int, body: Body) -> bytes:
    """The hash of a seal: over the one before it and all its fields."""
    said = sha256(previous)
    said.update(f"{run_id}:{body.about}:{body.rows}:".encode())
    said.update(body.digest)
    said.update(sha256(body.marks).digest())
    said.update(sha256(body.keys).digest())
    return said.digest()


def altered_rows(store: Store, *, most: int = 20) -> list[str]:
    """Every sealed row that is not what it was, named, at most so many; and every seal that is not. Empty is good."""
    seals = read_seals(store)
    found = list(_broken_seals(seals))
    runs = {seal.run_id for seal in seals}
    swept = runs_before(store, forgotten_before(store))
    for table in SEALED:
        expected = {seal.run_id: seal for seal in seals if seal.about == table.name}
        present = {one.run_id: one for one in _runs_of(store, table, only=runs if expected else ())}
        for run_id in sorted(expected.keys() | present.keys()):
            seal, one = expected.get(run_id), present.get(run_id)
            if seal is None or one is None or seal.digest != one.digest:
                over = table.name == "payload" and run_id in swept
                found.extend(_differences(table, run_id, seal=seal, one=one, may_be_gone=over))
        if len(found) >= most:
            break
    return found[:most]


def _broken_seals(seals: list[SealRow]) -> Iterator[str]:
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
    read = _read(store, table, only=only)
    if not len(read["run_id"]):
        return
    encoded = {name: Encoded(read[name], hashes=kind == BYTES) for name, kind in table.columns.items()}
    # the bits of a number order as it does when it is not negative, and keys are not
    order = np.lexsort([encoded[name].numbers for name in reversed(list(table.key))] + [read["run_id"]])
    if (np.diff(order) != 1).any():
        read = {name: column[order] for name, column in read.items()}
        encoded = {name: one.take(order) for name, one in encoded.items()}
    edges = np.flatnonzero(np.diff(read["run_id"])) + 1
    for rows in np.split(np.arange(len(read["run_id"])), edges):
        part = encoded if len(rows) == len(order) else {name: one.take(rows) for name, one in encoded.items()}
        yield _RunRows(
            run_id=int(read["run_id"][rows[0]]),
            digest=digest_of(table.name, part),
            marks=marks_of(list(part.values())),
            keys={name: read[name][rows] for name in table.key},
        )


def _read(store: Store, table: Sealed, *, only: Collection[int]) -> dict[str, NDArray[Any]]:
    wanted: dict[str, str] = {"run_id": "int64"}
    names = {"run_id": "run_id"}
    for name, kind in table.columns.items():
        sql = _sql(store, name, kind=kind)
        names[name] = sql
        wanted[sql] = {INT: "int64", FLOAT: "float64", MAYBE: "float64", TEXT: "object", BYTES: "object"}[kind]
    runs = ", ".join(str(int(number)) for number in sorted(only))
    found = columns(store, wanted, source=f"{table.rows_from} WHERE run_id IN ({runs})", params={})
    return {name: found[sql] for name, sql in names.items()}


def _sql(store: Store, name: str, *, kind: str) -> str:
    """SQL that both drivers read alike: no nulls, booleans as numbers, exact amounts as text."""
    if kind == TEXT:
        return f"coalesce(CAST({name} AS TEXT), '{NULL_TEXT}')"
    if kind == MAYBE:
        infinity = "-9e999" if store.is_sqlite else "CAST('-Infinity' AS double precision)"
        return f"coalesce({name}, {infinity})"
    if kind == INT and name == "withdrawn":
        return f"CASE WHEN {name} THEN 1 ELSE 0 END"
    return f"coalesce({name}, {NULL_NUMBER})" if kind == INT and name != "run_id" else name


def _differences(
    table: Sealed, run_id: int, *, seal: SealRow | None, one: _RunRows | None, may_be_gone: bool
) -> Iterator[str]:
    """The rows that are not as sealed: by what is there now, and by the key they had when they are gone."""
    sealed = np.frombuffer(seal.marks, dtype="<u8") if seal else np.zeros(0, dtype=np.uint64)
    there = one.marks if one else np.zeros(0, dtype=np.uint64)
    strange = np.flatnonzero(~np.isin(there, sealed))
    now = (
        [{name: shown_key(name, column[row]) for name, column in one.keys.items()} for row in strange.tolist()]
        if one
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
