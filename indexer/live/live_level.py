"""What a live level says; `live.ticker` makes it. Apart, because the API describes it without the HTTP client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LiveLevel:
    """An index now. `carried_weight` has no price of now but the last official one; `three_venues` is the weight that
    three venues or more price; `since_fixing` the return since the newest official level, which is of `fixed_at`."""

    index: str
    simulated: bool
    time: datetime
    age_s: float
    level: float
    final: bool
    carried_weight: float
    three_venues: float
    venues: tuple[str, ...]
    fixed_at: datetime
    since_fixing: float
