"""Beta from series that are not stamped at the same instants: Dimson and Scholes-Williams.

For daily bars only. They remove the bias of a 4-24 h offset, at 1.7 to 3.9 times the error of the synchronous
number, so the error is part of the result and `sync` says which it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.beta import compute_beta
from indexer.analytics.linear import combination_se, finite_rows, fit_linear, student_interval, with_constant
from indexer.analytics.series import as_pair, few_pairs, moments
from indexer.arrays import F64
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class LeadLagBeta:
    """`beta` with its joint error; `lags` are the coefficients from the farthest lag to the farthest lead.

    `se` is the larger of `se_ols` and `se_hac`. `sync` is "dimson" or "scholes_williams".
    """

    sync: str
    n: int
    beta: float | None = None
    se_ols: float | None = None
    se_hac: float | None = None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    lags: tuple[float, ...] = ()
    rho1: float | None = None
    beta_iv: float | None = None
    reason: str | None = None


def dimson_beta(
    x: ArrayLike, y: ArrayLike, *, span: int = 1, confidence: float = 0.95, hac_lag: int | None = None
) -> LeadLagBeta:
    """Sum of the coefficients of y_t on x_{t-span} .. x_{t+span}, with the error of the sum (Dimson 1979).

    Rows are consecutive intervals with NaN where one is missing: a lag never reaches over a hole.
    """
    if span < 1:
        raise InputError(f"span {span} must be at least 1; use compute_beta without lags")
    a, b = as_pair(x, y)
    width = 2 * span + 1
    if a.size < width:
        return LeadLagBeta("dimson", 0, reason=f"{a.size} rows, at least {2 * width + 1} are needed")
    # Row t holds x from the farthest lag to the farthest lead; y loses `span` rows at either end.
    columns = np.lib.stride_tricks.sliding_window_view(a, width)
    target = b[span : b.size - span]
    keep = finite_rows(columns, target)
    if keep.sum() < 2 * width:
        reason = f"{int(keep.sum())} complete rows, at least {2 * width} are needed"
        return LeadLagBeta("dimson", int(keep.sum()), reason=reason)
    design = with_constant(columns[keep])
    fit = fit_linear(design, target[keep])
    if fit is None:
        return LeadLagBeta("dimson", int(keep.sum()), reason="the benchmark does not move enough to tell lags apart")
    ols, hac = combination_se(fit, design, weights=np.r_[0.0, np.ones(width)], lag=hac_lag)
    beta = float(fit.coef[1:].sum())
    se = max(ols, hac)
    low, high = student_interval(beta, se, df=fit.df, confidence=confidence)
    return LeadLagBeta("dimson", int(keep.sum()), beta, ols, hac, se, low, high, tuple(fit.coef[1:].tolist()))


def scholes_williams_beta(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> LeadLagBeta:
    """(b_lag + b_0 + b_lead) / (1 + 2 rho1) from three separate regressions (Scholes and Williams 1977).

    `beta_iv` is the instrumental-variable form with instrument x_{t-1} + x_t + x_{t+1}; the two agree only
    asymptotically. The error is that of the IV form. A check on Dimson, not a replacement.
    """
    a, b = as_pair(x, y)
    parts = (compute_beta(a[:-1], b[1:]), compute_beta(a, b), compute_beta(a[1:], b[:-1]))
    rho = _autocorrelation(a)
    n = parts[1].n
    bad = next((part.reason for part in parts if part.beta is None), None)
    if bad is not None or rho is None or n < 8:
        return LeadLagBeta("scholes_williams", n, reason=bad or few_pairs(n, least=8))
    lags = tuple(float(part.beta) for part in parts if part.beta is not None)
    if abs(1.0 + 2.0 * rho) < 0.1:
        reason = f"the benchmark's autocorrelation {rho:.2f} makes the denominator 1 + 2 rho vanish"
        return LeadLagBeta("scholes_williams", n, lags=lags, rho1=rho, reason=reason)
    beta = sum(lags) / (1.0 + 2.0 * rho)
    beta_iv, se, rows = _instrumental(a, b)
    low, high = (None, None)
    if se is not None:
        low, high = student_interval(beta, se, df=rows - 2, confidence=confidence)
    return LeadLagBeta("scholes_williams", n, beta, se, None, se, low, high, lags, rho, beta_iv)


def _autocorrelation(x: F64) -> float | None:
    keep = np.isfinite(x[:-1]) & np.isfinite(x[1:])
    if keep.sum() < 3:
        return None
    m = moments(x[:-1][keep], x[1:][keep])
    return m.correlation if m.sxx > 0.0 and m.syy > 0.0 else None


def _instrumental(x: F64, y: F64) -> tuple[float | None, float | None, int]:
    z, mid, target = x[:-2] + x[1:-1] + x[2:], x[1:-1], y[1:-1]
    keep = finite_rows(z, target)
    z, mid, target = z[keep], mid[keep], target[keep]
    if z.size < 5:
        return None, None, z.size
    dz, dx, dy = z - z.mean(), mid - mid.mean(), target - target.mean()
    cross = float(dz @ dx)
    if cross == 0.0:
        return None, None, z.size
    beta = float(dz @ dy) / cross
    u = dy - beta * dx
    se = math.sqrt(float(u @ u) / (z.size - 2) * float(dz @ dz)) / abs(cross)
    return beta, se, z.size
