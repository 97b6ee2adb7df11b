"""What happened by the hour: an index from an event's begin to its end, with the hour of its largest move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.analytics.catalogue import Event
from indexer.studies.report.words import moment, number, percent
from indexer.studies.series import Series
from indexer.times import DAY_US, HOUR_US


@dataclass(frozen=True, slots=True)
class Hour:
    """A level and the simple return to it since the event's begin."""

    time_us: int
    level: float
    change: float


@dataclass(frozen=True, slots=True)
class HourlyPath:
    """The last level before the event, the one furthest from it, the last one of the window, and every hour between.

    An event without a window of its own is followed for a day.
    """

    subject: str
    start_us: int
    start_level: float
    furthest: Hour
    last: Hour
    statement: str
    hours: tuple[Hour, ...]


def hourly_path(series: Series, event: Event) -> HourlyPath | None:
    """The path of a series by the hour; None where it has no level within an hour before the event, or none after."""
    until_us = event.until_us if event.until_us > event.at_us else event.at_us + DAY_US
    row = int(np.searchsorted(series.times_us, event.at_us, side="right")) - 1
    if row < 0 or event.at_us - int(series.times_us[row]) > HOUR_US:
        return None
    start_us, start = int(series.times_us[row]), float(series.values[row])
    inside = np.flatnonzero((series.times_us > start_us) & (series.times_us <= until_us))
    hours = tuple(Hour(int(series.times_us[n]), v := float(series.values[n]), v / start - 1.0) for n in inside)
    if not hours:
        return None
    # A halving and a doubling are equally far.
    furthest = max(hours, key=lambda hour: abs(np.log(hour.level / start)))
    statement = (
        f"By the hour: {series.name} went from {number(start, 1)} ({moment(start_us)}) to {number(furthest.level, 1)} "
        f"({moment(furthest.time_us)}), {percent(furthest.change)}, and stood at {number(hours[-1].level, 1)} "
        f"({moment(hours[-1].time_us)}), {percent(hours[-1].change)}"
    )
    return HourlyPath(series.name, start_us, start, furthest, hours[-1], statement, hours)
