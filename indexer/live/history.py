"""The history job: what is missing is asked piece by piece, in the order of `live.plan`.

`catch_up` is the scheduled job, `backfill` the same for a range by hand. Both may be interrupted at any time: what came
is kept, and the next plan holds the rest.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from indexer.errors import SourceUnavailable
from indexer.live.asking import reasons_of
from indexer.live.context import Live
from indexer.live.filling import Filled, Filling
from indexer.live.mapping import QUOTE_MARKETS
from indexer.live.plan import (
    FILLERS,
    Plan,
    bars_by_asset,
    least_seconds,
    missing_ranges,
    plan_fill,
    plan_range,
    plan_stages,
    stored_instants,
)
from indexer.live.quality_log import SOURCE_DOWN, log_still_down, settle, settle_gaps
from indexer.live.standing import end_first_fill
from indexer.live.walk import Piece
from indexer.sources.base import limit_of
from indexer.sources.http import HostLimit, HttpClient
from indexer.store.runs import HISTORY, finish_run, first_fill_is_open, last_run_before, start_run, write_progress
from indexer.times import DAY_US, HOUR_US, INTERVAL_US, from_us, iso, parse_instant, to_us

LOOK_BACK: Final = 2 * DAY_US  # late rows and short outages are asked for again this long
HOUR: Final = timedelta(hours=1)
REPORT_S: Final = 2.0


def catch_up(live: Live, due: datetime, run_id: int, *, patient: bool = False) -> Mapping[str, Any]:
    """The history job: on a fresh store all since `history_since`, afterwards what is missing since the last time.

    What a source could not answer is owed: a `patient` job asks for it again until the hour is over, then the next run
    does. All is asked for again when the series wanted or `history_since` are others than the last time. Asset-hours
    that no venue gave are gaps in the quality log. The job fails only when every source had something to give and none
    answered. A patient job leaves the newest hour to the fixing, which works at the same time.
    """
    end_us, wanted = to_us(due) - (HOUR_US if patient else 0), _wanted(live)
    plan = _plan(live, due, end_us=end_us, wanted=wanted)
    then = live.compute if first_fill_is_open(live.store, now=live.clock()) else lambda: None
    reporter = Reporter(live, run_id, plan)
    with Filling(live, run_id, plan, patient=patient, tell=reporter.look, then=then) as filling:
        for stage in plan.stages:
            filling.run(stage)
        if patient:
            filling.wait((to_us(due) + HOUR_US - to_us(live.clock())) / 1e6)
        filled = filling.finish()
        reporter.look(filling, last=True)
    note_filled(live, run_id, filled)
    log_still_down(live.store, before=live.clock() - HOUR)
    if not filled.calls and {call.source for call in plan.calls} == {row.source for row in live.venues()}:
        raise_nothing(filled)
    gaps = note_gaps(live, run_id, start_us=plan.start_us, end_us=end_us)
    if end_first_fill(live.store, filled.still_to_come, now=live.clock()):
        live.compute()
    counts = {"calls": filled.calls, "failed": filled.failed, "bars": filled.bars, "rejects": filled.rejects}
    return {**counts, "unpriced": sum(filled.unpriced.values()), "gaps": gaps, "wanted": wanted, "owed": filled.owed}


def _plan(live: Live, due: datetime, *, end_us: int, wanted: str) -> Plan:
    """All for a fresh store or other wishes; else hours since the last run, and what it owed."""
    last = last_run_before(live.store, HISTORY, due)
    if last is None or last.due_at is None or last.detail.get("wanted") != wanted:
        return plan_stages(live, end_us=end_us)
    owed = {key: parse_instant(begin) for key, begin in last.detail["owed"].items()}
    start_us = max(live.history_since_us, to_us(last.due_at) - LOOK_BACK)
    return plan_range(live, start_us=start_us, end_us=end_us, since_us=owed)


def _wanted(live: Live) -> str:
    """A short hash of the series that are kept up, and since when."""
    series = [[row.asset, row.source, row.symbol, row.quote] for row in live.venues()]
    return hashlib.sha256(json.dumps([live.history_since_us, sorted(series)]).encode()).hexdigest()[:12]


class Reporter:
    """Looks at a filling after each batch of answers, and writes into its run how far it is, for all who look there."""

    def __init__(self, live: Live, run_id: int, plan: Plan) -> None:
        self._live, self._run_id, self._plan = live, run_id, plan
        self._written = time.monotonic() - REPORT_S
        self._done = 0

    def look(self, filling: Filling, *, last: bool = False) -> None:
        """Write how far the filling is, unless that was done a moment ago; a `last` look is always written."""
        now = time.monotonic()
        if last or now - self._written >= REPORT_S:
            write_progress(self._live.store, self._run_id, self._seen(filling, now - self._written))
            self._written = now

    def _seen(self, filling: Filling, seconds: float) -> dict[str, Any]:
        pieces, filled = self._plan.pieces, filling.filled
        failing = {name: text for name, text in filled.failures.items() if name not in filled.sources}
        left = [piece for piece in pieces if not piece.done]
        before, self._done = self._done, len(pieces) - len(left)
        in_first = bool(self._plan.stages) and filling.stage == self._plan.stages[0].name
        return {
            "stage": filling.stage,
            "done": self._done,
            "of": len(pieces),
            "calls_per_s": round((self._done - before) / max(seconds, 1.0), 1),
            "bars": filled.bars,
            "first_levels_s": self._least_s([piece for piece in left if in_first and piece.rank < 2], without=failing),
            "left_s": self._least_s(left, without=failing),
            "answering": sorted(filled.sources),
            "failing": failing,
        }

    def _least_s(self, pieces: Sequence[Piece], *, without: Collection[str]) -> int:
        """The seconds that these pieces take at least, of sources that answer; they work side by side."""
        calls = [piece.call for piece in pieces if piece.call.source not in without]
        return round(max(least_seconds(calls, self._live.sources, self._limits()).values(), default=0.0))

    def _limits(self) -> dict[str, HostLimit]:
        """Each source's limit as it was learnt from the answers so far."""
        names = {limit_of(source, name) for name, source in self._live.sources.items()}

        async def ask(http: HttpClient) -> dict[str, HostLimit]:
            return {name: http.health(name).pace for name in names}

        return self._live.upstream.run(ask)


