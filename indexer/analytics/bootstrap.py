"""Bootstrap intervals that keep serial dependence: the stationary bootstrap on pairs.

Blocks of random geometric length (Politis and Romano 1994), mean length chosen from the data
(Politis and White 2004, corrected by Patton, Politis and White 2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.series import as_series, centred, finite_pairs, moments, refusal
from indexer.arrays import F64, I64

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Draws of (repetitions, n) indices held at a time.
TAILS = (0.025, 0.975)
MAX_DRAWS = 2_000_000


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """Percentile interval of beta and of the correlation over `repetitions` resamples with mean block `block`."""

    n: int
    repetitions: int
    block: float | None = None
    beta: float | None = None
    beta_low: float | None = None
    beta_high: float | None = None
    se: float | None = None
    correlation_low: float | None = None
    correlation_high: float | None = None
    reason: str | None = None


def bootstrap_beta(x: ArrayLike, y: ArrayLike, *, seed: int, repetitions: int = 2_000) -> BootstrapInterval:
    """95 % percentile intervals for OLS beta and correlation; the same seed gives the same interval."""
    a, b = finite_pairs(x, y)
    reason = refusal(a, b, least=20)
    if reason is not None:
        return BootstrapInterval(a.size, repetitions, reason=reason)
    m = moments(a, b)
    (dx, _), (dy, _) = centred(a), centred(b)
    block = max(1.0, optimal_block(dx * (dy - m.sxy / m.sxx * dx)))
    rng = np.random.default_rng(seed)
    betas, correlations = [], []
    step = max(1, MAX_DRAWS // a.size)
    for done in range(0, repetitions, step):
        rows = stationary_indices(a.size, min(step, repetitions - done), block=block, rng=rng)
        some_beta, some_correlation = _resampled(dx[rows], dy[rows])
        betas.append(some_beta)
        correlations.append(some_correlation)
    beta, correlation = np.concatenate(betas), np.concatenate(correlations)
    low, high = (float(value) for value in np.nanquantile(beta, TAILS))
    r_low, r_high = (float(value) for value in np.nanquantile(correlation, TAILS))
    se = float(np.nanstd(beta, ddof=1))
    return BootstrapInterval(a.size, repetitions, block, m.sxy / m.sxx, low, high, se, r_low, r_high)


def stationary_indices(n: int, repetitions: int, *, block: float, rng: np.random.Generator) -> I64:
    """(repetitions, n) row numbers: runs of mean length `block`, wrapping round the end."""
    restart = rng.random((repetitions, n)) < 1.0 / block
    restart[:, 0] = True
    starts = rng.integers(0, n, size=(repetitions, n))
    place = np.arange(n)
    # Each place counts on from the last restart at or before it.
    last = np.maximum.accumulate(np.where(restart, place, 0), axis=1)
    rows: I64 = (np.take_along_axis(starts, last, axis=1) + place - last) % n
    return rows


def optimal_block(values: ArrayLike) -> float:
    """Mean block length of the stationary bootstrap for the mean of this series; below 1 for independent data."""
    series = as_series(values, "values")
    n = series.size
    e = series - series.mean()
    run = max(5, int(math.log10(n)))
    longest = min(math.ceil(math.sqrt(n)) + run, n - 2)
    cross = np.array([float(e[lag:] @ e[: n - lag]) for lag in range(longest + 1)])
    if cross[0] == 0.0:
        return 1.0
    reach = min(2 * max(_last_significant(e, cross, run=run), 1), longest)
    lags = np.arange(1, reach + 1)
    # Flat-top lag window: full weight up to half of the reach, then falling to 0.
    flat = np.where(lags / reach <= 0.5, 1.0, 2.0 * (1.0 - lags / reach))
    long_run = float(cross[0] + 2.0 * (flat * cross[1 : reach + 1]).sum()) / n
    slope = float(2.0 * (flat * lags * cross[1 : reach + 1]).sum()) / n
    if long_run == 0.0:
        return 1.0
    cap = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    return min(math.pow(slope**2 / long_run**2 * n, 1.0 / 3.0), float(cap))


def _last_significant(e: F64, cross: F64, *, run: int) -> int:
    """First lag from which `run` autocorrelations in a row are insignificant; all lags when there is none."""
    n = e.size
    spread = [float(e[lag + 1 :] @ e[lag + 1 :]) * float(e[: -lag - 1] @ e[: -lag - 1]) for lag in range(len(cross))]
    quiet = np.abs(cross) < 2.0 * math.sqrt(math.log10(n) / n) * np.sqrt(spread)
    for lag in range(len(quiet) - run):
        if quiet[lag : lag + run].all():
            return lag
    return len(quiet)


def _resampled(x: F64, y: F64) -> tuple[F64, F64]:
    dx = x - x.mean(axis=1, keepdims=True)
    dy = y - y.mean(axis=1, keepdims=True)
    sxx, sxy, syy = (dx * dx).sum(axis=1), (dx * dy).sum(axis=1), (dy * dy).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sxy / sxx, sxy / np.sqrt(sxx * syy)
