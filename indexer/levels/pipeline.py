"""The one walk: stored bars → reference rates → market → index histories → published levels.

Everything is recomputed from the stored bars and only differences are written, so an update is idempotent, catches
late rows by itself and needs no state of its own. (A full recomputation of 24,000 hours takes a fraction of a
second.) What is published obeys the restatement policy: see `administration`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from indexer.engine.health import SUSPENDED
from indexer.engine.history import IndexHistory
from indexer.engine.known import SEAM, Seam, Step, seams
from indexer.engine.level import compute_index
from indexer.engine.market import Market, Status
from indexer.errors import InputError, MethodologyError, NotEnoughDataError
from indexer.levels.announcing import announced, announcements, exits, notes_of
from indexer.levels.corrections import Deferred
from indexer.levels.lifecycle import apply_due_states, standing_of
from indexer.levels.markets import held_supplies, narrowed, read_facts
from indexer.levels.official import (
    columns_of,
    computed_rates,
    differing,
    effects_on_published,
    reaches_back,
    settle_rates,
    write_fresh,
)
from indexer.levels.overrides import events_of, in_force, values_of
from indexer.levels.publish import Published, publish
from indexer.levels.published import read_settled
from indexer.levels.rules import Rules, load_rules
from indexer.methodology.spec import Methodology, universe_lines
from indexer.registry import Registry
from indexer.store.administration import write_announcements
from indexer.store.assets import read_listings, write_registry
from indexer.store.bars import read_bars
from indexer.store.db import Store
from indexer.store.facts import first_data_since
from indexer.store.indices import LATE, index_state, read_indices, read_notes, write_notes
from indexer.store.levels import count_levels, first_published_us, published_span, read_levels
from indexer.store.quality import write_quality
from indexer.store.rates import read_rates
from indexer.store.rows import NoteRow, OverrideRow, QualityRow, Written
from indexer.store.runs import (
    MARK,
    facts_mark,
    finish_run,
    first_fill_is_open,
    forget_provisional_index,
    forget_provisional_rates,
    last_update,
    mark_provisional,
    start_run,
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


@dataclass(slots=True)
class _Walk:
    """What one update works with."""

    store: Store
    registry: Registry
    rules: Rules
    methodologies: Mapping[str, Methodology]
    overrides: list[OverrideRow]
    now: datetime  # of the whole update: what it writes is known from then on
    run_id: int
    anew: str  # why history is stated anew, or empty
    simulated: bool
    provisional: bool  # the first fill is not complete: nothing of this run lasts
    replaces: bool  # what is out is provisional, and this takes its place
    ids: dict[str, int] = field(default_factory=dict)
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
) -> UpdateReport:
    """Bring rates and levels up to date with the stored bars and supplies. Doing it twice writes nothing.

    `rules` are the shipped ones when none are given. With a reason in `rebuild` all history is stated anew by what
    is known now, whatever the policy: revisions are written, the old levels stay, and the reason is public.
    """
    rules = rules or load_rules(registry)
    ids = write_registry(store, registry)
    now = clock()
    apply_due_states(store, now=now)
    overrides = in_force(store, now=now)
    key = _key(store, registry, methodologies=methodologies, rules=rules, overrides=overrides)
    key = f"rebuild:{iso(to_us(now))}:{rebuild}" if rebuild else key
    provisional = first_fill_is_open(store, now=now)
    if provisional:  # facts come in the middle of runs then
        key = f"{key}:{iso(to_us(now))}"
    run_id = start_run(store, kind="update", key=key, now=now)
    if run_id is None:
        seal_runs(store)  # what a process that was killed left unsealed
        return UpdateReport(True, Written(), (), {}, refused=refused)
    replaces = forget_provisional_rates(store)
    if provisional:
        mark_provisional(store, run_id)
    lasting = not (provisional or replaces)
    anew = rebuild or (_first_data(store, methodologies, rules=rules, now_us=to_us(now)) if lasting else "")
    walk = _Walk(
        store, registry, rules, methodologies, overrides, now, run_id, anew, simulated, provisional, replaces, ids
    )
    steps = len(methodologies) + 2
    written, deferred, market = _rates_and_market(walk, progress=lambda n: progress(n, steps))
    updates: list[IndexUpdate] = []
    missing: dict[str, str] = {}
    for n, methodology in enumerate(methodologies.values()):
        try:
            updates.append(_one_index(walk, methodology, market=market))
        except NotEnoughDataError as error:
            missing[methodology.id] = str(error)
        except (MethodologyError, InputError) as error:
            refused = {**refused, methodology.id: str(error)}
        progress(n + 3, steps)
    if replaces and not provisional:  # an index that begins later by all quotes has no levels yet
        for index_id in missing:
            forget_provisional_index(store, index_id)
    _log_supplies(walk, market)
    detail = {"levels": {one.index_id: one.new for one in updates}, "rates": written.new + written.revised}
    mark = MARK if provisional else {}
    finish_run(store, run_id, now=clock(), detail={**mark, **detail, "rules": rules.hash, "rebuild": anew})
    seal_runs(store)
    return UpdateReport(False, written, tuple(updates), missing, tuple(deferred), anew, refused, walk.waiting)


def _log_supplies(walk: _Walk, market: Market) -> None:
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


def _rates_and_market(walk: _Walk, *, progress: Callable[[int], None]) -> tuple[Written, list[Deferred], Market]:
    """Make rates official as the policy lets them, and give the market of the official ones."""
    store, rules = walk.store, walk.rules
    bars, listings = read_bars(store), read_listings(store)
    progress(1)
    overrides = values_of(walk.overrides, ids=walk.ids)
    computed = computed_rates(store, walk.registry, bars=bars, listings=listings, overrides=overrides)
    walk.waiting = computed.waiting
    facts = read_facts(store, walk.registry, bars=bars, listings=listings, effects=rules.supplies)
    stored = read_rates(store)
    fresh = [differing(rates, stored) for rates in computed.rates]
    written = Written()
    deferred: list[Deferred] = []
    active = list(walk.methodologies.values())
    if walk.anew or walk.replaces or not reaches_back(store, fresh, methodologies=active):
        for one in fresh:
            written += write_fresh(store, walk.run_id, fresh=one)
    else:
        before, after = facts.market(stored), facts.market(columns_of(computed.rates))
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
    progress(2)
    return written, deferred, facts.market(read_rates(store))


def _one_index(walk: _Walk, methodology: Methodology, *, market: Market) -> IndexUpdate:
    """Compute one index from what is settled on, and publish what is new."""
    state = index_state(walk.store, methodology.id)
    if state in STOPPED:
        raise NotEnoughDataError(f"index {methodology.id} is {state}: no levels are computed for it")
    lines = universe_lines(methodology.universe, walk.registry)
    part = narrowed(market, methodology, walk.registry)
    settled = None if walk.anew or walk.replaces else read_settled(walk.store, methodology.id, market=part)
    events = (*walk.rules.events_of(lines), *events_of(walk.overrides, methodology.id))
    history = compute_index(part, methodology, settled=settled, events=events)
    if walk.replaces:
        forget_provisional_index(walk.store, methodology.id)
    new = publish(
        walk.store,
        walk.run_id,
        history=history,
        market=part,
        methodology=methodology,
        now=walk.now,
        settled=settled,
        reason=walk.anew,
        simulated=walk.simulated,
        provisional=walk.provisional,
    )
    notes = notes_of(history)
    if settled is None and (late := late_base(methodology, history, part)):
        notes.append(NoteRow(LATE, methodology.base_date, None, None, late))
    fresh = write_notes(walk.store, walk.run_id, index_id=methodology.id, notes=notes, whole=settled is None)
    news = announced(methodology.id, fresh, now=walk.now)
    news += exits(part, methodology, history=history, settled=settled, events=events, now=walk.now)
    news = news + announcements(
        part, methodology, history=history, settled=settled, policy=walk.rules.policy, events=events, now=walk.now
    )
    write_announcements(walk.store, walk.run_id, news)
    return _summary(walk, methodology, history=history, new=new)


def _first_data(store: Store, methodologies: Mapping[str, Methodology], *, rules: Rules, now_us: int) -> str:
    """Why history is stated anew while an index is being set up: first data of tokens that reaches back, or ''."""
    began = [us for name in methodologies if (us := first_published_us(store, name)) is not None]
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


def _key(
    store: Store,
    registry: Registry,
    *,
    methodologies: Mapping[str, Methodology],
    rules: Rules,
    overrides: Iterable[OverrideRow],
) -> str:
    """The same key for the same facts and rules: computing again would give the same levels."""
    digest = hashlib.sha256(facts_mark(store).encode())
    digest.update(repr((registry.assets, registry.successions)).encode())
    digest.update(rules.hash.encode())
    digest.update(repr([(row.id, row.withdrawn_at) for row in overrides]).encode())
    for methodology in methodologies.values():
        digest.update(f"{methodology.id}:{methodology.hash}".encode())
    return f"update:{digest.hexdigest()}"


def _summary(walk: _Walk, methodology: Methodology, *, history: IndexHistory, new: Published) -> IndexUpdate:
    return IndexUpdate(
        index_id=methodology.id,
        first=iso(int(history.times_us[0])),
        last=iso(int(history.times_us[-1])),
        levels=len(history.times_us),
        new=new.written,
        level=round(float(history.levels[-1]), methodology.decimals),
        status=_status_word(history, provisional=walk.provisional),
        restated=new.restated,
        note=_why_late(walk.store, methodology.id),
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
    return UpdateReport(True, Written(), tuple(_stored(store)), {}, refused=refused)


def _stored(store: Store) -> Iterable[IndexUpdate]:
    for row in read_indices(store):
        newest, span = read_levels(store, row.id, limit=1), published_span(store, row.id)
        if span is not None:
            yield IndexUpdate(
                index_id=row.id,
                first=iso(span[0]),
                last=iso(int(newest.times_us[0])),
                levels=count_levels(store, row.id),
                new=0,
                level=float(newest.levels[0]),
                status=standing_of(store, row.id, newest=newest).status,
                note=_why_late(store, row.id),
            )
