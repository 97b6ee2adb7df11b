"""Abnormal returns around an event: market model with one or more factors, and an error that includes the forecast's.

Estimation window, gap, event window, in intervals of the aligned clock (MacKinlay 1997).
A missing interval is never replaced by a neighbour: an event outside the data has no answer but a reason.

Placebos are the same study at every row of a history: the t test takes one variance for all days and normal tails,
crypto has neither, so that days without an event show how often a test rejects where there is nothing to find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from indexer.analytics.linear import (
    LinearFit,
    finite_rows,
    fit_linear,
    normal_two_sided,
    student_interval,
    t_quantile,
    t_two_sided,
    with_constant,
)
from indexer.analytics.series import as_series, average_correlation
from indexer.arrays import F64, I64, ArrayLike, Bools
from indexer.errors import InputError

MIN_ESTIMATION = 10

CONFIDENCE, REPETITIONS = 0.95, 5_000


@dataclass(frozen=True, slots=True)
class EventWindows:
    """Event window [first, last] in intervals about the event, estimation of `length` ending `gap` before first.

    The default of docs/analytics.md: 120 intervals that end 11 before the event, event window [-1, +5].
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CarTest:
    """Abnormal log returns `ar` with forecast errors `ar_sd`, and their sum `car`: 95 % interval, two-sided t test."""

    n_estimation: int = 0
    ar: tuple[float, ...] = ()
    ar_sd: tuple[float, ...] = ()
    car: float | None = None
    car_sd: float | None = None
    car_low: float | None = None
    car_high: float | None = None
    t: float | None = None
    p: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventResult(CarTest):
    """A CarTest with what the other tests need: `df`, residuals (n_estimation,) and their rows in the window.

    `path_sd` is the error of the sum up to each event row.
    """

    df: int | None = None
    coef: tuple[float, ...] = ()
    residual_sd: float | None = None
    path_sd: F64 | None = None
    estimation_rows: I64 | None = None
    estimation_residual: F64 | None = None


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


def event_study(y: ArrayLike, factors: ArrayLike, *, row: int, windows: EventWindows | None = None) -> EventResult:
    """Event study of y (T,) on factors (T,) or (T, k) about row `row`.

    Estimation rows with a missing value are left out; a missing value in the event window leaves
    no CAR, with a reason.
    """
    w = windows or EventWindows()
    target = as_series(y, "y")
    columns = np.asarray(factors, dtype=np.float64).reshape(target.size, -1)
    start, stop = row + w.end - w.length + 1, row + w.end + 1
    if start < 0 or row + w.last >= target.size or row + w.first < 0:
        before, after = max(0, -start, -(row + w.first)), max(0, row + w.last + 1 - target.size)
        lacking = [f"{before} intervals before it begins"] * (before > 0) + [f"{after} after it ends"] * (after > 0)
        return EventResult(reason=f"the windows reach outside the data: {' and '.join(lacking)}")
    keep = np.flatnonzero(finite_rows(target[start:stop], columns[start:stop]))
    if keep.size < max(MIN_ESTIMATION, columns.shape[1] + 3):
        reason = f"{keep.size} complete estimation rows, too few for the model"
        return EventResult(n_estimation=keep.size, reason=reason)
    event = slice(row + w.first, row + w.last + 1)
    if not finite_rows(target[event], columns[event]).all():
        return EventResult(n_estimation=keep.size, reason="a return in the event window is missing")
    used = target[start:stop][keep], columns[start:stop][keep]
    result = abnormal_returns(*used, event_y=target[event], event_factors=columns[event])
    return replace(result, estimation_rows=keep)


def abnormal_returns(y: F64, factors: F64, *, event_y: F64, event_factors: F64) -> EventResult:
    """AR = y - X b on the event rows, Var = s² (I + X_e (X'X)^-1 X_e'), CAR = Σ AR, df = n - k."""
    design = with_constant(factors)
    fit = fit_linear(design, y)
    if fit is None or fit.ssr == 0.0:
        reason = "a series does not move in the estimation window: no model"
        return EventResult(n_estimation=y.size, reason=reason)
    ahead = with_constant(event_factors)
    ar = event_y - ahead @ fit.coef
    # The coefficients' error is shared by all event rows: without the second term the CAR looks too certain.
    variance = fit.s2 * (np.eye(len(ar)) + ahead @ fit.inverse @ ahead.T)
    return _tested(fit, ar=ar, variance=variance)


