"""Why a level is not final, in words, and how an index stands now: healthy, impaired or suspended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.engine.health import IMPAIRED, SUSPENDED
from indexer.engine.market import STATUS_NAMES, Status
from indexer.store.db import Store
from indexer.store.notes import SPELLS, read_notes
from indexer.store.rows import LevelRows, NoteRow
from indexer.times import iso, to_us

REASONS = {
    "indicative": "three venues price less of the weight than a final level needs, two price enough",
    "degraded": "two venues price less of the weight than an indicative level needs",
    "carried": "the price of a constituent is an older one",
    "impaired": "too much of the weight is carried, or too few constituents are held",
    "suspended": "the index has no levels for now",
}
"""What each status but `final` means of a level."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The status that a newest level is shown with, and why it is not final (empty when it is)."""

    status: str
    reason: str


def standing_of(store: Store, index_id: str, *, newest: LevelRows) -> Standing:
    """How the index stands at its newest level (the last row): suspended where nothing follows by the rules."""
    return standing_by(read_notes(store, index_id, kinds=SPELLS), newest)


def standing_by(spells: Sequence[NoteRow], newest: LevelRows) -> Standing:
    """The standing by the spells of the index, oldest first."""
    status = STATUS_NAMES[int(newest.status[-1])]
    spell = spells[-1] if spells else None
    if spell is not None and spell.kind == SUSPENDED and spell.end_at is None:
        return Standing(SUSPENDED, f"no levels after {iso(to_us(spell.start_at))}: {spell.reason}")
    if status == IMPAIRED and spell is not None:
        return Standing(status, f"since {iso(to_us(spell.start_at))}: {spell.reason}")
    if int(newest.status[-1]) == Status.CARRIED:
        return Standing(status, f"{float(newest.carried_weight[-1]):.1%} of the weight has an older price")
    return Standing(status, REASONS.get(status, ""))
