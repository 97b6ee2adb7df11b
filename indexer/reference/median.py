"""The volume-weighted median, for many rows at once. Pure; used by the fixing and by the bar rates."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TIE: Final = 1e-12  # relative: two halves of a total that were summed in another order still count as equal


def weighted_median(prices: Floats, weights: Floats) -> Floats:
    """The weighted median of each row: (R, N) prices and weights → (R,); NaN where a row has no weight.

    The median is the lowest price whose cumulated weight passes half of the total; where the weight up to a
    price is exactly half, the mean of that price and the next one, so that equal weights give the ordinary
    median. Prices that are NaN, and weights that are not positive, take no part.
    Source: METHODOLOGY §1.1 (prices 100/101/99/150 with weights 1/2/1/3.9 give 101, with 4.1 they give 150).
    """
    usable = np.isfinite(prices) & np.isfinite(weights) & (weights > 0.0)
    clean = np.where(usable, prices, np.inf)
    order = np.argsort(clean, axis=1, kind="stable")
    sorted_prices = np.take_along_axis(clean, order, axis=1)
    sorted_weights = np.take_along_axis(np.where(usable, weights, 0.0), order, axis=1)
    cumulated = np.cumsum(sorted_weights, axis=1)
    total = cumulated[:, -1] if prices.shape[1] else np.zeros(len(prices))
    half = 0.5 * total[:, None]
    low = _first_at_least(cumulated, half * (1.0 - _TIE), sorted_prices)
    high = _first_at_least(cumulated, half * (1.0 + _TIE), sorted_prices)
    with np.errstate(invalid="ignore"):
        middle = np.where(low == high, low, 0.5 * (low + high))
    return np.where(total > 0.0, middle, np.nan)


def _first_at_least(cumulated: Floats, bound: Floats, sorted_prices: Floats) -> Floats:
    """The price of each row's first cumulated weight at or above the bound."""
    if cumulated.shape[1] == 0:
        return np.full(len(cumulated), np.nan)
    first = np.minimum((cumulated < bound).sum(axis=1), cumulated.shape[1] - 1)
    found: Floats = np.take_along_axis(sorted_prices, first[:, None], axis=1)[:, 0]
    return found
