"""Other betas of the same pairs: up and down markets, quantiles, shrunk to a prior, from returns within a session.

Dimson and Scholes-Williams are for daily bars that are not stamped at the same instants: they remove the bias of a
4-24 h offset, at 1.7 to 3.9 times the error of the synchronous number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from indexer.analytics.beta import compute_beta
from indexer.analytics.linear import (
    combination_se,
    f_upper,
    finite_rows,
    fit_linear,
    normal_quantile,
    student_interval,
    with_constant,
)
from indexer.analytics.series import as_pair, as_series, few_pairs, finite_pairs, moments
from indexer.arrays import F64, I64, ArrayLike
from indexer.errors import InputError, NotEnoughDataError


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


def _ratio(top: F64, side: F64, *, by: F64) -> float | None:
    below = float(by @ by)
    return float(top @ side) / below if below > 0.0 else None


MIN_PAIRS = 10


@dataclass(frozen=True, slots=True)
class QuantileBeta:
    """The line with a share `tau` of the pairs below it. `se` is Powell's sandwich, see `quantile_beta`."""

    tau: float
    n: int
    beta: float | None = None
    alpha: float | None = None
    pinball: float | None = None
    se: float | None = None
    reason: str | None = None


def quantile_beta(x: ArrayLike, y: ArrayLike, *, tau: float = 0.5) -> QuantileBeta:
    """Minimiser of the pinball loss Σ rho_tau(y - a - b x), exact (iterated least squares agrees to 5 digits only).

    The error is the kernel sandwich (Epanechnikov, Hall-Sheather bandwidth) that statsmodels QuantReg reports.
    """
    if not 0.0 < tau < 1.0:
        raise InputError(f"tau {tau} must lie between 0 and 1, e.g. 0.1 for the lower tail")
    a, b = finite_pairs(x, y)
    if a.size < MIN_PAIRS:
        return QuantileBeta(tau, a.size, reason=few_pairs(a.size, least=MIN_PAIRS))
    if moments(a, b).sxx == 0.0:
        return QuantileBeta(tau, a.size, reason="the benchmark does not move in this window (zero variance)")
    alpha, beta = (float(side[0]) for side in _quantile_lines(a[None], b[None], tau=tau))
    u = b - alpha - beta * a
    loss = float(np.where(u >= 0.0, tau * u, (tau - 1.0) * u).sum())
    return QuantileBeta(tau, a.size, beta, alpha, loss, _kernel_se(a, b, residual=u, tau=tau))


def rolling_quantile(x: F64, y: F64, *, window: int, tau: float) -> tuple[F64, F64]:
    """(beta, se) (T,) of `quantile_beta` over the window that ends at each row; NaN where a pair is missing."""
    beta, se = np.full((2, len(y)), np.nan)
    ends, past_x, past_y = _windows(x, y, window)
    alpha, beta[ends] = _quantile_lines(past_x, past_y, tau=tau)
    residual = past_y - alpha[:, None] - beta[ends, None] * past_x
    errors = (_kernel_se(*pair, residual=u, tau=tau) for *pair, u in zip(past_x, past_y, residual, strict=True))
    se[ends] = [np.nan if error is None else error for error in errors]
    return beta, se


def rolling_asymmetric(x: F64, y: F64, *, window: int, side: str) -> tuple[F64, F64]:
    """(beta, se) (T,) of one side, "up" or "down", of `asymmetric_beta` over the window that ends at each row."""
    beta, se = np.full((2, len(y)), np.nan)
    ends, past_x, past_y = _windows(x, y, window)
    for end, *columns in zip(ends.tolist(), past_x, past_y, strict=True):
        fit = asymmetric_beta(*columns)
        if fit.reason is None:
            beta[end], se[end] = getattr(fit, side), getattr(fit, f"se_{side}")
    return beta, se


def _windows(x: F64, y: F64, window: int) -> tuple[I64, F64, F64]:
    """The last rows of the windows without a missing pair in which x moves (W,), and their pairs (W, window)."""
    if len(y) < window:
        return np.zeros(0, np.int64), np.zeros((0, window)), np.zeros((0, window))
    past_x, past_y = (sliding_window_view(side, window) for side in (x, y))
    whole = np.isfinite(past_x).all(axis=1) & np.isfinite(past_y).all(axis=1)
    whole &= past_x.min(axis=1) < past_x.max(axis=1)
    return np.flatnonzero(whole) + window - 1, past_x[whole], past_y[whole]


