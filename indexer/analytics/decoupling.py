"""Before and after: correlation corrected for a change in volatility, and one row of statistics per regime."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.beta import BetaResult, compute_beta
from indexer.analytics.correlation import bounded, correlation_change, fisher_interval
from indexer.analytics.series import as_series, finite_pairs, moments
from indexer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class CorrelationShift:
    """Correlation before and after, the latter also corrected to the volatility before.

    `delta` is the relative rise of the benchmark's variance; `adjusted` = r / sqrt(1 + delta (1 - r²)).
    z and p compare `adjusted` with `before` (Fisher); `p_raw` compares the uncorrected pair.
    """

    n_before: int
    n_after: int
    before: float | None = None
    after: float | None = None
    adjusted: float | None = None
    delta: float | None = None
    z: float | None = None
    p: float | None = None
    p_raw: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Regime:
    """A named span of time [start_us, end_us) of interval ends."""

    name: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class RegimeRow:
    """Beta, correlation and annualised volatilities inside one regime."""

    regime: Regime
    beta: BetaResult
    correlation: float | None
    correlation_low: float | None
    correlation_high: float | None
    volatility_x: float | None
    volatility_y: float | None


def forbes_rigobon(r: float, delta: float) -> float:
    """r / sqrt(1 + delta (1 - r²)): the correlation had the benchmark's variance not risen by the share delta.

    Forbes and Rigobon 2002; delta = variance after / variance before - 1, above -1.
    """
    if delta <= -1.0 or abs(r) > 1.0:
        raise InputError(f"delta {delta} must exceed -1 and the correlation {r} must lie in [-1, 1]")
    return bounded(r / math.sqrt(1.0 + delta * (1.0 - r * r)))


def correlation_shift(x: ArrayLike, y: ArrayLike, *, row: int) -> CorrelationShift:
    """Change of correlation at `row` (first row of the second part), with and without the volatility correction."""
    a, b = as_series(x, "x"), as_series(y, "y")
    (x1, y1), (x2, y2) = finite_pairs(a[:row], b[:row]), finite_pairs(a[row:], b[row:])
    if min(x1.size, x2.size) < 4:
        return CorrelationShift(x1.size, x2.size, reason=f"{x1.size} pairs before and {x2.size} after, 4 are needed")
    one, two = moments(x1, y1), moments(x2, y2)
    if min(one.sxx, one.syy, two.sxx, two.syy) == 0.0:
        return CorrelationShift(x1.size, x2.size, reason="a series does not move on one side (zero variance)")
    before, after = (bounded(m.sxy / math.sqrt(m.sxx) / math.sqrt(m.syy)) for m in (one, two))
    delta = (two.sxx / (two.n - 1)) / (one.sxx / (one.n - 1)) - 1.0
    adjusted = forbes_rigobon(after, delta)
    z, p = correlation_change(before, one.n, r2=adjusted, n2=two.n)
    _, p_raw = correlation_change(before, one.n, r2=after, n2=two.n)
    return CorrelationShift(one.n, two.n, before, after, adjusted, delta, z, p, p_raw)


def regime_table(
    x: ArrayLike, y: ArrayLike, *, times_us: ArrayLike, regimes: Sequence[Regime], periods_per_year: float = 252.0
) -> list[RegimeRow]:
    """One row per regime, in order; `times_us` are interval ends.

    Raises InputError when two regimes overlap: their rows would be dependent.
    """
    ordered = sorted(regimes, key=lambda regime: regime.start_us)
    for one, two in pairwise(ordered):
        if two.start_us < one.end_us:
            raise InputError(f'regimes "{one.name}" and "{two.name}" overlap; a row may belong to one only')
    times, a, b = np.asarray(times_us, dtype=np.int64), as_series(x, "x"), as_series(y, "y")
    rows = []
    for regime in regimes:
        inside = (times >= regime.start_us) & (times < regime.end_us)
        fit = compute_beta(a[inside], b[inside], periods_per_year=periods_per_year)
        low, high = fisher_interval(fit.correlation, fit.n)
        vx, vy = (_volatility(side[inside], periods_per_year=periods_per_year) for side in (a, b))
        rows.append(RegimeRow(regime, fit, fit.correlation, low, high, vx, vy))
    return rows


def _volatility(returns: ArrayLike, *, periods_per_year: float) -> float | None:
    series = as_series(returns, "returns")
    known = series[np.isfinite(series)]
    return float(known.std(ddof=1)) * math.sqrt(periods_per_year) if known.size >= 2 else None
