"""Where a period's index return came from: contributions of constituents and sub-sectors that add up exactly.

Simple returns add across assets inside one interval; over several intervals they are linked by Cariño's factors,
so that linked contributions sum to the compounded return.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.arrays import F64
from indexer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Attribution:
    """`contribution` (N,) sums to `total`, the compounded return; `by_interval` (T, N) to `returns` (T,)."""

    total: float
    contribution: F64
    returns: F64
    by_interval: F64

    def grouped(self, groups: Sequence[str]) -> dict[str, float]:
        """Contribution by group (sub-sector of each constituent), largest magnitude first."""
        if len(groups) != self.contribution.size:
            raise InputError(f"{len(groups)} group names for {self.contribution.size} constituents")
        sums: dict[str, float] = {}
        for group, part in zip(groups, self.contribution.tolist(), strict=True):
            sums[group] = sums.get(group, 0.0) + part
        return dict(sorted(sums.items(), key=lambda item: -abs(item[1])))


def attribute(weights: ArrayLike, returns: ArrayLike) -> Attribution:
    """Attribution of the index return over all rows.

    `weights` (T, N) are value shares at the *start* of each interval (drifted, summing to 1), `returns` (T, N)
    simple returns over it. A member without weight may have no return; with weight it must (a suspended one,
    carried by rule, has return 0). Raises InputError otherwise, naming the row and column.
    """
    w, r = np.atleast_2d(np.asarray(weights, dtype=np.float64)), np.atleast_2d(np.asarray(returns, dtype=np.float64))
    if w.shape != r.shape:
        raise InputError(f"weights {w.shape} and returns {r.shape} must have the same shape")
    w = np.where(np.isfinite(w), w, 0.0)
    lost = np.argwhere((w != 0.0) & ~np.isfinite(r))
    if lost.size:
        row, column = (int(value) for value in lost[0])
        raise InputError(f"constituent {column} has weight but no return in interval {row}; nothing is assumed for it")
    uneven = np.flatnonzero(np.abs(w.sum(axis=1) - 1.0) > 1e-9)
    if uneven.size:
        raise InputError(f"weights of interval {int(uneven[0])} sum to {float(w[uneven[0]].sum()):.9f}, not 1")
    parts = w * np.where(w != 0.0, r, 0.0)
    whole = parts.sum(axis=1)
    if np.any(whole <= -1.0):
        raise InputError("an index return of -100 % or less cannot be linked")
    total = math.expm1(float(np.log1p(whole).sum()))
    linked = (parts * carino_factors(whole, total=total)[:, None]).sum(axis=0)
    return Attribution(total, linked, whole, parts)


def carino_factors(returns: F64, *, total: float) -> F64:
    """(T,) factors k_t / k with k(r) = ln(1 + r) / r, which make linked contributions sum (Cariño 1999)."""
    factors: F64 = _log_ratio(returns) / _log_ratio(np.array([total]))[0]
    return factors


def _log_ratio(r: F64) -> F64:
    # ln(1 + r) / r by log1p is exact down to the smallest r; at 0 its limit is 1.
    safe = np.where(r == 0.0, 1.0, r)
    ratio: F64 = np.where(r == 0.0, 1.0, np.log1p(safe) / safe)
    return ratio