def _tested(fit: LinearFit, *, ar: F64, variance: F64) -> EventResult:
    car, sd = float(ar.sum()), math.sqrt(float(variance.sum()))
    low, high = student_interval(car, sd, df=fit.df, confidence=CONFIDENCE)
    return EventResult(
        n_estimation=fit.residual.size,
        ar=tuple(ar.tolist()),
        ar_sd=tuple(np.sqrt(np.diag(variance)).tolist()),
        car=car,
        car_sd=sd,
        car_low=low,
        car_high=high,
        t=car / sd,
        p=t_two_sided(car / sd, fit.df),
        df=fit.df,
        coef=tuple(fit.coef.tolist()),
        residual_sd=math.sqrt(fit.s2),
        path_sd=np.sqrt(np.diag(variance.cumsum(axis=0).cumsum(axis=1))),
        estimation_residual=fit.residual,
    )


@dataclass(frozen=True, slots=True)
class CrossSection:
    """Statistics over the `n` constituents with a CAR; every p is two-sided.

    `patell` takes the estimation variance as given; `bmp` allows a variance that rises with the event;
    `kolari_pynnonen` is bmp corrected by the mean correlation `mean_correlation` of estimation residuals.
    """

    n: int
    mean_car: float | None = None
    t_cross: float | None = None
    p_cross: float | None = None
    patell: float | None = None
    p_patell: float | None = None
    bmp: float | None = None
    p_bmp: float | None = None
    kolari_pynnonen: float | None = None
    p_kolari_pynnonen: float | None = None
    mean_correlation: float | None = None
    sign_z: float | None = None
    p_sign: float | None = None
    reason: str | None = None


def cross_section(results: Sequence[EventResult]) -> CrossSection:
    """Cross-sectional tests of one event; constituents without a CAR are left out.

    Sources: Patell 1976, Boehmer, Musumeci and Poulsen 1991, Kolari and Pynnönen 2010 (factor
    sqrt((1 - r) / (1 + (n - 1) r))), Cowan 1992 for the generalised sign.
    """
    used = [r for r in results if r.car is not None and r.car_sd is not None and r.df is not None]
    n = len(used)
    if n < 3:
        return CrossSection(n, reason=f"{n} constituents with a CAR, at least 3 are needed")
    car = np.array([r.car for r in used], dtype=np.float64)
    scaled = car / np.array([r.car_sd for r in used], dtype=np.float64)
    df = np.array([r.df for r in used], dtype=np.float64)
    patell = float(scaled.sum() / math.sqrt(float((df / (df - 2.0)).sum())))
    t_cross, bmp = _mean_t(car), _mean_t(scaled)
    residuals = residual_table(used)
    r = None if residuals is None else average_correlation(residuals)
    # n correlated returns are worth fewer: under a strongly negative r the correction has no root.
    rooted = r is not None and r < 1.0 and 1.0 + (n - 1) * r > 0.0
    factor = math.sqrt((1.0 - r) / (1.0 + (n - 1) * r)) if r is not None and rooted else None
    adjusted = None if bmp is None or factor is None else bmp * factor
    sign = generalised_sign(used)
    return CrossSection(
        n, float(car.mean()), t_cross, t_two_sided(t_cross, n - 1), patell, normal_two_sided(patell),
        bmp, t_two_sided(bmp, n - 1), adjusted, t_two_sided(adjusted, n - 1), r, sign, normal_two_sided(sign),
    )  # fmt: skip


def residual_table(results: Sequence[EventResult]) -> F64 | None:
    """(L, N) estimation residuals on one clock, NaN where a subject has no row; None where one has no rows at all."""
    rows = [r.estimation_rows for r in results if r.estimation_rows is not None]
    if len(rows) != len(results):
        return None
    table = np.full((max(int(row.max()) for row in rows) + 1, len(results)), np.nan)
    for place, (row, result) in enumerate(zip(rows, results, strict=True)):
        table[row, place] = result.estimation_residual
    return table


