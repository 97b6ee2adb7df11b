"""What is missing → which calls to which source. Pure: for `--dry-run`, and for the run that follows.

Fills both ends and the middle, cuts ranges to each source's limits, and gives what one source cannot reach to
the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from indexer.arrays import I64
from indexer.errors import InputError
from indexer.sources.base import Ask, Call, Dataset, RestSource, Source
from indexer.sources.http import LIMITS, HostLimit
from indexer.sources.http.limits import DEFAULT_LIMIT
from indexer.times import INTERVAL_US

NOTHING: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Want:
    """One series to complete: bars of an asset closing in (start_us, end_us], by candidates in preference.

    `candidates` are (source, symbol, quote).
    """

    asset: str
    interval: str
    start_us: int
    end_us: int
    candidates: tuple[tuple[str, str, str], ...]
    dataset: Dataset = Dataset.BARS


@dataclass(frozen=True, slots=True)
class Step:
    """One planned call for an asset, and the candidates that follow if it cannot give its range.

    `oldest_us` is the first bar stored when the step lies before it (NOTHING when none is stored): the series may
    begin in the step's range or after it. None: something older is stored.
    """

    asset: str
    call: Call
    others: tuple[tuple[str, str, str], ...]
    oldest_us: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill will do at most. `seconds` by source are the least its rate limit allows, side by side.

    Steps before all that is stored stand newest first, so that the walk may end where a series begins.
    `uncovered` are (asset, start_us, end_us) that no candidate reaches: nothing will be fetched for them.
    """

    steps: tuple[Step, ...]
    seconds: Mapping[str, float]
    uncovered: tuple[tuple[str, int, int], ...]

    @property
    def rows(self) -> int:
        """Bars asked for at most."""
        return sum(step.call.rows for step in self.steps)


def missing_ranges(have_us: I64, interval: str, *, start_us: int, end_us: int) -> list[tuple[int, int]]:
    """The half-open (start, end] stretches of bar closes that are not among `have_us`, in order. Pure."""
    step = INTERVAL_US[interval]
    first = start_us // step * step + step
    last = end_us // step * step
    if last < first:
        return []
    grid = np.arange(first, last + 1, step, dtype=np.int64)
    absent = grid[~np.isin(grid, have_us)]
    if not len(absent):
        return []
    breaks = np.flatnonzero(np.diff(absent) > step) + 1
    runs = np.split(absent, breaks)
    return [(int(run[0]) - step, int(run[-1])) for run in runs]


def join_near(ranges: Sequence[tuple[int, int]], interval: str, *, bars: int = 50) -> list[tuple[int, int]]:
    """The ranges with those less than `bars` apart merged: one call costs more than a few rows twice. Pure."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] < bars * INTERVAL_US[interval]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def plan_backfill(
    wants: Sequence[Want],
    have: Mapping[str, I64],
    *,
    sources: Mapping[str, Source],
    now_us: int,
    limits: Mapping[str, HostLimit] = LIMITS,
) -> Plan:
    """The calls that complete the wanted series. `have` holds the bar closes that are there, by asset.

    Each missing range goes to the first candidate that reaches it; the part it cannot reach (its depth from now)
    goes to the next. Raises InputError for an interval or source that does not exist.
    """
    steps: list[Step] = []
    uncovered: list[tuple[str, int, int]] = []
    empty = np.empty(0, dtype=np.int64)
    for want in wants:
        _check(want, sources)
        stored = have.get(want.asset, empty)
        gaps = missing_ranges(stored, want.interval, start_us=want.start_us, end_us=min(want.end_us, now_us))
        for gap in join_near(gaps, want.interval):
            planned, left = cover(want, gap, sources, now_us=now_us)
            if not (stored <= gap[0]).any():
                first_us = int(stored.min(initial=NOTHING))
                newest_first = sorted(planned, key=lambda step: -step.call.ask.start_us)
                planned = [replace(step, oldest_us=first_us) for step in newest_first]
            steps += planned
            uncovered += [(want.asset, begin, end) for begin, end in left]
    return Plan(tuple(steps), _seconds(steps, sources, limits), tuple(uncovered))


def _check(want: Want, sources: Mapping[str, Source]) -> None:
    if want.interval not in INTERVAL_US:
        raise InputError(f'interval "{want.interval}" is not one of {", ".join(INTERVAL_US)}')
    unknown = [name for name, _, _ in want.candidates if name not in sources]
    if unknown:
        raise InputError(f"{want.asset}: {unknown[0]} is not among the sources in use ({', '.join(sources)})")


def cover(
    want: Want, gap: tuple[int, int], sources: Mapping[str, Source], *, now_us: int
) -> tuple[list[Step], list[tuple[int, int]]]:
    """Calls for one gap over the candidates in order, and the stretches nobody reaches."""
    open_ranges = [gap]
    steps: list[Step] = []
    for place, candidate in enumerate(want.candidates):
        left: list[tuple[int, int]] = []
        for begin, end in open_ranges:
            calls = sources[candidate[0]].calls(_ask(want, candidate, begin, end, now_us))
            steps += [Step(want.asset, call, want.candidates[place + 1 :]) for call in calls]
            reached = min((call.ask.start_us for call in calls), default=end)
            if reached > begin:
                left.append((begin, reached))
        open_ranges = left
        if not open_ranges:
            break
    return steps, open_ranges


def _ask(want: Want, candidate: tuple[str, str, str], start_us: int, end_us: int, now_us: int) -> Ask:
    _, symbol, quote = candidate
    return Ask(want.dataset, (symbol,), start_us, end_us, now_us, want.interval, quote)


def _seconds(steps: Sequence[Step], sources: Mapping[str, Source], limits: Mapping[str, HostLimit]) -> dict[str, float]:
    """The least time each source needs: its tokens beyond the burst at its rate."""
    cost: dict[str, float] = {}
    for step in steps:
        cost[step.call.source] = cost.get(step.call.source, 0.0) + step.call.cost
    found: dict[str, float] = {}
    for name, tokens in cost.items():
        source = sources[name]
        limit = limits.get(source.limit if isinstance(source, RestSource) else name, DEFAULT_LIMIT)
        found[name] = max(0.0, tokens - limit.burst) / limit.per_second
    return found
