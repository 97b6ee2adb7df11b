"""Levels from units: the divisor-chained kernel, and `compute_index`, the whole way from a market to a history.

The kernel reads each price once: one sum of products a row, in an order that depends on nothing but the
columns, so a level has the same bits whether it is computed in a history or appended alone (`state.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.arrays import F64, I8, I64, Bools
from indexer.engine.history import BasketEvent, Decision, IndexHistory, Rebalance, Relaxed, Settled, units_after
from indexer.engine.known import Inputs, gather
from indexer.engine.market import Carried, Market, Status, carry
from indexer.engine.timeline import Change, Timeline, schedule_of, walk
from indexer.engine.weights import target_weights
from indexer.errors import InputError, NotEnoughDataError
from indexer.methodology.spec import Methodology
from indexer.times import HOUR_US, from_us, iso

SHORT_SEGMENT = 256
"""Mean rows between changes up to which units are spread over the rows: fewer calls, one more copy of them."""


@dataclass(frozen=True, slots=True)
class Levels:
    """levels (T - rows[0],) from the base row on, and divisors (K,), one for each change of units."""

    levels: F64
    divisors: F64


def compute_index(
    market: Market, methodology: Methodology, *, settled: Settled | None = None, events: Sequence[BasketEvent] = ()
) -> IndexHistory:
    """The history of an index: levels from the base to the end of the clock, and every change of its basket.

    The lines of the market are the candidates (`Market.select` takes the ones of a universe). Deterministic;
    nothing at or before an instant depends on anything after it. With `settled` history its changes of the basket
    are taken as they are and only what comes later is decided; `events` are corporate actions (`events.py`).
    Raises InputError for a market that does not fit, MethodologyError for caps that cannot hold at a date,
    NotEnoughDataError when no date has enough eligible candidates to set a base.
    """
    market = market.measured(methodology.weighting.metric)
    market.check()
    _check_universe(market, methodology)
    if not len(market.times_us):
        raise NotEnoughDataError(f"index {methodology.id}: the market has no instants; import prices first")
    dates = schedule_of(methodology, int(market.times_us[-1]))
    past = [date for date in dates if settled and date.effective_us <= settled.until_us]
    dates = dates[len(past) :]
    bands = methodology.float_rules.bands
    references = [date.reference_us for date in (*past, *dates)] if bands else [date.reference_us for date in dates]
    rules = [methodology.eligibility_at(from_us(us)) for us in references]
    inputs = gather(market, references, rules=rules, bands=bands).since(len(past) if bands else 0)
    carried = carry(market, methodology.missing.max_carry_hours * HOUR_US)
    timeline = walk(market, methodology, dates=dates, inputs=inputs, carried=carried, settled=settled, events=events)
    weights = plan_weights(market, methodology, timeline=timeline, inputs=inputs)
    supply = plan_supply(timeline, inputs)
    units = units_at_changes(
        timeline, weights=weights, supply=supply, prices=carried.prices, base_value=methodology.base_level
    )
    rows = np.array([change.row for change in timeline.changes], dtype=np.int64)
    found = compute_levels(
        carried.prices, rows, units,
        base_level=settled.changes[0].level if settled else methodology.base_level,
        known=np.array([change.divisor_after for change in settled.changes]) if settled else None,
        written_off=_written_off(timeline.changes),
    )  # fmt: skip
    status, carried_weight = judge(market, carried, timeline=timeline, units=units)
    base = int(rows[0])
    return IndexHistory(
        market.times_us[base:],
        found.levels,
        status,
        carried_weight,
        _rebalances(market, carried, timeline=timeline, units=units, found=found),
        tuple(timeline.skipped),
        tuple(
            Relaxed(plan.date.reference_us, plan.date.effective_us, plan.relaxed.reason)
            for plan in timeline.plans
            if plan.relaxed is not None
        ),
    )


def compute_levels(
    prices: F64, rows: I64, units: F64, *,
    base_level: float, known: F64 | None = None, written_off: Bools | None = None,
) -> Levels:  # fmt: skip
    """Levels of units (K, N), each held from its row of prices (T, N) on; rows (K,) ascend and may repeat.

    Prices may have no NaN in any column. Continuity: D⁺ = D⁻ · ΣP·Q⁺ / ΣP·Q⁻ at the row
    of change, whose own level is that of the units held before it. `known` are the divisors of the first
    changes, settled before; `written_off` (K,) marks changes whose loss of value is not absorbed. Raises InputError
    for rows that descend or lie outside the prices.
    """
    if not len(rows) or (np.diff(rows) < 0).any() or rows[0] < 0 or rows[-1] >= len(prices):
        raise InputError(f"rows of change must ascend within 0 … {len(prices) - 1}, got {rows.tolist()}")
    prices = np.ascontiguousarray(prices)
    at_change = prices[rows]
    new = np.einsum("kn,kn->k", at_change, units)
    old = np.einsum("kn,kn->k", at_change[1:], units[:-1])
    ratios = new[1:] / old if written_off is None else np.where(written_off[1:], 1.0, new[1:] / old)
    first = np.array([new[0] / base_level]) if known is None else known
    divisors = np.concatenate([first[:-1], np.cumprod(np.concatenate([first[-1:], ratios[len(first) - 1 :]]))])
    per_level = units / divisors[:, None]  # one pass over the prices instead of a second one over the levels
    base = int(rows[0])
    spread = len(prices) - base <= SHORT_SEGMENT * len(rows)
    levels = (_levels_spread if spread else _levels_by_segment)(prices[base:], rows - base, units=per_level)
    levels[0] = base_level
    return Levels(levels, divisors)


def _levels_spread(prices: F64, rows: I64, *, units: F64) -> F64:
    """All rows in one call, each with its own units (per point of level)."""
    lengths = np.diff(np.append(rows, len(prices) - 1))
    lengths[0] += 1  # the base row belongs to the base's units
    segment = np.repeat(np.arange(len(rows)), lengths)
    levels: F64 = np.einsum("tn,tn->t", prices, units.take(segment, axis=0))
    return levels


def _levels_by_segment(prices: F64, rows: I64, *, units: F64) -> F64:
    """One call for each stretch of equal units (per point of level), written in place."""
    levels = np.empty(len(prices))
    ends = [*(rows[1:] + 1).tolist(), len(prices)]
    begin = 0
    for number, end in enumerate(ends):
        if end > begin:
            np.einsum("tn,n->t", prices[begin:end], units[number], out=levels[begin:end])
            begin = end
    return levels


def _rebalances(
    market: Market, carried: Carried, *, timeline: Timeline, units: F64, found: Levels
) -> tuple[Rebalance, ...]:
    """Every change as a record, in order."""
    out: list[Rebalance] = []
    seen: set[int] = set()
    base = timeline.changes[0].row
    before = np.zeros(units.shape[1])
    for number, change in enumerate(timeline.changes):
        if change.settled is not None:
            out.append(change.settled)
            before = units[number]
            continue
        price = carried.prices[change.row]
        plan = None if change.plan is None else timeline.plans[change.plan]
        at = int(market.times_us[change.row])
        drifted, target = drifted_weights(before, price), drifted_weights(units[number], price)
        first = change.plan is not None and change.plan not in seen
        seen.add(-1 if change.plan is None else change.plan)
        out.append(
            Rebalance(
                kind=plan.kind if plan else "event" if change.event else "suspension",
                reference_us=plan.date.reference_us if plan else at,
                effective_us=at,
                units_before=before,
                units_after=units[number],
                weight_drifted=drifted,
                weight_target=target,
                prices=price.copy(),
                divisor_before=float(found.divisors[max(number - 1, 0)]),
                divisor_after=float(found.divisors[number]),
                level=float(found.levels[change.row - base]),
                turnover=0.5 * float(np.abs(target - drifted).sum()) if number else 0.0,
                decisions=plan.decisions if plan and first else _said(change),
            )
        )
        before = units[number]
    return _merged(out)


def _merged(changes: Sequence[Rebalance]) -> tuple[Rebalance, ...]:
    """Events of one instant as one change: two tokens may be absorbed by a third together."""
    out: list[Rebalance] = []
    for change in changes:
        last = out[-1] if out else None
        if last and change.kind == last.kind == "event" and change.effective_us == last.effective_us:
            drifted, decided = last.weight_drifted, (*last.decisions, *change.decisions)
            out[-1] = replace(
                change,
                units_before=last.units_before,
                weight_drifted=drifted,
                divisor_before=last.divisor_before,
                turnover=0.5 * float(np.abs(change.weight_target - drifted).sum()),
                decisions=decided,
            )
        else:
            out.append(change)
    return tuple(out)


def _written_off(changes: Sequence[Change]) -> Bools | None:
    """Which changes lose their value for good; None when none does."""
    lost = [change.event is not None and not change.event.event.keeps_level for change in changes]
    return np.array(lost) if any(lost) else None


def _said(change: Change) -> tuple[Decision, ...]:
    """An event's reason, as the decision on its line."""
    if change.event is None:
        return ()
    event = change.event.event
    return (Decision(event.slug, change.event.column in change.held, None, event.reason, None, None, None, None),)


