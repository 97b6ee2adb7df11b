"""Exponentially weighted beta: recent intervals count more, with the effective number of pairs stated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.distributions import t_quantile
from indexer.analytics.series import as_series, finite_pairs, spread
from indexer.arrays import F64
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

RISKMETRICS_DAILY = 0.94


@dataclass(frozen=True, slots=True)
class EwmaBeta:
    """Beta at the last pair under weights decay^(n - 1 - t).

    `n_effective` = (Σw)² / Σw² (Kish); `se` is the heteroskedasticity-robust error of the weighted fit with
    t quantiles at `n_effective` - 2 degrees of freedom. `half_life` is in intervals.
    """

    n: int
    decay: float
    half_life: float
    n_effective: float | None = None
    beta: float | None = None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str | None = None


def ewma_beta(
    x: ArrayLike,
    y: ArrayLike,
    *,
    decay: float = RISKMETRICS_DAILY,
    centred: bool = True,
    confidence: float = 0.95,
) -> EwmaBeta:
    """Weighted least squares of y on x; `centred=False` gives the zero-mean RiskMetrics form.

    The centred form equals pandas `ewm(adjust=True).cov / var`. Raises InputError on a decay outside (0, 1).
    """
    _check(decay)
    a, b = finite_pairs(x, y)
    half_life = math.log(0.5) / math.log(decay)
    if a.size < 3:
        reason = f"{a.size} aligned pairs, at least 3 are needed"
        return EwmaBeta(a.size, decay, half_life, reason=reason)
    w = decay ** np.arange(a.size - 1, -1, -1, dtype=np.float64)
    total = float(w.sum())
    n_eff = total * total / float(w @ w)
    dx, dy = (_about_mean(a, w), _about_mean(b, w)) if centred else (a, b)
    sxx = float(w @ (dx * dx))
    if sxx == 0.0 or (centred and spread(a, dx) == 0.0):
        reason = "the benchmark does not move in this window (zero variance)"
        return EwmaBeta(a.size, decay, half_life, n_eff, reason=reason)
    beta = float(w @ (dx * dy)) / sxx
    score = w * dx * (dy - beta * dx)
    se = math.sqrt(float(score @ score) * n_eff / (n_eff - 2.0)) / sxx if n_eff > 2.0 else None
    half = None if se is None else t_quantile(n_eff - 2.0, 0.5 + confidence / 2.0) * se
    low, high = (None, None) if half is None else (beta - half, beta + half)
    return EwmaBeta(a.size, decay, half_life, n_eff, beta, se, low, high)


def ewma_path(x: ArrayLike, y: ArrayLike, *, decay: float = RISKMETRICS_DAILY) -> F64:
    """(T,) centred EWMA beta known at each row (no look-ahead); NaN before 3 pairs or without variance.

    A missing pair leaves the weights as they were: the clock of the decay is pairs, not calendar time.
    """
    _check(decay)
    a, b = as_series(x, "x"), as_series(y, "y")
    out = np.full(a.size, np.nan)
    total = mean_x = mean_y = sxx = sxy = raw = 0.0
    count = 0
    for row, (value, other) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        if math.isfinite(value) and math.isfinite(other):
            count += 1
            total = decay * total + 1.0
            dx, dy = value - mean_x, other - mean_y
            mean_x += dx / total
            mean_y += dy / total
            sxx = decay * sxx + dx * (value - mean_x)
            sxy = decay * sxy + dx * (other - mean_y)
            raw = decay * raw + value * value
        if count >= 3 and sxx > 1e-14 * raw:
            out[row] = sxy / sxx
    return out


def ewma_recursive(x: ArrayLike, y: ArrayLike, *, decay: float = RISKMETRICS_DAILY) -> float | None:
    """Zero-mean recursion cov = decay cov + (1 - decay) x y seeded with the first pair; None without variance."""
    _check(decay)
    a, b = finite_pairs(x, y)
    if a.size == 0:
        return None
    cov, var = float(a[0] * b[0]), float(a[0] * a[0])
    for value, other in zip(a[1:].tolist(), b[1:].tolist(), strict=True):
        cov = decay * cov + (1.0 - decay) * value * other
        var = decay * var + (1.0 - decay) * value * value
    return cov / var if var > 0.0 else None


def _about_mean(values: F64, weights: F64) -> F64:
    shifted = values - values[0]
    about: F64 = shifted - float(weights @ shifted) / float(weights.sum())
    return about


def _check(decay: float) -> None:
    if not 0.0 < decay < 1.0:
        raise InputError(f"decay {decay} must lie between 0 and 1, e.g. {RISKMETRICS_DAILY}")
