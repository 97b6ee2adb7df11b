"""The history: a plan walked, its answers archived, bars converted and written as they come, gaps entered.

`catch_up` is the scheduled job, `backfill` the same for a range by hand. May be interrupted at any time: what came is
kept, and the next plan holds the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, Final

import numpy as np

from indexer.errors import SourceError, SourceRefused, SourceUnavailable
from indexer.live.audit import keep_answers, keep_manifest
from indexer.live.bars import listing_ids, write_missing
from indexer.live.context import Live
from indexer.live.history_plan import (
    RATE_AGE_US,
    HistoryPlan,
    by_asset,
    gap_notes,
    now_us,
    plan_fill,
    plan_history,
    stored_instants,
)
from indexer.live.history_walk import Done, run_backfill
from indexer.live.mapping import QUOTE_MARKETS, venue_mappings
from indexer.live.quality_log import settle, settle_ranges, write_rejects_noted
from indexer.reference import conversion_rate
from indexer.sources.http import HttpClient
from indexer.sources.records import Bars, in_usd, join_bars
from indexer.store.read import last_run_before
from indexer.store.rows import Written
from indexer.store.write import finish_run, start_run
from indexer.times import DAY_US, INTERVAL_US, from_us, iso, parse_instant, to_us

Progress = Callable[[int, int], None]
KIND: Final = "history"
LOOK_BACK: Final = 2 * DAY_US  # late rows and short outages are asked for again this long
MANIFEST_CALLS: Final = 500  # calls a manifest: a killed process loses the record of fewer than that


@dataclass(slots=True)
class Filled:
    """What a fill brought: calls answered, failed, and not sent because the series begins later (`unlisted`).

    Then bars written, rows refused, and why sources failed.

    `unpriced` counts bars left out because their quote currency had no dollar rate then, by quote. `owed` is the
    earliest instant (ISO, UTC) after which a series (`asset@source`) may have bars that a failure kept from us.
    """

    calls: int = 0
    failed: int = 0
    unlisted: int = 0
    bars: int = 0
    rejects: int = 0
    unpriced: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    owed: dict[str, str] = field(default_factory=dict)

    @property
    def settled(self) -> int:
        """Calls of the plan that are behind us."""
        return self.calls + self.failed + self.unlisted

    def owes(self, done: Done) -> None:
        """Note that the range of a call is still to be had."""
        begin = iso(done.call.ask.start_us)
        self.owed[done.asset] = min(begin, self.owed.get(done.asset, begin))


def fill(live: Live, run_id: int, plan: HistoryPlan, *, progress: Progress = lambda done, total: None) -> Filled:
    """Walk the plan. Each answer is complete in the store before the next is taken, so it may stop at any time."""
    return live.upstream.run(lambda http: _fill(live, run_id, plan, http=http, progress=progress))


async def _fill(live: Live, run_id: int, plan: HistoryPlan, *, http: HttpClient, progress: Progress) -> Filled:
    filled = Filled()
    record = _CallRecord(live, run_id, plan)
    live.asset_ids()
    try:
        await _walk(live, run_id, plan, http=http, progress=progress, filled=filled, record=record)
    finally:
        record.close()
    return filled


@dataclass(slots=True)
class _CallRecord:
    """The calls of a plan on their way into manifests of the run's audit trail."""

    live: Live
    run_id: int
    plan: HistoryPlan
    calls: list[dict[str, Any]] = field(default_factory=list)

    def add(self, done: Done) -> None:
        """Archive the answer of a call and note the call; does nothing for a call without an answer."""
        if done.answer is None:
            return
        self.calls += keep_answers(self.live, self.run_id, [(done.asset, done.call, done.answer)])
        if len(self.calls) >= MANIFEST_CALLS:
            self.close()

    def close(self) -> None:
        """Write the manifest of the calls noted since the last one."""
        if not self.calls:
            return
        plan = self.plan
        about = {"kind": KIND, "interval": plan.interval, "start_us": plan.start_us, "end_us": plan.end_us}
        keep_manifest(self.live, self.run_id, {**about, "exchanges": self.calls})
        self.calls = []


async def _walk(
    live: Live,
    run_id: int,
    plan: HistoryPlan,
    *,
    http: HttpClient,
    progress: Progress,
    filled: Filled,
    record: _CallRecord,
) -> None:
    markets: dict[str, dict[str, list[Bars]]] = {}
    without: set[str] = set()  # quote currencies whose own markets failed in part: bars priced in them may come later
    async for done in run_backfill(plan.quotes, live.sources, http):
        record.add(done)
        _note(live, run_id, done, filled)
        if done.parsed is not None and done.parsed.bars is not None and len(done.parsed.bars):
            markets.setdefault(done.asset, {}).setdefault(done.call.source, []).append(done.parsed.bars)
        elif done.error is not None:
            without.add(done.asset)
        progress(filled.settled, plan.calls)
    rates = {
        quote: hourly_rate(by_source, plan.interval, start_us=plan.start_us, end_us=plan.end_us)
        for quote, by_source in markets.items()
    }
    async for done in run_backfill(plan.bars, live.sources, http):
        record.add(done)
        _note(live, run_id, done, filled)
        if done.parsed is not None and done.parsed.bars is not None and len(done.parsed.bars):
            left_out = sum(filled.unpriced.values())
            filled.bars += _write(live, run_id, plan, done=done, bars=done.parsed.bars, rates=rates, filled=filled).new
            if done.call.ask.quote in without and sum(filled.unpriced.values()) > left_out:
                filled.owes(done)
        elif done.error is not None and _may_come(done.error):
            filled.owes(done)
        progress(filled.settled, plan.calls)