def _check_universe(market: Market, methodology: Methodology) -> None:
    """Refuse a market that was plainly not cut to the index's universe: its strangers would be admitted."""
    universe = methodology.universe
    for line in market.lines:
        stranger = bool(universe.sub_sectors) and not universe.assets and line.sub_sector not in universe.sub_sectors
        if stranger or line.slug in universe.exclude:
            raise InputError(
                f"line {line.slug} ({line.sub_sector}) is not in the universe of index {methodology.id}; "
                "cut the market to it first: market.select(universe_lines(methodology.universe, registry))"
            )


def plan_weights(market: Market, methodology: Methodology, *, timeline: Timeline, inputs: Inputs) -> F64:
    """Capped target weights (plans, N), all plans at once; zero where not a member.

    Raises MethodologyError with the index and the date where the caps cannot hold for the members there are.
    """
    weights = np.zeros((len(timeline.plans), len(market.lines)))
    fresh = [row for row, plan in enumerate(timeline.plans) if plan.inputs_row is not None and plan.relaxed is None]
    for row, plan in enumerate(timeline.plans):
        if plan.under_way is not None:
            weights[row] = plan.under_way.target
        elif plan.relaxed is not None:
            weights[row] = plan.relaxed.weights
    member = np.zeros((len(fresh), len(market.lines)), dtype=bool)
    for place, row in enumerate(fresh):
        member[place, list(timeline.plans[row].members)] = True
    if fresh:
        weights[fresh] = target_weights(
            methodology,
            inputs.sizes([timeline.plans[row].inputs_row or 0 for row in fresh]),
            member=member,
            slugs=market.slugs,
            groups=tuple(line.sub_sector for line in market.lines),
            labels=[f"index {methodology.id} at {iso(timeline.plans[row].date.effective_us)}" for row in fresh],
        )
    return weights


