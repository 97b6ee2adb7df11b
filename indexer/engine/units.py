"""Units of a basket from weights and prices, and the divisors that keep the level where units change. Pure.

A fixing sets units = w · Z / P with Z the free-float capitalisation of the members at the fixing's prices, so an
uncapped cap-weighted basket keeps the size of its market; the level does not depend on Z.
"""

from __future__ import annotations

import numpy as np

from indexer.arrays import F64


def value_of(units: F64, prices: F64) -> float:
    """ΣP·Q, in the order of summation of the kernel in `level.py`."""
    return float(np.einsum("tn,n->t", prices[None, :], units)[0])


def drifted_weights(units: F64, prices: F64) -> F64:
    """Weights (N,) of units at prices; all zero for an empty basket."""
    value = units * prices
    total = value.sum()
    return value / total if total > 0 else np.zeros_like(value)


def units_of(weights: F64, prices: F64, *, sizes: F64, before: F64, base_value: float) -> F64:
    """Units (N,) of weights, which are scaled to 1: sized to the supplies `sizes` that are known (NaN where not),

    else to the value of the units `before`, else to `base_value`.
    """
    weights = weights / weights.sum()
    scale = float(np.nansum(prices * sizes)) or float(prices @ before) or base_value
    return np.divide(weights * scale, prices, out=np.zeros_like(prices), where=weights > 0)


def chain_divisors(
    prices: F64, units: F64, *, base_level: float, stated: F64 | None = None, leaving: F64 | None = None
) -> F64:
    """Divisors (K,) after each change of units (K, N) at prices (K, N): level = ΣP·Q / D.

    The first gives the base level, each later one keeps the level: D⁺ = D⁻ · ΣP·Q⁺ / ΣP·Q⁻. Where one is `stated` (K,)
    it is that instead (NaN: none). Prices `leaving` (K, N) are what the units before each change count at where that is
    not the market's price: the level moves by the difference.
    """
    new = np.einsum("kn,kn->k", prices, units)
    ratios = new[1:] / np.einsum("kn,kn->k", (prices if leaving is None else leaving)[1:], units[:-1])
    divisors = np.full(len(new), np.nan) if stated is None else stated.copy()
    if np.isnan(divisors[0]):
        divisors[0] = new[0] / base_level
    for number in np.flatnonzero(np.isnan(divisors)):
        divisors[number] = divisors[number - 1] * ratios[number - 1]
    return divisors
