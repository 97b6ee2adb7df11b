"""Levels from units: the divisor-chained kernel, and `compute_index`, the whole way from a market to a history.

The kernel reads each price once: one sum of products a row, in an order that depends on nothing but the
columns, so a level has the same bits whether it is computed in a history or appended alone (`state.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.engine.basket import drifted_weights, plan_supply, plan_weights, units_at_changes
from indexer.engine.carry import Carried, carry
from indexer.engine.events import BasketEvent
from indexer.engine.evidence import gather
from indexer.engine.history import Decision, IndexHistory, Rebalance
from indexer.engine.market import Market
from indexer.engine.quality import judge
from indexer.engine.settled import Settled
from indexer.engine.timeline import Change, Timeline, schedule_of, walk
from indexer.errors import InputError, NotEnoughDataError
from indexer.methodology.spec import Methodology
from indexer.times import HOUR_US, from_us

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
    evidence = gather(market, references, rules=rules, bands=bands).since(len(past) if bands else 0)
    carried = carry(market, methodology.missing.max_carry_hours * HOUR_US)
    timeline = walk(
        market, methodology, dates=dates, evidence=evidence, carried=carried, settled=settled, events=events
    )
    weights = plan_weights(market, methodology, timeline=timeline, evidence=evidence)
    supply = plan_supply(timeline, evidence)
    units = units_at_changes(timeline, weights=weights, supply=supply, prices=carried.prices)
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
    )


def compute_levels(
    prices: F64, rows: I64, units: F64, *,
    base_level: float, known: F64 | None = None, written_off: Bools | None = None,
) -> Levels:  # fmt: skip
    """Levels of units (K, N), each held from its row of prices (T, N) on; rows (K,) ascend and may repeat.

    Prices may have no NaN in any column. Continuity: D⁺ = D⁻ · ΣP·Q⁺ / ΣP·Q⁻ at the row of change
    (METHODOLOGY §2.1), whose own level is that of the units held before it. `known` are the divisors of the first
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
