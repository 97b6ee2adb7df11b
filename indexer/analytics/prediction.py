"""What the returns before each one said of it: rolling regressions judged on what they had not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from indexer.analytics.linear import t_quantile
from indexer.analytics.rolling import rolling_beta
from indexer.arrays import F64, Bools
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LARGE_SD = 2.0


@dataclass(frozen=True, slots=True)
class Predictions:
    """(M,) of each y that follows a whole window: its expected value given x, and half its prediction interval.

    `beta` is of the window before it. `large` marks an x more than two of the window's standard deviations away.
    """

    beta: F64
    expected: F64
    half: F64
    large: Bools


def predict(x: ArrayLike, y: ArrayLike, *, window: int, confidence: float) -> Predictions:
    """Predictions of y[window:] from least squares on the `window` pairs before each, complete and in order.

    Where x has one value more than y, the last prediction is of a y that has not been. The interval is
    a + b x ± t(n - 2) s √(1 + 1/n + (x - mean)²/Sxx) (Draper and Smith, 1998, §3.1); NaN where a window does not move.
    """
    moves, seen = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not window <= seen.size <= moves.size <= seen.size + 1:
        raise InputError(f"{moves.size} and {seen.size} returns do not pair up into windows of {window}")
    past = moves[: seen.size]
    fit = rolling_beta(past, seen, [window])[window]
    beta, alpha, se = (column[window - 1 :, 0][: moves.size - window] for column in (fit.beta, fit.alpha, fit.se))
    before = sliding_window_view(past, window)[: moves.size - window]
    away = moves[window:] - before.mean(axis=1)
    sxx = before.var(axis=1) * window
    half = t_quantile(window - 2, 0.5 + confidence / 2.0) * se * np.sqrt(sxx * (1.0 + 1.0 / window) + away**2)
    large = np.abs(away) > LARGE_SD * np.sqrt(sxx / (window - 1))
    return Predictions(beta, alpha + beta * moves[window:], half, large)


def share_removed(y: F64, x: F64, ratio: F64) -> float:
    """How much of the mean square of y is gone in y - ratio x; negative where it grew, 0 where y does not move."""
    total = math.fsum(y * y)
    return 1.0 - math.fsum((y - ratio * x) ** 2) / total if total > 0.0 else 0.0
