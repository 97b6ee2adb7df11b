"""From a timeline to units: target weights for all dates at once, then units at each change of the basket.

After `timeline.py` (who), before `level.py` (how much it is worth). Follows rules 4 and 6 of `indexer.engine`.
"""

from __future__ import annotations

import numpy as np

from indexer.arrays import F64
from indexer.engine.events import units_after
from indexer.engine.evidence import Evidence
from indexer.engine.market import Market
from indexer.engine.timeline import Change, Timeline
from indexer.engine.weighting import target_weights
from indexer.methodology.spec import Methodology
from indexer.times import iso


def plan_weights(market: Market, methodology: Methodology, *, timeline: Timeline, evidence: Evidence) -> F64:
    """Capped target weights (plans, N), all plans at once; zero where not a member.

    Raises MethodologyError with the index and the date where the caps cannot hold for the members there are.
    """
    weights = np.zeros((len(timeline.plans), len(market.lines)))
    fresh = [row for row, plan in enumerate(timeline.plans) if plan.evidence_row is not None]
    for row, plan in enumerate(timeline.plans):
        if plan.under_way is not None:
            weights[row] = plan.under_way.target
    member = np.zeros((len(fresh), len(market.lines)), dtype=bool)
    for place, row in enumerate(fresh):
        member[place, list(timeline.plans[row].members)] = True
    if fresh:
        weights[fresh] = target_weights(
            methodology,
            evidence.sizes([timeline.plans[row].evidence_row or 0 for row in fresh]),
            member=member,
            slugs=market.slugs,
            groups=tuple(line.sub_sector for line in market.lines),
            labels=[f"index {methodology.id} at {iso(timeline.plans[row].date.effective_us)}" for row in fresh],
        )
    return weights


def plan_supply(timeline: Timeline, evidence: Evidence) -> F64:
    """Supply (plans, N) that each plan was weighed by; NaN for a transition under way, which has no evidence."""
    supply = np.full((len(timeline.plans), evidence.supply.shape[1]), np.nan)
    for row, plan in enumerate(timeline.plans):
        if plan.evidence_row is not None:
            supply[row] = evidence.supply[plan.evidence_row]
    return supply


def units_at_changes(timeline: Timeline, *, weights: F64, supply: F64, prices: F64) -> F64:
    """Units (changes, N) held after each change; `weights` and `supply` are (plans, N), `prices` (T, N) carried.

    A removal sets units to zero, an event and a settled change bring their own.
    A fixing sets units = w · Z / P with Z the free-float capitalisation of the plan's members at the fixing's
    prices, so an uncapped cap-weighted basket keeps the size of its market.
    """
    units = np.zeros((len(timeline.changes), weights.shape[1]))
    before = np.zeros(weights.shape[1])
    plan, start = -1, before  # weights just before the first fixing of the plan under way
    for number, change in enumerate(timeline.changes):
        price = prices[change.row]
        if change.settled is not None:
            after = change.settled.units_after
        elif change.event is not None:
            after = units_after(change.event, before)
        elif change.plan is None:
            after = _only(before, change)
        else:
            going = timeline.plans[change.plan].under_way
            if change.plan != plan:
                plan, start = change.plan, going.start if going else drifted_weights(before, price)
            target = _only(_mix(start, weights[change.plan], part=change.part), change)
            target = target / target.sum()
            sizes = before if going else np.where(weights[change.plan] > 0, supply[change.plan], 0.0)
            scale = np.nansum(price * sizes)
            after = np.divide(target * scale, price, out=np.zeros_like(price), where=target > 0)
        units[number] = before = after
    return units


def drifted_weights(units: F64, prices: F64) -> F64:
    """Weights (N,) of units at prices; all zero for an empty basket."""
    value = units * prices
    total = value.sum()
    return value / total if total > 0 else np.zeros_like(value)


def _mix(start: F64, target: F64, *, part: float) -> F64:
    return target if part == 1.0 else (1.0 - part) * start + part * target


def _only(values: F64, change: Change) -> F64:
    """The values of the columns still held, zero elsewhere."""
    keep = np.zeros(len(values), dtype=bool)
    keep[list(change.held)] = True
    return np.where(keep, values, 0.0)
