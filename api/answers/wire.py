"""From the store's rows to what goes over the wire: the one place of that conversion (the forms: schemas.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from api.answers.encode import as_json_times
from indexer.arrays import I8
from indexer.engine.market import Status
from indexer.live.chain.explorers import block_link
from indexer.store.read import IndexRow
from indexer.store.read_serving import LevelPage
from indexer.store.records import ConstituentRow, LevelRows, RebalancingItemRow, RebalancingRow, SupplyRow
from indexer.times import DAY_US, HOUR_US, from_us

STATUS_NAMES = tuple(status.name.lower() for status in Status)
CHANGE_SPANS = {"h1": HOUR_US, "d1": DAY_US, "d7": 7 * DAY_US, "d30": 30 * DAY_US, "d365": 365 * DAY_US}


def status_name(code: int) -> str:
    """The word of a status code; a rate that is missing altogether counts as suspended."""
    return STATUS_NAMES[min(code, len(STATUS_NAMES) - 1)]


def status_names(codes: I8) -> list[str]:
    """The words of status codes."""
    if len(codes) and codes.min() == codes.max():
        return [status_name(int(codes[0]))] * len(codes)
    return [STATUS_NAMES[min(code, len(STATUS_NAMES) - 1)] for code in codes.tolist()]


def level_columns(page: LevelPage) -> dict[str, Any]:
    """A page of levels, one sequence for each column."""
    return {
        "time": as_json_times(page.times_us),
        "level": page.levels,
        "status": status_names(page.status),
        "carried_weight": page.carried_weight,
    }


def latest_point(rows: LevelRows | None) -> dict[str, Any] | None:
    """The newest of some levels, or None."""
    if rows is None or not len(rows):
        return None
    return {
        "time": from_us(int(rows.times_us[-1])),
        "level": float(rows.levels[-1]),
        "status": status_name(int(rows.status[-1])),
        "carried_weight": float(rows.carried_weight[-1]),
    }


def index_summary(row: IndexRow, *, first_us: int | None, latest: LevelRows | None) -> dict[str, Any]:
    """An index and where it stands."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "state": row.state,
        "simulated": row.simulated,
        "methodology": {"version": row.version, "hash": row.hash},
        "first_time": None if first_us is None else from_us(first_us),
        "latest": latest_point(latest),
    }


def change_over(level: float, before: LevelRows) -> float | None:
    """level / level before - 1, or None when there is none."""
    return float(level / before.levels[-1] - 1.0) if len(before) else None


def constituent(row: ConstituentRow, *, base_value: float | None, supply: dict[str, Any]) -> dict[str, Any]:
    """A constituent. `base_value` is the basket's value at the last rebalancing, for contributions.

    `supply` is what `supply_behind` gives.
    """
    known = row.rate is not None and row.price_effective
    moved = row.rate - row.price_effective if known else None  # type: ignore[operator]  # known says both are there
    return {
        "asset": row.asset,
        "symbol": row.symbol,
        "name": row.name,
        "sub_sector": row.sub_sector,
        "weight": row.weight,
        "weight_target": row.weight_target,
        "drift": None if row.weight is None else row.weight - row.weight_target,
        "units": row.units,
        "rate": row.rate,
        "rate_at": row.rate_at,
        "rate_status": None if row.rate_status is None else status_name(row.rate_status),
        "change_since_rebalance": None if moved is None else moved / row.price_effective,  # type: ignore[operator]
        "contribution": None if moved is None or not base_value else row.units * moved / base_value,
        **supply,
    }


def supply_behind(source: str | None, reading: SupplyRow | None) -> dict[str, Any]:
    """Where the supply behind a weight came from: the origin decided on, and its reading where one is stored."""
    return {
        "supply_source": source,
        "supply_observed_at": reading and reading.observed_at,
        "supply_block": reading and reading.block_number,
        "supply_link": reading and block_link(reading.chain, reading.block_number, reading.block_hash),
    }


def rebalance(row: RebalancingRow, *, with_items: bool) -> dict[str, Any]:
    """A rebalancing; its items only on request."""
    entered = [item.asset for item in row.items if item.units_after > 0 and not item.units_before > 0]
    left = [item.asset for item in row.items if item.units_before > 0 and not item.units_after > 0]
    return {
        "kind": row.kind,
        "reference_at": row.reference_at,
        "effective_at": row.effective_at,
        "revision": row.revision,
        "level": row.level,
        "divisor_before": _finite(row.divisor_before),
        "divisor_after": _finite(row.divisor_after),
        "turnover": _finite(row.turnover),
        "entered": entered,
        "left": left,
        "items": [_item(item) for item in row.items] if with_items else [],
    }


def _item(item: RebalancingItemRow) -> dict[str, Any]:
    return {name: getattr(item, name) for name in RebalancingItemRow.__dataclass_fields__}


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else value
