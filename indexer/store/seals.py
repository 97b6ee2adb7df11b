"""Seals: a digest of what each run that is done wrote, chained, so that any row changed afterwards is found and named.

Every update seals what is not sealed yet; `verify` compares. The head of the chain is kept outside the database too, so
that seals cannot be cut off unnoticed: a head file (JSON) says how many there were, the hash of the last one, and the
same of each index's levels. It stands beside the store, and where `DEAI_HEAD_FILE` says: on another disk, or where
somebody else can read it. A chain that is shorter than its head, or another, is never written over it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func
from sqlmodel import Session, col, select

from indexer.errors import StoreError
from indexer.store.db import Store
from indexer.store.drafts import draft
from indexer.store.runs import COMPUTING, DONE, RUNNING, forgotten_before, is_provisional, runs_before
from indexer.store.sealed import (
    EARLIER,
    EARLIER_RUN,
    RUN,
    RUNS,
    STATES,
    Rows,
    Sealed,
    digest_of,
    joined,
    pack_keys,
    read_runs_of,
    rows_of,
    shown_key,
    unpack_keys,
)
from indexer.store.tables import IndexInfo, Level, Payload, Run, Seal
from indexer.times import iso

GENESIS = b"\0" * 32
FEW, MOST = 5, 20  # rows of a run, and in all, that are named
INSTANTS = ("time", "observed_at", "effective_at", "valid_from", "opened_at", "start_at")


def seal_runs(store: Store) -> int:
    """Seals every run that is done and not sealed yet, but for provisional ones; how many there were.

    Tables that belong to no run are sealed where they have changed, but not where rows that may not change did, or
    where no run has ended since they were sealed: then the seal stays as it was, for `verify` to name.
    """
    runs, may_change = unsealed_runs(store), _ended_since_sealing(store)
    if not runs and not may_change and all(path.exists() for path in store.head_files):
        return 0
    last = _last_of_states(store)
    seals = [
        _seal(run_id, table, rows_of(table, parts))
        for table in RUNS
        for run_id, parts in read_runs_of(store, table, only=set(runs))
    ]
    seals.sort(key=lambda seal: seal.run_id)
    newest = _newest_ended(store)
    for table in STATES if newest is not None else ():
        for _, parts in read_runs_of(store, table):
            rows, seal = rows_of(table, parts), last.get(table.about)
            if seal is None or (seal.digest != rows.digest and may_change and _has_all_of(rows, seal, table)):
                seals.append(_seal(newest or 0, table, rows))
    if seals:
        _append(store, seals)
    _write_heads(store)
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
    return store.all(query)


def _newest_ended(store: Store) -> int | None:
    """The run that ended last, however; None before any."""
    query = select(Run.id).where(col(Run.finished_at).is_not(None))
    return store.first(query.order_by(col(Run.finished_at).desc(), col(Run.id).desc()))


def _has_all_of(rows: Rows, seal: Seal, table: Sealed) -> bool:
    """Whether every sealed row is there as it was, where a table may only grow."""
    return not table.grows or bool(np.isin(np.frombuffer(seal.marks, dtype="<u8"), rows.marks).all())


def _seal(run_id: int, table: Sealed, rows: Rows) -> Seal:
    marks = np.ascontiguousarray(rows.marks, dtype="<u8").tobytes()
    return Seal(
        run_id=run_id,
        about=table.about,
        rows=len(rows.marks),
        digest=rows.digest,
        marks=marks,
        keys=pack_keys(rows.keys),
        prev_hash=b"",
        hash=b"",
    )


def _append(store: Store, seals: Sequence[Seal]) -> None:
    """Writes seals after the last one. Of two processes that seal at once, the second finds it done."""
    with store.writing_session(log=True) as session:
        previous = session.exec(select(Seal.hash).order_by(col(Seal.id).desc()).limit(1)).first() or GENESIS
        known = set(session.exec(select(Seal.run_id, Seal.about)))
        for seal in seals:
            if (seal.run_id, seal.about) not in known:
                seal.prev_hash, seal.hash = previous, link(previous, seal)
                previous = seal.hash
                session.add(seal)


def link(previous: bytes, seal: Seal) -> bytes:
    """The hash of a seal: over the one before it and all its fields."""
    digest = sha256(previous)
    digest.update(f"{seal.run_id}:{seal.about}:{seal.rows}:".encode())
    digest.update(seal.digest)
    digest.update(sha256(seal.marks).digest())
    digest.update(sha256(seal.keys).digest())
    return digest.digest()


def _last_of_states(store: Store) -> dict[str, Seal]:
    """The newest seal of each whole table, by what it is about."""
    abouts = [table.about for table in STATES]
    newest = select(func.max(Seal.id)).where(col(Seal.about).in_(abouts)).group_by(col(Seal.about))
    return {seal.about: seal for seal in store.all(select(Seal).where(col(Seal.id).in_(newest)))}


def _ended_since_sealing(store: Store) -> bool:
    """Whether a run is working, or has ended after all that are sealed."""
    sealed = select(func.max(Run.finished_at)).where(col(Run.id).in_(select(Seal.run_id))).scalar_subquery()
    query = select(Run.id).where((col(Run.finished_at) > sealed) | (Run.outcome == RUNNING) | sealed.is_(None))
    return store.first(query) is not None


def altered_rows(store: Store) -> list[str]:
    """Every sealed row that is not what it was, named, at most twenty; and every seal that is not. Empty is good."""
    altered: list[str] = []
    hashes: list[bytes] = [GENESIS]
    sealed: dict[str, dict[int, bytes]] = {}
    with store.session() as session:
        for seal in session.exec(select(Seal).order_by(col(Seal.id)), execution_options={"yield_per": FEW}):
            if seal.prev_hash != hashes[-1] or seal.hash != link(hashes[-1], seal):
                altered.append(f"seal {seal.id} (of what run {seal.run_id} wrote into {seal.about}) was changed")
            hashes.append(seal.hash)
            sealed.setdefault(seal.about, {})[seal.run_id] = seal.digest
    altered += _broken_heads(store, [value.hex() for value in hashes[1:]])
    for tables, run in ((EARLIER, EARLIER_RUN), (RUNS, RUN)):
        runs = set(sealed.get(run.about, ()))
        for table in tables:
            if len(altered) < MOST and runs:
                mine = {number: digest for number, digest in sealed.get(table.about, {}).items() if number in runs}
                altered += _altered_by_run(store, table, sealed=mine, runs=runs)
    for table in STATES if len(altered) < MOST else ():
        altered += _altered_state(store, table)
    return altered[:MOST]


def _altered_by_run(store: Store, table: Sealed, *, sealed: dict[int, bytes], runs: set[int]) -> Iterator[str]:
    """The rows that runs wrote into a table and that are not as they were sealed."""
    swept = runs_before(store, forgotten_before(store)) if table.model is Payload else ()
    altered = []
    for run_id, parts in read_runs_of(store, table, only=runs):
        if sealed.pop(run_id, None) != digest_of(table, parts):
            altered.append(run_id)
    for run_id in sorted([*altered, *sealed]):
        yield from _differences(store, table, run_id, may_be_gone=run_id in swept)


def _altered_state(store: Store, table: Sealed) -> Iterator[str]:
    """The rows of a table that belongs to no run that are not as sealed.

    While a run is working, or has ended since the last sealing, rows may have changed by it: then only those are named
    that never may.
    """
    seal = _last_of_states(store).get(table.about)
    if seal is None or seal.digest in [digest_of(table, parts) for _, parts in read_runs_of(store, table)]:
        return
    may_change = _ended_since_sealing(store)
    for text in _differences(store, table, seal.run_id):
        if not may_change or (table.grows and text.endswith("is gone")):
            yield text


def _differences(store: Store, table: Sealed, run_id: int, *, may_be_gone: bool = False) -> Iterator[str]:
    """The rows that are not as sealed: by what is there now, and by the key they had when they are gone."""
    newest = col(Seal.id).desc()
    seal = store.first(select(Seal).where(Seal.run_id == run_id, Seal.about == table.about).order_by(newest))
    only = None if table in STATES else {run_id}
    parts = [part for _, each in read_runs_of(store, table, only=only) for part in each]
    if seal and parts and seal.digest == digest_of(table, [joined(parts)]):  # sealed whole, by an earlier program
        return
    rows = rows_of(table, parts) if parts else None
    sealed = np.frombuffer(seal.marks if seal else b"", dtype="<u8")
    there = np.zeros(0, dtype=np.uint64) if rows is None else rows.marks
    strange = np.flatnonzero(~np.isin(there, sealed)).tolist()
    keys = {} if rows is None else rows.keys
    now = [{name: shown_key(name, column[row]) for name, column in keys.items()} for row in strange]
    for key in now[:FEW]:
        yield f"{table.name}: {_named(key)} was changed or added after run {run_id} was sealed"
    lost = np.flatnonzero(~np.isin(sealed, there)).tolist()
    if may_be_gone and not strange:
        return
    gone = [key for key in unpack_keys(seal.keys, lost) if key not in now] if seal and lost else []
    for key in gone[:FEW]:
        yield f"{table.name}: {_named(key)} that run {run_id} wrote is gone"
    if len(gone) > FEW:
        yield f"{table.name}: {len(gone) - FEW:,} more rows that run {run_id} wrote are gone"
    if not strange and not lost:
        yield f"{table.name}: what run {run_id} wrote is not in the order or form it was sealed in"


def _named(key: Mapping[str, Any]) -> str:
    words = [f"{name} {iso(int(value)) if name in INSTANTS else value}" for name, value in key.items()]
    return "row " + ", ".join(words)


def read_heads(store: Store) -> dict[str, Any]:
    """The heads of the chains as a head file has them: how many links, and the hash of the last one, '' before any."""
    with store.session() as session:
        ids = session.exec(select(IndexInfo.id).order_by(IndexInfo.id)).all()
        levels = {index_id: _level_head(session, index_id) for index_id in ids}
        return {"seals": _seal_head(session), "levels": {name: head for name, head in levels.items() if head["count"]}}


def chain_of(store: Store, index_id: str) -> dict[str, str | int]:
    """The heads of an index's levels and of all seals, as answers and files name them."""
    with store.session() as session:
        levels, seals = _level_head(session, index_id), _seal_head(session)
    return {"levels": levels["count"], "hash": levels["hash"], "seals": seals["count"], "seal": seals["hash"]}


