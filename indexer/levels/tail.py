"""The tail way of an update: hours that only follow what is published are computed from the last hours, and appended.

The full way stays the reference and is taken where the proof that both give the same fails. *Nothing older changed*: an
update leaves in the run log what it knew (`Kept`), and every run since may only have brought what follows. *The last
hours are the official ones*: rates and levels of a window are computed again, from the basket held then, and equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.engine.health import SUSPENDED, Spell
from indexer.engine.history import IndexHistory, Settled
from indexer.engine.known import next_supply_us
from indexer.engine.level import compute_index
from indexer.engine.market import Market, Status
from indexer.engine.timeline import schedule_of
from indexer.errors import InputError, NotEnoughDataError
from indexer.levels.announcing import FRESH_DAYS
from indexer.levels.assemble import assemble
from indexer.levels.markets import line_facts, narrowed
from indexer.levels.official import FOREVER_US, computed_rates, differing, write_fresh
from indexer.levels.publish import Proposal, propose
from indexer.levels.published import settled_of
from indexer.levels.rules import Walk
from indexer.methodology.spec import BY_CAP, Methodology, RebalanceDate, universe_lines
from indexer.registry.records import QUOTES
from indexer.store.administration import read_announcements
from indexer.store.assets import read_listings
from indexer.store.bars import read_last_bars
from indexer.store.db import Store
from indexer.store.indices import LATE, SPELLS, read_indices, read_notes
from indexer.store.levels import published_span, read_levels
from indexer.store.rates import rated_assets, read_rates
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import NoteRow
from indexer.store.runs import fact_runs_after, fact_runs_known, last_update, late_facts, read_run, runs_with_rows
from indexer.store.tables import Metric
from indexer.times import DAY_US, HOUR_US, iso, to_us

WINDOW_US = 2 * DAY_US  # of which rates are computed again
REVIEW_US = 100 * DAY_US  # no longer before the window than this was the last review, or all is computed


class TailError(Exception):
    """The tail way cannot be taken, and why."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What an update leaves for the next one.

    `rules` stands for all that is not a fact. Facts of runs up to `newest` are in the levels, but for those of the runs
    that were `unfinished`. Before `until_us` nothing happens to an index by the clock alone. `levels` counts those of
    each index, `missing` says why some have none; `fresh` tells whether back history was over. Before `deferred_us`
    official rates may be other ones than bars give now. It began at `began_us`.
    """

    rules: str
    newest: int
    unfinished: list[int]
    until_us: int
    levels: dict[str, int]
    missing: dict[str, str]
    fresh: bool
    deferred_us: int
    began_us: int


@dataclass(frozen=True, slots=True)
class Addition:
    """What follows the published levels of one index: its history over the window and the levels to write."""

    methodology: Methodology
    history: IndexHistory
    proposal: Proposal
    first_us: int  # the first published level
    note: str  # why it began after its base date, or empty


@dataclass(frozen=True, slots=True)
class Tail:
    """The levels that follow what is published, to be written; their rates are official already. Indices `asleep` are
    suspended and get none."""

    additions: list[Addition]
    asleep: list[str]
    kept: Kept

    def counted(self) -> Kept:
        """What is kept once the levels are written."""
        more = {one.methodology.id: len(one.proposal.rows) for one in self.additions}
        return replace(self.kept, levels={name: count + more.get(name, 0) for name, count in self.kept.levels.items()})


def tail_of(walk: Walk) -> Tail | str:
    """The tail of an update whose rates are written now and whose levels can be; or why all must be computed.

    What it has written until it gives up is what the full way would write too.
    """
    try:
        return _tail(walk)
    except (TailError, InputError, NotEnoughDataError) as error:  # what it is of an index, the full way says there
        return str(error)


def _tail(walk: Walk) -> Tail:
    store, kept = walk.store, newest_kept(walk)
    if kept is None:
        raise TailError("the last update left nothing to go on from")
    if kept.rules != walk.rules_hash():
        raise TailError("rules, decisions, states of indices or the program have changed")
    known = fact_runs_known(store)
    spans = {name: span for name in kept.levels if (span := published_span(store, name)) is not None}
    notes = {name: read_notes(store, name) for name in spans}
    asleep = [name for name in spans if _suspended(notes[name])]
    spans = {name: span for name, span in spans.items() if name not in asleep}  # hours change nothing of the others
    ends = [last_us for _, last_us in spans.values()]
    if not ends or to_us(walk.now) - walk.began_us <= walk.rules.policy.setup_hours * HOUR_US:
        raise TailError("an index is being set up")
    _rates(walk, kept, first_us=min(ends), last_us=max(ends))
    market = _window(walk, first_us=min(ends))
    _check_clock(walk, kept, last_us=int(market.times_us[-1]))
    versions = {row.id: row.methodology_id for row in read_indices(store)}
    additions = [
        _addition(walk, walk.methodologies[name], market=market, span=span, notes=notes[name], version=versions[name])
        for name, span in spans.items()
    ]
    return Tail(additions, asleep, replace(kept, newest=known[0], unfinished=known[1], began_us=to_us(walk.now)))


def _suspended(notes: Sequence[NoteRow]) -> bool:
    return any(note.kind == SUSPENDED and note.end_at is None for note in notes)


def _rates(walk: Walk, kept: Kept, *, first_us: int, last_us: int) -> None:
    """Makes the rates after the last level official, where those of the window before it are as they were.

    The indices' last levels are from `first_us` to `last_us`.
    """
    store, since_us = walk.store, last_us - WINDOW_US
    computed = computed_rates(
        store,
        walk.registry,
        bars=read_last_bars(store, since_us=since_us),
        listings=read_listings(store),
        overrides=walk.overrides,
        since_us=since_us,
    )
    since_us = max(since_us, computed.inherits_us + 1, kept.deferred_us)
    if since_us > first_us:
        raise TailError("the newest rates depend on bars before the window, or corrections of them were deferred")
    runs = fact_runs_after(store, kept.newest, kept.unfinished, since_us=kept.began_us)
    if kept.missing and runs_with_rows(store, Metric) & set(runs):
        raise TailError("metrics came, and an index has no levels yet")
    currencies = [symbol for quote in QUOTES for symbol in (f"{quote}-USD", f"{quote}USD=X")]
    if late := late_facts(store, runs, before_us=since_us, currencies=currencies):
        raise TailError(late)
    rates = computed.rates.rows(np.flatnonzero(computed.rates.time_us >= since_us))
    fresh = differing(rates, read_rates(store, since_us=since_us))
    if not set(rates.asset_id[fresh.rows].tolist()) <= rated_assets(store):
        raise TailError("an asset has its first rate")
    if (earliest := int(rates.time_us[fresh.rows].min(initial=FOREVER_US))) <= last_us:
        raise TailError(f"a rate of {iso(earliest)} came out another one")
    walk.written, walk.waiting = write_fresh(store, walk.run_id, fresh), computed.waiting


def _window(walk: Walk, *, first_us: int) -> Market:
    """The market of official rates from so long before an instant that every price carried over it is there."""
    hours = max(methodology.missing.max_carry_hours for methodology in walk.methodologies.values())
    rates = read_rates(walk.store, since_us=first_us - hours * HOUR_US - WINDOW_US)
    lines = line_facts(walk.registry, ids=walk.ids, listings=[])
    return assemble(lines, rates, rated=rated_assets(walk.store))


def _check_clock(walk: Walk, kept: Kept, *, last_us: int) -> None:
    """Raises TailError where something is due by the clock alone."""
    if last_us >= kept.until_us:
        raise TailError(f"a review, an event or the age of a supply is due from {iso(kept.until_us)} on")
    if to_us(walk.now) - last_us <= FRESH_DAYS * DAY_US and not kept.fresh:
        raise TailError("back history is over: what is news from here on is told")


def _addition(
    walk: Walk, methodology: Methodology, *, market: Market, span: tuple[int, int], notes: list[NoteRow], version: int
) -> Addition:
    """The history of an index over the window, of which every published level came out as it is."""
    store, name = walk.store, methodology.id
    part = narrowed(market, methodology, walk.registry)
    if len(part.times_us) < 2:
        raise TailError(f"{name} has no price within the window")
    begin_us = int(part.times_us[0])
    spells = _spells(notes, since_us=begin_us)
    settled = _held(store, methodology, market=part, until_us=span[1], spells=spells)
    rules = replace(methodology, float_rules=replace(methodology.float_rules, bands=False))  # nothing is weighed anew
    history = compute_index(part, rules, settled=settled, events=walk.events_of(methodology))
    same = list(map(id, history.rebalances)) == list(map(id, settled.changes))
    if not same or history.spells != spells or history.skipped or history.relaxed:
        raise TailError(f"the basket or the health of {name} changes")
    proposal = propose(walk, methodology, history=history, market=part, version=version, since_us=begin_us + 1)
    if (proposal.revisions > 1).any() or (history.times_us[proposal.rows] <= span[1]).any():
        raise TailError(f"a published level of {name} came out another one")
    late = "".join(note.reason for note in notes if note.kind == LATE)
    return Addition(methodology, history, proposal, span[0], late)


def _spells(notes: Sequence[NoteRow], *, since_us: int) -> tuple[Spell, ...]:
    """The published spells of an index that reach beyond an instant, as the engine has them."""
    spells = (
        Spell(note.kind, to_us(note.start_at), None if note.end_at is None else to_us(note.end_at), note.reason)
        for note in notes
        if note.kind in SPELLS
    )
    return tuple(spell for spell in spells if spell.end_us is None or spell.end_us > since_us)


def _held(store: Store, methodology: Methodology, *, market: Market, until_us: int, spells: Sequence[Spell]) -> Settled:
    """The baskets of the window: the one held into its first instant stands there as a base, then every change since.

    That base has the decisions by which its constituents are weighed: their supplies count as old from some day on.
    """
    begin_us = int(market.times_us[0])
    rows = read_rebalancings(store, methodology.id, start_us=begin_us - REVIEW_US)
    changes = settled_of(rows, until_us=until_us, market=market).changes
    before = [change for change in changes if change.effective_us <= begin_us]
    if not before and changes and changes[0].kind == "base":
        return Settled(changes, until_us)
    later = changes[len(before) :]
    decisions = {one.slug: one for change in before for one in change.decisions if one.supply_stale_us is not None}
    aged = methodology.weighting.scheme in BY_CAP or methodology.float_rules.bands
    known = decisions.keys() | {one.slug for change in later for one in change.decisions}
    held = {market.slugs[n] for change in changes[-1:] for n in np.flatnonzero(change.units_after)}
    if not before or (aged and held - known):
        raise TailError(f"the last review of {methodology.id} was too long ago")
    base = replace(before[-1], kind="base", effective_us=begin_us, decisions=tuple(decisions.values()))
    return Settled((base, *later), until_us, _within(store, methodology, spells, begin_us=begin_us))


def _within(
    store: Store, methodology: Methodology, spells: Sequence[Spell], *, begin_us: int
) -> tuple[Spell, int] | None:
    """The spell that an index was in at an instant, and how many impaired levels of 00:00 UTC it had by then."""
    if not spells or spells[0].start_us >= begin_us:
        return None
    if spells[0].kind == SUSPENDED:
        raise TailError(f"{methodology.id} was suspended within the window")
    days = read_levels(store, methodology.id, start_us=spells[0].start_us, end_us=begin_us, step_us=DAY_US)
    return replace(spells[0], end_us=None), int((days.status == Status.IMPAIRED).sum())


def _next_date(methodology: Methodology, after_us: int, *, spells: Sequence[NoteRow]) -> RebalanceDate | None:
    """The next date at which an index may change: of an impaired one also those that are not scheduled."""
    for date in schedule_of(methodology, after_us + 800 * DAY_US):
        ailing = any(note.end_at is None or to_us(note.end_at) > date.reference_us for note in spells)
        if date.effective_us > after_us and (date.scheduled or ailing):
            return date
    return None


def newest_kept(walk: Walk) -> Kept | None:
    """What the last update left, None when it left nothing, or another program left something else."""
    last = last_update(walk.store, now=walk.now)
    kept = {} if last is None else read_run(walk.store, last[0]).detail.get("kept", {})
    return Kept(**kept) if kept.keys() == Kept.__dataclass_fields__.keys() else None


def keep(
    walk: Walk, market: Market, *, known: tuple[int, list[int]], levels: Mapping[str, int], missing: Mapping[str, str]
) -> Kept:
    """What an update leaves that computed all, from the market of all; `known` are its runs as it began."""
    told = {row.key for row in read_announcements(walk.store, kind="proforma")}
    ends = {name: span[1] for name in levels if (span := published_span(walk.store, name)) is not None}
    turns = [FOREVER_US]
    for name, methodology in walk.methodologies.items():
        last_us = ends.get(name, int(market.times_us[-1]) if len(market.times_us) else 0)
        spells = read_notes(walk.store, name, kinds=SPELLS) if name in ends else []
        last_us = max(ends.values()) if _suspended(spells) else last_us
        date = _next_date(methodology, last_us, spells=spells)
        if date is not None:
            announced = last_us >= date.reference_us and f"proforma:{name}:{date.effective_us}" in told
            turns.append(date.effective_us if announced or name in missing else date.reference_us)
        turns += [event.at_us for event in walk.events_of(methodology) if event.at_us > last_us]
        age_us = methodology.eligibility_at(walk.now).member_supply_max_age_days * DAY_US
        lines = universe_lines(methodology.universe, walk.registry)
        turns += [next_supply_us(one.supply, last_us, max_age_us=age_us) for one in market.lines if one.slug in lines]
    fresh = bool(ends) and to_us(walk.now) - min(ends.values()) <= FRESH_DAYS * DAY_US
    return Kept(
        walk.rules_hash(), *known, min(turns), dict(levels), dict(missing), fresh, walk.deferred_us, to_us(walk.now)
    )
