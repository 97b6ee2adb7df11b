"""Downside and upside beta: five definitions in use, and the one that comes with a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.analytics.beta import compute_beta
from indexer.analytics.distributions import f_upper
from indexer.analytics.linear import combination_se, fit_linear, with_constant
from indexer.analytics.series import finite_pairs
from indexer.arrays import F64

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class AsymmetricBeta:
    """Two slopes fitted together, y = a + up max(x, 0) + down min(x, 0), and the Wald test that they are equal.

    The other definitions stand beside it: `ols_down`, `ols_up` (regression on the side's rows alone),
    `ang_chen_xing` (rows below the mean), `lpm` (lower partial moment about 0) and `estrada`.
    """

    n: int
    n_down: int
    n_up: int
    up: float | None = None
    down: float | None = None
    se_up: float | None = None
    se_down: float | None = None
    wald_f: float | None = None
    wald_p: float | None = None
    ols_down: float | None = None
    ols_up: float | None = None
    ang_chen_xing: float | None = None
    lpm: float | None = None
    estrada: float | None = None
    reason: str | None = None


def asymmetric_beta(x: ArrayLike, y: ArrayLike) -> AsymmetricBeta:
    """Upside and downside beta of y on x. `se_up` and `se_down` are the larger of OLS and HAC.

    Sources: Bawa and Lindenberg 1977 (lpm), Ang, Chen and Xing 2006, Estrada 2002; the Wald test is F(1, n - 3).
    """
    a, b = finite_pairs(x, y)
    counts = (a.size, int((a < 0.0).sum()), int((a > 0.0).sum()))
    if min(counts[1:]) < 3:
        reason = f"{counts[1]} falling and {counts[2]} rising pairs, at least 3 of each are needed"
        return AsymmetricBeta(*counts, reason=reason)
    rising, falling = np.maximum(a, 0.0), np.minimum(a, 0.0)
    design = with_constant(rising, falling)
    fit = fit_linear(design, b)
    if fit is None:
        return AsymmetricBeta(*counts, reason="the two sides cannot be told apart (dependent regressors)")
    gap = float(fit.coef[1] - fit.coef[2])
    variance = fit.s2 * float(fit.inverse[1, 1] + fit.inverse[2, 2] - 2.0 * fit.inverse[1, 2])
    wald = gap * gap / variance if variance > 0.0 else None
    below = a < a.mean()
    return AsymmetricBeta(
        *counts,
        up=float(fit.coef[1]),
        down=float(fit.coef[2]),
        se_up=max(combination_se(fit, design, weights=[0.0, 1.0, 0.0])),
        se_down=max(combination_se(fit, design, weights=[0.0, 0.0, 1.0])),
        wald_f=wald,
        wald_p=None if wald is None else f_upper(wald, 1, df2=fit.df),
        ols_down=compute_beta(a[a < 0.0], b[a < 0.0]).beta,
        ols_up=compute_beta(a[a > 0.0], b[a > 0.0]).beta,
        ang_chen_xing=compute_beta(a[below], b[below]).beta,
        lpm=_ratio(b, falling, by=falling),
        estrada=_ratio(np.minimum(b - b.mean(), 0.0), np.minimum(a - a.mean(), 0.0), by=np.minimum(a - a.mean(), 0.0)),
    )


def capture(x: ArrayLike, y: ArrayLike) -> tuple[float | None, float | None]:
    """(upside, downside) capture: mean simple return of y over that of x on rising and on falling intervals."""
    a, b = finite_pairs(x, y)
    sides = (a > 0.0, a < 0.0)
    up, down = (float(b[side].mean() / a[side].mean()) if side.any() else None for side in sides)
    return up, down


def _ratio(top: F64, side: F64, *, by: F64) -> float | None:
    below = float(by @ by)
    return float(top @ side) / below if below > 0.0 else None
