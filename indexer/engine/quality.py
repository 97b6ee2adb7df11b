"""How good each level is: the worst status among its prices, and the share of its value that was carried.

Beside `level.py`; follows rule 7 of `indexer.engine`. Degradation is data, never an invented number.
"""

from __future__ import annotations

import numpy as np

from indexer.arrays import F64, I8, I64
from indexer.engine.carry import Carried
from indexer.engine.market import Market, Status
from indexer.engine.timeline import Timeline


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
