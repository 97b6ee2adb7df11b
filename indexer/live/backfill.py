"""`deai backfill`: a range filled from the venues, then from the aggregators where no venue had anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from indexer.live.context import Live
from indexer.live.fill import Filled, Progress, fill, note_failures, note_gaps, note_unpriced, raise_nothing
from indexer.live.history import HistoryPlan, plan_fill, plan_history
from indexer.store.write import finish_run, start_run
from indexer.times import iso, to_us


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
        made = fill(live, run_id, plan, progress=progress)
        note_failures(live, run_id, made)
        note_unpriced(live, run_id, made)
        if plan.calls and not made.calls:
            raise_nothing(made)
        rest = plan_fill(live, start_us=plan.start_us, end_us=plan.end_us, interval=plan.interval, assets=assets)
        filled = fill(live, run_id, rest)
        note_failures(live, run_id, filled)
        gaps = note_gaps(live, run_id, start_us=plan.start_us, end_us=plan.end_us, interval=plan.interval)
    except BaseException as error:
        outcome = "failed" if isinstance(error, Exception) else "interrupted"
        finish_run(live.store, run_id, now=live.clock(), outcome=outcome, detail={"error": str(error)})
        raise
    detail = {"venues": asdict(made), "fillers": asdict(filled), "gaps": gaps}
    finish_run(live.store, run_id, now=live.clock(), detail=detail)
    return BackfillReport(report_of(plan), made, filled, gaps)


__all__ = ["BackfillReport", "PlanReport", "SourcePart", "Uncovered", "backfill", "plan_history", "report_of"]
