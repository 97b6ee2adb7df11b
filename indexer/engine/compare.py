"""Do two calculators agree? The largest relative difference of their levels and the first instant that differs."""

from __future__ import annotations

from dataclasses import dataclass

from indexer.engine.history import IndexHistory
from indexer.engine.plain import PlainIndex

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Comparison:
    """max_relative over `count` levels; `first_us` is the first instant beyond the tolerance or of one side only."""

    count: int
    max_relative: float
    first_us: int | None
    fast: float | None
    plain: float | None

    @property
    def agree(self) -> bool:
        """Whether every level agrees within the tolerance and neither side has one the other lacks."""
        return self.first_us is None


def compare(history: IndexHistory, plain: PlainIndex, *, tolerance: float = TOLERANCE) -> Comparison:
    """How far the fast history and the plain one are apart, level by level."""
    fast = dict(zip(history.times_us.tolist(), history.levels.tolist(), strict=True))
    slow = dict(plain.levels)
    worst, first = 0.0, None
    for time_us in sorted(fast.keys() | slow.keys()):
        one, other = fast.get(time_us), slow.get(time_us)
        apart = float("inf") if one is None or other is None else abs(one - other) / abs(other)
        worst = max(worst, apart)
        if first is None and not apart <= tolerance:
            first = time_us
    return Comparison(
        len(fast), worst, first, None if first is None else fast.get(first), None if first is None else slow.get(first)
    )
