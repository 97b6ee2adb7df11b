"""What was published of an index, in the form the engine goes on from: changes of units as facts.

Place in the flow: `pipeline.py` and `verify/store.py` read it before they compute.
"""

from __future__ import annotations

import numpy as np

from indexer.engine.history import Decision, Rebalance, Settled, aligned
from indexer.engine.market import Market, SupplySource
from indexer.store.db import Store
from indexer.store.levels import published_span
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import RebalancingItemRow, RebalancingRow
from indexer.times import to_us

ORDER = {"suspension": 0, "event": 1}


def read_settled(store: Store, index_id: str, *, market: Market, as_of_us: int | None = None) -> Settled | None:
    """The published changes of an index over the market's columns, None while nothing is published.

    With `as_of_us`: those that were published by then. Raises InputError for a constituent that has no rate.
    """
    span = published_span(store, index_id, as_of_us=as_of_us)
    if span is None:
        return None
    rows = read_rebalancings(store, index_id, as_of_us=as_of_us)
    made = settled_of(rows, until_us=span[1], market=market)
    return made if made.changes else None


def settled_of(rows: list[RebalancingRow], *, until_us: int, market: Market) -> Settled:
    """Stored changes, as they took effect up to an instant, over the market's columns."""
    kept = sorted(
        (row for row in rows if to_us(row.effective_at) <= until_us),
        key=lambda row: (row.effective_at, ORDER.get(row.kind, 2), row.id),
    )
    changes = (
        aligned(change_of(row), slugs=tuple(item.asset for item in row.items), columns=market.slugs) for row in kept
    )
    return Settled(tuple(changes), until_us)


def change_of(row: RebalancingRow) -> Rebalance:
    """A stored change as the engine has it, its arrays in the order of the row's items."""

    def column(name: str) -> np.ndarray:
        return np.array([getattr(item, name) or 0.0 for item in row.items], dtype=np.float64)

    return Rebalance(
        kind=row.kind,
        reference_us=to_us(row.reference_at),
        effective_us=to_us(row.effective_at),
        units_before=column("units_before"),
        units_after=column("units_after"),
        weight_drifted=column("weight_drifted"),
        weight_target=column("weight_target"),
        prices=column("price"),
        divisor_before=row.divisor_before,
        divisor_after=row.divisor_after,
        level=row.level,
        turnover=row.turnover,
        decisions=tuple(_decision(item) for item in row.items if item.reason),
    )


def _decision(item: RebalancingItemRow) -> Decision:
    source = None if item.supply_source is None else int(SupplySource[item.supply_source.upper()])
    return Decision(
        slug=item.asset,
        member=item.units_after > 0,
        rank=item.rank,
        reason=item.reason,
        supply=item.supply,
        supply_source=source,
        free_float_cap_usd=item.free_float_cap_usd,
        median_adv_usd=item.median_adv_usd,
        supply_us=None if item.supply_observed_at is None else to_us(item.supply_observed_at),
        supply_stale_us=None if item.supply_stale_at is None else to_us(item.supply_stale_at),
    )
