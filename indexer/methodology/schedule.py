"""When an index rebalances and reconstitutes: the calendar of a methodology's schedule. Pure, reads no clock.

Place in the flow: the engine asks it which changes fall into a history, the scheduler which one is next.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from indexer.errors import MethodologyError
from indexer.methodology.spec import Schedule
from indexer.times import DAY_US, from_us, iso, to_us

LAST_DAY_OF_EVERY_MONTH = 28


@dataclass(frozen=True, slots=True)
class RebalanceDate:
    """One change: decided from what was known at `reference_us`, in force from `effective_us` (00:00 UTC).

    A reconstitution may change members and weights, any other rebalance only weights.
    """

    reference_us: int
    effective_us: int
    reconstitution: bool


def rebalance_dates(schedule: Schedule, start_us: int, end_us: int) -> list[RebalanceDate]:
    """The changes effective from `start_us` to `end_us`, both included, ascending.

    Raises MethodologyError for an effective day that not every month has, or an end before the start.
    """
    if not 1 <= schedule.effective_day <= LAST_DAY_OF_EVERY_MONTH:
        raise MethodologyError(
            f"schedule.effective_day: {schedule.effective_day} is not a day of every month; give 1 to 28"
        )
    if end_us < start_us:
        raise MethodologyError(f"the calendar from {iso(start_us)} to {iso(end_us)} ends before it starts; swap them")
    first, last = from_us(start_us), from_us(end_us)
    found = []
    for month_count in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        year, month = divmod(month_count, 12)
        effective_us = to_us(datetime(year, month + 1, schedule.effective_day, tzinfo=UTC))
        if month + 1 in schedule.rebalance_months and start_us <= effective_us <= end_us:
            found.append(
                RebalanceDate(
                    reference_us=effective_us - schedule.reference_days_before * DAY_US,
                    effective_us=effective_us,
                    reconstitution=month + 1 in schedule.reconstitution_months,
                )
            )
    return found
