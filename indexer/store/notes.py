"""Notes on an index: reviews that were skipped or relaxed, spells in which it was impaired or suspended."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import col, select

from indexer.store.db import Store
from indexer.store.rows import NoteRow, as_row, as_values
from indexer.store.runs import known_by
from indexer.store.tables import ReviewNote

REVIEWS = ("skipped", "relaxed")
SPELLS = ("impaired", "suspended")


def read_notes(
    store: Store, index_id: str, *, kinds: Sequence[str] = (*REVIEWS, *SPELLS), as_of_us: int | None = None
) -> list[NoteRow]:
    """The notes of these kinds on an index, oldest first; of those that stand, the ones known at `as_of_us`."""
    query = select(ReviewNote).where(ReviewNote.index_id == index_id, col(ReviewNote.kind).in_(kinds))
    query = query.where(*known_by(ReviewNote, as_of_us))
    with store.session() as session:
        return [as_row(NoteRow, note) for note in session.exec(query.order_by(col(ReviewNote.start_at)))]


def write_notes(store: Store, run_id: int, *, index_id: str, notes: Sequence[NoteRow], whole: bool) -> list[NoteRow]:
    """Keeps the notes, and gives those that are new or differ. Spells are always given all, reviews when `whole`."""
    known = {(note.kind, note.start_at): note for note in read_notes(store, index_id)}
    given = {(note.kind, note.start_at): note for note in notes}
    gone = [key for key in known.keys() - given.keys() if whole or key[0] in SPELLS]
    fresh = [note for key, note in given.items() if known.get(key) != note]
    if gone or fresh:
        with store.writing_session() as session:
            for kind, start_at in (*gone, *((note.kind, note.start_at) for note in fresh)):
                stale = session.get(ReviewNote, (index_id, kind, start_at))
                if stale is not None:
                    session.delete(stale)
            session.flush()
            session.add_all(ReviewNote(index_id=index_id, run_id=run_id, **as_values(note)) for note in fresh)
    return fresh
