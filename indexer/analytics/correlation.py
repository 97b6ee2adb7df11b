"""Correlation with Fisher's interval, a test of a change in it, and the sentinel for a shifted time stamp."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.linear import normal_quantile, normal_two_sided
from indexer.analytics.series import as_series, finite_pairs, moments
from indexer.arrays import F64

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class LagScan:
    """Correlation of y with the benchmark one interval earlier (`lag`), at the same time, one later (`lead`).

    `shifted` is true when a neighbour is the strongest in absolute value: most likely a stamp taken for another
    (bar open for bar close costs up to 90 % of beta). `message` then says so.
    """

    lag: float | None
    contemporaneous: float | None
    lead: float | None
    n: int
    shifted: bool
    message: str | None


def correlation(x: ArrayLike, y: ArrayLike) -> float | None:
    """Pearson correlation of the finite pairs; None below 3 pairs or where a side is constant."""
    a, b = finite_pairs(x, y)
    if a.size < 3:
        return None
    m = moments(a, b)
    if m.sxx == 0.0 or m.syy == 0.0:
        return None
    return m.correlation


def fisher_interval(r: float | None, n: int, *, confidence: float = 0.95) -> tuple[float | None, float | None]:
    """tanh(atanh r ± z / sqrt(n - 3)); (None, None) below 4 pairs or without a correlation."""
    if r is None or n < 4:
        return None, None
    if abs(r) >= 1.0:
        return r, r
    half = normal_quantile(0.5 + confidence / 2.0) / math.sqrt(n - 3.0)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def correlation_change(r1: float, n1: int, *, r2: float, n2: int) -> tuple[float, float] | tuple[None, None]:
    """(z, two-sided p) of Fisher's test that two non-overlapping samples share one correlation."""
    if n1 < 4 or n2 < 4 or abs(r1) >= 1.0 or abs(r2) >= 1.0:
        return None, None
    z = (math.atanh(r2) - math.atanh(r1)) / math.sqrt(1.0 / (n1 - 3) + 1.0 / (n2 - 3))
    return z, normal_two_sided(z)


def lag_scan(x: ArrayLike, y: ArrayLike) -> LagScan:
    """Cross-correlation of y_t with x_{t-1}, x_t and x_{t+1}, and whether a stamp looks shifted.

    A neighbour must beat the contemporaneous correlation *and* differ from zero by two standard errors, so
    that two unrelated series do not raise an alarm.
    """
    a, b = as_series(x, "x"), as_series(y, "y")
    at: dict[str, float | None] = {
        "lag": correlation(a[:-1], b[1:]),
        "contemporaneous": correlation(a, b),
        "lead": correlation(a[1:], b[:-1]),
    }
    n = int(np.count_nonzero(np.isfinite(a) & np.isfinite(b)))
    noise = 2.0 / math.sqrt(max(n, 4))
    now = abs(at["contemporaneous"] or 0.0)
    loudest = max(("lag", "lead"), key=lambda side: abs(at[side] or 0.0))
    value = at[loudest] or 0.0
    shifted = abs(value) > now and abs(value) > noise
    message = None
    if shifted:
        where = "the previous" if loudest == "lag" else "the next"
        message = (
            f"correlation with {where} benchmark interval ({value:.2f}) exceeds the contemporaneous one "
            f"({now:.2f}): a time stamp is probably one interval off; check bar_open, bar_close or instant"
        )
    return LagScan(at["lag"], at["contemporaneous"], at["lead"], n, shifted, message)


def correlation_matrix(returns: F64) -> F64:
    """(N, N) correlations of (T, N) returns, each by the rows that both have; NaN below 3, or where one is constant."""
    import pandas

    matrix: F64 = pandas.DataFrame(returns).corr(min_periods=3).to_numpy()
    return matrix