def _may_come(error: SourceError) -> bool:
    """Whether a later time may answer what failed: everything but one question refused by a source that serves us."""
    return not isinstance(error, SourceRefused) or error.outright


def hourly_rate(by_source: Mapping[str, Sequence[Bars]], interval: str, *, start_us: int, end_us: int) -> Bars:
    """A quote currency's dollar rate at every bar of a plan that has one no older than a day. Pure."""
    step = INTERVAL_US[interval]
    grid = np.arange(-(-start_us // step) * step, end_us + step, step, dtype=np.int64)
    markets = {source: join_bars(list(parts)) for source, parts in by_source.items()}
    return conversion_rate(markets, grid, max_age_us=max(RATE_AGE_US, step))


def _write(
    live: Live, run_id: int, plan: HistoryPlan, *, done: Done, bars: Bars, rates: Mapping[str, Bars], filled: Filled
) -> Written:
    key = f"{plan.mapped[done.asset].asset}@{done.call.source}"
    if bars.quote != "USD":
        rate = rates.get(bars.quote)
        usd = bars.take(np.zeros(len(bars), dtype=np.bool_)) if rate is None else in_usd(bars, rate)
        filled.unpriced[bars.quote] = filled.unpriced.get(bars.quote, 0) + len(bars) - len(usd)
        if not len(usd):
            return Written()
        bars = usd
    row = plan.mapped[key]
    ids = listing_ids(live.store, [row], live.sources, interval=plan.interval)
    listing = ids[row.asset, row.source]
    return write_missing(live.store, run_id, [(listing, bars)], {listing: plan.have[key]} if key in plan.have else {})


def _note(live: Live, run_id: int, done: Done, filled: Filled) -> None:
    """Count a call and enter its refused rows."""
    for note in done.notes:
        if note.kind == "source_down":
            filled.failures.setdefault(note.subject, note.detail)
    filled.rejects += write_rejects_noted(live.store, run_id, done.notes)
    if done.answer is None:
        filled.failed += done.error is not None
        filled.unlisted += done.error is None
        return
    filled.calls += 1
    filled.sources[done.call.source] = filled.sources.get(done.call.source, 0) + 1


def catch_up(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """The history job: on a fresh store the past `history_days`, afterwards what is missing since the last time.

    What a source could not answer is owed: the run's detail says from when on, and the next run asks again. The past
    is asked for as a whole again when the series wanted or `history_days` are others than the last time. Asset-hours
    that no venue could give stay open as gaps in the quality log. A source that fails is an entry; the job fails only
    when every source had something to give and none answered.
    """
    end_us, wanted = to_us(due), _wanted(live)
    start_us, owed = _where_to_begin(live, due, wanted)
    plan = plan_history(live, start_us=start_us, end_us=end_us, since_us=owed)
    filled = fill(live, run_id, plan)
    note_failures(live, run_id, filled)
    note_unpriced(live, run_id, filled)
    if not filled.calls and plan.missing_at == {row.source for row in plan.mapped.values()}:
        raise_nothing(filled)
    gaps = note_gaps(live, run_id, start_us=min([start_us, *owed.values()]), end_us=end_us)
    return {
        "calls": filled.calls,
        "failed": filled.failed,
        "bars": filled.bars,
        "rejects": filled.rejects,
        "unpriced": sum(filled.unpriced.values()),
        "gaps": gaps,
        "wanted": wanted,
        "owed": filled.owed,
    }


def _wanted(live: Live) -> str:
    """A short hash of the series that are kept up, and how far back."""
    series = [[row.asset, row.source, row.symbol, row.quote] for row in venue_mappings(live.registry, live.sources)]
    return hashlib.sha256(json.dumps([live.history_days, sorted(series)]).encode()).hexdigest()[:12]


def _where_to_begin(live: Live, due: datetime, wanted: str) -> tuple[int, dict[str, int]]:
    """After which instant bars are asked for, and after which earlier ones of the series that are owed."""
    oldest = to_us(due) - live.history_days * DAY_US
    last = last_run_before(live.store, KIND, due)
    if last is None or last.due_at is None or last.detail.get("wanted") != wanted:
        return oldest, {}
    owed = {key: max(oldest, parse_instant(begin)) for key, begin in last.detail["owed"].items()}
    return max(oldest, to_us(last.due_at) - LOOK_BACK), owed


def raise_nothing(filled: Filled) -> None:
    """Raise SourceUnavailable with what each source said."""
    reasons = "; ".join(f"{source}: {text}" for source, text in sorted(filled.failures.items()))
    raise SourceUnavailable(f"no source gave any history. {reasons}")


def note_failures(live: Live, run_id: int, filled: Filled) -> None:
    """Open sources that failed throughout, close those that answered."""
    down = {source: text for source, text in filled.failures.items() if source not in filled.sources}
    asked = {*filled.failures, *filled.sources}
    settle(live.store, run_id, kind="source_down", now=down, at=live.clock(), concerns=lambda subject: subject in asked)


def note_unpriced(live: Live, run_id: int, filled: Filled) -> None:
    """Open the quote currencies without a dollar rate for some bars, close those that had one for all."""
    now = {
        quote: f"{count} bars priced in {quote} were left out: no market gave its dollar rate then"
        for quote, count in filled.unpriced.items()
        if count
    }
    quotes = set(QUOTE_MARKETS)
    settle(live.store, run_id, kind="no_rate", now=now, at=live.clock(), concerns=lambda subject: subject in quotes)


def note_gaps(live: Live, run_id: int, *, start_us: int, end_us: int, interval: str = "1h") -> int:
    """Settle the gaps of every asset in (start, end], from its first bar there on; how many are open there."""
    have = stored_instants(live, interval=interval, start_us=start_us, end_us=end_us)
    wanted = {asset.slug for asset in live.registry.assets if asset.status != "legacy"}
    notes = list(
        chain.from_iterable(
            gap_notes(
                slug, times, interval, start_us=int(times[0]) - INTERVAL_US[interval], end_us=min(end_us, now_us(live))
            )
            for slug, times in by_asset(live, have, interval=interval).items()
            if slug in wanted
        )
    )
    settle_ranges(live.store, run_id, notes, at=live.clock(), since=from_us(start_us))
    return len(notes)


@dataclass(frozen=True, slots=True)
class SourcePart:
    """One source's part of a plan: calls, bars at most, and the least seconds its rate limit takes."""

    source: str
    calls: int
    bars: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A stretch (start, end] that a venue cannot reach back to; another venue may have it."""

    asset: str
    source: str
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class PlanReport:
    """A plan in words: what will be asked of whom, and how long that takes at least."""

    start: str
    end: str
    interval: str
    calls: int
    bars: int
    seconds: float
    sources: tuple[SourcePart, ...]
    uncovered: tuple[Uncovered, ...]


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What was planned and what came: from the venues, and from the aggregators for hours no venue had."""

    plan: PlanReport
    venues: Filled
    fillers: Filled
    gaps: int


def report_of(plan: HistoryPlan) -> PlanReport:
    """The plan as numbers by source."""
    parts: dict[str, list[float]] = {}
    for half in (plan.quotes, plan.bars):
        for step in half.steps:
            part = parts.setdefault(step.call.source, [0, 0, 0.0])
            part[0], part[1] = part[0] + 1, part[1] + step.call.rows
        for source, seconds in half.seconds.items():
            parts[source][2] += seconds
    return PlanReport(
        start=iso(plan.start_us),
        end=iso(plan.end_us),
        interval=plan.interval,
        calls=plan.calls,
        bars=plan.rows,
        seconds=plan.seconds,
        sources=tuple(SourcePart(name, int(p[0]), int(p[1]), float(p[2])) for name, p in sorted(parts.items())),
        uncovered=tuple(
            Uncovered(key.partition("@")[0], key.partition("@")[2], iso(begin), iso(end))
            for key, begin, end in plan.bars.uncovered
        ),
    )


def backfill(
    live: Live, plan: HistoryPlan, *, assets: Sequence[str] = (), progress: Progress = lambda done, total: None
) -> BackfillReport:
    """Walk a plan, then ask the aggregators for hours between an asset's bars that no venue had.

    May be interrupted at any time: what came is kept, and the next plan holds the rest. Raises SourceUnavailable when
    calls were needed and none was answered.
    """
    now = live.clock()
    key = f"backfill:{plan.interval}:{iso(plan.start_us)}:{iso(plan.end_us)}:{iso(to_us(now))}"
    run_id = start_run(live.store, kind="backfill", key=key, now=now)
    if run_id is None:  # the same range in the same microsecond: another process does it
        return BackfillReport(report_of(plan), Filled(), Filled(), 0)
    try:
        venues = fill(live, run_id, plan, progress=progress)
        note_failures(live, run_id, venues)
        note_unpriced(live, run_id, venues)
        if plan.calls and not venues.calls:
            raise_nothing(venues)
        rest = plan_fill(live, start_us=plan.start_us, end_us=plan.end_us, interval=plan.interval, assets=assets)
        fillers = fill(live, run_id, rest)
        note_failures(live, run_id, fillers)
        gaps = note_gaps(live, run_id, start_us=plan.start_us, end_us=plan.end_us, interval=plan.interval)
    except BaseException as error:
        outcome = "failed" if isinstance(error, Exception) else "interrupted"
        finish_run(live.store, run_id, now=live.clock(), outcome=outcome, detail={"error": str(error)})
        raise
    detail = {"venues": asdict(venues), "fillers": asdict(fillers), "gaps": gaps}
    finish_run(live.store, run_id, now=live.clock(), detail=detail)
    return BackfillReport(report_of(plan), venues, fillers, gaps)
