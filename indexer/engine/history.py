"""What the engine gives back: levels with their status, and every change of units with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from indexer.arrays import F64, I8, I64


@dataclass(frozen=True, slots=True)
class Decision:
    """Why one line is in or out at a reference date. `rank` is 1-based by free-float cap among the eligible,
    None when not eligible or not under review; `supply_source` is a `SupplySource`."""

    slug: str
    member: bool
    rank: int | None
    reason: str
    supply: float | None
    supply_source: int | None
    free_float_cap_usd: float | None
    median_adv_usd: float | None


@dataclass(frozen=True, slots=True)
class Rebalance:
    """One change of units, at equal value: the level just after equals the level just before.

    `kind` is base, rebalance, reconstitution, suspension or event. Arrays are (N,) in the order of
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


@dataclass(frozen=True, slots=True)
class Skipped:
    """A scheduled date after the base that changed nothing, or a reconstitution that could only rebalance, and why:
    too few members, or caps they cannot meet."""

    reference_us: int
    effective_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class IndexHistory:
    """Levels (K,) from the base on, unrounded, one for each instant of the market's clock.

    status (K,) is the worst `Status` that a constituent's price had, CARRIED when any price was carried,
    SUSPENDED while no constituent has a price young enough; carried_weight (K,) is the share of the index value
    whose price was carried. At an instant of change the level is that of the basket held into it, status and
    carried_weight are the worse of the two baskets. `skipped` are the dates not applied as scheduled.
    """

    times_us: I64
    levels: F64
    status: I8
    carried_weight: F64
    rebalances: tuple[Rebalance, ...]
    skipped: tuple[Skipped, ...] = ()
