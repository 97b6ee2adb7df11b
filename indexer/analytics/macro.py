"""Where a date stands in the policy calendar: days since and until an FOMC decision, and the rate then in force."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexer.errors import NotEnoughDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexer.analytics.catalogue import PolicyDecision

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class PolicyDistance:
    """Days (fractional, never negative) since the last decision and until the next; target range in force.

    None where the table does not reach, or where the range in force is not sourced.
    """

    at_us: int
    days_since: float | None
    days_until: float | None
    low: float | None
    high: float | None


def policy_distance(decisions: Sequence[PolicyDecision], at_us: int) -> PolicyDistance:
    """Distance of an instant to the decisions around it; a decision counts from its own instant on.

    Raises NotEnoughDataError without any decision.
    """
    if not decisions:
        raise NotEnoughDataError("no policy decisions are given; read fomc.toml or import a table")
    place = bisect_right(decisions, at_us, key=lambda decision: decision.at_us)
    last = decisions[place - 1] if place else None
    after = decisions[place] if place < len(decisions) else None
    return PolicyDistance(
        at_us,
        None if last is None else (at_us - last.at_us) / DAY_US,
        None if after is None else (after.at_us - at_us) / DAY_US,
        None if last is None else last.low,
        None if last is None else last.high,
    )