def _seal_head(session: Session) -> dict[str, Any]:
    count, last = session.exec(select(func.count(), func.max(Seal.id)).select_from(Seal)).one()
    digest = session.exec(select(Seal.hash).where(Seal.id == last)).first()
    return {"count": count, "hash": digest.hex() if digest else ""}


def _level_head(session: Session, index_id: str) -> dict[str, Any]:
    """Of the chain of an index's published levels, revisions included."""
    mine = Level.index_id == index_id
    order = (col(Level.run_id).desc(), col(Level.time).desc(), col(Level.revision).desc())
    count = session.exec(select(func.count()).select_from(Level).where(mine)).one()
    digest = session.exec(select(Level.hash).where(mine).order_by(*order).limit(1)).first()
    return {"count": count, "hash": bytes(digest).hex() if digest else ""}


def _write_heads(store: Store) -> None:
    """Brings the head files up to the store's chain; one that says more than the store holds is left as it is.

    Raises StoreError for a file that cannot be written.
    """
    heads = read_heads(store) if store.head_files else {}
    for path in store.head_files:
        known = _read(path)
        if known is not None and known != heads:
            hashes = [value.hex() for value in store.all(select(Seal.hash).order_by(col(Seal.id)))]
            if _against(known, hashes):
                continue
        if known != heads:
            with draft(path, folder=True, error=StoreError) as part:
                part.write_text(json.dumps(heads, indent=1), encoding="utf-8")


def _broken_heads(store: Store, hashes: Sequence[str]) -> Iterator[str]:
    """What head files say and the chain of seals, whose `hashes` are given, does not bear out."""
    for path in store.head_files:
        known = _read(path)
        if problem := "" if known is None else _against(known, hashes):
            yield f"{path.name}: {problem}"


def _against(known: Mapping[str, object], hashes: Sequence[str]) -> str:
    head = known.get("seals")
    if not isinstance(head, dict) or not isinstance(head.get("count"), int) or head["count"] < 0:
        return "it is no head file that can be read; put its copy back, or remove it"
    count = head["count"]
    if count > len(hashes):
        return (
            f"it knows {count} seals, the store has {len(hashes)}: seals were taken away, or this is an older copy of "
            "the store (then remove the file)"
        )
    if count and hashes[count - 1] != head.get("hash"):
        return f"seal number {count} is another than the file knows: the chain was made anew after rows were changed"
    return ""


def _read(path: Path) -> dict[str, object] | None:
    """A head file's content, None when there is none; an empty one when it cannot be read."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
