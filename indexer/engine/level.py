"""Levels from units: the divisor-chained kernel, and `compute_index`, the whole way from a market to a history.

The kernel reads each price once: one sum of products a row, in an order that depends on nothing but the
columns, so a level has the same bits whether it is computed in a history or appended alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from indexer.arrays import F64, I8, I64, Bools
from indexer.engine.health import WEIGHT, absent
from indexer.engine.history import RESUMPTION, BasketEvent, Decision, IndexHistory, Rebalance, Settled, drifted_weights
from indexer.engine.known import gather
from indexer.engine.market import Carried, Market, Status, carry
from indexer.engine.timeline import Change, Timeline, schedule_of, walk
from indexer.errors import InputError, NotEnoughDataError
from indexer.methodology.spec import Methodology
from indexer.times import HOUR_US, from_us

SHORT_SEGMENT = 256
"""Mean rows between changes up to which units are spread over the rows: fewer calls, one more copy of them."""


def compute_index(
    market: Market, methodology: Methodology, *, settled: Settled | None = None, events: Sequence[BasketEvent] = ()
) -> IndexHistory:
    """The history of an index: levels from the base to the end of the clock, and every change of its basket.

    The lines of the market are the candidates (`Market.select` takes the ones of a universe). Deterministic;
    nothing at or before an instant depends on anything after it. With `settled` history its changes of the basket
    are taken as they are and only what comes later is decided; `events` are corporate actions (`history.py`).
    Raises InputError for a market that does not fit, MethodologyError for caps that cannot hold at a date,
    NotEnoughDataError when no date has enough eligible candidates to set a base.
    """
    market = market.measured(methodology.weighting.metric)
    market.check()
    _check_universe(market, methodology)
    carried = carry(market, methodology.missing.max_carry_hours * HOUR_US)
    if not len(market.times_us):
        raise NotEnoughDataError(f"index {methodology.id}: the market has no instants; import prices first")
    dates = schedule_of(methodology, int(market.times_us[-1]))
    past = [date for date in dates if settled and date.effective_us <= settled.until_us]
    dates = dates[len(past) :]
    bands = methodology.float_rules.bands
    references = [date.reference_us for date in (*past, *dates)] if bands else [date.reference_us for date in dates]
    rules = [methodology.eligibility_at(from_us(us)) for us in references]
    inputs = gather(market, references, rules=rules, bands=bands).at(slice(len(past) if bands else 0, None))
    if np.isinf(inputs.price).any():
        market.check_prices()
    timeline = walk(market, methodology, dates=dates, inputs=inputs, carried=carried, settled=settled, events=events)
    base_level = settled.changes[0].level if settled else methodology.base_level
    return _history(market, carried, timeline, base_level=base_level, final_weight=methodology.health.final_weight)


def _history(
    market: Market, carried: Carried, timeline: Timeline, *, base_level: float, final_weight: float
) -> IndexHistory:
    """The levels of a timeline's baskets, with how good each is, and its changes as records."""
    begins = _begins(timeline)
    divisors = timeline.divisors(carried.prices, base_level=base_level)
    units = np.array([change.units for change in timeline.changes])
    levels = compute_levels(carried.prices, begins, units, divisors=divisors)
    if not np.isfinite(levels).all():
        market.check_prices()
    levels[0] = base_level
    base = int(begins[0])
    status, weight, count = judge(market, carried, timeline=timeline, final_weight=final_weight)
    spoken = ~timeline.watch.silent[base:]
    part: slice | I64 = slice(None) if spoken.all() else np.flatnonzero(spoken)
    rows = np.arange(base, len(market.times_us))[part]
    changes = _rebalances(market, carried, timeline=timeline, levels=levels, divisors=divisors)
    return IndexHistory(
        rows, market.times_us[base:][part], levels[part], status[part], weight[part], count[part], changes,
        tuple(timeline.skipped), tuple(timeline.relaxed), tuple(timeline.watch.spells),
    )  # fmt: skip


def _begins(timeline: Timeline) -> I64:
    """The first row (K,) whose level is made of the units after each change: its own where none are held into it."""
    first, *later = timeline.changes
    rows = [first.row, *(change.row + (timeline.kind_of(change) != RESUMPTION) for change in later)]
    return np.maximum.accumulate(np.array(rows, dtype=np.int64))


def compute_levels(prices: F64, begins: I64, units: F64, *, divisors: F64) -> F64:
    """Levels (T - begins[0],) of units (K, N) over divisors (K,), each from its row of prices (T, N) on; rows ascend,
    may repeat.

    Prices may have no NaN in any column. Raises InputError for rows that descend or of which the first lies outside
    the prices.
    """
    if not len(begins) or (np.diff(begins) < 0).any() or begins[0] < 0 or begins[0] >= len(prices):
        raise InputError(f"rows of change must ascend from 0 … {len(prices) - 1}, got {begins.tolist()}")
    prices = np.ascontiguousarray(prices)
    per_level = units / divisors[:, None]  # one pass over the prices instead of a second one over the levels
    base = int(begins[0])
    starts = np.minimum(begins, len(prices)) - base
    spread = len(prices) - base <= SHORT_SEGMENT * len(begins)
    return (_levels_spread if spread else _levels_by_segment)(prices[base:], starts, units=per_level)


