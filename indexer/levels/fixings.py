"""Fixings stand above bars: where an asset's minutes were fixed, the rate of its hourly bars is not used.

A fixing is finer evidence of the same venues (METHODOLOGY §1.2); its bars are kept as evidence and for volumes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from indexer.arrays import F64, I8, I64
from indexer.reference import Method
from indexer.reference.rates import AssetRates
from indexer.store.db import Store
from indexer.store.read import read_rates_by_method

METHODS = tuple(str(method) for method in Method)


@dataclass(frozen=True, slots=True)
class FixedRates:
    """The fixings of one asset, ascending in time, all (T,)."""

    time_us: I64
    rate: F64
    status: I8
    verdicts: list[str]


def over_bars(made: Iterable[AssetRates], fixings: Mapping[int, FixedRates]) -> list[AssetRates]:
    """The rates of bars with the fixings in their place; an asset that has fixings only is there too."""
    found = [_over(one, fixings[one.asset_id]) if one.asset_id in fixings else one for one in made]
    known = {one.asset_id for one in found}
    for asset_id, fixed in fixings.items():
        if asset_id not in known:
            found.append(
                AssetRates(asset_id, fixed.time_us, fixed.rate, fixed.status, list(fixed.verdicts), METHODS[0])
            )
    return sorted(found, key=lambda one: one.asset_id)


def _over(made: AssetRates, fixed: FixedRates) -> AssetRates:
    times = np.concatenate([fixed.time_us, made.time_us])
    _, rows = np.unique(times, return_index=True)  # of equal instants the first: the fixing
    texts = [*fixed.verdicts, *made.verdicts]
    return replace(
        made,
        time_us=times[rows],
        rate=np.concatenate([fixed.rate, made.rate])[rows],
        status=np.concatenate([fixed.status, made.status])[rows].astype(np.int8),
        verdicts=[texts[row] for row in rows.tolist()],
    )


def stored_fixings(store: Store) -> dict[int, FixedRates]:
    """The fixings in a store, by asset."""
    found = read_rates_by_method(store, METHODS)
    edges = np.flatnonzero(np.diff(found.asset_id)) + 1
    parts = np.split(np.arange(len(found.asset_id)), edges)
    texts = found.verdicts or []
    return {
        int(found.asset_id[rows[0]]): FixedRates(
            found.time_us[rows], found.rate[rows], found.status[rows], [texts[row] for row in rows.tolist()]
        )
        for rows in parts
        if len(rows)
    }
