"""Least squares with honest errors: OLS, robust (HC3), Newey-West, their laws; and betas to several benchmarks.

For one regressor only the centred score g_t = u_t (x_t - mean x) is needed, which equals the full sandwich;
`hac_covariance` is the general form for several regressors (docs/analytics.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, ArrayLike, Bools
from indexer.errors import InputError


def auto_lag(n: int) -> int:
    """Newey-West lag floor(4 (n/100)^(2/9)): 2 at n=16, 3 at 90, 4 at 252, 6 at 1,000."""
    return math.floor(4.0 * math.pow(n / 100.0, 2.0 / 9.0))


def se_hac(dx: F64, residual: F64, *, lag: int) -> float:
    """Newey-West standard error of the slope, Bartlett weights, corrected by n/(n-2).

    `dx` is the centred regressor, `lag` the number of autocovariances. Source: Newey and West 1987; equal to
    statsmodels cov_type="HAC".
    """
    n = dx.size
    if not 0 <= lag < n:
        raise InputError(f"HAC lag {lag} must lie between 0 and n - 1 = {n - 1}")
    score = residual * dx
    meat = float(score @ score)
    for step in range(1, lag + 1):
        meat += 2.0 * (1.0 - step / (lag + 1.0)) * float(score[step:] @ score[:-step])
    return math.sqrt(max(meat, 0.0) * n / (n - 2.0)) / float(dx @ dx)


def se_hc3(dx: F64, residual: F64) -> float | None:
    """Heteroskedasticity-robust standard error of the slope, HC3 (MacKinnon and White 1985).

    None when a row has leverage 1: its residual carries no information.
    """
    sxx = float(dx @ dx)
    room = 1.0 - (1.0 / dx.size + dx * dx / sxx)
    if float(room.min()) < 1e-12:
        return None
    return math.sqrt(float((residual / room) ** 2 @ (dx * dx))) / sxx


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


def _law(name: str, *arguments: float) -> float:
    """A law of scipy.special, which is imported where a number is asked of it."""
    from scipy import special

    return float(getattr(special, name)(*arguments))


def t_quantile(df: float, p: float) -> float:
    """The p-quantile of Student's t with df degrees of freedom."""
    return _law("stdtrit", df, p)


def student_interval(value: float, se: float, *, df: float, confidence: float) -> tuple[float, float]:
    """(low, high) of a value: value ± t(df) se."""
    half = t_quantile(df, 0.5 + confidence / 2.0) * se
    return value - half, value + half


def t_two_sided(t: float | None, df: float) -> float | None:
    """P(|T| >= |t|) for Student's t with df degrees of freedom; None without a t."""
    return None if t is None else 2.0 * _law("stdtr", df, -abs(t))


def normal_quantile(p: float) -> float:
    """The p-quantile of the standard normal."""
    return _law("ndtri", p)


def normal_two_sided(z: float | None) -> float | None:
    """P(|Z| >= |z|) for the standard normal; None without a z."""
    return None if z is None else 2.0 * _law("ndtr", -abs(z))


def f_upper(f: float, df1: float, *, df2: float) -> float:
    """P(F >= f) for the F law with df1 and df2 degrees of freedom."""
    return _law("fdtrc", df1, df2, f)


def kolmogorov_upper(x: float) -> float:
    """P(sup |Brownian bridge| >= x), the limit law of the OLS-CUSUM statistic."""
    return _law("kolmogorov", x)


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


VIF_WARNING = 5.0


@dataclass(frozen=True, slots=True)
class FactorBeta:
    """One factor's coefficient, the other factors held fixed. `se` is the larger of OLS and HAC."""

    name: str
    beta: float
    se_ols: float
    se_hac: float
    se: float
    ci_low: float
    ci_high: float
    t: float | None
    p: float | None
    vif: float
    partial_correlation: float


@dataclass(frozen=True, slots=True)
class FactorModel:
    """The joint fit: `factors` in the order given, or a reason."""

    n: int
    alpha: float | None = None
    alpha_annualised: float | None = None
    r2: float | None = None
    r2_adj: float | None = None
    residual_sd: float | None = None
    factors: tuple[FactorBeta, ...] = ()
    warnings: tuple[str, ...] = ()
    reason: str | None = None


def factor_model(
    y: ArrayLike,
    factors: Mapping[str, ArrayLike],
    *,
    periods_per_year: float = 252.0,
    confidence: float = 0.95,
) -> FactorModel:
    """OLS of y on all factors together; rows with any missing value are left out of every series."""
    target = np.asarray(y, dtype=np.float64)
    columns = np.column_stack([np.asarray(values, dtype=np.float64) for values in factors.values()])
    keep = finite_rows(target, columns)
    target, columns = target[keep], columns[keep]
    n, k = columns.shape
    if n < k + 3:
        return FactorModel(n, reason=f"{n} aligned rows, at least {k + 3} are needed for {k} factors")
    design = with_constant(columns)
    fit = fit_linear(design, target)
    spread = target - target.mean()
    total = float(spread @ spread)
    if fit is None or total == 0.0:
        return FactorModel(n, reason="a series does not move or two factors are the same: no unique fit")
    rows = _rows(fit, design, names=list(factors), lag=auto_lag(n), confidence=confidence)
    r2 = 1.0 - fit.ssr / total
    return FactorModel(
        n=n,
        alpha=float(fit.coef[0]),
        alpha_annualised=float(fit.coef[0]) * periods_per_year,
        r2=r2,
        r2_adj=1.0 - (1.0 - r2) * (n - 1) / fit.df,
        residual_sd=math.sqrt(fit.s2),
        factors=rows,
        warnings=tuple(
            f"{row.name} is nearly a mix of the other factors (VIF {row.vif:.1f}): its beta is uncertain"
            for row in rows
            if row.vif > VIF_WARNING
        ),
    )


def variance_inflation(columns: F64) -> F64:
    """(k,) variance inflation factors 1 / (1 - R²) of each column on the others and a constant."""
    centred = columns - columns.mean(axis=0)
    scaled = centred / np.sqrt((centred * centred).sum(axis=0))
    inflation: F64 = np.diag(np.linalg.inv(scaled.T @ scaled)).copy()
    return inflation


def _rows(fit: LinearFit, design: F64, *, names: list[str], lag: int, confidence: float) -> tuple[FactorBeta, ...]:
    ols = np.sqrt(np.diag(fit.covariance))
    hac = np.sqrt(np.maximum(np.diag(hac_covariance(design, fit.residual, lag=lag)), 0.0))
    inflation = variance_inflation(design[:, 1:])
    rows = []
    for place, name in enumerate(names, start=1):
        beta, se = float(fit.coef[place]), float(max(ols[place], hac[place]))
        low, high = student_interval(beta, se, df=fit.df, confidence=confidence)
        t = beta / se if se > 0.0 else None
        own = beta / float(ols[place]) if ols[place] > 0.0 else math.copysign(math.inf, beta)
        partial = math.copysign(1.0, beta) if math.isinf(own) else own / math.sqrt(own * own + fit.df)
        rows.append(
            FactorBeta(
                name=name,
                beta=beta,
                se_ols=float(ols[place]),
                se_hac=float(hac[place]),
                se=se,
                ci_low=low,
                ci_high=high,
                t=t,
                p=t_two_sided(t, fit.df),
                vif=float(inflation[place - 1]),
                partial_correlation=partial,
            )
        )
    return tuple(rows)