def _levels_spread(prices: F64, starts: I64, *, units: F64) -> F64:
    """All rows in one call, each with its own units (per point of level)."""
    segment = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(prices))))
    levels: F64 = np.einsum("tn,tn->t", prices, units.take(segment, axis=0))
    return levels


def _levels_by_segment(prices: F64, starts: I64, *, units: F64) -> F64:
    """One call for each stretch of equal units (per point of level), written in place."""
    levels = np.empty(len(prices))
    ends = [*starts[1:].tolist(), len(prices)]
    for number, (begin, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
        if end > begin:
            np.einsum("tn,n->t", prices[begin:end], units[number], out=levels[begin:end])
    return levels


def _rebalances(
    market: Market, carried: Carried, *, timeline: Timeline, levels: F64, divisors: F64
) -> tuple[Rebalance, ...]:
    """Every change as a record, in order; levels are from the base row on."""
    changes = timeline.changes
    prices, units = carried.prices[[change.row for change in changes]], np.array([change.units for change in changes])
    before = np.vstack([np.zeros(len(market.lines)), units[:-1]])
    drifted, target = drifted_weights(before, prices), drifted_weights(units, prices)
    turnover = 0.5 * np.abs(target - drifted).sum(axis=1)
    turnover[0] = 0.0
    out: list[Rebalance] = []
    seen: set[int | None] = {None}
    for number, change in enumerate(changes):
        if change.settled is not None:
            out.append(change.settled)
            continue
        plan = None if change.plan is None else timeline.plans[change.plan]
        at = int(market.times_us[change.row])
        out.append(
            Rebalance(
                kind=timeline.kind_of(change),
                reference_us=plan.date.reference_us if plan else at,
                effective_us=at,
                units_before=before[number],
                units_after=change.units,
                weight_drifted=drifted[number],
                weight_target=target[number],
                prices=prices[number],
                divisor_before=float(divisors[max(number - 1, 0)]),
                divisor_after=float(divisors[number]),
                level=float(levels[change.row - changes[0].row]),
                turnover=float(turnover[number]),
                decisions=plan.decisions if plan and change.plan not in seen else _event_decision(change),
            )
        )
        seen.add(change.plan)
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


def _event_decision(change: Change) -> tuple[Decision, ...]:
    """An event's reason, as the decision on its line."""
    if change.event is None:
        return ()
    event = change.event.event
    return (Decision(event.slug, bool(change.units[change.event.column]), None, event.reason, None, None, None, None),)


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


def judge(market: Market, carried: Carried, *, timeline: Timeline, final_weight: float) -> tuple[I8, F64, I64]:
    """Status, carried weight and number of constituents (K,) of the levels from the base row on."""
    begins, end = _begins(timeline), len(market.times_us)
    base = int(begins[0])
    status, weight = np.zeros(end - base, dtype=np.int8), np.zeros(end - base)
    count = np.zeros(end - base, dtype=np.int64)
    flawless = carried.complete and not carried.worst
    stops = [*begins[1:].tolist(), end]
    for change, start, stop in zip(timeline.changes, begins.tolist(), stops, strict=True):
        part = slice(start - base, stop - base)
        count[part] = np.count_nonzero(change.units)
        if stop > start and not flawless:
            status[part], weight[part] = status_of(
                market, carried, start=start, stop=stop, units=change.units, final_weight=final_weight
            )
    status[timeline.watch.impaired[base:]] = Status.IMPAIRED
    return status, weight, count


def status_of(
    market: Market, carried: Carried, *, start: int, stop: int, units: F64, final_weight: float
) -> tuple[I8, F64]:
    """Status by weight and carried share over rows [start, stop) of one basket.

    CARRIED when any price is not of its instant; else the best status that at least `final_weight` of the weight has
    or betters, DEGRADED when that is neither FINAL nor INDICATIVE.
    """
    held = np.flatnonzero(units)
    rates = market.price_status[start:stop, held]
    missing = absent(market, carried, start=start, stop=stop, held=held)
    status, share = np.zeros(stop - start, dtype=np.int8), np.zeros(stop - start)
    rows = np.flatnonzero((rates != Status.FINAL).any(axis=1) | missing.any(axis=1))
    if not len(rows):
        return status, share
    value = carried.prices[start:stop][np.ix_(rows, held)] * units[held]
    total = value.sum(axis=1)

    def weight(which: Bools) -> F64:
        out: F64 = np.where(which[rows], value, 0.0).sum(axis=1) / total
        return out

    share[rows] = weight(missing)
    enough = final_weight - WEIGHT
    status[rows] = np.select(
        [
            missing[rows].any(axis=1),
            weight(rates == Status.FINAL) >= enough,
            weight(rates <= Status.INDICATIVE) >= enough,
        ],
        [Status.CARRIED, Status.FINAL, Status.INDICATIVE],
        Status.DEGRADED,
    )
    return status, share
