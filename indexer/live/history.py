"""The history job: what is missing is asked piece by piece, in the order of `live.plan`.

`catch_up` is the scheduled job, `backfill` the same for a range by hand. Both may be interrupted at any time: what came
is kept, and the next plan holds the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final

from indexer.errors import SourceUnavailable
from indexer.live.audit import HISTORY
from indexer.live.context import Live
from indexer.live.filling import Filled, Filling
from indexer.live.mapping import QUOTE_MARKETS
from indexer.live.plan import FILLERS, Plan, bars_by_asset, plan_fill, plan_range, plan_stages, stored_instants
from indexer.live.progress import Reporter
from indexer.live.quality_log import log_still_down, settle, settle_ranges
from indexer.live.series import gap_notes, least_seconds
from indexer.live.standing import end_first_fill
from indexer.store.runs import finish_run, first_fill_is_open, last_run_before, start_run
from indexer.times import DAY_US, HOUR_US, INTERVAL_US, from_us, iso, parse_instant, to_us

LOOK_BACK: Final = 2 * DAY_US  # late rows and short outages are asked for again this long
HOUR: Final = timedelta(hours=1)


def catch_up(live: Live, due: datetime, run_id: int, *, patient: bool = False) -> Mapping[str, Any]:
    """The history job: on a fresh store all since `history_since`, afterwards what is missing since the last time.

    What a source could not answer is owed: a `patient` job asks for it again until the hour is over, and then the run's
    detail says from when on, and the next run asks again. All is asked for again when the series wanted or
    `history_since` are others than the last time. Asset-hours that no venue could give stay open as gaps in the quality
    log. A source that fails is an entry; the job fails only when every source had something to give and none answered.
    A patient job leaves the newest hour to the fixing, which works at the same time. Days are planned with a fresh
    store's years only; afterwards hours are kept up, and days only where they are owed.
    """
    end_us, wanted = to_us(due) - (HOUR_US if patient else 0), _wanted(live)
    last = last_run_before(live.store, HISTORY, due)
    if last is None or last.due_at is None or last.detail.get("wanted") != wanted:
        plan = plan_stages(live, end_us=end_us)
    else:
        owed = {key: parse_instant(begin) for key, begin in last.detail["owed"].items()}
        start_us = max(live.history_since_us, to_us(last.due_at) - LOOK_BACK)
        plan = plan_range(live, start_us=start_us, end_us=end_us, since_us=owed)
    computes = first_fill_is_open(live.store, now=live.clock())
    reporter = Reporter(live, run_id, plan)
    then = live.compute if computes else None
    with Filling(live, run_id, plan, patient=patient, tell=reporter.look, then=then) as filling:
        for stage in plan.stages:
            filling.run(stage)
        if patient:
            filling.wait((to_us(due) + HOUR_US - to_us(live.clock())) / 1e6)
        filled = filling.finish()
        reporter.look(filling, last=True)
    note_failures(live, run_id, filled)
    note_unpriced(live, run_id, filled)
    log_still_down(live.store, before=live.clock() - HOUR)
    missing_at = {call.source for call in plan.calls}
    if not filled.calls and missing_at == {row.source for row in live.venues()}:
        raise_nothing(filled)
    gaps = note_gaps(live, run_id, start_us=plan.start_us, end_us=end_us)
    if end_first_fill(live.store, filled.still_to_come, now=live.clock()):
        live.compute()
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
    """A short hash of the series that are kept up, and since when."""
    series = [[row.asset, row.source, row.symbol, row.quote] for row in live.venues()]
    return hashlib.sha256(json.dumps([live.history_since_us, sorted(series)]).encode()).hexdigest()[:12]


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
    last_us = min(end_us, to_us(live.clock()))
    wanted = {asset.slug for asset in live.registry.assets if asset.status != "legacy"}
    notes = list(
        chain.from_iterable(
            gap_notes(slug, times, interval, start_us=int(times[0]) - INTERVAL_US[interval], end_us=last_us)
            for slug, times in bars_by_asset(have).items()
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


def report_of(live: Live, plan: Plan) -> PlanReport:
    """The plan as numbers by source."""
    parts: dict[str, list[int]] = {}
    for call in plan.calls:
        part = parts.setdefault(call.source, [0, 0])
        part[0], part[1] = part[0] + 1, part[1] + call.ask.rows
    seconds = least_seconds(plan.calls, live.sources)
    return PlanReport(
        start=iso(plan.start_us),
        end=iso(plan.end_us),
        interval=plan.interval,
        calls=len(plan.calls),
        bars=sum(call.ask.rows for call in plan.calls),
        seconds=max(seconds.values(), default=0.0),
        sources=tuple(SourcePart(name, count, bars, seconds[name]) for name, (count, bars) in sorted(parts.items())),
        uncovered=tuple(
            Uncovered(series.row.asset, series.row.source, iso(begin), iso(end))
            for series in plan.series
            for begin, end in series.unreached
        ),
    )


def backfill(
    live: Live,
    plan: Plan,
    *,
    assets: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BackfillReport:
    """Carry out a plan, then ask the aggregators for hours between an asset's bars that no venue had.

    May be interrupted at any time: what came is kept, and the next plan holds the rest. Raises SourceUnavailable when
    calls were needed and none was answered.
    """
    now = live.clock()
    key = f"backfill:{plan.interval}:{iso(plan.start_us)}:{iso(plan.end_us)}:{iso(to_us(now))}"
    run_id = start_run(live.store, kind="backfill", key=key, now=now)
    planned, total = report_of(live, plan), len(plan.calls)
    if run_id is None:  # the same range in the same microsecond: another process does it
        return BackfillReport(planned, Filled(), Filled(), 0)
    try:
        venues = _filled(live, run_id, plan, tell=lambda filling: progress(filling.filled.settled, total))
        if total and not venues.calls:
            raise_nothing(venues)
        fillers = Filled()
        for name in FILLERS:
            rest = plan_fill(
                live, name, start_us=plan.start_us, end_us=plan.end_us, interval=plan.interval, assets=assets
            )
            fillers = fillers + _filled(live, run_id, rest)
        gaps = note_gaps(live, run_id, start_us=plan.start_us, end_us=plan.end_us, interval=plan.interval)
    except BaseException as error:
        outcome = "failed" if isinstance(error, Exception) else "interrupted"
        finish_run(live.store, run_id, now=live.clock(), outcome=outcome, detail={"error": str(error)})
        raise
    detail = {"venues": asdict(venues), "fillers": asdict(fillers), "gaps": gaps}
    finish_run(live.store, run_id, now=live.clock(), detail=detail)
    return BackfillReport(planned, venues, fillers, gaps)


def _filled(live: Live, run_id: int, plan: Plan, *, tell: Callable[[Filling], object] = lambda filling: None) -> Filled:
    """What a plan brought, each call asked once; sources that failed are noted."""
    with Filling(live, run_id, plan, patient=False, tell=tell) as filling:
        for stage in plan.stages:
            filling.run(stage)
        filled = filling.finish()
    note_failures(live, run_id, filled)
    note_unpriced(live, run_id, filled)
    return filled
