"""Quantile beta: how the index moves with the benchmark in its bad and its good tails, exactly by linear programme."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.distributions import normal_quantile
from indexer.analytics.linear import with_constant
from indexer.analytics.series import finite_pairs, moments
from indexer.arrays import F64
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MIN_PAIRS = 10


@dataclass(frozen=True, slots=True)
class QuantileBeta:
    """The line with a share `tau` of the pairs below it. `se` is Powell's sandwich, see `quantile_beta`."""

    tau: float
    n: int
    beta: float | None = None
    alpha: float | None = None
    pinball: float | None = None
    se: float | None = None
    reason: str | None = None


def quantile_beta(x: ArrayLike, y: ArrayLike, *, tau: float = 0.5) -> QuantileBeta:
    """Minimiser of the pinball loss Σ rho_tau(y - a - b x), exact (iterated least squares agrees to 5 digits only).

    The error is the kernel sandwich (Epanechnikov, Hall-Sheather bandwidth) that statsmodels QuantReg reports.
    """
    if not 0.0 < tau < 1.0:
        raise InputError(f"tau {tau} must lie between 0 and 1, e.g. 0.1 for the lower tail")
    a, b = finite_pairs(x, y)
    if a.size < MIN_PAIRS:
        return QuantileBeta(tau, a.size, reason=f"{a.size} aligned pairs, at least {MIN_PAIRS} are needed")
    if moments(a, b).sxx == 0.0:
        return QuantileBeta(tau, a.size, reason="the benchmark does not move in this window (zero variance)")
    alpha, beta = _solve(a, b, tau=tau)
    u = b - alpha - beta * a
    loss = float(np.where(u >= 0.0, tau * u, (tau - 1.0) * u).sum())
    return QuantileBeta(tau, a.size, beta, alpha, loss, _kernel_se(a, b, residual=u, tau=tau))


def _solve(x: F64, y: F64, *, tau: float) -> tuple[float, float]:
    from scipy.optimize import linprog

    # Unit scales keep the solver's absolute tolerances meaningful for returns of 1e-3.
    sx, sy = float(np.abs(x).max()), float(np.abs(y).max()) or 1.0
    n = x.size
    cost = np.concatenate([np.zeros(2), np.full(n, tau), np.full(n, 1.0 - tau)])
    from scipy.sparse import csr_array, hstack, identity

    equal = hstack([csr_array(with_constant(x / sx)), identity(n), -identity(n)], format="csr")
    bounds = [(None, None)] * 2 + [(0.0, None)] * (2 * n)
    found = linprog(cost, A_eq=equal, b_eq=y / sy, bounds=bounds, method="highs-ds")
    alpha, slope = float(found.x[0]), float(found.x[1])
    return _polish(x / sx, y / sy, alpha=alpha, slope=slope, scale=(sx, sy))


def _polish(x: F64, y: F64, *, alpha: float, slope: float, scale: tuple[float, float]) -> tuple[float, float]:
    """The same vertex to full precision: an optimal line passes through two of the pairs."""
    near = np.argsort(np.abs(y - alpha - slope * x), kind="stable")
    first = near[0]
    other = next((row for row in near[1:] if x[row] != x[first]), None)
    if other is not None:
        exact = float((y[other] - y[first]) / (x[other] - x[first]))
        if abs(exact - slope) < 1e-6 * max(1.0, abs(slope)):
            slope, alpha = exact, float(y[first] - exact * x[first])
    sx, sy = scale
    return alpha * sy, slope * sy / sx


def _kernel_se(x: F64, y: F64, *, residual: F64, tau: float) -> float | None:
    n = x.size
    z = normal_quantile(tau)
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    hall = n ** (-1 / 3) * normal_quantile(0.975) ** (2 / 3) * (1.5 * density**2 / (2 * z * z + 1)) ** (1 / 3)
    if not 0.0 < tau - hall < tau + hall < 1.0:
        return None
    q75, q25 = np.percentile(residual, [75, 25])
    spread = min(float(np.std(y)), float(q75 - q25) / 1.34)
    width = spread * (normal_quantile(tau + hall) - normal_quantile(tau - hall))
    u = residual / width if width > 0.0 else np.full(n, np.inf)
    height = float(np.where(np.abs(u) <= 1.0, 0.75 * (1.0 - u * u), 0.0).sum()) / (n * width) if width > 0.0 else 0.0
    if height <= 0.0:
        return None
    weight = np.where(residual > 0.0, (tau / height) ** 2, ((1.0 - tau) / height) ** 2)
    design = with_constant(x)
    inverse = np.linalg.inv(design.T @ design)
    covariance = inverse @ ((design.T * weight) @ design) @ inverse
    return math.sqrt(float(covariance[1, 1]))
