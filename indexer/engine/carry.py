"""Missing prices: the last one carried in memory, where it was carried, and when it became too old.

Nothing here is ever published as a price: the caller flags every level that a carried price went into.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.engine.market import Market


@dataclass(frozen=True, slots=True)
class Carried:
    """Prices without holes and the record of every hole.

    prices (T, N): the last known price, 0 before the first one (no units are ever held there).
    columns (G,): the columns with holes; missing (T, G): where their price was not there.
    stale: for each column the half-open row ranges [start, end) in which the last price is older than the
    limit, or there was none yet; ascending.
    """

    prices: F64
    columns: I64
    missing: Bools
    stale: tuple[tuple[list[int], list[int]], ...]

    def stale_at(self, row: int, columns: Iterable[int]) -> set[int]:
        """Those of the columns whose price is too old, or not known, at a row."""
        return {column for column in columns if self.next_stale(column, row)[0] == row}

    def next_stale(self, column: int, row: int) -> tuple[int, int]:
        """The first stale range of a column that ends after `row`, cut to begin at `row`; (T, T) when none."""
        starts, ends = self.stale[column]
        at = bisect_right(ends, row)
        if at == len(ends):
            return len(self.prices), len(self.prices)
        return max(starts[at], row), ends[at]


def carry(market: Market, max_carry_us: int) -> Carried:
    """Prices carried over their holes, for a limit of age in microseconds. Copies only when there are holes."""
    steps = len(market.times_us)
    none = np.zeros(0, dtype=np.int64)
    # A column's sum is NaN exactly when the column has a hole: one read, no mask.
    holed = np.flatnonzero(np.isnan(market.prices.sum(axis=0))) if steps else none
    if not len(holed):
        return Carried(market.prices, none, np.zeros((steps, 0), dtype=bool), (([], []),) * len(market.lines))
    filled = market.prices.copy()
    missing = np.isnan(market.prices[:, holed])
    stale: list[tuple[list[int], list[int]]] = [([], [])] * len(market.lines)
    for place, column in enumerate(holed.tolist()):
        valid = np.flatnonzero(~missing[:, place])
        filled[:, column] = _hold(market.prices[:, column], valid)
        stale[column] = _stale(market.times_us, valid, max_carry_us=max_carry_us)
    return Carried(filled, holed.astype(np.int64), missing, tuple(stale))


def _hold(prices: F64, valid: I64) -> F64:
    """The last valid price at each row, 0 before the first."""
    out = np.zeros(len(prices))
    if len(valid):
        out[valid[0] :] = np.repeat(prices[valid], np.diff(np.append(valid, len(prices))))
    return out


def _stale(times_us: I64, valid: I64, *, max_carry_us: int) -> tuple[list[int], list[int]]:
    """Row ranges in which the last price is older than the limit, or before the first price."""
    steps = len(times_us)
    starts = np.searchsorted(times_us, times_us[valid] + max_carry_us, side="right")
    starts, ends = np.append(0, starts), np.append(valid, steps) if len(valid) else np.array([steps])
    some = starts < ends
    return starts[some].tolist(), ends[some].tolist()
