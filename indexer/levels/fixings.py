"""Fixings stand above bars: where an asset's minutes were fixed, the rate of its hourly bars is not used.

A fixing is finer evidence of the same venues; its bars are kept as evidence and for volumes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from indexer.reference import Method
from indexer.reference.rates import AssetRates
from indexer.store.db import Store
from indexer.store.rates import read_rates_by_method

METHODS = tuple(str(method) for method in Method)


def over_bars(made: Iterable[AssetRates], fixings: Mapping[int, AssetRates]) -> list[AssetRates]:
    """The rates of bars with the fixings in their place; an asset that has fixings only is there too."""
    of_bars = {rates.asset_id: rates for rates in made}
    both = {asset: _over(rates, fixings[asset]) if asset in fixings else rates for asset, rates in of_bars.items()}
    return [rates for _, rates in sorted(({**fixings, **both}).items())]


def _over(made: AssetRates, fixed: AssetRates) -> AssetRates:
    times = np.concatenate([fixed.time_us, made.time_us])
    _, rows = np.unique(times, return_index=True)  # of equal instants the first: the fixing
    texts = [*fixed.verdicts, *made.verdicts]
    return replace(
        made,
        time_us=times[rows],
        rate=np.concatenate([fixed.rate, made.rate])[rows],
        status=np.concatenate([fixed.status, made.status])[rows].astype(np.int8),
        verdicts=[texts[row] for row in rows.tolist()],
        flags=np.concatenate([fixed.flags, made.flags])[rows],
    )


def stored_fixings(store: Store) -> dict[int, AssetRates]:
    """The fixings in a store, by asset."""
    found = read_rates_by_method(store, METHODS)
    edges = np.flatnonzero(np.diff(found.asset_id)) + 1
    parts = np.split(np.arange(len(found.asset_id)), edges)
    texts = found.verdicts or []
    fixings = {}
    for rows in parts:
        if len(rows):
            asset, verdicts = int(found.asset_id[rows[0]]), [texts[row] for row in rows.tolist()]
            rates = (found.time_us[rows], found.rate[rows], found.status[rows])
            fixings[asset] = AssetRates(asset, *rates, verdicts, METHODS[0], found.flags[rows])
    return fixings
