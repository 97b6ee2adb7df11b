"""Beta to several benchmarks at once: QQQ given BTC, and whether the data can tell them apart.

Trap: BTC may be a constituent. Regressing an index that holds BTC on BTC is partly a regression on itself;
pass the ex-BTC index for the controlled beta and say so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.linear import (
    LinearFit,
    auto_lag,
    finite_rows,
    fit_linear,
    hac_covariance,
    student_interval,
    t_two_sided,
    with_constant,
)
from indexer.analytics.series import as_series
from indexer.arrays import F64

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

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
    target = as_series(y, "y")
    columns = np.column_stack([as_series(values, name) for name, values in factors.items()])
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
                p=None if t is None else t_two_sided(t, fit.df),
                vif=float(inflation[place - 1]),
                partial_correlation=partial,
            )
        )
    return tuple(rows)
