"""One fixing as it comes out: the venues' minutes of every mapped asset → rates with their axes. Pure.

The job (`fixing.py`) and the replay from the archive (`replay.py`) both compute it here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from indexer.live.memory import Remembered
from indexer.reference import FixingRules, Fixings, fixing_rates, minute_cube
from indexer.sources.identity import Mapped
from indexer.sources.records import Bars


@dataclass(frozen=True, slots=True)
class Fixed:
    """One fixing: which assets and venues (the axes), and what came of them."""

    at_us: int
    assets: tuple[str, ...]
    venues: tuple[str, ...]
    rates: Fixings


def compute(
    rows: Sequence[Mapped],
    bars: Mapping[str, Mapping[str, Bars]],
    *,
    memory: Remembered,
    at_us: int,
    rules: FixingRules = FixingRules(),
) -> Fixed:
    """The rates of every mapped asset from the venues' minutes. Pure."""
    assets = tuple(dict.fromkeys(row.asset for row in rows))
    venues = tuple(dict.fromkeys(row.source for row in rows))
    prices, values = minute_cube([bars.get(slug, {}) for slug in assets], venues, at_us=at_us)
    rates = fixing_rates(prices, values, rules=rules, memory=memory.memory(assets, venues, at_us=at_us))
    return Fixed(at_us, assets, venues, rates)
