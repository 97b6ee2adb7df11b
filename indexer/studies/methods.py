"""One window of paired returns → a beta by the method asked for, in one shape whatever the method.

`detail` is the analytics library's own result, with everything that belongs to that method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
from indexer.analytics.linear import FactorModel, factor_model, student_interval
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


Fit = BetaResult | EwmaBeta | KalmanNow | AsymmetricBeta | QuantileBeta | LeadLagBeta | FactorModel
Detail = Fit | RealisedBeta


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
    way = METHODS[Method(method)]
    fit = way.fit(frame, options)
    slope = fit.factors[0] if isinstance(fit, FactorModel) and fit.factors else fit
    beta, se = getattr(slope, way.beta, None), getattr(slope, way.se, None)
    low, high = getattr(slope, "ci_low", None), getattr(slope, "ci_high", None)
    if way.spent and beta is not None and se is not None and fit.n - way.spent > 1:
        low, high = student_interval(beta, se, df=fit.n - way.spent, confidence=options.confidence)
    warnings = getattr(fit, "warnings", ()) + (AT_BOUND,) * getattr(fit, "at_bound", False)
    return Estimate(
        method, fit.n, beta, se, low, high, getattr(fit, "r2", None), getattr(fit, "alpha_annualised", None),
        options.confidence, fit.reason, warnings, fit,
    )  # fmt: skip


AT_BOUND = "beta does not measurably move in this window: the filter is least squares with growing data"


@dataclass(frozen=True, slots=True)
class _Way:
    """How a method fits, and what of its result is the beta and its error.

    A method that states no interval gets Student's with the pairs less those `spent`.
    """

    fit: Callable[[Frame, Options], Fit]
    beta: str = "beta"
    se: str = "se"
    spent: int = 0


def _of_pairs(fit: Callable[..., Fit], *told: str) -> Callable[[Frame, Options], Fit]:
    """The fit of a frame's first benchmark and subject, told these of the options."""
    return lambda frame, options: fit(frame.x[:, 0], frame.y, **{name: getattr(options, name) for name in told})


def _ols(frame: Frame, options: Options) -> BetaResult:
    return compute_beta(frame.x[:, 0], frame.y, periods_per_year=frame.periods_per_year, confidence=options.confidence)


def _kalman(frame: Frame, _: Options) -> KalmanNow:
    fit = kalman_fit(frame.x[:, 0], frame.y)
    path = fit.filtered
    beta, sd = (None, None) if path is None else (float(path.beta[-1]), float(path.sd_beta[-1]))
    return KalmanNow("filtered", fit.n, beta, sd, fit.r, fit.q_beta, fit.loglik, fit.at_bound, fit.reason)


def _multi(frame: Frame, options: Options) -> FactorModel:
    factors = {name: frame.x[:, place] for place, name in enumerate(frame.benchmarks)}
    return factor_model(frame.y, factors, periods_per_year=frame.periods_per_year, confidence=options.confidence)


METHODS: dict[Method, _Way] = {
    Method.OLS: _Way(_ols),
    Method.EWMA: _Way(_of_pairs(ewma_beta, "decay", "confidence")),
    Method.KALMAN: _Way(_kalman, se="sd", spent=2),
    Method.DOWNSIDE: _Way(_of_pairs(asymmetric_beta), "down", "se_down", spent=3),
    Method.UPSIDE: _Way(_of_pairs(asymmetric_beta), "up", "se_up", spent=3),
    Method.QUANTILE: _Way(_of_pairs(quantile_beta, "tau"), spent=2),
    Method.DIMSON: _Way(_of_pairs(dimson_beta, "span", "confidence")),
    Method.SCHOLES_WILLIAMS: _Way(_of_pairs(scholes_williams_beta, "confidence")),
    Method.MULTI: _Way(_multi),
}


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
    cautions = () if fit.beta is None else ("no standard error: read it beside the beta at the close",)
    reason = f"{benchmark.name} by the hour: {fit.reason}" if fit.reason else None
    return Estimate(
        Method.HAYASHI_YOSHIDA,
        fit.n_x,
        fit.beta,
        None,
        None,
        None,
        None,
        None,
        options.confidence,
        reason,
        cautions,
        fit,
    )
