"""Indices, the versions of their methodologies, and notes: reviews not as scheduled, spells of bad health."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from indexer.errors import NotFoundError, did_you_mean
from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.rows import IndexRow, MethodologyRow, NoteRow, as_row, as_values
from indexer.store.runs import latest
from indexer.store.tables import IndexInfo, MethodologyVersion, ReviewNote
from indexer.times import from_us


def read_indices(store: Store, index_id: str | None = None) -> list[IndexRow]:
    """Every index, by id; or the one of an id. In a store as it was known: by the rules that were known then."""
    query = select(IndexInfo, MethodologyVersion).join(MethodologyVersion).order_by(col(IndexInfo.id))
    query = query if index_id is None else query.where(IndexInfo.id == index_id)
    with store.session() as session:
        rows = session.exec(query).all()
        return [_as_known(session, index, rules, store.as_of_us) for index, rules in rows]


def _as_known(session: Session, index: IndexInfo, rules: MethodologyVersion, as_of_us: int | None) -> IndexRow:
    known = known_rules(session, index.id, as_of_us) or rules
    told = {} if known.id == rules.id else tomllib.loads(known.text)
    named = {name: told.get(name, getattr(index, name)) for name in ("name", "description")}
    return as_row(IndexRow, index, methodology_id=known.id, version=known.version, hash=known.hash, **named)


def known_rules(session: Session, index_id: str, as_of_us: int | None) -> MethodologyVersion | None:
    """The present rules of an index; with an instant the newest that had been loaded then, or else the first ones."""
    if as_of_us is None:
        index = session.get(IndexInfo, index_id)
        return None if index is None else session.get(MethodologyVersion, index.methodology_id)
    loaded, number = col(MethodologyVersion.loaded_at), col(MethodologyVersion.id)
    query = select(MethodologyVersion).where(MethodologyVersion.index_id == index_id)
    known = query.where(loaded <= from_us(as_of_us)).order_by(loaded.desc(), number.desc()).limit(1)
    return session.exec(known).first() or session.exec(query.order_by(loaded, number).limit(1)).first()


def read_index(store: Store, index_id: str) -> IndexRow:
    """One index. Raises NotFoundError naming the closest id and the known ones."""
    for row in read_indices(store, index_id):
        return row
    known = [row.id for row in read_indices(store)]
    has = ", ".join(known) or "none yet; run `deai update`"
    raise NotFoundError(f'No index "{index_id}".{did_you_mean(index_id, known)} Known: {has}.')


def index_state(store: Store, index_id: str) -> str | None:
    """The state of an index, None before it is registered."""
    with store.session() as session:
        index = session.get(IndexInfo, index_id)
        return None if index is None else index.state


def write_index(
    store: Store,
    *,
    index_id: str,
    name: str,
    description: str,
    methodology_id: int,
    simulated: bool = False,
    state: str = "active",
) -> None:
    """Registers an index, or brings its name, state and present methodology up to date."""
    index = IndexInfo(
        id=index_id,
        name=name,
        description=description,
        simulated=simulated,
        state=state,
        methodology_id=methodology_id,
    )
    with store.writing_session() as session:
        session.merge(index)


def set_index_state(store: Store, index_id: str, state: str) -> None:
    """Changes an index's state; who may do so and why is decided before (`levels.lifecycle`)."""
    with store.writing_session() as session:
        index = session.get(IndexInfo, index_id)
        if index is not None:
            index.state = state


def read_methodologies(store: Store, index_id: str | None = None) -> list[MethodologyRow]:
    """Every methodology version, oldest first; of one index when given."""
    query = select(MethodologyVersion).order_by(col(MethodologyVersion.id))
    if index_id is not None:
        query = query.where(MethodologyVersion.index_id == index_id)
    return [as_row(MethodologyRow, version) for version in store.all(query)]


def write_methodology(store: Store, *, index_id: str, version: str, hash: str, text_: str, loaded_at: datetime) -> int:
    """The id of this version of an index's methodology, written once per hash."""
    row = {"index_id": index_id, "version": version, "hash": hash, "text": text_, "loaded_at": loaded_at}
    query = select(MethodologyVersion.id).where(
        MethodologyVersion.index_id == index_id, MethodologyVersion.hash == hash
    )
    with store.writing_session() as session:
        upsert(session, MethodologyVersion, [row], key=["index_id", "hash"])
        return int(session.exec(query).one() or 0)


LATE = "begins_later"
REVIEWS = (LATE, "skipped", "relaxed")
SPELLS = ("impaired", "suspended")
KEY = ("index_id", "kind", "start_at")


def read_notes(
    store: Store, index_id: str, *, kinds: Sequence[str] = (*REVIEWS, *SPELLS), as_of_us: int | None = None
) -> list[NoteRow]:
    """The notes of these kinds on an index, oldest first, as they were known at `as_of_us`."""
    query = select(ReviewNote).where(ReviewNote.index_id == index_id, col(ReviewNote.kind).in_(kinds))
    query = query.where(*latest(ReviewNote, KEY, store.as_of_us if as_of_us is None else as_of_us))
    return [as_row(NoteRow, note) for note in store.all(query.order_by(col(ReviewNote.start_at)))]


def write_notes(store: Store, run_id: int, *, index_id: str, notes: Sequence[NoteRow], whole: bool) -> list[NoteRow]:
    """Writes a revision of each note that is new or differs, and gives these; what is not there any more is withdrawn.

    Spells are always given all, reviews when `whole`.
    """
    known = {(note.kind, note.start_at): note for note in read_notes(store, index_id)}
    stated = {(note.kind, note.start_at): note for note in notes}
    gone = [note for key, note in known.items() if key not in stated and (whole or note.kind in SPELLS)]
    fresh = [note for key, note in stated.items() if known.get(key) != note]
    if gone or fresh:
        with store.writing_session() as session:
            newest: dict[tuple[str, datetime], int] = {}
            for row in session.exec(select(ReviewNote).where(ReviewNote.index_id == index_id)):
                newest[row.kind, row.start_at] = max(row.revision, newest.get((row.kind, row.start_at), 0))
            for note, withdrawn in [*((one, True) for one in gone), *((one, False) for one in fresh)]:
                revision = newest.get((note.kind, note.start_at), 0) + 1
                values = as_values(note) | {"revision": revision, "withdrawn": withdrawn}
                session.add(ReviewNote(index_id=index_id, run_id=run_id, **values))
    return fresh
