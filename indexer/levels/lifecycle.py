"""States of an index (proposed, active, suspended, terminated), who may change them, and where an index stands.

A state is changed by a named person with a reason; it is announced and takes effect at its date, never before. A
termination needs notice. A suspended or terminated index computes nothing; its levels stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from indexer.engine.health import IMPAIRED, SUSPENDED
from indexer.engine.market import STATUS_NAMES, Status
from indexer.errors import InputError
from indexer.levels.published import rules_of
from indexer.levels.rules import record_decision, unexplained
from indexer.store.administration import read_announcements
from indexer.store.db import Store
from indexer.store.indices import (
    LATE,
    SPELLS,
    read_index,
    read_indices,
    read_methodologies,
    read_notes,
    set_index_state,
)
from indexer.store.levels import read_latest_level
from indexer.store.quality import read_open_quality
from indexer.store.rebalancings import read_constituents, read_rebalancings, read_supply_times, weighted_age_days
from indexer.store.rows import AnnouncementRow, ConstituentRow, LevelRows, NoteRow
from indexer.times import DAY_US, from_us, iso, to_us

NEXT = {
    "proposed": ("active", "terminated"),
    "active": ("suspended", "terminated"),
    "suspended": ("active", "terminated"),
    "terminated": (),
}
NOTICE_DAYS = 15
BACK_DAYS = 400
NEWEST_NOTES = 12


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """Where an index stands. `below_minimum` when it holds fewer constituents than its methodology asks for.

    `alarms` are tokens that no venue in use lists any more, whatever index they are in.
    `level_status` is that of the newest level, suspended when none follows it by the rules, `note` why it is not final;
    `worst` is the constituent whose rate there is worst, and its status. `notes` are the newest reviews that were
    skipped or relaxed and spells of being impaired or suspended, newest first, and why the base is a later one.
    `supply_age_days` is the age of the supplies that the weights rest on, by weight; None unless all are known.
    """

    index: str
    state: str
    planned_state: str | None
    planned_at: datetime | None
    level_at: datetime | None
    constituents: int
    minimum: int
    below_minimum: bool
    basket_since: datetime | None
    note: str
    alarms: tuple[str, ...] = ()
    level_status: str | None = None
    worst: str | None = None
    worst_status: str | None = None
    notes: tuple[NoteRow, ...] = ()
    supply_age_days: float | None = None
    open_challenges: int = 0  # of the answer's promised form: challenges are not kept any more


def change_state(
    store: Store,
    index_id: str,
    *,
    state: str,
    reason: str,
    by: str,
    now: datetime,
    effective_at: datetime | None = None,
) -> AnnouncementRow:
    """The announcement of a new state, which takes effect at `effective_at` (now when None).

    Raises NotFoundError for the index; InputError for a step that is not one, a missing reason or name,
    a date in the past, or a termination at less notice than 15 days.
    """
    present, effective = read_index(store, index_id).state, effective_at or now
    if problems := list(_problems(present, state, reason=reason, by=by, now=now, effective=effective)):
        raise InputError(f"index {index_id}: " + "; ".join(problems))
    row = AnnouncementRow(
        key=f"state:{index_id}:{state}:{iso(to_us(effective))}:{iso(to_us(now))}",
        kind="state",
        title=f"{index_id} is {state} from {iso(to_us(effective))}: {reason}",
        published_at=now,
        index_id=index_id,
        effective_at=effective,
        detail=json.dumps({"state": state, "from": present, "reason": reason, "by": by}),
    )
    record_decision(store, row, key=row.key, now=now, detail={"state": state, "index": index_id})
    apply_due_states(store, now=now)
    return row


def _problems(present: str, state: str, *, reason: str, by: str, now: datetime, effective: datetime) -> Iterator[str]:
    if state not in NEXT:
        yield f'"{state}" is not a state; there are {", ".join(NEXT)}'
    elif state not in NEXT[present]:
        yield f"{present} cannot become {state}; it can become {', '.join(NEXT[present]) or 'nothing else'}"
    yield from unexplained(reason, by, who="by")
    if effective < now:
        yield f"effective_at {effective.isoformat()} is in the past"
    if state == "terminated" and effective < now + timedelta(days=NOTICE_DAYS):
        yield f"a termination needs {NOTICE_DAYS} days' notice; give an effective_at from then on"


def apply_due_states(store: Store, *, now: datetime) -> list[tuple[str, str]]:
    """Puts announced states in force whose date has come; the (index, state) pairs that changed."""
    changed = []
    announced = read_announcements(store, kind="state")
    for index in read_indices(store) if announced else ():
        due = [row for row in announced if row.index_id == index.id and row.effective_at and row.effective_at <= now]
        if not due:
            continue
        state = str(json.loads(max(due, key=lambda row: (row.effective_at, row.id)).detail)["state"])
        if state != index.state:
            set_index_state(store, index.id, state)
            changed.append((index.id, state))
    return changed


def status_of(store: Store, index_id: str, *, now: datetime) -> IndexStatus:
    """Where an index stands now. Raises NotFoundError for an unknown one."""
    index = read_index(store, index_id)
    newest = read_latest_level(store, index_id)
    at_us = int(newest.times_us[-1]) if newest is not None else None
    changes = [] if at_us is None else read_rebalancings(store, index_id, start_us=at_us - BACK_DAYS * DAY_US)
    held = sum(item.units_after > 0 for item in changes[-1].items) if changes else 0
    rules = next(row for row in read_methodologies(store, index_id) if row.id == index.methodology_id)
    minimum = rules_of(rules).selection.min_constituents
    planned = [row for row in _states(store, index_id) if row.effective_at is not None and row.effective_at > now]
    standing = None if newest is None else standing_of(store, index_id, newest=newest)
    worst, rate_status = (None, None) if at_us is None else _worst(store, index_id, at_us)
    notes = reversed(read_notes(store, index_id))
    return IndexStatus(
        index=index_id,
        state=index.state,
        planned_state=None if not planned else str(json.loads(planned[0].detail)["state"]),
        planned_at=None if not planned else planned[0].effective_at,
        level_at=None if at_us is None else from_us(at_us),
        constituents=held,
        minimum=minimum,
        below_minimum=at_us is not None and held < minimum,
        basket_since=changes[-1].effective_at if changes else None,
        note="" if standing is None else standing.reason,
        alarms=tuple(str(json.loads(row.detail)["text"]) for row in read_open_quality(store, ("no_venue",))),
        level_status=None if standing is None else standing.status,
        worst=worst,
        worst_status=rate_status,
        notes=tuple(note for n, note in enumerate(notes) if n < NEWEST_NOTES or note.kind == LATE),
        supply_age_days=None if at_us is None else _supply_age(store, index_id, at_us),
    )


def _supply_age(store: Store, index_id: str, at_us: int) -> float | None:
    rows = read_constituents(store, index_id, at_us)
    return weighted_age_days(rows, read_supply_times(store, index_id, at_us), at_us)


def _worst(store: Store, index_id: str, at_us: int) -> tuple[str | None, str | None]:
    """The constituent with the worst rate at a level, the oldest of several, and that rate's status."""
    rows = read_constituents(store, index_id, at_us)
    known = [row for row in rows if row.rate_at is not None and row.rate_status is not None]
    if not known:
        return None, None

    def badness(row: ConstituentRow) -> tuple[int, datetime]:
        carried = row.rate_at is not None and to_us(row.rate_at) < at_us
        return -max(row.rate_status or 0, Status.CARRIED if carried else 0), row.rate_at or from_us(0)

    row = min(known, key=badness)
    return row.asset, STATUS_NAMES[-badness(row)[0]]


def _states(store: Store, index_id: str) -> list[AnnouncementRow]:
    return [row for row in read_announcements(store, index_id=index_id, kind="state") if row.index_id == index_id]


REASONS = {
    "indicative": "three venues price less of the weight than a final level needs, two price enough",
    "degraded": "two venues price less of the weight than an indicative level needs",
    "carried": "the price of a constituent is an older one",
    "impaired": "too much of the weight is carried, or too few constituents are held",
    "suspended": "the index has no levels for now",
    "provisional": "the first filling of the store is not complete: the level will be computed again",
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