def rank_test(estimation: F64, event: F64) -> tuple[float, float | None]:
    """(z, two-sided p) of Corrado's rank test for abnormal returns (L1, N) and (L2, N), several event days.

    Ranks are taken per constituent over both windows and divided by 1 + their number (Corrado and Zivney 1992);
    the variance is that of the daily mean rank, so correlation between constituents is in it.
    """
    table = np.vstack([np.atleast_2d(estimation.T).T, np.atleast_2d(event.T).T])
    valid = np.isfinite(table)
    u = np.full(table.shape, np.nan)
    for place, known in enumerate(valid.T):
        values = table[known, place]
        # Of equal values the mean of their places: half of those at or below, and of those below and one more.
        below, up_to = (np.searchsorted(np.sort(values), values, side=side) for side in ("left", "right"))
        u[known, place] = (below + up_to + 1) / 2.0 / (values.size + 1.0)
    # Mean rank of each day less its expectation 1/2: what the constituents share on a day stays in the spread.
    days = np.array([row[ok].mean() - 0.5 if ok.any() else 0.0 for row, ok in zip(u, valid, strict=True)])
    spread = math.sqrt(float(days @ days) / days.size)
    length = len(event)
    z = math.sqrt(length) * float(days[-length:].mean()) / spread if spread > 0.0 else 0.0
    return z, normal_two_sided(z)


def generalised_sign(results: Sequence[EventResult]) -> float | None:
    """z of the share of positive CARs against the share of positive days in the estimation windows."""
    shares = [float((r.estimation_residual > 0.0).mean()) for r in results if r.estimation_residual is not None]
    if not shares:
        return None
    p, n = float(np.mean(shares)), len(shares)
    positive = sum(1 for r in results if r.car is not None and r.car > 0.0)
    return (positive - n * p) / math.sqrt(n * p * (1.0 - p)) if 0.0 < p < 1.0 else None