def raise_nothing(filled: Filled) -> None:
    """Raise SourceUnavailable with what each source said."""
    raise SourceUnavailable(f"no source gave any history. {reasons_of(filled.failures)}")


def note_filled(live: Live, run_id: int, filled: Filled) -> None:
    """Settle the sources that failed throughout, and the quote currencies without a dollar rate for some bars."""
    down = {source: text for source, text in filled.failures.items() if source not in filled.sources}
    asked = filled.failures.keys() | filled.sources.keys()
    settle(live, run_id, SOURCE_DOWN, down, concerns=asked.__contains__)
    unpriced = {
        quote: f"{count} bars priced in {quote} were left out: no market gave its dollar rate then"
        for quote, count in filled.unpriced.items()
        if count
    }
    settle(live, run_id, "no_rate", unpriced, concerns=QUOTE_MARKETS.__contains__)


def note_gaps(live: Live, run_id: int, *, start_us: int, end_us: int, interval: str = "1h") -> int:
    """Settle the gaps of every asset in (start, end], from its first bar there on; how many are open there."""
    have = stored_instants(live, interval=interval, start_us=start_us, end_us=end_us)
    last_us = min(end_us, to_us(live.clock()))
    wanted = {asset.slug for asset in live.registry.assets if asset.status != "legacy"}
    gaps = {
        (f"{slug}/{interval}", from_us(begin)): f"no bars close in ({iso(begin)}, {iso(end)}]"
        for slug, times in bars_by_asset(have).items()
        if slug in wanted
        for begin, end in missing_ranges(
            times, interval, start_us=int(times[0]) - INTERVAL_US[interval], end_us=last_us
        )
    }
    settle_gaps(live, run_id, gaps, since=from_us(start_us))
    return len(gaps)


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
    calls = plan.calls
    rows = {name: [call.ask.rows for call in calls if call.source == name] for name in {call.source for call in calls}}
    seconds = least_seconds(calls, live.sources)
    return PlanReport(
        start=iso(plan.start_us),
        end=iso(plan.end_us),
        interval=plan.interval,
        calls=len(calls),
        bars=sum(map(sum, rows.values())),
        seconds=max(seconds.values(), default=0.0),
        sources=tuple(SourcePart(name, len(own), sum(own), seconds[name]) for name, own in sorted(rows.items())),
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

    Raises SourceUnavailable when calls were needed and none was answered.
    """
    now = live.clock()
    key = f"backfill:{plan.interval}:{iso(plan.start_us)}:{iso(plan.end_us)}:{iso(to_us(now))}"
    run_id = start_run(live.store, kind="backfill", key=key, now=now)
    planned, pieces = report_of(live, plan), plan.pieces
    venues, fillers = Filled(), Filled()
    if run_id is None:  # the same range in the same microsecond: another process does it
        return BackfillReport(planned, venues, fillers, 0)

    def tell(filling: Filling) -> None:
        progress(sum(piece.done for piece in pieces), len(pieces))

    try:
        _fill(live, run_id, plan, venues, tell=tell)
        if pieces and not venues.calls:
            raise_nothing(venues)
        for name in FILLERS:
            _fill(live, run_id, plan_fill(live, name, plan, assets=assets), fillers)
        gaps = note_gaps(live, run_id, start_us=plan.start_us, end_us=plan.end_us, interval=plan.interval)
    except BaseException as error:
        outcome = "failed" if isinstance(error, Exception) else "interrupted"
        finish_run(live.store, run_id, now=live.clock(), outcome=outcome, detail={"error": str(error)})
        raise
    detail = {"venues": asdict(venues), "fillers": asdict(fillers), "gaps": gaps}
    finish_run(live.store, run_id, now=live.clock(), detail=detail)
    return BackfillReport(planned, venues, fillers, gaps)


def _fill(
    live: Live, run_id: int, plan: Plan, filled: Filled, *, tell: Callable[[Filling], object] = lambda filling: None
) -> None:
    """Add to `filled` what a plan brings, each call asked once; sources that failed are noted."""
    with Filling(live, run_id, plan, tell=tell, filled=filled) as filling:
        for stage in plan.stages:
            filling.run(stage)
        filling.finish()
    note_filled(live, run_id, filled)
