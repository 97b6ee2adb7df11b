"""Placebo dates: the event study at every row of a history at once, and how unusual the event's own answer is there.

The t test takes one variance for all days and normal tails; crypto has neither. Days without an event show how often
a test rejects where there is nothing to find, and give a p value that no distribution is assumed for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from indexer.analytics.event_study import MIN_ESTIMATION, EventWindows
from indexer.analytics.linear import t_quantile, with_constant
from indexer.arrays import F64, I64, Bools

MIN_PLACEBOS = 30
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Placebo:
    """`p` is the share of the `n` placebo days, and the event, with a |t| at least as large; `rejects` the share that

    the test calls significant at 5 %, which is 0.05 for a test that keeps its word.
    """

    p: float
    n: int
    rejects: float


@dataclass(frozen=True, slots=True)
class EveryRow:
    """The market model as if each of `rows` (R,) were an event's: coefficients (R, k), (X'X)^-1 and residual variance.

    `y` (T,) and `design` (T, k) are what it was fitted on, NaN where a row is not complete.
    """

    y: F64
    design: F64
    rows: I64
    coef: F64
    inverse: F64
    s2: F64

    def t(self, first: int, last: int) -> F64:
        """(T,) t of the CAR over [first, last] about every row, as `event_study` gives it; NaN where it gives none."""
        t = np.full(len(self.y), np.nan)
        fits = (self.rows + first >= 0) & (self.rows + last < len(self.y))
        if not fits.any():
            return t
        begin, width = self.rows[fits] + first, last - first + 1
        sums = sliding_window_view(self.design, width, axis=0)[begin].sum(axis=2)
        car = sliding_window_view(self.y, width)[begin].sum(axis=1) - (self.coef[fits] * sums).sum(axis=1)
        # The sum over the event rows of s² (I + X (X'X)^-1 X'), as in `abnormal_returns`.
        spread = width + ((sums[:, None, :] @ self.inverse[fits])[:, 0] * sums).sum(axis=1)
        t[self.rows[fits]] = car / np.sqrt(self.s2[fits] * spread)
        return t


def fit_every_row(y: F64, factors: F64, *, length: int, end: int) -> EveryRow:
    """The model on `length` rows that end `end` rows from each row; y (T,), factors (T, k).

    All windows are solved in one batch of normal equations of the few coefficients.
    """
    design = with_constant(np.asarray(factors, dtype=np.float64).reshape(len(y), -1))
    complete = np.isfinite(y) & np.isfinite(design).all(axis=1)
    k = design.shape[1]
    rows = np.arange(max(length - 1 - end, 0), len(y))
    if not len(rows):
        return EveryRow(y, design, rows, np.zeros((0, k)), np.zeros((0, k, k)), np.zeros(0))
    begin = rows + end - length + 1
    # A missing row weighs nothing: zeros in every sum, the constant's too.
    x, target = np.where(complete[:, None], design, 0.0), np.where(complete, y, 0.0)
    past, past_y = sliding_window_view(x, length, axis=0)[begin], sliding_window_view(target, length)[begin]
    count = sliding_window_view(complete, length)[begin].sum(axis=1)
    squares = past @ past.transpose(0, 2, 1)
    solvable = (count >= max(MIN_ESTIMATION, k + 2)) & (np.linalg.matrix_rank(squares) == k)
    squares[~solvable] = np.eye(k)
    inverse = np.linalg.inv(squares)
    coef = (inverse @ (past @ past_y[:, :, None]))[:, :, 0]
    ssr = ((past_y - (coef[:, None, :] @ past)[:, 0]) ** 2).sum(axis=1)
    s2 = np.full(len(rows), np.nan)
    usable = solvable & (ssr > 0.0)
    s2[usable] = ssr[usable] / (count[usable] - k)
    return EveryRow(y, np.where(complete[:, None], design, np.nan), rows, coef, inverse, s2)


def placebo(own: float | None, others: F64, *, df: float) -> Placebo | None:
    """The event's statistic among those of placebo days (N,), NaN left out; None below 30 of them or without it."""
    known = np.abs(others[np.isfinite(others)])
    if own is None or known.size < MIN_PLACEBOS:
        return None
    # The event counts as one of the days, so that p is never 0.
    p = float((1 + np.count_nonzero(known >= abs(own))) / (known.size + 1))
    return Placebo(p, known.size, float((known > t_quantile(df, 1.0 - LEVEL / 2.0)).mean()))


def quiet_rows(count: int, busy: Sequence[int], *, row: int, windows: EventWindows) -> Bools:
    """(T,) rows that are no other event's (`busy`) and whose windows do not hold the event's own row."""
    rows = np.arange(count)
    quiet: Bools = (row < rows + windows.first) | (row > rows + windows.last)
    quiet[list(busy)] = False
    return quiet


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Each p corrected for how many there are (Holm 1979), None where there is none: they are one family of tests."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[place] = largest
    return corrected
