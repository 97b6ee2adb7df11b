"""Least squares on several regressors: the fit other statistics (factors, events, breaks, lead-lag) build on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.standard_errors import auto_lag, hac_covariance
from indexer.arrays import F64, Bools
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
