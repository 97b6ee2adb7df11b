"""The end of a history as a small state, and one bar appended to it in O(N), whatever the length of the history.

For live use: `resume` once, then `append` for each new bar. Between two scheduled dates the units do not change,
so nothing is recomputed; at a scheduled date the inputs are needed and `compute_index` is called again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from indexer.arrays import F64, I8, I64, Bools
from indexer.engine.history import IndexHistory, Rebalance
from indexer.engine.known import price_as_of
from indexer.engine.level import drifted_weights
from indexer.engine.market import Market, Status
from indexer.errors import InputError
from indexer.methodology.spec import Methodology, rebalance_dates
from indexer.times import DAY_US, HOUR_US, iso


@dataclass(frozen=True, slots=True)
class EngineState:
    """An index at its last instant. Arrays (N,) in the order of `Market.lines`.

    prices: last known ones, 0 where there never was one; seen_us: when they were true. `next_due_us` is the
    next scheduled change (or daily fixing of a transition): from there on a bar cannot be appended.
    """

    time_us: int
    level: float
    status: Status
    carried_weight: float
    units: F64
    divisor: float
    prices: F64
    seen_us: I64
    max_carry_us: int
    next_due_us: int


@dataclass(frozen=True, slots=True)
class Appended:
    """The state after a bar, and the suspension that the bar brought about, if any."""

    state: EngineState
    suspension: Rebalance | None


def resume(market: Market, methodology: Methodology, *, history: IndexHistory) -> EngineState:
    """The state at the end of a history computed from this market, ready for the next bar."""
    last_us = int(market.times_us[-1])
    prices, age = price_as_of(market, market.times_us[-1:])
    newest = history.rebalances[-1]
    return EngineState(
        time_us=last_us,
        level=float(history.levels[-1]),
        status=Status(int(history.status[-1])),
        carried_weight=float(history.carried_weight[-1]),
        units=newest.units_after,
        divisor=newest.divisor_after,
        prices=np.nan_to_num(prices[0]),
        seen_us=last_us - age[0],
        max_carry_us=methodology.missing.max_carry_hours * HOUR_US,
        next_due_us=next_due(methodology, last_us),
    )


def next_due(methodology: Methodology, after_us: int) -> int:
    """The first scheduled change or transition fixing after an instant, in microseconds."""
    fixings = methodology.schedule.transition_fixings
    dates = rebalance_dates(methodology.schedule, after_us - fixings * DAY_US, after_us + 800 * DAY_US)
    due = (date.effective_us + day * DAY_US for date in dates for day in range(fixings))
    return min((us for us in due if us > after_us), default=after_us + 800 * DAY_US)


def append(state: EngineState, time_us: int, prices: F64, *, status: I8 | None = None) -> Appended:
    """The state one bar later: level, status, carried weight, and a suspension where a price became too old.

    prices (N,) USD, NaN where missing; status (N,) the `Status` of each price, FINAL when left out. The level has
    the same bits as `compute_index` over the whole history. Raises InputError for a bar that is not after the
    last one, is due for a rebalance, or has a price that is not positive.
    """
    _check(state, time_us, prices=prices)
    known = prices > 0  # not NaN: _check refused the rest
    if known.all():
        last, seen = prices.copy(), np.full(len(prices), time_us, dtype=np.int64)
    else:
        last, seen = np.where(known, prices, state.prices), np.where(known, time_us, state.seen_us)
    held = state.units > 0
    level = _value(last, state.units / state.divisor)
    carried = held & ~known
    missing = bool(carried.any())
    stale = carried & (time_us - seen > state.max_carry_us)
    closed = missing and bool((stale == held).all())
    worst = _worst(status, quoted=held & known, carried=missing, closed=closed)
    share = float((last * state.units)[carried].sum()) / (level * state.divisor) if missing else 0.0
    new = EngineState(
        time_us, level, worst, share, state.units, state.divisor, last, seen, state.max_carry_us, state.next_due_us
    )
    if closed or not (missing and stale.any()):
        return Appended(new, None)
    event = _suspend(new, stale)
    return Appended(replace(new, units=event.units_after, divisor=event.divisor_after), event)


def _suspend(state: EngineState, stale: Bools) -> Rebalance:
    """The removal of stale constituents at their last prices, level unchanged."""
    units = np.where(stale, 0.0, state.units)
    divisor = state.divisor * (_value(state.prices, units) / _value(state.prices, state.units))
    drifted, target = drifted_weights(state.units, state.prices), drifted_weights(units, state.prices)
    return Rebalance(
        "suspension", state.time_us, state.time_us, state.units, units, drifted, target, state.prices,
        state.divisor, divisor, state.level, 0.5 * float(np.abs(target - drifted).sum()), (),
    )  # fmt: skip


def _worst(status: I8 | None, *, quoted: Bools, carried: bool, closed: bool) -> Status:
    if closed:
        return Status.SUSPENDED
    if status is None:
        return Status.CARRIED if carried else Status.FINAL
    return Status(max(int(status[quoted].max(initial=0)), Status.CARRIED if carried else Status.FINAL))


def _value(prices: F64, units: F64) -> float:
    """ΣP·Q in the same order of summation as the kernel in `level.py`."""
    return float(np.einsum("tn,n->t", prices[None, :], units)[0])


def _check(state: EngineState, time_us: int, *, prices: F64) -> None:
    if prices.shape != state.units.shape:
        raise InputError(f"the bar has prices of shape {prices.shape}, the index has {len(state.units)} lines")
    if time_us <= state.time_us:
        raise InputError(
            f"the bar at {iso(time_us)} is not after the last one ({iso(state.time_us)}); "
            "a correction of the past needs compute_index"
        )
    if time_us >= state.next_due_us:
        raise InputError(
            f"the bar at {iso(time_us)} is due for the rebalance of {iso(state.next_due_us)}; "
            "call compute_index with the inputs and resume from its history"
        )
    # Two reductions in the usual case; fmin and fmax pass over NaN.
    if np.fmin.reduce(prices) <= 0 or np.fmax.reduce(prices) == np.inf:
        column = int(np.flatnonzero((prices <= 0) | np.isinf(prices))[0])
        raise InputError(
            f"price {prices[column]} in column {column} at {iso(time_us)}; a price is positive and finite, or NaN"
        )
