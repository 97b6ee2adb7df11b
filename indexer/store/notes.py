"""Notes on an index: reviews that were skipped or relaxed, spells in which it was impaired or suspended. Revisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import col, select

from indexer.store.db import Store
from indexer.store.rows import NoteRow, as_row, as_values
from indexer.store.runs import latest
from indexer.store.tables import ReviewNote

REVIEWS = ("skipped", "relaxed")
SPELLS = ("impaired", "suspended")
KEY = ("index_id", "kind", "start_at")


def read_notes(
    store: Store, index_id: str, *, kinds: Sequence[str] = (*REVIEWS, *SPELLS), as_of_us: int | None = None
) -> list[NoteRow]:
    """The notes of these kinds on an index, oldest first, as they were known at `as_of_us`."""
    query = select(ReviewNote).where(ReviewNote.index_id == index_id, col(ReviewNote.kind).in_(kinds))
    query = query.where(*latest(ReviewNote, KEY, as_of_us))
    with store.session() as session:
        return [as_row(NoteRow, note) for note in session.exec(query.order_by(col(ReviewNote.start_at)))]


def write_notes(store: Store, run_id: int, *, index_id: str, notes: Sequence[NoteRow], whole: bool) -> list[NoteRow]:
    """Writes a revision of each note that is new or differs, and gives these; what is not there any more is withdrawn.

    Spells are always given all, reviews when `whole`.
    """
    known = {(note.kind, note.start_at): note for note in read_notes(store, index_id)}
    given = {(note.kind, note.start_at): note for note in notes}
    gone = [note for key, note in known.items() if key not in given and (whole or note.kind in SPELLS)]
    fresh = [note for key, note in given.items() if known.get(key) != note]
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