def block_bootstrap_p(result: EventResult, *, seed: int) -> float | None:
    """Two-sided p of the CAR among sums of as many estimation residuals drawn in moving blocks.

    Residuals are inflated by sqrt(n / df) for the fitted coefficients; a block is ceil(n^(1/3)) long.
    Keeps fat tails and serial dependence, which the t test does not. None without a CAR.
    """
    if result.car is None or result.estimation_residual is None or result.df is None:
        return None
    u = result.estimation_residual
    # Fitted residuals are too small by the coefficients that were spent on them.
    u = (u - u.mean()) * math.sqrt(u.size / result.df)
    days = len(result.ar)
    width = min(math.ceil(u.size ** (1.0 / 3.0)), days)
    starts = _block_starts(u.size - width + 1, -(-days // width), seed)
    blocks, rest = (sliding_window_view(u, size).sum(axis=1) for size in (width, days - width * (starts.shape[1] - 1)))
    sums = np.abs(blocks[starts[:, :-1]].sum(axis=1) + rest[starts[:, -1]])
    # Forecast error of the coefficients is part of the CAR's spread, so the draws are widened to match it.
    plain = math.sqrt(days) * (result.residual_sd or 0.0)
    widen = (result.car_sd or plain) / plain if plain > 0.0 else 1.0
    # The observed CAR counts as one draw, so that p is never 0.
    return float((1 + np.count_nonzero(sums * widen >= abs(result.car))) / (REPETITIONS + 1))


@lru_cache(maxsize=16)
def _block_starts(places: int, count: int, seed: int) -> I64:
    """(REPETITIONS, count) first rows of the blocks: every subject of a study draws the same ones."""
    return np.random.default_rng(seed).integers(0, places, size=(REPETITIONS, count))


def _mean_t(values: F64) -> float | None:
    sd = float(values.std(ddof=1))
    return float(values.mean()) / (sd / math.sqrt(values.size)) if sd > 0.0 else None


MIN_PLACEBOS = 30
LEVEL = 0.05
DEPENDENT = 1e-12  # a share of what it is of that is rounding


@dataclass(frozen=True, slots=True)
class Placebo:
    """`p_placebo` is the share of the `n_placebo` days, and the event, with a |t| at least as large as the event's.

    `placebo_rejects` is the share of those days that the test calls significant at 5 %, 0.05 where it keeps its word.
    """

    p_placebo: float | None = None
    n_placebo: int = 0
    placebo_rejects: float | None = None


@dataclass(frozen=True, slots=True)
class EveryRow:
    """The market model as if each of `rows` (R,) were an event's: coefficients (R, k), (X'X)^-1 and residual variance.

    `y` (T,) and `design` (T, k) are what it was fitted on, 0 where a row is not `complete`.
    """

    y: F64
    design: F64
    complete: Bools
    rows: I64
    coef: F64
    inverse: F64
    s2: F64

    def t(self, first: int, last: int) -> F64:
        """(T,) t of the CAR over [first, last] about every row, as `event_study` gives it; NaN where it gives none."""
        t = np.full(len(self.y), np.nan)
        begin, width = self.rows + first, last - first + 1
        fits = (begin >= 0) & (begin + width <= len(self.y))
        columns = np.column_stack([self.design, self.y, self.complete])
        sums = _window_sums(columns, width)[begin[fits]]
        x, y, whole = sums[:, :-2], sums[:, -2], sums[:, -1] == width
        # The sum over the event rows of s² (I + X (X'X)^-1 X'), as in `abnormal_returns`.
        spread = width + (x[:, None, :] @ self.inverse[fits] @ x[:, :, None])[:, 0, 0]
        car = y - (self.coef[fits] * x).sum(axis=1)
        t[self.rows[fits]] = np.where(whole, car, np.nan) / np.sqrt(self.s2[fits] * spread)
        return t


def fit_every_row(y: F64, factors: F64, *, length: int, end: int) -> EveryRow:
    """The model on `length` rows that end `end` rows from each row; y (T,), factors (T, k).

    All windows are solved in one batch of normal equations of the few coefficients.
    """
    design = with_constant(np.asarray(factors, dtype=np.float64).reshape(len(y), -1))
    complete, k = finite_rows(y, design), design.shape[1]
    # A missing row weighs nothing: zeros in every sum, the constant's too.
    x, target = np.where(complete[:, None], design, 0.0), np.where(complete, y, 0.0)
    rows = np.arange(max(length - 1 - end, 0), len(y))
    both = np.column_stack([x, target])
    sums = _window_sums((both[:, :, None] * both[:, None, :]).reshape(len(y), -1), length)
    moments = sums[np.minimum(rows + end - length + 1, len(sums) - 1)].reshape(-1, k + 1, k + 1)
    squares, cross, count = moments[:, :k, :k].copy(), moments[:, :k, k], moments[:, 0, 0]
    scale = np.prod(squares.diagonal(axis1=1, axis2=2), axis=1)
    solvable = (count >= max(MIN_ESTIMATION, k + 2)) & (np.linalg.det(squares) > DEPENDENT * scale)
    squares[~solvable] = np.eye(k)
    inverse: F64 = np.linalg.inv(squares).astype(np.float64, copy=False)
    coef: F64 = (inverse @ cross[:, :, None])[:, :, 0]
    ssr = moments[:, k, k] - (coef * cross).sum(axis=1)
    s2 = np.full(len(rows), np.nan)
    usable = solvable & (ssr > DEPENDENT * moments[:, k, k])
    s2[usable] = ssr[usable] / (count[usable] - k)
    return EveryRow(target, x, complete, rows, coef, inverse, s2)


def _window_sums(columns: F64, width: int) -> F64:
    """(T - width + 1, ...) sums of `width` rows from each row on."""
    running = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns, axis=0)])
    sums: F64 = running[width:] - running[:-width]
    return sums


def placebo(own: float | None, others: F64, *, df: float) -> Placebo:
    """The event's statistic among those of placebo days (N,), NaN left out; empty below 30 of them or without it."""
    known = np.abs(others[np.isfinite(others)])
    if own is None or known.size < MIN_PLACEBOS:
        return Placebo()
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
