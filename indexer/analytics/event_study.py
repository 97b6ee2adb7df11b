"""Abnormal returns around an event: market model with one or more factors, and an error that includes the forecast's.

Estimation window, gap, event window, in intervals of the aligned clock (METHODOLOGY §6.2; MacKinlay 1997).
A missing interval is never replaced by a neighbour: an event outside the data has no answer but a reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.distributions import t_quantile, t_two_sided
from indexer.analytics.linear import LinearFit, finite_rows, fit_linear, with_constant
from indexer.analytics.series import as_series
from indexer.arrays import F64, I64
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MIN_ESTIMATION = 10


@dataclass(frozen=True, slots=True)
class EventWindows:
    """Event window [first, last] in intervals about the event, estimation of `length` ending `gap` before first.

    METHODOLOGY's default: 120 intervals that end 11 before the event, event window [-1, +5].
    """

    first: int = -1
    last: int = 5
    length: int = 120
    end: int = -11

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise InputError(f"event window [{self.first}, {self.last}] ends before it starts")
        if self.end >= self.first:
            raise InputError(f"the estimation window ends at {self.end}, inside the event window from {self.first}")
        if self.length < MIN_ESTIMATION:
            raise InputError(f"an estimation window of {self.length} is too short; use at least {MIN_ESTIMATION}")


@dataclass(frozen=True, slots=True)
class EventResult:
    """Abnormal returns `ar` with forecast errors `ar_sd`, cumulated to `car`; tests are two-sided, t with `df`.

    `estimation_residual` (n_estimation,) and `estimation_rows` serve the cross-sectional tests.
    """

    n_estimation: int
    n_missing: int = 0
    ar: tuple[float, ...] = ()
    ar_sd: tuple[float, ...] = ()
    car: float | None = None
    car_sd: float | None = None
    car_low: float | None = None
    car_high: float | None = None
    t: float | None = None
    p: float | None = None
    df: int | None = None
    coef: tuple[float, ...] = ()
    residual_sd: float | None = None
    estimation_rows: I64 | None = None
    estimation_residual: F64 | None = None
    reason: str | None = None


def event_row(times_us: ArrayLike, *, at_us: int) -> int | None:
    """Row of the interval that contains the instant: the first one ending at or after it; None outside the data.

    `times_us` are interval ends. News during a session belongs to the return that ends at that session's close.
    An instant before the first end is outside: its interval's start is not known.
    """
    times = np.asarray(times_us, dtype=np.int64)
    row = int(np.searchsorted(times, at_us, side="left"))
    if row >= times.size or (row == 0 and at_us < times[0]):
        return None
    return row


def event_study(
    y: ArrayLike, factors: ArrayLike, *, row: int, windows: EventWindows | None = None, confidence: float = 0.95
) -> EventResult:
    """Event study of y (T,) on factors (T,) or (T, k) about row `row`.

    Estimation rows with a missing value are left out and counted; a missing value in the event window leaves
    no CAR, with a reason.
    """
    w = windows or EventWindows()
    target = as_series(y, "y")
    columns = np.asarray(factors, dtype=np.float64).reshape(target.size, -1)
    start, stop = row + w.end - w.length + 1, row + w.end + 1
    if start < 0 or row + w.last >= target.size or row + w.first < 0:
        before, after = max(0, -start, -(row + w.first)), max(0, row + w.last + 1 - target.size)
        lacking = [f"{before} intervals before it begins"] * (before > 0) + [f"{after} after it ends"] * (after > 0)
        return EventResult(0, reason=f"the windows reach outside the data: {' and '.join(lacking)}")
    keep = np.flatnonzero(finite_rows(target[start:stop], columns[start:stop])) + start
    missing = w.length - keep.size
    if keep.size < max(MIN_ESTIMATION, columns.shape[1] + 3):
        return EventResult(keep.size, missing, reason=f"{keep.size} complete estimation rows, too few for the model")
    event = slice(row + w.first, row + w.last + 1)
    if not finite_rows(target[event], columns[event]).all():
        return EventResult(keep.size, missing, reason="a return in the event window is missing")
    result = abnormal_returns(
        target[keep], columns[keep], event_y=target[event], event_factors=columns[event], confidence=confidence
    )
    return _placed(result, rows=keep, missing=missing)


def abnormal_returns(
    y: F64, factors: F64, *, event_y: F64, event_factors: F64, confidence: float = 0.95
) -> EventResult:
    """AR = y - X b on the event rows, Var = s² (I + X_e (X'X)^-1 X_e'), CAR = Σ AR, df = n - k."""
    design = with_constant(factors)
    fit = fit_linear(design, y)
    if fit is None or fit.ssr == 0.0:
        return EventResult(y.size, reason="a series does not move in the estimation window: no model")
    ahead = with_constant(event_factors)
    ar = event_y - ahead @ fit.coef
    variance = fit.s2 * (np.eye(len(ar)) + ahead @ fit.inverse @ ahead.T)
    return _tested(fit, ar=ar, variance=variance, confidence=confidence)


def _tested(fit: LinearFit, *, ar: F64, variance: F64, confidence: float) -> EventResult:
    car, sd = float(ar.sum()), math.sqrt(float(variance.sum()))
    half = t_quantile(fit.df, 0.5 + confidence / 2.0) * sd
    return EventResult(
        n_estimation=fit.residual.size,
        ar=tuple(ar.tolist()),
        ar_sd=tuple(np.sqrt(np.diag(variance)).tolist()),
        car=car,
        car_sd=sd,
        car_low=car - half,
        car_high=car + half,
        t=car / sd,
        p=t_two_sided(car / sd, fit.df),
        df=fit.df,
        coef=tuple(fit.coef.tolist()),
        residual_sd=math.sqrt(fit.s2),
        estimation_residual=fit.residual,
    )


def _placed(result: EventResult, *, rows: I64, missing: int) -> EventResult:
    return replace(result, n_missing=missing, estimation_rows=rows)
