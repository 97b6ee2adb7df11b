"""Beta of one series on another, the headline number, with honest errors, and its bootstrap interval.

The reported error is the larger of OLS and Newey-West (docs/analytics.md, "Which error"); quantiles are Student's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from indexer.analytics import Method as Method  # noqa: PLC0414 - offered here too
from indexer.analytics.linear import auto_lag, se_hac, se_hc3, student_interval, t_two_sided
from indexer.analytics.series import as_series, centred, finite_pairs, fisher_interval, moments, refusal
from indexer.arrays import F64, I64, ArrayLike
from indexer.errors import InputError

MIN_PAIRS = 3
SHORT_WINDOW = 60
# A residual sum below this share of the total is rounding of an exact fit.
EXACT_FIT = 1e-28


class BetaPath(StrEnum):
    """How a beta is followed over time: `KALMAN` is filtered, known then; `KALMAN_SMOOTHED` is hindsight.

    `ROLLING` is least squares; `UPSIDE`, `DOWNSIDE` and `QUANTILE` are these betas of each window.
    """

    ROLLING = "rolling"
    EWMA = "ewma"
    KALMAN = "kalman"
    KALMAN_SMOOTHED = "kalman_smoothed"
    UPSIDE = "upside"
    DOWNSIDE = "downside"
    QUANTILE = "quantile"


@dataclass(frozen=True, slots=True)
class BetaResult:
    """y = alpha + beta x + u over `n` pairs. A number is None when it does not exist; `reason` then says why.

    `se` is the larger of `se_ols` and `se_hac` and carries `ci_low`, `ci_high`, `t` and `p` (two-sided against
    beta = 0). `alpha_annualised` is alpha times the returns a year of the clock.
    """

    n: int
    beta: float | None = None
    alpha: float | None = None
    alpha_annualised: float | None = None
    se_alpha: float | None = None
    se_ols: float | None = None
    se_hac: float | None = None
    se_hc3: float | None = None
    se: float | None = None
    hac_lag: int | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    t: float | None = None
    p: float | None = None
    r2: float | None = None
    r2_adj: float | None = None
    correlation: float | None = None
    correlation_low: float | None = None
    correlation_high: float | None = None
    residual_sd: float | None = None
    durbin_watson: float | None = None
    periods_per_year: float = 252.0
    confidence: float = 0.95
    reason: str | None = None
    warnings: tuple[str, ...] = ()


def compute_beta(
    x: ArrayLike,
    y: ArrayLike,
    *,
    periods_per_year: float = 252.0,
    confidence: float = 0.95,
    hac_lag: int | None = None,
) -> BetaResult:
    """OLS beta of y on x with OLS, HC3 and HAC errors.

    x and y are returns (or excess returns) of the same intervals; rows with a non-finite side are left out.
    `hac_lag` defaults to floor(4 (n/100)^(2/9)).
    Never raises for lack of data: the numbers are then None, with a reason.
    """
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence {confidence} must lie between 0 and 1, e.g. 0.95")
    a, b = finite_pairs(x, y)
    reason = refusal(a, b, least=MIN_PAIRS)
    if reason is not None:
        return BetaResult(n=a.size, periods_per_year=periods_per_year, confidence=confidence, reason=reason)
    lag = auto_lag(a.size) if hac_lag is None else hac_lag
    return _fitted(a, b, lag=min(lag, a.size - 1), periods_per_year=periods_per_year, confidence=confidence)


def _fitted(x: F64, y: F64, *, lag: int, periods_per_year: float, confidence: float) -> BetaResult:
    m = moments(x, y)
    beta = m.sxy / m.sxx
    alpha = m.mean_y - beta * m.mean_x
    dx, _ = centred(x)
    u, ssr = _residuals(dx, centred(y)[0], beta=beta)
    df = m.n - 2
    s2 = ssr / df
    ols, hac = math.sqrt(s2 / m.sxx), se_hac(dx, u, lag=lag)
    se = max(ols, hac)
    low, high = student_interval(beta, se, df=df, confidence=confidence)
    t = beta / se if se > 0.0 else None
    correlation_low, correlation_high = fisher_interval(m.correlation, m.n, confidence=confidence)
    r2 = 1.0 - ssr / m.syy
    return BetaResult(
        n=m.n,
        beta=beta,
        alpha=alpha,
        alpha_annualised=alpha * periods_per_year,
        se_alpha=math.sqrt(s2 * (1.0 / m.n + m.mean_x**2 / m.sxx)),
        se_ols=ols,
        se_hac=hac,
        se_hc3=se_hc3(dx, u),
        se=se,
        hac_lag=lag,
        ci_low=low,
        ci_high=high,
        t=t,
        p=t_two_sided(t, df),
        r2=r2,
        r2_adj=1.0 - (1.0 - r2) * (m.n - 1) / df,
        correlation=m.correlation,
        correlation_low=correlation_low,
        correlation_high=correlation_high,
        residual_sd=math.sqrt(s2),
        durbin_watson=float(np.diff(u) @ np.diff(u)) / ssr if ssr > 0.0 else None,
        periods_per_year=periods_per_year,
        confidence=confidence,
        warnings=_warnings(m.n, ssr),
    )


def _residuals(dx: F64, dy: F64, *, beta: float) -> tuple[F64, float]:
    u = dy - beta * dx
    ssr = float(u @ u)
    return (u * 0.0, 0.0) if ssr <= EXACT_FIT * float(dy @ dy) else (u, ssr)


def _warnings(n: int, ssr: float) -> tuple[str, ...]:
    warnings = []
    if n < SHORT_WINDOW:
        warnings.append(f"short window ({n} < {SHORT_WINDOW} pairs): compare se_hc3 before reading the interval")
    if ssr == 0.0:
        warnings.append("exact fit: the errors are 0 and t does not exist")
    return tuple(warnings)


# Draws of (repetitions, n) indices held at a time.
TAILS = (0.025, 0.975)
MAX_DRAWS = 2_000_000


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """Percentile interval of beta and of the correlation over `repetitions` resamples with mean block `block`."""

    n: int
    repetitions: int
    block: float | None = None
    beta: float | None = None
    beta_low: float | None = None
    beta_high: float | None = None
    se: float | None = None
    correlation_low: float | None = None
    correlation_high: float | None = None
    reason: str | None = None


def bootstrap_beta(x: ArrayLike, y: ArrayLike, *, seed: int, repetitions: int = 2_000) -> BootstrapInterval:
    """95 % percentile intervals for OLS beta and correlation; the same seed gives the same interval."""
    a, b = finite_pairs(x, y)
    reason = refusal(a, b, least=20)
    if reason is not None:
        return BootstrapInterval(a.size, repetitions, reason=reason)
    m = moments(a, b)
    (dx, _), (dy, _) = centred(a), centred(b)
    block = max(1.0, optimal_block(dx * (dy - m.sxy / m.sxx * dx)))
    rng = np.random.default_rng(seed)
    betas, correlations = [], []
    step = max(1, MAX_DRAWS // a.size)
    for done in range(0, repetitions, step):
        rows = stationary_indices(a.size, min(step, repetitions - done), block=block, rng=rng)
        some_beta, some_correlation = _resampled(dx[rows], dy[rows])
        betas.append(some_beta)
        correlations.append(some_correlation)
    beta, correlation = np.concatenate(betas), np.concatenate(correlations)
    low, high = (float(value) for value in np.nanquantile(beta, TAILS))
    r_low, r_high = (float(value) for value in np.nanquantile(correlation, TAILS))
    se = float(np.nanstd(beta, ddof=1))
    return BootstrapInterval(a.size, repetitions, block, m.sxy / m.sxx, low, high, se, r_low, r_high)


def stationary_indices(n: int, repetitions: int, *, block: float, rng: np.random.Generator) -> I64:
    """(repetitions, n) row numbers: runs of mean length `block`, wrapping round the end."""
    restart = rng.random((repetitions, n)) < 1.0 / block
    restart[:, 0] = True
    starts = rng.integers(0, n, size=(repetitions, n))
    place = np.arange(n)
    # Each place counts on from the last restart at or before it.
    last = np.maximum.accumulate(np.where(restart, place, 0), axis=1)
    rows: I64 = (np.take_along_axis(starts, last, axis=1) + place - last) % n
    return rows


def optimal_block(values: ArrayLike) -> float:
    """Mean block length of the stationary bootstrap for the mean of this series; below 1 for independent data."""
    series = as_series(values, "values")
    n = series.size
    e = series - series.mean()
    run = max(5, int(math.log10(n)))
    longest = min(math.ceil(math.sqrt(n)) + run, n - 2)
    cross = np.array([float(e[lag:] @ e[: n - lag]) for lag in range(longest + 1)])
    if cross[0] == 0.0:
        return 1.0
    reach = min(2 * max(_last_significant(e, cross, run=run), 1), longest)
    lags = np.arange(1, reach + 1)
    # Flat-top lag window: full weight up to half of the reach, then falling to 0.
    flat = np.where(lags / reach <= 0.5, 1.0, 2.0 * (1.0 - lags / reach))
    long_run = float(cross[0] + 2.0 * (flat * cross[1 : reach + 1]).sum()) / n
    slope = float(2.0 * (flat * lags * cross[1 : reach + 1]).sum()) / n
    if long_run == 0.0:
        return 1.0
    cap = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    return min(math.pow(slope**2 / long_run**2 * n, 1.0 / 3.0), float(cap))


def _last_significant(e: F64, cross: F64, *, run: int) -> int:
    """First lag from which `run` autocorrelations in a row are insignificant; all lags when there is none."""
    n = e.size
    spread = [float(e[lag + 1 :] @ e[lag + 1 :]) * float(e[: -lag - 1] @ e[: -lag - 1]) for lag in range(len(cross))]
    quiet = np.abs(cross) < 2.0 * math.sqrt(math.log10(n) / n) * np.sqrt(spread)
    for lag in range(len(quiet) - run):
        if quiet[lag : lag + run].all():
            return lag
    return len(quiet)


def _resampled(x: F64, y: F64) -> tuple[F64, F64]:
    dx = x - x.mean(axis=1, keepdims=True)
    dy = y - y.mean(axis=1, keepdims=True)
    sxx, sxy, syy = (dx * dx).sum(axis=1), (dx * dy).sum(axis=1), (dy * dy).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sxy / sxx, sxy / np.sqrt(sxx * syy)
