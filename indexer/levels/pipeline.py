"""The one walk: stored bars → reference rates → market → index histories → published levels.

Everything is recomputed from the stored bars and only differences are written, so an update is idempotent and catches
late rows by itself; hours that only follow what is published come by the shorter way that gives the same (`tail.py`).
What is published obeys the restatement policy: see `administration`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from indexer.engine.health import SUSPENDED
from indexer.engine.history import IndexHistory
from indexer.engine.known import SEAM, Seam, Step, seams
from indexer.engine.level import compute_index
from indexer.engine.market import Market, Status
from indexer.errors import InputError, MethodologyError, NotEnoughDataError
from indexer.levels.announcing import News, announced, notes_of
from indexer.levels.lifecycle import apply_due_states, standing_of
from indexer.levels.markets import held_supplies, narrowed, read_facts
from indexer.levels.official import (
    FOREVER_US,
    Deferred,
    computed_rates,
    differing,
    effects_on_published,
    reaches_back,
    settle_rates,
    write_fresh,
)
from indexer.levels.publish import Proposal, publish, write_proposal
from indexer.levels.published import read_settled
from indexer.levels.rules import Rules, Walk, in_force, load_rules, obeyed
from indexer.levels.tail import Tail, keep, tail_of
from indexer.methodology.spec import Methodology
from indexer.registry import Registry
from indexer.store.administration import write_announcements
from indexer.store.assets import read_listings, write_registry
from indexer.store.bars import read_bars
from indexer.store.db import Store
from indexer.store.indices import LATE, index_state, read_indices, read_notes, write_notes
from indexer.store.levels import count_levels, first_published_us, published_span, read_levels
from indexer.store.quality import write_quality
from indexer.store.rates import read_rates
from indexer.store.rows import NoteRow, QualityRow, Written
from indexer.store.runs import (
    MARK,
    fact_runs_known,
    facts_mark,
    finish_run,
    first_data_since,
    first_fill_is_open,
    forget_provisional_index,
    forget_provisional_rates,
    last_update,
    start_run,
    write_progress,
)
from indexer.store.seals import seal_runs
from indexer.times import HOUR_US, Clock, from_us, iso, to_us

Progress = Callable[[int, int], None]
NONE: Mapping[str, str] = {}
STOPPED = ("suspended", "terminated")


@dataclass(frozen=True, slots=True)
class IndexUpdate:
    """What an update made of one index. `new` counts levels written, `restated` those of them that were out before."""

    index_id: str
    first: str
    last: str
    levels: int
    new: int
    level: float
    status: str
    restated: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """`unchanged` when the stored facts were those of an earlier update: then `indices` is empty (`stored_report`
    reads them). `not_started` says why an index has none.

    `refused` says of indices and files of the user's why they do not hold: that stops their own index only.
    `deferred` are corrections that the policy did not let in; `restated_because` is empty unless history was
    stated anew. `waiting` says which bars are not priced for want of a rate of their currency.
    """

    unchanged: bool
    rates: Written
    indices: tuple[IndexUpdate, ...]
    not_started: Mapping[str, str]
    deferred: tuple[Deferred, ...] = ()
    restated_because: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()


def update(
    store: Store,
    *,
    registry: Registry,
    methodologies: Mapping[str, Methodology],
    clock: Clock,
    progress: Progress = lambda done, total: None,
    simulated: bool = False,
    rules: Rules | None = None,
    rebuild: str = "",
    refused: Mapping[str, str] = NONE,
    beside: Callable[[], UpdateReport] | None = None,
) -> UpdateReport:
    """Bring rates and levels up to date with the stored bars and supplies. Doing it twice writes nothing.

    `rules` are the shipped ones when none are given. With a reason in `rebuild` all history is stated anew by what
    is known now, whatever the policy: revisions are written, the old levels stay, and the reason is public. Where all
    must be computed, `beside` does it instead, if given: the same in another process, whose memory is free afterwards.
    """
    rules = rules or load_rules(registry)
    ids = write_registry(store, registry)
    now = clock()
    apply_due_states(store, now=now)
    overrides = in_force(store, now=now)
    provisional = first_fill_is_open(store, now=now)
    if provisional and beside is not None:
        return beside()
    key = _key(facts_mark(store), obeyed(registry, methodologies, rules, overrides))
    key = f"rebuild:{iso(to_us(now))}:{rebuild}" if rebuild else key
    key = f"{key}:{iso(to_us(now))}" if provisional else key  # facts come in the middle of runs then
    run_id = start_run(store, kind="update", key=key, now=now)
    if run_id is None:
        seal_runs(store)  # what a process that was killed left unsealed
        return UpdateReport(True, Written(), (), {}, refused=refused)
    walk = Walk(store, registry, rules, methodologies, overrides, now, run_id, rebuild, simulated, provisional, ids=ids)
    tail = _begun(walk)
    if isinstance(tail, str) and beside is not None:
        finish_run(store, run_id, now=clock(), outcome="interrupted", detail={"why": tail})
        return beside()  # which takes the run up by its key
    if isinstance(tail, str):
        report, detail = _in_full(walk, progress=progress, refused=refused)
        detail |= {"way": "full", "why": tail}
    else:
        report, detail = _by_tail(walk, tail, refused=refused)
    detail |= {"rates": report.rates.new + report.rates.revised, "rules": rules.hash, "rebuild": walk.anew}
    finish_run(store, run_id, now=clock(), detail=(MARK if provisional else {}) | detail)
    seal_runs(store)
    return report


def _begun(walk: Walk) -> Tail | str:
    """What follows the published levels, or why all is to be computed; what was provisional is out of the way."""
    store, names = walk.store, walk.methodologies
    walk.replaces = forget_provisional_rates(store)
    if walk.provisional:
        write_progress(store, walk.run_id, MARK)
    began = [us for name in names if (us := first_published_us(store, name)) is not None]
    walk.began_us = max(began, default=0)
    if not (walk.anew or walk.provisional or walk.replaces):
        walk.anew = _first_data(store, names, began, rules=walk.rules, now_us=to_us(walk.now))
    if walk.anew or walk.provisional or walk.replaces:
        return "what is out is stated anew"
    return tail_of(walk)


Outcome = tuple[UpdateReport, dict[str, Any]]  # and what the run log has of it


def _in_full(walk: Walk, *, progress: Progress, refused: Mapping[str, str]) -> Outcome:
    """Computes everything from all stored facts and writes what differs."""
    known = fact_runs_known(walk.store)
    steps = len(walk.methodologies) + 2
    written, deferred, market = _rates_and_market(walk, progress=lambda n: progress(n, steps))
    updates: list[IndexUpdate] = []
    missing: dict[str, str] = {}
    bad: dict[str, str] = {}
    for n, methodology in enumerate(walk.methodologies.values()):
        try:
            updates.append(_one_index(walk, methodology, market=market))
        except NotEnoughDataError as error:
            missing[methodology.id] = str(error)
        except (MethodologyError, InputError) as error:
            bad[methodology.id] = str(error)
        progress(n + 3, steps)
    if walk.replaces and not walk.provisional:  # an index that begins later by all quotes has no levels yet
        for index_id in missing:
            forget_provisional_index(walk.store, index_id)
    _log_supplies(walk, market)
    detail: dict[str, Any] = {"levels": {one.index_id: one.new for one in updates}}
    if not (bad or walk.provisional):
        levels = {one.index_id: one.levels for one in updates}
        detail["kept"] = asdict(keep(walk, market, known=known, levels=levels, missing=missing))
    bad = {**refused, **bad}
    report = UpdateReport(
        False, walk.written + written, tuple(updates), missing, tuple(deferred), walk.anew, bad, walk.waiting
    )
    return report, detail


def _by_tail(walk: Walk, tail: Tail, *, refused: Mapping[str, str]) -> Outcome:
    """Writes the levels that follow the published ones."""
    kept, updates = tail.counted(), []
    for one in tail.additions:
        name = one.methodology.id
        write_proposal(walk, one.proposal, index_id=name)
        summary = _summary(walk, one.methodology, history=one.history, new=one.proposal, note=one.note)
        updates.append(replace(summary, first=iso(one.first_us), levels=kept.levels[name]))
    updates += [_stored_update(walk.store, name) for name in tail.asleep]
    updates.sort(key=lambda one: list(kept.levels).index(one.index_id))
    report = UpdateReport(False, walk.written, tuple(updates), kept.missing, refused=refused, waiting=walk.waiting)
    return report, {"levels": {one.index_id: one.new for one in updates}, "way": "tail", "kept": asdict(kept)}


def _log_supplies(walk: Walk, market: Market) -> None:
    """Enters every step of supply that waits, or had to wait, for an acknowledgement; and where another origin's
    figures took over with a step, which its precedence acknowledges."""
    entries = [
        QualityRow(
            "supply_step",
            line,
            from_us(step.at_us),
            None if step.until_us is None else from_us(step.until_us),
            json.dumps({"text": _step_text(step), "before": step.before, "after": step.after}),
        )
        for line, step in held_supplies(walk.store, walk.registry, effects=walk.rules.supplies)
    ]
    for line in market.lines:
        for seam in seams(line.supply):
            if abs(seam.change) > SEAM:
                at, text = from_us(seam.at_us), _seam_text(seam)
                detail = json.dumps({"text": text, "before": seam.before, "after": seam.after})
                entries.append(QualityRow("supply_seam", line.slug, at, at, detail))
    if entries:
        write_quality(walk.store, walk.run_id, entries)


def _seam_text(seam: Seam) -> str:
    old, new = (origin.replace("_", " ") for origin in seam.origins)
    return (
        f"supply {seam.change:+.1%} where {new} figures take over from {old} ones: they count otherwise, nothing need "
        "have been issued or burnt; they are used from here on"
    )


def _step_text(step: Step) -> str:
    waits = "it waits" if step.until_us is None else f"it waited until {iso(step.until_us)}"
    return (
        f"supply {step.change:+.1%} since the reading of {iso(step.before_us)}, without an event, another source "
        f"within 5 % or a stated step: {waits}, the older figure goes on (log an event to acknowledge it)"
    )


def _rates_and_market(walk: Walk, *, progress: Callable[[int], None]) -> tuple[Written, list[Deferred], Market]:
    """Make rates official as the policy lets them, and give the market of the official ones."""
    store, rules = walk.store, walk.rules
    bars, listings = read_bars(store), read_listings(store)
    progress(1)
    computed = computed_rates(store, walk.registry, bars=bars, listings=listings, overrides=walk.overrides)
    walk.waiting = computed.waiting
    facts = read_facts(store, walk.registry, bars=bars, listings=listings, effects=rules.supplies)
    stored = read_rates(store)
    fresh = differing(computed.rates, stored)
    written = Written()
    deferred: list[Deferred] = []
    active = list(walk.methodologies.values())
    if walk.anew or walk.replaces or not reaches_back(store, fresh, methodologies=active):
        written = write_fresh(store, walk.run_id, fresh)
    else:
        before, after = facts.market(stored), facts.market(computed.rates)
        effects = effects_on_published(store, walk.registry, methodologies=active, official=before, corrected=after)
        lines = {number: (slug, walk.registry.by_slug[slug].line) for slug, number in walk.ids.items()}
        written, deferred = settle_rates(
            store,
            walk.run_id,
            fresh=fresh,
            effects=effects,
            lines=lines,
            policy=rules.policy,
            now_us=to_us(walk.now),
        )
        for entry in deferred:
            later = computed.rates.time_us[computed.rates.of(walk.ids[entry.asset])]
            walk.deferred_us = max(walk.deferred_us, int(later[later > entry.last_us].min(initial=FOREVER_US)))
    progress(2)
    return written, deferred, facts.market(read_rates(store))


def _one_index(walk: Walk, methodology: Methodology, *, market: Market) -> IndexUpdate:
    """Compute one index from what is settled on, and publish what is new."""
    state = index_state(walk.store, methodology.id)
    if state in STOPPED:
        raise NotEnoughDataError(f"index {methodology.id} is {state}: no levels are computed for it")
    part = narrowed(market, methodology, walk.registry)
    settled = None if walk.anew or walk.replaces else read_settled(walk.store, methodology.id, market=part)
    events = walk.events_of(methodology)
    history = compute_index(part, methodology, settled=settled, events=events)
    if walk.replaces:
        forget_provisional_index(walk.store, methodology.id)
    new = publish(walk, methodology, history=history, market=part, settled=settled)
    notes = notes_of(history)
    if settled is None and (late := late_base(methodology, history, part)):
        notes.append(NoteRow(LATE, methodology.base_date, None, None, late))
    fresh = write_notes(walk.store, walk.run_id, index_id=methodology.id, notes=notes, whole=settled is None)
    news = announced(methodology.id, fresh, now=walk.now)
    news += News(part, methodology, history, settled, events, walk.rules.policy, walk.now).all()
    write_announcements(walk.store, walk.run_id, news)
    return _summary(walk, methodology, history=history, new=new, note=_why_late(walk.store, methodology.id))


def _first_data(store: Store, methodologies: Iterable[str], began: Sequence[int], *, rules: Rules, now_us: int) -> str:
    """Why history is stated anew while an index is being set up: first data of tokens that reaches back, or ''."""
    last = last_update(store, now=from_us(now_us))
    if not began or last is None or now_us - min(began) > rules.policy.setup_hours * HOUR_US:
        return ""
    spans = [span for name in methodologies if (span := published_span(store, name)) is not None]
    slugs = first_data_since(store, last[1], until_us=max(span[1] for span in spans))
    return (
        f"first data of {', '.join(slugs)} within {rules.policy.setup_hours} hours of first publication"
        if slugs
        else ""
    )


def _key(facts: str, rules: str) -> str:
    """The same key for the same facts and rules: computing again would give the same levels."""
    return f"update:{hashlib.sha256(f'{facts}:{rules}'.encode()).hexdigest()}"


def _summary(walk: Walk, methodology: Methodology, *, history: IndexHistory, new: Proposal, note: str) -> IndexUpdate:
    return IndexUpdate(
        index_id=methodology.id,
        first=iso(int(history.times_us[0])),
        last=iso(int(history.times_us[-1])),
        levels=len(history.times_us),
        new=len(new.rows),
        level=round(float(history.levels[-1]), methodology.decimals),
        status=_status_word(history, provisional=walk.provisional),
        restated=len(new.restated),
        note=note,
    )


def _why_late(store: Store, index_id: str) -> str:
    """Why an index began after its base date, as it was found when it was first computed; '' when it did not."""
    return "".join(note.reason for note in read_notes(store, index_id, kinds=[LATE]))


def late_base(methodology: Methodology, history: IndexHistory, market: Market) -> str:
    """Why an index begins after its base date: what its base lacked then; '' when it does not."""
    base_us, first_us = to_us(methodology.base_date), int(history.times_us[0])
    if first_us <= base_us:
        return ""
    try:
        compute_index(market.until(base_us), methodology)
        lacked = "no prices at that instant"
    except NotEnoughDataError as error:
        lacked = str(error)
    return f"{methodology.id} begins on {iso(first_us)[:10]}, not on its base date {iso(base_us)[:10]}: {lacked}"


def _status_word(history: IndexHistory, *, provisional: bool) -> str:
    if provisional:
        return Status.PROVISIONAL.name.lower()
    return SUSPENDED if history.suspended else Status(int(history.status[-1])).name.lower()


def stored_report(store: Store, *, refused: Mapping[str, str] = NONE) -> UpdateReport:
    """The report of an update that has nothing to do: what is published."""
    begun = (row.id for row in read_indices(store) if published_span(store, row.id) is not None)
    return UpdateReport(True, Written(), tuple(_stored_update(store, name) for name in begun), {}, refused=refused)


def _stored_update(store: Store, index_id: str) -> IndexUpdate:
    """What is published of an index, of which nothing is new."""
    newest = read_levels(store, index_id, limit=1)
    return IndexUpdate(
        index_id=index_id,
        first=iso((published_span(store, index_id) or (0, 0))[0]),
        last=iso(int(newest.times_us[0])),
        levels=count_levels(store, index_id),
        new=0,
        level=float(newest.levels[0]),
        status=standing_of(store, index_id, newest=newest).status,
        note=_why_late(store, index_id),
    )
