"""One window of paired returns → a beta by the method asked for, in one shape whatever the method.

`detail` is the analytics library's own result, with everything that belongs to that method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from indexer.analytics.beta import BetaResult, Method, compute_beta
from indexer.analytics.beta_variants import (
    AsymmetricBeta,
    LeadLagBeta,
    QuantileBeta,
    RealisedBeta,
    asymmetric_beta,
    dimson_beta,
    hayashi_yoshida,
    quantile_beta,
    scholes_williams_beta,
)
from indexer.analytics.factors import FactorBeta, FactorModel, factor_model
from indexer.analytics.linear import student_interval
from indexer.analytics.time_varying import EwmaBeta, ewma_beta, kalman_fit
from indexer.errors import InputError, did_you_mean
from indexer.studies.series import Frame, Series


@dataclass(frozen=True, slots=True)
class KalmanNow:
    """The random-walk beta at the last pair. `kind` is "filtered": only what was known then went in.

    `q_beta` is the variance of one step of beta, `r` that of the residual; `at_bound` says that beta does not
    measurably move.
    """

    kind: str
    n: int
    beta: float | None
    sd: float | None
    r: float | None
    q_beta: float | None
    loglik: float | None
    at_bound: bool
    reason: str | None


Detail = (
    BetaResult | EwmaBeta | KalmanNow | AsymmetricBeta | QuantileBeta | LeadLagBeta | FactorModel | RealisedBeta
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Estimate:
    """A beta with its error. A number is None when it does not exist for the method or the data (`reason`)."""

    method: str
    n: int
    beta: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    r2: float | None
    alpha_annualised: float | None
    confidence: float
    reason: str | None
    warnings: tuple[str, ...]
    detail: Detail


@dataclass(frozen=True, slots=True)
class Options:
    """What the methods can be told: confidence, EWMA decay, quantile, and lags on each side for Dimson."""

    confidence: float = 0.95
    decay: float = 0.94
    tau: float = 0.5
    span: int = 1


def estimate(frame: Frame, method: str, *, options: Options) -> Estimate:
    """The beta of the frame's subject to its first benchmark ("multi": to all of them together).

    Raises InputError for a method that is not one of `METHODS`.
    """
    if method not in METHODS:
        raise InputError(f'"{method}" is not a method.{did_you_mean(method, Method)} Use one of {", ".join(Method)}')
    return METHODS[Method(method)](frame, options)


def _ols(frame: Frame, options: Options) -> Estimate:
    fit = compute_beta(frame.x[:, 0], frame.y, periods_per_year=frame.periods_per_year, confidence=options.confidence)
    return _stated(Method.OLS, fit, options, slope=fit)


def _ewma(frame: Frame, options: Options) -> Estimate:
    fit = ewma_beta(frame.x[:, 0], frame.y, decay=options.decay, confidence=options.confidence)
    return _student(Method.EWMA, fit, options=options, n=fit.n, beta=fit.beta, se=fit.se, df=fit.n_effective)


def _kalman(frame: Frame, options: Options) -> Estimate:
    fit = kalman_fit(frame.x[:, 0], frame.y)
    path = fit.filtered
    beta, sd = (None, None) if path is None else (float(path.beta[-1]), float(path.sd_beta[-1]))
    now = KalmanNow("filtered", fit.n, beta, sd, fit.r, fit.q_beta, fit.loglik, fit.at_bound, fit.reason)
    caution = ("beta does not measurably move in this window: the filter is least squares with growing data",)
    return _student(
        Method.KALMAN, now, options=options, n=fit.n, beta=beta, se=sd, df=float(fit.n), warnings=caution * fit.at_bound
    )


def _downside(frame: Frame, options: Options) -> Estimate:
    fit = asymmetric_beta(frame.x[:, 0], frame.y)
    return _student(Method.DOWNSIDE, fit, options=options, n=fit.n, beta=fit.down, se=fit.se_down, df=fit.n - 1.0)


def _upside(frame: Frame, options: Options) -> Estimate:
    fit = asymmetric_beta(frame.x[:, 0], frame.y)
    return _student(Method.UPSIDE, fit, options=options, n=fit.n, beta=fit.up, se=fit.se_up, df=fit.n - 1.0)


def _quantile(frame: Frame, options: Options) -> Estimate:
    fit = quantile_beta(frame.x[:, 0], frame.y, tau=options.tau)
    return _student(Method.QUANTILE, fit, options=options, n=fit.n, beta=fit.beta, se=fit.se, df=float(fit.n))


def _dimson(frame: Frame, options: Options) -> Estimate:
    fit = dimson_beta(frame.x[:, 0], frame.y, span=options.span, confidence=options.confidence)
    return _stated(Method.DIMSON, fit, options, slope=fit)


def _scholes_williams(frame: Frame, options: Options) -> Estimate:
    fit = scholes_williams_beta(frame.x[:, 0], frame.y, confidence=options.confidence)
    return _stated(Method.SCHOLES_WILLIAMS, fit, options, slope=fit)


def _multi(frame: Frame, options: Options) -> Estimate:
    factors = {name: frame.x[:, place] for place, name in enumerate(frame.benchmarks)}
    fit = factor_model(frame.y, factors, periods_per_year=frame.periods_per_year, confidence=options.confidence)
    if not fit.factors:
        return _student(Method.MULTI, fit, options=options, n=fit.n, beta=None, se=None, df=None)
    return _stated(Method.MULTI, fit, options, slope=fit.factors[0])


def _stated(
    method: Method,
    fit: BetaResult | LeadLagBeta | FactorModel,
    options: Options,
    *,
    slope: BetaResult | LeadLagBeta | FactorBeta,
) -> Estimate:
    """The slope with the interval that the method itself states; a lead-lag beta has no R² and no alpha."""
    r2 = alpha = None
    warnings: tuple[str, ...] = ()
    if not isinstance(fit, LeadLagBeta):
        r2, alpha, warnings = fit.r2, fit.alpha_annualised, fit.warnings
    return Estimate(
        method, fit.n, slope.beta, slope.se, slope.ci_low, slope.ci_high, r2, alpha,
        options.confidence, fit.reason, warnings, fit,
    )  # fmt: skip


def _student(
    method: Method,
    detail: EwmaBeta | KalmanNow | AsymmetricBeta | QuantileBeta | FactorModel | RealisedBeta,
    *,
    options: Options,
    n: int,
    beta: float | None,
    se: float | None,
    df: float | None,
    warnings: tuple[str, ...] = (),
) -> Estimate:
    """beta ± t(df - 2) se: `df` is the (effective) number of pairs, less what the method fits beyond two."""
    low, high = (None, None)
    if beta is not None and se is not None and df is not None and df > 3.0:
        low, high = student_interval(beta, se, df=df - 2.0, confidence=options.confidence)
    return Estimate(method, n, beta, se, low, high, None, None, options.confidence, detail.reason, warnings, detail)


def intraday(benchmark: Series, subject: Series, *, first_us: int, last_us: int, options: Options) -> Estimate:
    """Hayashi-Yoshida on all observations between two instants, each side at its own: no bar is moved or filled.

    For hourly equity bars, which end at half hours. It has no standard error: read it beside the one at the close.
    """
    sides = []
    for series in (benchmark, subject):
        keep = (series.times_us >= first_us) & (series.times_us <= last_us)
        sides.append((series.times_us[keep], np.log(series.values[keep])))
    (tx, x), (ty, y) = sides
    fit = hayashi_yoshida(tx, x, times_y=ty, y=y)
    caution = ("no standard error: read it beside the beta at the close",) if fit.beta is not None else ()
    reason = f"{benchmark.name} by the hour: {fit.reason}" if fit.reason else None
    estimate = _student(
        Method.HAYASHI_YOSHIDA, fit, options=options, n=fit.n_x, beta=fit.beta, se=None, df=None, warnings=caution
    )
    return replace(estimate, reason=reason)


METHODS: dict[Method, Callable[[Frame, Options], Estimate]] = {
    Method.OLS: _ols,
    Method.EWMA: _ewma,
    Method.KALMAN: _kalman,
    Method.DOWNSIDE: _downside,
    Method.UPSIDE: _upside,
    Method.QUANTILE: _quantile,
    Method.DIMSON: _dimson,
    Method.SCHOLES_WILLIAMS: _scholes_williams,
    Method.MULTI: _multi,
}