def _quantile_lines(x: F64, y: F64, *, tau: float) -> tuple[F64, F64]:
    """Alpha and beta (W,) of the line of each row of pairs (W, n).

    Given a slope, the best alpha is a residual's order statistic; the loss is convex in the slope, so that its
    subgradient there says on which side the best slope lies. Bisection ends at a vertex: a line through two pairs.
    """
    # Unit scales keep the steps meaningful for returns of 1e-3.
    sx = np.abs(x).max(axis=1, keepdims=True)
    sy = np.maximum(np.abs(y).max(axis=1, keepdims=True), np.finfo(float).tiny)
    x, y, n = x / sx, y / sy, x.shape[1]
    rank = min(max(math.ceil(n * tau - 1e-9), 1), n) - 1
    share = np.where(np.arange(n) < rank, tau - 1.0, tau)
    share[rank] -= share.sum()  # what the pair on the line bears, so that alpha is at its best

    def at(slope: F64) -> tuple[F64, I64]:
        order = np.argpartition(y - slope[:, None] * x, rank, axis=1)
        return -(np.take_along_axis(x, order, axis=1) * share).sum(axis=1), order[:, rank]

    low, high = np.full(len(x), -1.0), np.full(len(x), 1.0)
    while (far := at(low)[0] > 0.0).any():
        low[far] *= 2.0
    while (far := at(high)[0] < 0.0).any():
        high[far] *= 2.0
    for _ in range(60):
        middle = (low + high) / 2.0
        rising = at(middle)[0] > 0.0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    rows, ends = np.arange(len(x)), (at(low)[1], at(high)[1])
    (x0, y0), (x1, y1) = ((x[rows, end], y[rows, end]) for end in ends)
    with np.errstate(invalid="ignore", divide="ignore"):
        exact = (y1 - y0) / (x1 - x0)
    slope = np.where(np.abs(exact - low) < 1e-6 * np.maximum(1.0, np.abs(low)), exact, low)
    return (y0 - slope * x0) * sy[:, 0], slope * sy[:, 0] / sx[:, 0]


def _kernel_se(x: F64, y: F64, *, residual: F64, tau: float) -> float | None:
    n = x.size
    z = normal_quantile(tau)
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    # Hall and Sheather's bandwidth: how far about tau the density of the residuals is measured.
    hall = n ** (-1 / 3) * normal_quantile(0.975) ** (2 / 3) * (1.5 * density**2 / (2 * z * z + 1)) ** (1 / 3)
    if not 0.0 < tau - hall < tau + hall < 1.0:
        return None
    q75, q25 = np.percentile(residual, [75, 25])
    spread = min(float(np.std(y)), float(q75 - q25) / 1.34)
    width = spread * (normal_quantile(tau + hall) - normal_quantile(tau - hall))
    u = residual / width if width > 0.0 else np.full(n, np.inf)
    height = float(np.where(np.abs(u) <= 1.0, 0.75 * (1.0 - u * u), 0.0).sum()) / (n * width) if width > 0.0 else 0.0
    if height <= 0.0:
        return None
    weight = np.where(residual > 0.0, (tau / height) ** 2, ((1.0 - tau) / height) ** 2)
    design = with_constant(x)
    inverse = np.linalg.inv(design.T @ design)
    covariance = inverse @ ((design.T * weight) @ design) @ inverse
    return math.sqrt(float(covariance[1, 1]))


@dataclass(frozen=True, slots=True)
class Prior:
    """Mean and standard deviation of beta before the data; `n` betas it came from (0 when given by hand)."""

    mean: float
    sd: float
    n: int = 0


@dataclass(frozen=True, slots=True)
class ShrunkBeta:
    """Posterior mean and standard deviation; `weight` is the share that the sample beta keeps."""

    beta: float
    sd: float
    weight: float
    prior: Prior


