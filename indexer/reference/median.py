"""The volume-weighted median, for many rows at once. Pure; used by the fixing and by the bar rates."""

from __future__ import annotations

from typing import Final

import numpy as np

from indexer.arrays import F64

_TIE: Final = 1e-12  # relative: two halves of a total that were summed in another order still count as equal


def weighted_median(prices: F64, weights: F64) -> F64:
    """The weighted median of each row: (R, N) prices and weights → (R,); NaN where a row has no weight.

    The median is the lowest price whose cumulated weight passes half of the total; where the weight up to a
    price is exactly half, the mean of that price and the next one, so that equal weights give the ordinary
    median. Prices that are NaN, and weights that are not positive, take no part.
    Source: METHODOLOGY §1.1 (prices 100/101/99/150 with weights 1/2/1/3.9 give 101, with 4.1 they give 150).
    """
    return median_of_columns(np.ascontiguousarray(prices.T), np.ascontiguousarray(weights.T))


def median_of_columns(prices: F64, weights: F64) -> F64:
    """The same of each column: (N, R) → (R,). Few venues and many bars run along memory this way, 2.5× faster."""
    count, columns = prices.shape
    if count == 0:
        return np.full(columns, np.nan)
    usable = np.isfinite(prices) & np.isfinite(weights) & (weights > 0.0)
    clean = np.where(usable, prices, np.inf)
    order = np.argsort(clean, axis=0, kind="stable")
    ascending = np.take_along_axis(clean, order, axis=0)
    cumulated = np.cumsum(np.take_along_axis(np.where(usable, weights, 0.0), order, axis=0), axis=0)
    total = cumulated[-1]
    low = _first_at_least(cumulated, 0.5 * total * (1.0 - _TIE), ascending)
    high = _first_at_least(cumulated, 0.5 * total * (1.0 + _TIE), ascending)
    with np.errstate(invalid="ignore"):
        middle = np.where(low == high, low, 0.5 * (low + high))
    return np.where(total > 0.0, middle, np.nan)


def _first_at_least(cumulated: F64, bound: F64, ascending: F64) -> F64:
    """The price of each column's first cumulated weight at or above the bound."""
    first = np.minimum((cumulated < bound).sum(axis=0), len(cumulated) - 1)
    found: F64 = np.take_along_axis(ascending, first[None, :], axis=0)[0]
    return found
