"""Did the relation change? Tests for breaks at unknown dates, and a verdict on decoupling from two spans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.analytics.beta import BetaResult, compute_beta
from indexer.analytics.linear import f_upper, finite_rows, fit_linear, kolmogorov_upper, normal_two_sided, with_constant
from indexer.analytics.series import ZERO_VARIANCE, as_series, correlation_change, finite_pairs, moments
from indexer.arrays import F64, I64, ArrayLike
from indexer.errors import InputError

# sup-Wald = k sup-F over 15..85 % of the sample: values exceeded with 10, 5 and 1 % probability, by the number
# of coefficients that may break (simulated, 20,000 runs of 2,000 rows). Not chi-square.
SUP_WALD_CRITICAL = {1: (7.14, 8.66, 12.34), 2: (10.00, 11.64, 15.38), 3: (12.29, 14.31, 18.38)}
SIGNIFICANCE = (0.10, 0.05, 0.01)
TRIM = 0.15
EXACT = 1e-28  # a residual sum below this share of the total is rounding
STILL = "a series does not move, or fits exactly: no residual to test against"


@dataclass(frozen=True, slots=True)
class ChowTest:
    """F(k, n - 2k) of a break in all k coefficients before row `row` (the first row of the second part)."""

    n: int
    row: int
    f: float | None = None
    p: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SupF:
    """Largest Chow F over the trimmed dates, at `row`. `sup_wald` = k f is compared with `critical` (10, 5, 1 %).

    `level` is the smallest of 0.10, 0.05, 0.01 at which stability is rejected, None when it is not rejected.
    """

    n: int
    k: int = 0
    row: int | None = None
    f: float | None = None
    sup_wald: float | None = None
    critical: tuple[float, ...] = ()
    level: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Cusum:
    """sup |cumulated OLS residuals| / (s sqrt n), at `row`, with p of the Brownian bridge."""

    n: int
    stat: float | None = None
    p: float | None = None
    row: int | None = None
    reason: str | None = None


def chow_test(x: ArrayLike, y: ArrayLike, *, row: int) -> ChowTest:
    """Chow's test of one relation before and from `row` of the input; x is (T,) or (T, k - 1).

    The date must be chosen without looking at the data; otherwise use `sup_f`.
    """
    design, target, rows = _prepared(x, y)
    at = int(np.searchsorted(rows, row))
    n, k = design.shape
    if at <= k or n - at <= k:
        return ChowTest(n, row, reason=f"{at} rows before and {n - at} after, more than {k} are needed on each side")
    parts = (slice(None), slice(None, at), slice(at, None))
    whole, before, after = (fit_linear(design[rows], target[rows]) for rows in parts)
    if whole is None or before is None or after is None:
        return ChowTest(n, row, reason="the benchmark does not move on one side of the date")
    apart = before.ssr + after.ssr
    if apart <= EXACT * float(target @ target):
        return ChowTest(n, row, reason="both sides fit exactly: there is no residual to test against")
    f = (whole.ssr - apart) / k / (apart / (n - 2 * k))
    return ChowTest(n, row, f, f_upper(f, k, df2=n - 2 * k))


def sup_f(x: ArrayLike, y: ArrayLike, *, edge: int | None = None) -> SupF:
    """Quandt-Andrews test of a break at an unknown date at least `edge` rows from either end.

    The critical values hold for 15 % of the rows, which it is when not given.
    """
    design, target, rows = _prepared(x, y)
    n, k = design.shape
    room = max(math.floor(TRIM * n) if edge is None else edge, k + 1)
    if n - room < room or n < 4 * k:
        return SupF(n, k, reason=f"{n} rows leave no date to test after trimming")
    whole = fit_linear(design, target)
    if whole is None or whole.ssr <= EXACT * float(target @ target):
        return SupF(n, k, reason=STILL)
    splits = np.arange(room, n - room + 1)
    apart = _split_ssr(design, target, splits=splits)
    with np.errstate(invalid="ignore", divide="ignore"):
        path = (whole.ssr - apart) / k / (apart / (n - 2 * k))
    if np.isnan(path).all():
        return SupF(n, k, reason=STILL)
    best = int(np.nanargmax(path))
    wald, critical = float(path[best]) * k, SUP_WALD_CRITICAL.get(k, ())
    passed = [level for level, value in zip(SIGNIFICANCE, critical, strict=bool(critical)) if wald > value]
    return SupF(n, k, int(rows[splits[best]]), float(path[best]), wald, critical, min(passed, default=None))


def cusum_ols(x: ArrayLike, y: ArrayLike) -> Cusum:
    """OLS-CUSUM of Ploberger and Krämer 1992 (statsmodels `breaks_cusumolsresid` with ddof = k)."""
    design, target, rows = _prepared(x, y)
    n, k = design.shape
    if n < k + 3:
        return Cusum(n, reason=f"{n} aligned rows, at least {k + 3} are needed")
    fit = fit_linear(design, target)
    if fit is None or fit.ssr <= EXACT * float(target @ target):
        return Cusum(n, reason=STILL)
    path = np.abs(np.cumsum(fit.residual)) / math.sqrt(fit.s2 * n)
    row = int(np.argmax(path))
    return Cusum(n, float(path[row]), kolmogorov_upper(float(path[row])), int(rows[row]))


def beta_difference(before: BetaResult, after: BetaResult) -> tuple[float, float | None] | None:
    """(z, two-sided p) of equal betas in two windows that share no row, on their errors; None where one has none."""
    if before.beta is None or after.beta is None or not before.se or not after.se:
        return None
    z = (after.beta - before.beta) / math.sqrt(before.se**2 + after.se**2)
    return z, normal_two_sided(z)


def _prepared(x: ArrayLike, y: ArrayLike) -> tuple[F64, F64, I64]:
    target = as_series(y, "y")
    columns = np.asarray(x, dtype=np.float64).reshape(target.size, -1)
    keep = np.flatnonzero(finite_rows(target, columns))
    return with_constant(columns[keep]), target[keep], keep


def _split_ssr(design: F64, y: F64, *, splits: I64) -> F64:
    """Residual sum of the two parts at every split; NaN where a part's benchmark does not move.

    From running moments of centred, scaled columns.
    """
    k = design.shape[1]
    scaled = design.copy()
    scaled[:, 1:] = (scaled[:, 1:] - scaled[:, 1:].mean(axis=0)) / scaled[:, 1:].std(axis=0)
    rows = np.concatenate([scaled, ((y - y.mean()) / y.std())[:, None]], axis=1)
    # Σ zz' up to every split at once; what lies after it is the difference from the whole.
    products = np.cumsum(rows[:, :, None] * rows[:, None, :], axis=0)
    first = products[splits - 1]
    total = np.zeros(len(splits))
    for part in (first, products[-1] - first):
        squares = part[:, :k, :k].copy()
        still = np.linalg.det(squares) <= ZERO_VARIANCE * np.prod(squares.diagonal(axis1=1, axis2=2), axis=1)
        squares[still] = np.eye(k)
        coef = np.linalg.solve(squares, part[:, :k, k:])
        # SSR = y'y - y'X b.
        total += np.where(still, np.nan, part[:, k, k] - np.einsum("ij,ij->i", part[:, :k, k], coef[:, :, 0]))
    return total * float(y.var())


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
    return max(-1.0, min(1.0, r / math.sqrt(1.0 + delta * (1.0 - r * r))))


def correlation_shift(x: ArrayLike, y: ArrayLike, *, row: int) -> CorrelationShift:
    """Change of correlation at `row` (first row of the second part), with and without the volatility correction."""
    a, b = as_series(x, "x"), as_series(y, "y")
    (x1, y1), (x2, y2) = finite_pairs(a[:row], b[:row]), finite_pairs(a[row:], b[row:])
    if min(x1.size, x2.size) < 4:
        return CorrelationShift(x1.size, x2.size, reason=f"{x1.size} pairs before and {x2.size} after, 4 are needed")
    first, second = moments(x1, y1), moments(x2, y2)
    if min(first.sxx, first.syy, second.sxx, second.syy) == 0.0:
        return CorrelationShift(x1.size, x2.size, reason="a series does not move on one side (zero variance)")
    before, after = first.correlation, second.correlation
    delta = (second.sxx / (second.n - 1)) / (first.sxx / (first.n - 1)) - 1.0
    adjusted = forbes_rigobon(after, delta)
    z, p = correlation_change(before, first.n, r2=adjusted, n2=second.n)
    _, p_raw = correlation_change(before, first.n, r2=after, n2=second.n)
    return CorrelationShift(first.n, second.n, before, after, adjusted, delta, z, p, p_raw)


def regime_table(
    x: ArrayLike, y: ArrayLike, *, times_us: ArrayLike, regimes: Sequence[Regime], periods_per_year: float = 252.0
) -> list[RegimeRow]:
    """One row per regime, in order; `times_us` are interval ends, of which none may belong to two."""
    times, a, b = np.asarray(times_us, dtype=np.int64), as_series(x, "x"), as_series(y, "y")
    rows = []
    for regime in regimes:
        inside = (times >= regime.start_us) & (times < regime.end_us)
        fit = compute_beta(a[inside], b[inside], periods_per_year=periods_per_year)
        vx, vy = (_volatility(side[inside], periods_per_year=periods_per_year) for side in (a, b))
        rows.append(RegimeRow(regime, fit, fit.correlation, fit.correlation_low, fit.correlation_high, vx, vy))
    return rows


def _volatility(returns: ArrayLike, *, periods_per_year: float) -> float | None:
    series = as_series(returns, "returns")
    known = series[np.isfinite(series)]
    return float(known.std(ddof=1)) * math.sqrt(periods_per_year) if known.size >= 2 else None
