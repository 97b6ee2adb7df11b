"""Beta of one series on another with honest errors: the headline number.

After `align`, before the API. The reported error is the larger of OLS and Newey-West: on short windows HAC
alone shrinks (docs/analytics.md, "Which error"). Quantiles are Student's t with n - 2 degrees of freedom, never normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics import Method as Method  # noqa: PLC0414 - offered here too
from indexer.analytics.correlation import fisher_interval
from indexer.analytics.linear import auto_lag, se_hac, se_hc, student_interval, t_two_sided
from indexer.analytics.series import centred, finite_pairs, moments, refusal
from indexer.arrays import F64
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MIN_PAIRS = 3
SHORT_WINDOW = 60
# A residual sum below this share of the total is rounding of an exact fit.
EXACT_FIT = 1e-28


class BetaPath(StrEnum):
    """How a beta is followed over time: `KALMAN` is filtered, known then; `KALMAN_SMOOTHED` is hindsight."""

    ROLLING = "rolling"
    EWMA = "ewma"
    KALMAN = "kalman"
    KALMAN_SMOOTHED = "kalman_smoothed"


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
    overlap: int = 1,
) -> BetaResult:
    """OLS beta of y on x with OLS, HC3 and HAC errors.

    x and y are returns (or excess returns) of the same intervals; rows with a non-finite side are left out.
    `hac_lag` defaults to floor(4 (n/100)^(2/9)), at least `overlap` - 1 for h-period overlapping returns.
    Never raises for lack of data: the numbers are then None, with a reason.
    """
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence {confidence} must lie between 0 and 1, e.g. 0.95")
    a, b = finite_pairs(x, y)
    reason = refusal(a, b, least=MIN_PAIRS)
    if reason is not None:
        return BetaResult(n=a.size, periods_per_year=periods_per_year, confidence=confidence, reason=reason)
    lag = max(auto_lag(a.size), overlap - 1) if hac_lag is None else hac_lag
    return _fitted(a, b, lag=min(lag, a.size - 1), periods_per_year=periods_per_year, confidence=confidence)


def _fitted(x: F64, y: F64, *, lag: int, periods_per_year: float, confidence: float) -> BetaResult:
    m = moments(x, y)
    beta = m.sxy / m.sxx
    alpha = m.mean_y - beta * m.mean_x
    dx, _ = centred(x)
    u, ssr = _residuals(dx, centred(y)[0], beta=beta)
    df = m.n - 2
    s2 = ssr / df
    ols, hac, hc3 = math.sqrt(s2 / m.sxx), se_hac(dx, u, lag=lag), se_hc(dx, u, kind=3)
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
        se_hc3=None if math.isnan(hc3) else hc3,
        se=se,
        hac_lag=lag,
        ci_low=low,
        ci_high=high,
        t=t,
        p=None if t is None else t_two_sided(t, df),
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