def blume_beta(beta: float, *, weight: float = 2.0 / 3.0) -> float:
    """weight beta + (1 - weight) (Blume 1975). Bloomberg prints 0.67 beta + 0.33.

    The pull towards 1 holds for shares within their own market, not for tokens on QQQ: shown for comparison.
    """
    return weight * beta + (1.0 - weight)


def vasicek_beta(beta: float, se: float, *, prior: Prior) -> ShrunkBeta:
    """Precision-weighted mean of the sample beta and the prior (Vasicek 1973)."""
    if se < 0.0 or prior.sd < 0.0 or se + prior.sd == 0.0:
        raise InputError("the errors of beta and of the prior must not be negative, nor both be 0")
    weight = prior.sd**2 / (prior.sd**2 + se**2)
    return ShrunkBeta(weight * beta + (1.0 - weight) * prior.mean, math.sqrt(weight) * se, weight, prior)


def cross_section_prior(betas: ArrayLike) -> Prior:
    """Mean and standard deviation (n - 1) of the constituents' own betas, missing ones left out.

    Raises NotEnoughDataError below 3: two tokens are no cross-section.
    """
    known = as_series(betas, "betas")
    known = known[np.isfinite(known)]
    if known.size < 3:
        raise NotEnoughDataError(f"a cross-section prior needs at least 3 betas and there are {known.size}")
    return Prior(float(known.mean()), float(known.std(ddof=1)), known.size)


@dataclass(frozen=True, slots=True)
class RealisedBeta:
    """`covariance` over `variance` of the benchmark; `n_x` and `n_y` observations went in."""

    n_x: int
    n_y: int
    covariance: float | None = None
    variance: float | None = None
    beta: float | None = None
    reason: str | None = None


def hayashi_yoshida(times_x: ArrayLike, x: ArrayLike, *, times_y: ArrayLike, y: ArrayLike) -> RealisedBeta:
    """Σ dX dY over all overlapping intervals, divided by Σ dX² (Hayashi and Yoshida 2005).

    x and y are log prices (not returns) at their own strictly increasing instants; nothing is interpolated.
    The sum over the y intervals that touch one x interval telescopes, so the cost is n log n.
    """
    tx, px = _observed(times_x, x, "benchmark")
    ty, py = _observed(times_y, y, "index")
    if tx.size < 2 or ty.size < 2:
        return RealisedBeta(tx.size, ty.size, reason="each side needs at least 2 observations")
    # For each x interval the y observations that enclose it: all y intervals that touch it lie between them.
    first = np.maximum(np.searchsorted(ty, tx[:-1], side="right") - 1, 0)
    last = np.minimum(np.searchsorted(ty, tx[1:], side="left"), ty.size - 1)
    # Intervals of x wholly outside y's span touch nothing.
    reach = np.where(last > first, py[last] - py[first], 0.0)
    dx = np.diff(px)
    covariance, variance = float(dx @ reach), float(dx @ dx)
    if variance == 0.0:
        return RealisedBeta(tx.size, ty.size, covariance, variance, reason="the benchmark does not move")
    return RealisedBeta(tx.size, ty.size, covariance, variance, covariance / variance)


def _observed(times: ArrayLike, values: ArrayLike, name: str) -> tuple[F64, F64]:
    at, series = np.asarray(times), as_series(values, name)
    if at.shape != series.shape:
        raise InputError(f"{name}: {at.size} times and {series.size} values do not pair up")
    keep = np.isfinite(series)
    at, series = at[keep], series[keep]
    if np.any(np.diff(at) <= 0):
        raise InputError(f"{name} times must strictly increase. Sort and remove duplicates first")
    return at, series


@dataclass(frozen=True, slots=True)
class LeadLagBeta:
    """`beta` with its joint error; `lags` are the coefficients from the farthest lag to the farthest lead.

    `se` is the larger of `se_ols` and `se_hac`. `sync` is "dimson" or "scholes_williams".
    """

    sync: str
    n: int
    beta: float | None = None
    se_ols: float | None = None
    se_hac: float | None = None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    lags: tuple[float, ...] = ()
    rho1: float | None = None
    beta_iv: float | None = None
    reason: str | None = None


