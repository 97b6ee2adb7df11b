"""What every statistic starts from: checked series, the pairs that are finite, their moments and correlations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from indexer.analytics.linear import normal_quantile, normal_two_sided
from indexer.arrays import F64, ArrayLike, Bools
from indexer.errors import InputError

# A spread below this share of the sum of squares about a member of the sample is rounding, not variance.
# Relative on purpose: an absolute guard calls a genuine 1e-15-scale series constant.
ZERO_VARIANCE = 1e-14


SPLIT_RATIOS = np.array((1.5, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100))


def like_a_split(factor: F64) -> Bools:
    """Which ratios of a share's successive closes look like a split that is not adjusted for.

    A simple return beyond ±50 %, or beyond ±30 % within 6 % of a round ratio. NaN is none.
    """
    ratio = np.maximum(factor, 1.0 / factor)
    near = (np.abs(ratio[:, None] / SPLIT_RATIOS - 1.0) < 0.06).any(axis=1)
    wide: Bools = (factor < 0.5) | (factor > 1.5) | ((factor < 0.7) | (factor > 1.3)) & near
    return wide


def as_series(values: ArrayLike, name: str) -> F64:
    """The values as a one-dimensional float64 array; raises InputError on another shape."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"{name} must be one-dimensional, got shape {array.shape}")
    return array


def as_pair(x: ArrayLike, y: ArrayLike) -> tuple[F64, F64]:
    """Both as series. Raises InputError when the lengths differ: rows pair by position only after alignment."""
    a, b = as_series(x, "x"), as_series(y, "y")
    if a.size != b.size:
        raise InputError(f"x has {a.size} values and y has {b.size}; align them to the same instants first")
    return a, b


def finite_pairs(x: ArrayLike, y: ArrayLike) -> tuple[F64, F64]:
    """The rows where both are finite, in order: masks intersected, nothing filled. Raises as `as_pair`."""
    a, b = as_pair(x, y)
    keep = np.isfinite(a) & np.isfinite(b)
    return a[keep], b[keep]


@dataclass(frozen=True, slots=True)
class Moments:
    """Means and centred sums of one pair of series."""

    n: int
    mean_x: float
    mean_y: float
    sxx: float
    sxy: float
    syy: float

    @property
    def correlation(self) -> float:
        """Pearson's, held inside [-1, 1] against rounding; two roots, as the product of the sums can underflow."""
        return max(-1.0, min(1.0, self.sxy / math.sqrt(self.sxx) / math.sqrt(self.syy)))


def moments(x: F64, y: F64) -> Moments:
    """Means and centred sums; `sxx` or `syy` is exactly 0 where the series is constant."""
    dx, mean_x = centred(x)
    dy, mean_y = centred(y)
    return Moments(x.size, mean_x, mean_y, spread(x, dx), float(dx @ dy), spread(y, dy))


def refusal(x: F64, y: F64, *, least: int) -> str | None:
    """Why finite pairs have no beta: fewer than `least`, or a side that does not move. None where they have one."""
    if x.size < least:
        return few_pairs(x.size, least=least)
    m = moments(x, y)
    if m.sxx == 0.0 or m.syy == 0.0:
        return f"the {'benchmark' if m.sxx == 0.0 else 'index'} does not move in this window (zero variance)"
    return None


def few_pairs(n: int, *, least: int) -> str:
    """The reason of a sample that is too small."""
    return f"{n} aligned pairs, at least {least} are needed"


def centred(values: F64) -> tuple[F64, float]:
    """(values about their mean, mean). Shifted by the first value before the mean is taken: a constant series
    comes out exactly 0, and a large common level costs no digits."""
    shifted = values - values[0]
    mean = float(shifted.mean())
    return shifted - mean, float(values[0]) + mean


def spread(values: F64, deviation: F64) -> float:
    """Σ deviation², or exactly 0 where it is rounding, judged relative to the sum about the first value."""
    shifted = values - values[0]
    total = float(deviation @ deviation)
    return total if total > ZERO_VARIANCE * float(shifted @ shifted) else 0.0


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


def correlation_change(r1: float, n1: int, *, r2: float, n2: int) -> tuple[float | None, float | None]:
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


def average_correlation(returns: ArrayLike) -> float | None:
    """Mean pairwise correlation of (T, N) returns, each pair alike and by the rows that both have; None without one.

    A pair of fewer than 3 common rows, or of a side that is constant over them, has none.
    """
    table = np.asarray(returns, dtype=np.float64)
    there = np.isfinite(table)
    common = there.astype(np.float64).T @ there
    # About each column's own mean, so that the sums of a pair lose no digits.
    x = np.where(there, table - np.where(there, table, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1), 0.0)
    sums, squares = x.T @ there, (x * x).T @ there
    with np.errstate(invalid="ignore", divide="ignore"):
        spreads = squares - sums * sums / common
        moving = (spreads > ZERO_VARIANCE * squares) & (common >= 3)
        matrix = (x.T @ x - sums * sums.T / common) / np.sqrt(spreads * spreads.T)
    pairs = matrix[np.triu(moving & moving.T, 1)]
    return float(pairs.mean()) if pairs.size else None
