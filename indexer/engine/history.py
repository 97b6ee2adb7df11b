"""What an index did: rebalances with their reasons, corporate actions on its basket, and the part that is published.

Pure records and their arithmetic: `timeline.py` makes them, `level.py` turns them into levels. A fixing sets units =
w · Z / P with Z the free-float capitalisation of the members at the fixing's prices, so an uncapped cap-weighted basket
keeps the size of its market; the level does not depend on Z. Which action has which
effect is in docs/administration.md; the dated log is TOML (`methodology/events`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from indexer.arrays import F64, I8, I64
from indexer.engine.health import SUSPENDED, Spell
from indexer.engine.market import Market
from indexer.errors import InputError, NotEnoughDataError
from indexer.methodology.spec import Methodology
from indexer.times import iso


class Effect(StrEnum):
    """What an event does to the units of a basket; a line's own unit never changes (its prices are spliced)."""

    ABSORB = "absorb"
    """Units become `ratio` units each of another line, or leave when the basket cannot hold that one."""
    REMOVE = "remove"
    """The line leaves at its last price, or at the value that the event states: then the level moves."""
    WRITE_OFF = "write_off"
    """The line leaves at zero, only ever by a logged decision."""
    ADD = "add"
    """`ratio` units of another line join for each unit held (a fork's child)."""
    SCALE = "scale"
    """Units are multiplied by `ratio` (an emergency change of supply)."""
    BAR = "bar"
    """The line may not be a member at reviews until `until_us` (a decision); units change only at a review."""


@dataclass(frozen=True, slots=True)
class BasketEvent:
    """An event on a line, effective at an instant. `into` is the other line of an absorption or a fork; `value` (USD
    for one unit of the line) is what it leaves at, None for its last price."""

    at_us: int
    slug: str
    effect: Effect
    ratio: float = 1.0
    into: str = ""
    reason: str = ""
    until_us: int | None = None
    value: float | None = None

    def bars(self, slug: str, at_us: int) -> bool:
        """Whether it keeps a line out of a review at an instant."""
        in_time = self.at_us <= at_us and (self.until_us is None or at_us < self.until_us)
        return self.effect is Effect.BAR and slug == self.slug and in_time

    @property
    def exit_value(self) -> float | None:
        """USD that holders get for a unit that leaves, None where the last price counts and the level stays."""
        return 0.0 if self.effect is Effect.WRITE_OFF else self.value


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


REVIEWS = ("rebalance", "reconstitution")
RESUMPTION = "resumption"


