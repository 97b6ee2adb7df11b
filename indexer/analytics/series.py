"""Arrays every statistic starts from: shape checks, the common finite mask, sums of squares about the mean.

First step of each function in this package; nothing here knows what the series mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from indexer.errors import InputError, NotEnoughDataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# A spread below this share of the sum of squares about a member of the sample is rounding, not variance.
# Relative on purpose: an absolute guard calls a genuine 1e-15-scale series constant.
ZERO_VARIANCE = 1e-14


def as_series(values: ArrayLike, name: str) -> FloatArray:
    """The values as a one-dimensional float64 array; raises InputError on another shape."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"{name} must be one-dimensional, got shape {array.shape}")
    return array


def finite_pairs(x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The rows where both are finite, in order: masks intersected, nothing filled.

    Raises InputError when the lengths differ (series are paired by position only after alignment).
    """
    a, b = as_series(x, "x"), as_series(y, "y")
    if a.size != b.size:
        raise InputError(f"x has {a.size} values and y has {b.size}; align them to the same instants first")
    keep = np.isfinite(a) & np.isfinite(b)
    return a[keep], b[keep]


def require_pairs(have: int, need: int, *, what: str = "beta") -> None:
    """Raises NotEnoughDataError, which says how much there is and is needed, when have < need."""
    if have < need:
        raise NotEnoughDataError(
            f"{what} needs at least {need} aligned pairs and there are {have}; "
            "ask for a longer period or a shorter window"
        )


@dataclass(frozen=True, slots=True)
class Moments:
    """Means and centred sums of one pair of series."""

    n: int
    mean_x: float
    mean_y: float
    sxx: float
    sxy: float
    syy: float


def moments(x: FloatArray, y: FloatArray) -> Moments:
    """Two-pass means and centred sums; `sxx` or `syy` is exactly 0 where the series is constant."""
    mx, my = float(x.mean()), float(y.mean())
    dx, dy = x - mx, y - my
    sxx, syy = float(dx @ dx), float(dy @ dy)
    sxx = 0.0 if is_constant(x, sxx) else sxx
    syy = 0.0 if is_constant(y, syy) else syy
    return Moments(x.size, mx, my, sxx, float(dx @ dy), syy)


def is_constant(values: FloatArray, centred_sum: float) -> bool:
    """Whether the spread is nil, judged relative to the sum of squares about the first value."""
    shifted = values - values[0]
    return bool(centred_sum <= ZERO_VARIANCE * float(shifted @ shifted))