def dimson_beta(
    x: ArrayLike, y: ArrayLike, *, span: int = 1, confidence: float = 0.95, hac_lag: int | None = None
) -> LeadLagBeta:
    """Sum of the coefficients of y_t on x_{t-span} .. x_{t+span}, with the error of the sum (Dimson 1979).

    Rows are consecutive intervals with NaN where one is missing: a lag never reaches over a hole.
    """
    if span < 1:
        raise InputError(f"span {span} must be at least 1; use compute_beta without lags")
    a, b = as_pair(x, y)
    width = 2 * span + 1
    if a.size < width:
        return LeadLagBeta("dimson", 0, reason=f"{a.size} rows, at least {2 * width + 1} are needed")
    # Row t holds x from the farthest lag to the farthest lead; y loses `span` rows at either end.
    columns = sliding_window_view(a, width)
    target = b[span : b.size - span]
    keep = finite_rows(columns, target)
    if keep.sum() < 2 * width:
        reason = f"{int(keep.sum())} complete rows, at least {2 * width} are needed"
        return LeadLagBeta("dimson", int(keep.sum()), reason=reason)
    design = with_constant(columns[keep])
    fit = fit_linear(design, target[keep])
    if fit is None:
        return LeadLagBeta("dimson", int(keep.sum()), reason="the benchmark does not move enough to tell lags apart")
    ols, hac = combination_se(fit, design, weights=np.r_[0.0, np.ones(width)], lag=hac_lag)
    beta = float(fit.coef[1:].sum())
    se = max(ols, hac)
    low, high = student_interval(beta, se, df=fit.df, confidence=confidence)
    return LeadLagBeta("dimson", int(keep.sum()), beta, ols, hac, se, low, high, tuple(fit.coef[1:].tolist()))


def scholes_williams_beta(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> LeadLagBeta:
    """(b_lag + b_0 + b_lead) / (1 + 2 rho1) from three separate regressions (Scholes and Williams 1977).

    `beta_iv` is the instrumental-variable form with instrument x_{t-1} + x_t + x_{t+1}; the two agree only
    asymptotically. The error is that of the IV form. A check on Dimson, not a replacement.
    """
    a, b = as_pair(x, y)
    parts = (compute_beta(a[:-1], b[1:]), compute_beta(a, b), compute_beta(a[1:], b[:-1]))
    rho = _autocorrelation(a)
    n = parts[1].n
    bad = next((part.reason for part in parts if part.beta is None), None)
    if bad is not None or rho is None or n < 8:
        return LeadLagBeta("scholes_williams", n, reason=bad or few_pairs(n, least=8))
    lags = tuple(float(part.beta) for part in parts if part.beta is not None)
    if abs(1.0 + 2.0 * rho) < 0.1:
        reason = f"the benchmark's autocorrelation {rho:.2f} makes the denominator 1 + 2 rho vanish"
        return LeadLagBeta("scholes_williams", n, lags=lags, rho1=rho, reason=reason)
    beta = sum(lags) / (1.0 + 2.0 * rho)
    beta_iv, se, rows = _instrumental(a, b)
    low, high = (None, None)
    if se is not None:
        low, high = student_interval(beta, se, df=rows - 2, confidence=confidence)
    return LeadLagBeta("scholes_williams", n, beta, se, None, se, low, high, lags, rho, beta_iv)


def _autocorrelation(x: F64) -> float | None:
    keep = np.isfinite(x[:-1]) & np.isfinite(x[1:])
    if keep.sum() < 3:
        return None
    m = moments(x[:-1][keep], x[1:][keep])
    return m.correlation if m.sxx > 0.0 and m.syy > 0.0 else None


def _instrumental(x: F64, y: F64) -> tuple[float | None, float | None, int]:
    z, mid, target = x[:-2] + x[1:-1] + x[2:], x[1:-1], y[1:-1]
    keep = finite_rows(z, target)
    z, mid, target = z[keep], mid[keep], target[keep]
    if z.size < 5:
        return None, None, z.size
    dz, dx, dy = z - z.mean(), mid - mid.mean(), target - target.mean()
    cross = float(dz @ dx)
    if cross == 0.0:
        return None, None, z.size
    beta = float(dz @ dy) / cross
    u = dy - beta * dx
    se = math.sqrt(float(u @ u) / (z.size - 2) * float(dz @ dz)) / abs(cross)
    return beta, se, z.size
