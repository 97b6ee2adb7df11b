"""What one fixing remembers for the next, by name, so that it survives a restart and a changed registry. Pure.

A gate has memory: a venue that was an outlier comes back only under half the threshold. The arrays of
`reference.Memory` have no names; here they get them, and each next fixing gets its own order back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from indexer.reference.fixing import Fixings, Memory
from indexer.reference.rules import FixingRules
from indexer.sources.records import Bars


@dataclass(frozen=True, slots=True)
class AssetMemory:
    """One asset at a fixing: venues that were outliers, the partition medians, the last rate and its age then."""

    out: tuple[str, ...]
    recent: tuple[float, ...]
    rate: float
    age_s: float


@dataclass(frozen=True, slots=True)
class Remembered:
    """A fixing's instant, its assets by slug, and the last dollar rate of each quote currency with its instant."""

    at_us: int | None = None
    assets: Mapping[str, AssetMemory] = field(default_factory=dict)
    quotes: Mapping[str, tuple[int, float]] = field(default_factory=dict)

    def memory(self, assets: Sequence[str], venues: Sequence[str], *, at_us: int) -> Memory | None:
        """The memory for a fixing of these assets and venues at an instant; None when nothing is remembered."""
        if self.at_us is None or not self.assets:
            return None
        elapsed_s = (at_us - self.at_us) / 1e6
        known = [self.assets.get(slug) for slug in assets]
        width = FixingRules().partitions
        nothing = (math.nan,) * width
        return Memory(
            out=np.array([[one is not None and venue in one.out for venue in venues] for one in known], dtype=np.bool_),
            recent=np.array([one.recent if one else nothing for one in known], dtype=np.float64),
            rate=np.array([one.rate if one else math.nan for one in known], dtype=np.float64),
            age_s=np.array([one.age_s + elapsed_s if one else math.nan for one in known], dtype=np.float64),
        )

    def last_rates(self) -> dict[str, Bars]:
        """The quote currencies' last rates, as `collect_bars` carries them."""
        return {quote: _one_bar(at_us, rate) for quote, (at_us, rate) in self.quotes.items()}


def remember(
    fixing: Fixings, assets: Sequence[str], venues: Sequence[str], *, at_us: int, rates: Mapping[str, Bars]
) -> Remembered:
    """What is to be remembered of a fixing."""
    made = {
        slug: AssetMemory(
            out=tuple(venue for v, venue in enumerate(venues) if fixing.out[a, v]),
            recent=tuple(fixing.partitions[a].tolist()),
            rate=float(fixing.rate[a]),
            age_s=float(fixing.age_s[a]),
        )
        for a, slug in enumerate(assets)
    }
    quotes = {quote: (int(bars.time_us[-1]), float(bars.close[-1])) for quote, bars in rates.items() if len(bars)}
    return Remembered(at_us, made, quotes)


def from_plain(plain: Mapping[str, Any]) -> Remembered:
    """The memory as JSON gave it back; what was not known is null there."""
    assets = {
        slug: AssetMemory(
            tuple(one["out"]), tuple(map(_float, one["recent"])), _float(one["rate"]), _float(one["age_s"])
        )
        for slug, one in plain["assets"].items()
    }
    quotes = {quote: (int(at_us), float(rate)) for quote, (at_us, rate) in plain["quotes"].items()}
    return Remembered(plain["at_us"], assets, quotes)


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _one_bar(at_us: int, rate: float) -> Bars:
    close, nothing = np.array([rate]), np.array([math.nan])
    return Bars(np.array([at_us], dtype=np.int64), close, close, close, close, nothing, nothing)
