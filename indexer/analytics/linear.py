"""Least squares with honest errors: OLS, robust (HC0..HC3) and Newey-West standard errors, and their laws.

For one regressor only the centred score g_t = u_t (x_t - mean x) is needed, which equals the full sandwich;
`hac_covariance` is the general form for several regressors (docs/analytics.md).
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


def auto_lag(n: int) -> int:
    """Newey-West lag floor(4 (n/100)^(2/9)): 2 at n=16, 3 at 90, 4 at 252, 6 at 1,000."""
    return math.floor(4.0 * math.pow(n / 100.0, 2.0 / 9.0))


def se_hac(dx: F64, residual: F64, *, lag: int, corrected: bool = True) -> float:
    """Newey-West standard error of the slope, Bartlett weights.

    `dx` is the centred regressor, `lag` the number of autocovariances; `corrected` applies n/(n-2).
    Source: Newey and West 1987; equal to statsmodels cov_type="HAC".
    """
    n = dx.size
    if not 0 <= lag < n:
        raise InputError(f"HAC lag {lag} must lie between 0 and n - 1 = {n - 1}")
    score = residual * dx
    meat = float(score @ score)
    for step in range(1, lag + 1):
        meat += 2.0 * (1.0 - step / (lag + 1.0)) * float(score[step:] @ score[:-step])
    factor = n / (n - 2.0) if corrected else 1.0
    return math.sqrt(max(meat, 0.0) * factor) / float(dx @ dx)


def se_hc(dx: F64, residual: F64, *, kind: int = 3) -> float:
    """Heteroskedasticity-robust standard error of the slope: HC0, HC1, HC2 or HC3 (MacKinnon and White 1985).

    NaN when a row has leverage 1 under HC2 or HC3: its residual carries no information.
    """
    n, sxx = dx.size, float(dx @ dx)
    squared = residual * residual
    if kind in (2, 3):
        room = 1.0 - (1.0 / n + dx * dx / sxx)
        if float(room.min()) < 1e-12:
            return math.nan
        squared = squared / (room if kind == 2 else room * room)
    elif kind == 1:
        squared = squared * (n / (n - 2.0))
    elif kind != 0:
        raise InputError(f"HC{kind} is not known; use 0, 1, 2 or 3")
    return math.sqrt(float(squared @ (dx * dx))) / sxx


def hac_covariance(design: F64, residual: F64, *, lag: int) -> F64:
    """(k, k) Newey-West covariance of the coefficients of a regression on `design` (n, k)."""
    n, k = design.shape
    score = design * residual[:, None]
    meat = score.T @ score
    for step in range(1, lag + 1):
        gamma = score[step:].T @ score[:-step]
        meat = meat + (1.0 - step / (lag + 1.0)) * (gamma + gamma.T)
    bread = np.linalg.inv(design.T @ design)
    covariance: F64 = n / (n - k) * (bread @ meat @ bread)
    return covariance


def t_quantile(df: float, p: float) -> float:
    """The p-quantile of Student's t with df degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(df, p))


def student_interval(value: float, se: float, *, df: float, confidence: float) -> tuple[float, float]:
    """(low, high) of a value: value ± t(df) se."""
    half = t_quantile(df, 0.5 + confidence / 2.0) * se
    return value - half, value + half


def t_two_sided(t: float, df: float) -> float:
    """P(|T| >= |t|) for Student's t with df degrees of freedom."""
    from scipy.special import stdtr

    return float(2.0 * stdtr(df, -abs(t)))


def normal_quantile(p: float) -> float:
    """The p-quantile of the standard normal."""
    from scipy.special import ndtri

    return float(ndtri(p))


def normal_two_sided(z: float) -> float:
    """P(|Z| >= |z|) for the standard normal."""
    from scipy.special import ndtr

    return float(2.0 * ndtr(-abs(z)))


def f_upper(f: float, df1: float, *, df2: float) -> float:
    """P(F >= f) for the F law with df1 and df2 degrees of freedom."""
    from scipy.special import fdtrc

    return float(fdtrc(df1, df2, f))


def kolmogorov_upper(x: float) -> float:
    """P(sup |Brownian bridge| >= x), the limit law of the OLS-CUSUM statistic."""
    from scipy.special import kolmogorov

    return float(kolmogorov(x))


# Above this condition number of the scaled design the coefficients carry fewer than 6 digits.
MAX_CONDITION = 1e10


@dataclass(frozen=True, slots=True)
class LinearFit:
    """Coefficients (k,), residuals (n,), (X'X)^-1 (k, k), residual sum and degrees of freedom of one fit."""

    coef: F64
    residual: F64
    inverse: F64
    ssr: float
    df: int

    @property
    def s2(self) -> float:
        """Residual variance with n - k degrees of freedom."""
        return self.ssr / self.df

    @property
    def covariance(self) -> F64:
        """Covariance of the coefficients under equal variances."""
        return self.s2 * self.inverse


def with_constant(*columns: F64) -> F64:
    """(n, k + 1) design: a column of ones and the given columns."""
    design: F64 = np.column_stack([np.ones(len(columns[0])), *columns])
    return design


def fit_linear(design: F64, y: F64) -> LinearFit | None:
    """OLS of y on the design as given (no constant added); None when the columns are (nearly) dependent.

    Raises InputError when there are not more rows than columns.
    """
    n, k = design.shape
    if n <= k:
        raise InputError(f"{n} rows cannot determine {k} coefficients and an error")
    scale = np.sqrt((design * design).sum(axis=0))
    if not np.all(scale > 0.0):
        return None
    q, r = np.linalg.qr(design / scale)
    if np.linalg.cond(r) > MAX_CONDITION:
        return None
    coef = np.linalg.solve(r, q.T @ y) / scale
    residual = y - design @ coef
    half = np.linalg.inv(r) / scale[:, None]
    return LinearFit(coef, residual, half @ half.T, float(residual @ residual), n - k)


def combination_se(fit: LinearFit, design: F64, *, weights: ArrayLike, lag: int | None = None) -> tuple[float, float]:
    """(OLS, HAC) standard error of weights'coef; the HAC lag defaults to the automatic one."""
    c = np.asarray(weights, dtype=np.float64)
    hac = hac_covariance(design, fit.residual, lag=auto_lag(len(design)) if lag is None else lag)
    return math.sqrt(float(c @ fit.covariance @ c)), math.sqrt(max(float(c @ hac @ c), 0.0))


def finite_rows(*columns: F64) -> Bools:
    """(n,) mask of the rows where every given (n,) or (n, k) array is finite."""
    keep = np.ones(len(columns[0]), dtype=np.bool_)
    for column in columns:
        if len(column) != len(keep):
            raise InputError(f"series of {len(keep)} and {len(column)} rows; align them to the same instants first")
        keep &= np.isfinite(column).reshape(len(column), -1).all(axis=1)
    return keep
