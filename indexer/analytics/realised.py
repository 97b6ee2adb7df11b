"""Intraday covariance from observations at unequal instants: Hayashi-Yoshida, and realised beta on equal bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.series import as_series, finite_pairs
from indexer.arrays import F64
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class RealisedBeta:
    """`covariance` over `variance` of the benchmark; `n_x` and `n_y` observations went in."""

    n_x: int
    n_y: int
    covariance: float | None = None
    variance: float | None = None
    beta: float | None = None
    reason: str | None = None


def hayashi_yoshida(times_x: ArrayLike, x: ArrayLike, *, times_y: ArrayLike, y: ArrayLike) -> RealisedBeta:
    """Σ dX dY over all overlapping intervals, divided by Σ dX² (Hayashi and Yoshida 2005).

    x and y are log prices (not returns) at their own strictly increasing instants; nothing is interpolated.
    The sum over the y intervals that touch one x interval telescopes, so the cost is n log n.
    """
    tx, px = _observed(times_x, x, "benchmark")
    ty, py = _observed(times_y, y, "index")
    if tx.size < 2 or ty.size < 2:
        return RealisedBeta(tx.size, ty.size, reason="each side needs at least 2 observations")
    first = np.maximum(np.searchsorted(ty, tx[:-1], side="right") - 1, 0)
    last = np.minimum(np.searchsorted(ty, tx[1:], side="left"), ty.size - 1)
    # Intervals of x wholly outside y's span touch nothing.
    reach = np.where(last > first, py[last] - py[first], 0.0)
    dx = np.diff(px)
    covariance, variance = float(dx @ reach), float(dx @ dx)
    if variance == 0.0:
        return RealisedBeta(tx.size, ty.size, covariance, variance, reason="the benchmark does not move")
    return RealisedBeta(tx.size, ty.size, covariance, variance, covariance / variance)


def realised_beta(x: ArrayLike, y: ArrayLike) -> RealisedBeta:
    """Σ x y / Σ x² of synchronous intraday returns (no mean removed)."""
    a, b = finite_pairs(x, y)
    variance = float(a @ a)
    if a.size == 0 or variance == 0.0:
        return RealisedBeta(a.size, b.size, reason="the benchmark does not move")
    covariance = float(a @ b)
    return RealisedBeta(a.size, b.size, covariance, variance, covariance / variance)


def _observed(times: ArrayLike, values: ArrayLike, name: str) -> tuple[F64, F64]:
    at, series = np.asarray(times), as_series(values, name)
    if at.shape != series.shape:
        raise InputError(f"{name}: {at.size} times and {series.size} values do not pair up")
    keep = np.isfinite(series)
    at, series = at[keep], series[keep]
    if np.any(np.diff(at) <= 0):
        raise InputError(f"{name} times must strictly increase. Sort and remove duplicates first")
    return at, series
