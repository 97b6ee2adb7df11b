"""Arrays every statistic starts from: shape checks, the common finite mask, sums of squares about the mean.

First step of each function in this package; nothing here knows what the series mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.arrays import F64, Bools
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