@dataclass(frozen=True, slots=True)
class Settled:
    """Changes of units that stay as they are, ascending, their arrays in the market's order of columns.

    Nothing is decided anew at or before `until_us`, the last published instant. `impaired` is the spell that the index
    was in at the first change, where that is not its base, and for how many levels of 00:00 UTC in a row.
    """

    changes: tuple[Rebalance, ...]
    until_us: int
    impaired: tuple[Spell, int] | None = None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A transition that was under way: weights it began from and goes to (N,), and how many fixings are done."""

    start: F64
    target: F64
    done: int
    reference_us: int
    kind: str


def rows_of(settled: Settled, market: Market) -> I64:
    """The rows of the clock at which the settled changes took effect. Raises InputError where the clock lacks one."""
    times = np.array([change.effective_us for change in settled.changes], dtype=np.int64)
    rows = np.searchsorted(market.times_us, times)
    inside = np.minimum(rows, len(market.times_us) - 1)
    lost = np.flatnonzero(market.times_us[inside] != times)
    if len(lost):
        raise InputError(
            f"the basket changed at {iso(int(times[lost[0]]))}, but no rate is known at that instant any more; "
            "restore the rates, or restate with `deai rebuild`"
        )
    return rows.astype(np.int64)


def last_row(settled: Settled, market: Market) -> int:
    """The row of the last settled instant."""
    return int(np.searchsorted(market.times_us, settled.until_us, side="right")) - 1


def unfinished(settled: Settled, methodology: Methodology) -> Unfinished | None:
    """The transition that the last published instant lies in, None when there is none.

    Its target follows from the first fixing: weights = (1 − part) · start + part · target, part = 1 / k.
    """
    fixings = methodology.schedule.transition_fixings
    reviews = [change for change in settled.changes if change.kind in REVIEWS]
    if fixings == 1 or not reviews:
        return None
    done = [change for change in reviews if change.reference_us == reviews[-1].reference_us]
    if len(done) >= fixings:
        return None
    first = done[0]
    target = np.maximum((first.weight_target - (1.0 - 1.0 / fixings) * first.weight_drifted) * fixings, 0.0)
    target = np.where(target < 1e-12, 0.0, target)
    return Unfinished(first.weight_drifted, target / target.sum(), len(done), first.reference_us, first.kind)


def aligned(change: Rebalance, *, slugs: tuple[str, ...], columns: tuple[str, ...]) -> Rebalance:
    """The same change with its arrays in another order of columns; lines it does not know have no units there.

    Raises NotEnoughDataError for a line that had or has units and is not among the columns.
    """
    place = {slug: column for column, slug in enumerate(columns)}
    lost = [
        slug
        for slug, before, after in zip(slugs, change.units_before, change.units_after, strict=True)
        if slug not in place and (before or after)
    ]
    if lost:
        raise NotEnoughDataError(
            f"{lost[0]} was in the basket at {iso(change.effective_us)} and has no rate any more; restore its prices"
        )
    at = [place[slug] for slug in slugs if slug in place]
    pick = [n for n, slug in enumerate(slugs) if slug in place]
    spread: dict[str, Any] = {name: np.zeros(len(columns)) for name in BY_LINE}
    for name, values in spread.items():
        values[at] = getattr(change, name)[pick]
    return replace(change, **spread)


BY_LINE = ("units_before", "units_after", "weight_drifted", "weight_target", "prices")
"""The arrays of a change that have one number for each line."""


class Decision(NamedTuple):
    """Why one line is in or out at a reference date. `rank` is 1-based by free-float cap among the eligible,
    None when not eligible or not under review; `supply_source` is a `SupplySource`; the
    supply was true at `supply_us` and counts as old from `supply_stale_us` on."""

    slug: str
    member: bool
    rank: int | None
    reason: str
    supply: float | None
    supply_source: int | None
    free_float_cap_usd: float | None
    median_adv_usd: float | None
    supply_us: int | None = None
    supply_stale_us: int | None = None


@dataclass(frozen=True, slots=True)
class Rebalance:
    """One change of units. The level just after equals the level just before, but where a line leaves at a stated
    value: then `level` is the one before, and the divisor moves the next ones by the difference.

    `kind` is base, rebalance, reconstitution, resumption, suspension or event. Arrays are (N,) in the order of
    `Market.lines`: units held before and after, weights drifted (just before) and target (just after),
    prices of the effective fixing, carried where one was missing (0 where there was never one).
    `effective_us` is the clock's instant, the scheduled one or the next there is. `divisor_*`: level =
    sum(price * units) / divisor. `turnover` is one-way, 1/2 sum |target - drifted|, 0 at the base, where
    there is nothing before (units and weights 0, divisor_before = divisor_after).
    With transition fixings each fixing is a change; `decisions` come with the first one, and are empty for a
    suspension, whose reference is its own instant.
    """

    kind: str
    reference_us: int
    effective_us: int
    units_before: F64
    units_after: F64
    weight_drifted: F64
    weight_target: F64
    prices: F64
    divisor_before: float
    divisor_after: float
    level: float
    turnover: float
    decisions: tuple[Decision, ...]

    @property
    def begins_us(self) -> int:
        """From when levels are made of `units_after`: its own one too where there is no basket held into it."""
        return self.effective_us + (self.kind not in ("base", RESUMPTION))


@dataclass(frozen=True, slots=True)
class Irregular:
    """A scheduled date after the base that was not applied as it stands, and why: *skipped*, it changed nothing or only
    weights (too few members, or caps they cannot meet); or *relaxed*, how far its caps were raised."""

    reference_us: int
    effective_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class IndexHistory:
    """Levels (K,) from the base on, unrounded, of the instants of the market's clock that have one (`rows`).

    status (K,) is by weight (`level.status_of`), IMPAIRED while the index is; carried_weight (K,) is the share of the
    index value whose price is not of that instant, constituents (K,) how many are held. At an instant of change all
    are those of the basket held into it. `skipped` are the dates not applied as scheduled, `relaxed` those whose caps
    were raised, `spells` when the index was impaired or suspended.
    """

    rows: I64
    times_us: I64
    levels: F64
    status: I8
    carried_weight: F64
    constituents: I64
    rebalances: tuple[Rebalance, ...]
    skipped: tuple[Irregular, ...] = ()
    relaxed: tuple[Irregular, ...] = ()
    spells: tuple[Spell, ...] = ()

    @property
    def suspended(self) -> bool:
        """Whether the last level is that of an index which is suspended."""
        return bool(self.spells) and self.spells[-1].kind == SUSPENDED and self.spells[-1].end_us is None


def value_of(units: F64, prices: F64) -> float:
    """ΣP·Q, in the order of summation of the kernel in `level.py`."""
    return float(np.einsum("tn,n->t", prices[None, :], units)[0])


def drifted_weights(units: F64, prices: F64) -> F64:
    """Weights (…, N) of units at prices; all zero for an empty basket."""
    value = units * prices
    total = value.sum(axis=-1, keepdims=True)
    weights: F64 = np.divide(value, total, out=np.zeros_like(value), where=total > 0)
    return weights


def units_of(weights: F64, prices: F64, *, sizes: F64, before: F64, base_value: float) -> F64:
    """Units (N,) of weights, which are scaled to 1: sized to the supplies `sizes` that are known (NaN where not),

    else to the value of the units `before`, else to `base_value`.
    """
    weights = weights / weights.sum()
    scale = float(np.nansum(prices * sizes)) or float(prices @ before) or base_value
    return np.divide(weights * scale, prices, out=np.zeros_like(prices), where=weights > 0)


def chain_divisors(
    prices: F64, units: F64, *, base_level: float, stated: F64 | None = None, leaving: F64 | None = None
) -> F64:
    """Divisors (K,) after each change of units (K, N) at prices (K, N): level = ΣP·Q / D.

    The first gives the base level, each later one keeps the level: D⁺ = D⁻ · ΣP·Q⁺ / ΣP·Q⁻. Where one is `stated` (K,)
    it is that instead (NaN: none). Prices `leaving` (K, N) are what the units before each change count at where that is
    not the market's price: the level moves by the difference.
    """
    new = np.einsum("kn,kn->k", prices, units)
    ratios = new[1:] / np.einsum("kn,kn->k", (prices if leaving is None else leaving)[1:], units[:-1])
    divisors = np.full(len(new), np.nan) if stated is None else stated.copy()
    if np.isnan(divisors[0]):
        divisors[0] = new[0] / base_level
    for number in np.flatnonzero(np.isnan(divisors)):
        divisors[number] = divisors[number - 1] * ratios[number - 1]
    return divisors
