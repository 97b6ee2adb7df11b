"""Inside an index: how many rise, how concentrated and dispersed it is, and which token gave which part of a return."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.analytics.series import as_pair, as_series
from indexer.arrays import F64, ArrayLike
from indexer.errors import InputError


@dataclass(frozen=True, slots=True)
class Breadth:
    """Share of members above their own mean of the last `window` bars; only members with all of them count."""

    window: int
    n: int
    above: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Concentration:
    """Of a weight vector: Herfindahl index Σw², effective number 1/Σw², largest weight, share of the top 5."""

    n: int
    herfindahl: float
    effective_n: float
    largest: float
    top5: float


def breadth(prices: ArrayLike, *, windows: Sequence[int] = (20, 50, 200)) -> list[Breadth]:
    """Breadth at the last row of prices (T, N), NaN where a member has no price; one row per window."""
    table = _table(prices)
    out = []
    for window in windows:
        if window < 1:
            raise InputError(f"window {window} must be at least 1 bar")
        tail = table[-window:]
        full = np.isfinite(tail).all(axis=0) & (len(tail) == window)
        above = int((tail[-1, full] > tail[:, full].mean(axis=0)).sum()) if full.any() else 0
        n = int(full.sum())
        out.append(Breadth(window, n, above, above / n if n else None))
    return out


def dispersion(returns: ArrayLike, *, weights: ArrayLike | None = None) -> F64:
    """(T,) cross-sectional standard deviation of returns (T, N): equal (n - 1), or weighted about the weighted mean.

    NaN where fewer than 2 members have a return; weights are renormalised over those that do.
    """
    table = _table(returns)
    valid = np.isfinite(table)
    count = valid.sum(axis=1)
    share = valid.astype(np.float64) if weights is None else np.where(valid, np.asarray(weights, dtype=np.float64), 0.0)
    total = share.sum(axis=1, keepdims=True)
    filled = np.where(valid, table, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (share * filled).sum(axis=1, keepdims=True) / total
        variance = (share * (filled - mean) ** 2).sum(axis=1) / total[:, 0]
        if weights is None:
            # Equal weights are a sample of members; index weights are the whole index.
            variance = variance * count / (count - 1)
        spread: F64 = np.where(count >= 2, np.sqrt(variance), np.nan)
    return spread


def concentration(weights: ArrayLike) -> Concentration:
    """Concentration of weights that sum to 1 (missing and zero ones are no members). Raises InputError otherwise."""
    w = as_series(weights, "weights")
    w = w[np.isfinite(w) & (w != 0.0)]
    if w.size == 0 or np.any(w < 0.0) or abs(float(w.sum()) - 1.0) > 1e-6:
        raise InputError(f"weights must be positive and sum to 1, they sum to {float(w.sum()):.6f}")
    square = float(w @ w)
    return Concentration(w.size, square, 1.0 / square, float(w.max()), float(np.sort(w)[-5:].sum()))


def relative_strength(levels: ArrayLike, bench: ArrayLike, *, horizons: Sequence[int]) -> dict[int, float | None]:
    """Log change of levels over bench (T,), on the same instants, over each horizon in rows; None where unknown."""
    a, b = as_pair(levels, bench)
    ratio = np.log(a / b)
    changes = {n: float(ratio[-1] - ratio[-1 - n]) if n < ratio.size else math.nan for n in horizons}
    return {n: change if math.isfinite(change) else None for n, change in changes.items()}


def _table(values: ArrayLike) -> F64:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] == 0:
        raise InputError(f"expected a (rows, members) table, got shape {table.shape}")
    return table


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
