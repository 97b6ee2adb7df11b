"""What is missing of the history, as series: one asset's bars at one source, cut to calls, the newest first. Pure.

Every venue's bars are evidence of its own, so each venue is completed by itself: both ends and the middle, cut to each
source's limits. Planning again plans only what is still missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np

from indexer.arrays import I64
from indexer.sources.base import Ask, Call, Dataset, Mapped, Parsed, Source, limit_of
from indexer.sources.http import LIMITS, HostLimit
from indexer.sources.http.limits import DEFAULT_LIMIT
from indexer.sources.records import QualityNote
from indexer.times import DAY_US, INTERVAL_US, iso

NOTHING: Final = 2**63 - 1
UNLISTED_US: Final = 30 * DAY_US  # nothing for so long before the first bar: not listed then


class Role(StrEnum):
    """What the answers of a series are for."""

    BARS = "bars"
    RATE = "rate"  # bars of a quote currency in dollars
    SUPPLY = "supply"  # supplies implied by an aggregator's chart


@dataclass(slots=True, eq=False)
class Series:
    """What is missing of one asset at one source: its calls, newest first, and the stretches it does not reach back to.

    `have` are the instants stored. `first_us` is the earliest bar stored or come so far, and `empty_us` adds up the
    time before it for which the source answered that there is nothing. `refusals` are in a row; once `answered`, a
    refused call is owed, else it is the answer that there is no such series.
    """

    row: Mapped
    interval: str
    calls: tuple[Call, ...]
    role: Role = Role.BARS
    have: I64 = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    unreached: tuple[tuple[int, int], ...] = ()
    first_us: int = NOTHING
    empty_us: int = 0
    refusals: int = 0
    answered: bool = False

    @property
    def key(self) -> str:
        """The series' name in the run log: `near@binance` of hours, `near@binance/1d` of days."""
        days = "" if self.interval == "1h" else f"/{self.interval}"
        return f"{self.row.asset}@{self.row.source}{days}"

    def begins_after(self, call: Call) -> bool:
        """Whether a call lies before the series' beginning, as far as the answers to newer calls say."""
        return self.empty_us >= UNLISTED_US and call.ask.end_us <= self.first_us

    def learn(self, call: Call, parsed: Parsed) -> None:
        """Note what an answer says of where the series begins."""
        if parsed.bars is None:
            return
        self.first_us = min(self.first_us, *parsed.bars.time_us[:1].tolist(), NOTHING)
        if not (len(parsed.bars) or parsed.rejects) and call.ask.end_us <= self.first_us < NOTHING:
            self.empty_us += call.ask.end_us - call.ask.start_us


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


def gap_notes(asset: str, have_us: I64, interval: str, *, start_us: int, end_us: int) -> list[QualityNote]:
    """One open entry for each stretch without bars: opened where it begins, closed when it is filled."""
    return [
        QualityNote("gap", f"{asset}/{interval}", begin, None, f"no bars close in ({iso(begin)}, {iso(end)}]")
        for begin, end in missing_ranges(have_us, interval, start_us=start_us, end_us=end_us)
    ]


def join_near(ranges: Sequence[tuple[int, int]], interval: str, *, bars: int = 50) -> list[tuple[int, int]]:
    """The ranges with those less than `bars` apart merged: one call costs more than a few rows twice. Pure."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] < bars * INTERVAL_US[interval]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def series_of(
    row: Mapped,
    source: Source,
    interval: str,
    *,
    start_us: int,
    end_us: int,
    now_us: int,
    have: I64 | None = None,
    role: Role = Role.BARS,
) -> Series:
    """The series of what is missing of (start, end] at a source, where the instants `have` are stored."""
    have = np.empty(0, dtype=np.int64) if have is None else have
    calls: list[Call] = []
    unreached: list[tuple[int, int]] = []
    gaps = missing_ranges(have, interval, start_us=start_us, end_us=min(end_us, now_us))
    for begin, end in join_near(gaps, interval):
        planned = source.calls(Ask(Dataset.BARS, (row.symbol,), begin, end, now_us, interval, row.quote))
        calls += planned
        reached = min((call.ask.start_us for call in planned), default=end)
        if reached > begin:
            unreached.append((begin, reached))
    calls.sort(key=lambda call: -call.ask.start_us)
    first_us = int(have.min(initial=NOTHING))
    return Series(row, interval, tuple(calls), role=role, have=have, unreached=tuple(unreached), first_us=first_us)


def least_seconds(
    calls: Iterable[Call], sources: Mapping[str, Source], limits: Mapping[str, HostLimit] = LIMITS
) -> dict[str, float]:
    """The least time that each source's limit makes these calls take: the tokens beyond the burst at its rate."""
    cost: dict[str, float] = {}
    for call in calls:
        cost[call.source] = cost.get(call.source, 0.0) + call.cost
    seconds: dict[str, float] = {}
    for name, tokens in cost.items():
        limit = limits.get(limit_of(sources[name], name), DEFAULT_LIMIT)
        seconds[name] = max(0.0, tokens - limit.burst) / limit.per_second
    return seconds