def plan_supply(timeline: Timeline, inputs: Inputs) -> F64:
    """Supply (plans, N) that each plan was weighed by; NaN for a transition under way, which has no inputs."""
    supply = np.full((len(timeline.plans), inputs.supply.shape[1]), np.nan)
    for row, plan in enumerate(timeline.plans):
        if plan.inputs_row is not None:
            supply[row] = inputs.supply[plan.inputs_row]
    return supply


def units_at_changes(timeline: Timeline, *, weights: F64, supply: F64, prices: F64, base_value: float) -> F64:
    """Units (changes, N) held after each change; `weights` and `supply` are (plans, N), `prices` (T, N) carried.

    A removal sets units to zero, an event and a settled change bring their own.
    A fixing sets units = w · Z / P with Z the free-float capitalisation of the plan's members at the fixing's
    prices, so an uncapped cap-weighted basket keeps the size of its market. Where no supply is known because none is
    needed, Z is the value of the basket before, at the base `base_value`; the level does not depend on it.
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
            scale = _scale(price, sizes, before=before) or base_value
            after = np.divide(target * scale, price, out=np.zeros_like(price), where=target > 0)
        units[number] = before = after
    return units


def _scale(price: F64, sizes: F64, *, before: F64) -> float:
    """The value that a basket is sized to: of the known supplies, else of what was held; 0 when there is neither."""
    return float(np.nansum(price * sizes)) or float(price @ before)


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


def judge(market: Market, carried: Carried, *, timeline: Timeline, units: F64) -> tuple[I8, F64]:
    """Status (K,) and carried weight (K,) of the levels from the base row on; `units` (changes, N)."""
    rows = [change.row for change in timeline.changes]
    base, end = rows[0], len(market.times_us)
    status = np.zeros(end - base, dtype=np.int8)
    weight = np.zeros(end - base)
    flawless = not len(carried.columns) and not market.price_status.any()
    for number, row in enumerate(rows if not flawless else []):
        # Both baskets speak at a row of change, so ranges overlap there and the worse one stays.
        last = rows[number + 1] if number + 1 < len(rows) else end - 1
        part = slice(row - base, last + 1 - base)
        worst, share = _segment(market, carried, start=row, stop=last + 1, units=units[number])
        np.maximum(status[part], worst, out=status[part])
        np.maximum(weight[part], share, out=weight[part])
    for start, stop in timeline.suspended:
        status[start - base : stop - base] = Status.SUSPENDED
    return status, weight


def _segment(market: Market, carried: Carried, *, start: int, stop: int, units: F64) -> tuple[I8, F64]:
    """Worst status and carried share over rows [start, stop) of one basket."""
    held = np.flatnonzero(units)
    status = market.price_status[start:stop, held]
    share = np.zeros(stop - start)
    places = np.flatnonzero(np.isin(carried.columns, held))
    places = places[carried.missing[start:stop, places].any(axis=0)]
    if len(places):
        columns: I64 = carried.columns[places]
        missing = carried.missing[start:stop, places]
        status[:, np.searchsorted(held, columns)] = np.where(
            missing, np.int8(Status.CARRIED), status[:, np.searchsorted(held, columns)]
        )
        rows = np.flatnonzero(missing.any(axis=1))
        value = np.einsum("tn,n->t", carried.prices[start:stop][np.ix_(rows, held)], units[held])
        lost = carried.prices[start:stop][np.ix_(rows, columns)] * units[columns]
        share[rows] = np.where(missing[rows], lost, 0.0).sum(axis=1) / value
    return status.max(axis=1), share
