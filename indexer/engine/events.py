"""What a corporate action does to a basket: units after it, and whether the divisor absorbs it. Pure.

Place in the flow: `timeline.py` puts events on the rows of the clock, `basket.py` turns each into units; the dated
log they come from is TOML (`methodology/events`). Treatments follow METHODOLOGY §3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from indexer.arrays import F64
from indexer.errors import InputError


class Effect(StrEnum):
    """What an event does to the units of a basket; a line's own unit never changes (its prices are spliced)."""

    ABSORB = "absorb"
    """Units become `ratio` units each of another line, or leave when the basket cannot hold that one."""
    REMOVE = "remove"
    """The line leaves at its last price."""
    WRITE_OFF = "write_off"
    """The line leaves at zero: the one event that moves the level, only ever by a logged decision."""
    ADD = "add"
    """`ratio` units of another line join for each unit held (a fork's child)."""
    SCALE = "scale"
    """Units are multiplied by `ratio` (an emergency change of supply)."""
    BAR = "bar"
    """The line may not be a member at reviews until `until_us` (a decision); units change only at a review."""


@dataclass(frozen=True, slots=True)
class BasketEvent:
    """An event on a line, effective at an instant. `into` is the other line of an absorption or a fork."""

    at_us: int
    slug: str
    effect: Effect
    ratio: float = 1.0
    into: str = ""
    reason: str = ""
    until_us: int | None = None

    def bars(self, slug: str, at_us: int) -> bool:
        """Whether it keeps a line out of a review at an instant."""
        in_time = self.at_us <= at_us and (self.until_us is None or at_us < self.until_us)
        return self.effect is Effect.BAR and slug == self.slug and in_time

    @property
    def keeps_level(self) -> bool:
        """Whether the divisor absorbs the change of value."""
        return self.effect is not Effect.WRITE_OFF


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """An event with the columns it is about; `into` is None when there is no other line to hold."""

    event: BasketEvent
    column: int
    into: int | None


def units_after(placed: PlacedEvent, units: F64) -> F64:
    """Units (N,) after an event, from units (N,) before it."""
    after, held = units.copy(), float(units[placed.column])
    effect, ratio = placed.event.effect, placed.event.ratio
    if effect is Effect.SCALE:
        after[placed.column] = held * ratio
        return after
    if effect is not Effect.ADD:
        after[placed.column] = 0.0
    if effect in (Effect.ABSORB, Effect.ADD) and placed.into is not None:
        after[placed.into] += held * ratio
    return after


def divisor_after(divisor: float, prices: F64, *, before: F64, after: F64) -> float:
    """D⁺ = D⁻ · ΣP·Q⁺ / ΣP·Q⁻: the divisor that keeps the level (METHODOLOGY §2.1). Raises InputError for no value."""
    old, new = float(prices @ before), float(prices @ after)
    if not (old > 0 and new > 0):
        raise InputError(f"a basket worth {old:g} cannot become one worth {new:g}: a level needs a positive value")
    return divisor * (new / old)


def redenominated(prices: F64, row: int, *, ratio: float) -> F64:
    """A price series (T,) in the new unit throughout: what came before `row` divided by `ratio` new per old units.

    With units multiplied by the same ratio the level is what it was and the divisor stays (a split by `ratio`).
    Raises InputError for a ratio that is not positive.
    """
    if not (np.isfinite(ratio) and ratio > 0):
        raise InputError(f"a redenomination of {ratio:g} new units for one old one cannot be; give a ratio above 0")
    out = prices.copy()
    out[:row] /= ratio
    return out


def unclaimed_inventory(unconverted: float, ratio: float) -> float:
    """Successor tokens minted for holders who have not converted: to be subtracted from its free float."""
    return unconverted * ratio
