"""Beta that moves with time: exponentially weighted, and by a Kalman filter with variances of most likelihood."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from indexer.analytics.linear import student_interval
from indexer.analytics.series import ZERO_VARIANCE, as_pair, few_pairs, finite_pairs, moments, refusal, spread
from indexer.arrays import F64, ArrayLike, Bools
from indexer.errors import InputError

GRID_POINTS, TOLERANCE, GOLDEN = 17, 1e-4, (math.sqrt(5.0) - 1.0) / 2.0
MIN_PAIRS = 30


def maximise(function: Callable[[float], float], low: float, *, high: float) -> float:
    """The argument in [low, high] with the greatest value found: by golden section about the best of a grid."""
    grid = np.linspace(low, high, GRID_POINTS).tolist()
    best, step = max(grid, key=function), grid[1] - grid[0]
    low, high = max(low, best - step), min(high, best + step)
    while high - low > TOLERANCE:
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, right) if function(left) > function(right) else (left, high)
    return (low + high) / 2.0


# A start this wide (in residual variances) lets the first pairs set the level; their likelihood is left out.
DIFFUSE = 1e7
DIFFUSE_ROWS = 2
LOG_RATIO_RANGE = (-14.0, 2.0)
_Step = tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class KalmanPath:
    """(T,) alpha, beta and their standard deviations. `kind` is "filtered" (known then) or "smoothed" (hindsight)."""

    kind: str
    alpha: F64
    beta: F64
    sd_alpha: F64
    sd_beta: F64
    loglik: float


@dataclass(frozen=True, slots=True)
class KalmanFit:
    """Maximum-likelihood random-walk beta.

    `r` is the observation variance, `q_beta` the variance of a beta step. `at_bound` is true when the best
    ratio q/r is at the lowest one searched: beta then does not measurably move.
    """

    n: int
    filtered: KalmanPath | None = None
    smoothed: KalmanPath | None = None
    r: float | None = None
    q_beta: float | None = None
    loglik: float | None = None
    at_bound: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class KalmanModel:
    """Variances of the steps and the observation, and the prior of the *first* state (no step is added to it)."""

    q_alpha: float
    q_beta: float
    r: float
    alpha0: float = 0.0
    beta0: float = 0.0
    p_alpha0: float = DIFFUSE
    p_beta0: float = DIFFUSE


def kalman_filter(
    x: ArrayLike, y: ArrayLike, *, model: KalmanModel, smooth: bool = True
) -> tuple[KalmanPath, KalmanPath]:
    """(filtered, smoothed) paths under known variances; a missing pair leaves the state to its random walk.

    `smooth=False` saves the second pass and gives the filtered path twice. Raises InputError when r is not
    positive or a variance is negative.
    """
    if model.r <= 0.0 or min(model.q_alpha, model.q_beta, model.p_alpha0, model.p_beta0) < 0.0:
        raise InputError("Kalman variances must not be negative and r must be positive")
    a, b = as_pair(x, y)
    steps, squares, logs, n = _run(a, b, model=model)
    loglik = -0.5 * (n * math.log(2.0 * math.pi) + logs + squares)
    filtered = _path("filtered", steps, loglik=loglik)
    return filtered, _path("smoothed", _smooth(steps, model=model), loglik=loglik) if smooth else filtered


def kalman_fit(x: ArrayLike, y: ArrayLike) -> KalmanFit:
    """Filtered and smoothed beta with q_beta / r by maximum likelihood, r concentrated out, alpha constant.

    x and y as in `compute_beta`; the paths keep the length of the input, missing pairs included.
    """
    a, b = as_pair(x, y)
    fx, fy = finite_pairs(a, b)
    reason = refusal(fx, fy, least=MIN_PAIRS)
    if reason is not None:
        return KalmanFit(fx.size, reason=reason)
    m = moments(fx, fy)
    sx, sy = math.sqrt(m.sxx / m.n), math.sqrt(m.syy / m.n)
    # Fitted on scaled series, so that one diffuse start and one search range serve every market.
    xs, ys = a / sx, b / sy
    low, high = LOG_RATIO_RANGE
    log_ratio = maximise(lambda value: _profile(xs, ys, log_ratio=value)[0], low, high=high)
    loglik, scale = _profile(xs, ys, log_ratio=log_ratio)
    r = scale * sy * sy
    q = r * math.exp(log_ratio) / (sx * sx)
    model = KalmanModel(0.0, q, r, p_alpha0=DIFFUSE * r, p_beta0=DIFFUSE * r / (sx * sx))
    filtered, smoothed = kalman_filter(a, b, model=model)
    at_bound = log_ratio < low + 0.05
    return KalmanFit(fx.size, filtered, smoothed, r, q, loglik - fx.size * math.log(sy), at_bound)


def _profile(x: F64, y: F64, *, log_ratio: float) -> tuple[float, float]:
    """(log-likelihood, observation variance) at q/r = exp(log_ratio), r at its maximum."""
    _, squares, logs, n = _run(x, y, model=KalmanModel(0.0, math.exp(log_ratio), 1.0), skip=DIFFUSE_ROWS)
    r = squares / n
    return -0.5 * (n * (math.log(2.0 * math.pi * r) + 1.0) + logs), r


def _run(x: F64, y: F64, *, model: KalmanModel, skip: int = 0) -> tuple[F64, float, float, int]:
    """(filtered states (T, 5), Σ v²/F, Σ log F, pairs counted), sums and count without the first `skip` pairs.

    The recursion carries the covariance predicted for the next row, so that each number is touched once; forecast
    errors v and their variances F follow from the states all at once.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x = x if known.all() else np.where(known, x, 0.0)
    table = _recursion(x, y, known=known, model=model)
    walked = np.array([0.0, 0.0, model.q_alpha, 0.0, model.q_beta])
    start = np.array([[model.alpha0, model.beta0, model.p_alpha0, 0.0, model.p_beta0]])
    alpha, beta, paa, pab, pbb = np.concatenate([start, table[:-1]]).T
    # F = [1 x] P [1 x]' + r with the covariance predicted for the row, v = y - [1 x] state before it.
    f = (paa + pab * x + (pab + pbb * x) * x + model.r)[known][skip:]
    v = (y - alpha - beta * x)[known][skip:]
    return table - walked, float((v * v / f).sum()), float(np.log(f).sum()), len(v)


def _recursion(x: F64, y: F64, *, known: Bools, model: KalmanModel) -> F64:
    """(T, 5) alpha, beta known at each row and the covariance predicted for the next one.

    A missing pair is a row of infinite noise: its gain is 0 and only the random walk's variance grows. One flat list
    and one `pack` are the fastest way from Python floats to an array.
    """
    alpha, beta = model.alpha0, model.beta0
    paa, pab, pbb = model.p_alpha0, 0.0, model.p_beta0
    q_alpha, q_beta = model.q_alpha, model.q_beta
    whole = bool(known.all())
    noise = repeat(model.r) if whole else np.where(known, model.r, math.inf).tolist()
    others = y.tolist() if whole else np.where(known, y, 0.0).tolist()
    flat: list[float] = []
    keep = flat.extend
    for value, other, r in zip(x.tolist(), others, noise, strict=False):
        v = other - alpha - beta * value
        # h = P [1 x]', gain k = h / F; P - k h' is symmetric, so that three numbers carry it.
        f = (ha := paa + pab * value) + (hb := pab + pbb * value) * value + r
        keep(
            (
                alpha := alpha + (ka := ha / f) * v,
                beta := beta + (kb := hb / f) * v,
                paa := paa - ka * ha + q_alpha,
                pab := pab - ka * hb,
                pbb := pbb - kb * hb + q_beta,
            )
        )
    return np.frombuffer(struct.Struct(f"{len(flat)}d").pack(*flat)).reshape(-1, 5)


def _smooth(states: F64, *, model: KalmanModel) -> F64:
    """Rauch-Tung-Striebel pass: each state given the whole sample."""
    if not len(states):
        return states
    steps: list[_Step] = [tuple(row) for row in states.tolist()]
    out = [steps[-1]]
    for alpha, beta, paa, pab, pbb in reversed(steps[:-1]):
        next_alpha, next_beta, naa, nab, nbb = out[-1]
        faa, fbb = paa + model.q_alpha, pbb + model.q_beta
        det = faa * fbb - pab * pab
        # A state known exactly has nothing to learn from what follows, and its covariance has no inverse.
        if det <= 0.0:
            out.append((alpha, beta, paa, pab, pbb))
            continue
        # J = P F^-1: how much of a correction to the next state reaches this one.
        jaa, jab = (paa * fbb - pab * pab) / det, (pab * faa - paa * pab) / det
        jba, jbb = (pab * fbb - pbb * pab) / det, (pbb * faa - pab * pab) / det
        da, db = next_alpha - alpha, next_beta - beta
        eaa, eab, ebb = naa - faa, nab - pab, nbb - fbb
        out.append(
            (
                alpha + jaa * da + jab * db,
                beta + jba * da + jbb * db,
                paa + jaa * (jaa * eaa + jab * eab) + jab * (jaa * eab + jab * ebb),
                pab + jba * (jaa * eaa + jab * eab) + jbb * (jaa * eab + jab * ebb),
                pbb + jba * (jba * eaa + jbb * eab) + jbb * (jba * eab + jbb * ebb),
            )
        )
    return np.array(out[::-1], dtype=np.float64)


def _path(kind: str, states: F64, *, loglik: float) -> KalmanPath:
    sd = np.sqrt(np.maximum(states[:, [2, 4]], 0.0))
    return KalmanPath(kind, states[:, 0], states[:, 1], sd[:, 0], sd[:, 1], loglik)


RISKMETRICS_DAILY = 0.94


@dataclass(frozen=True, slots=True)
class EwmaBeta:
    """Beta at the last pair under weights decay^(n - 1 - t).

    `n_effective` = (Σw)² / Σw² (Kish); `se` is the heteroskedasticity-robust error of the weighted fit with
    t quantiles at `n_effective` - 2 degrees of freedom. `half_life` is in intervals.
    """

    n: int
    decay: float
    half_life: float
    n_effective: float | None = None
    beta: float | None = None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str | None = None


def ewma_beta(
    x: ArrayLike,
    y: ArrayLike,
    *,
    decay: float = RISKMETRICS_DAILY,
    confidence: float = 0.95,
) -> EwmaBeta:
    """Weighted least squares of y on x about their weighted means.

    Equals pandas `ewm(adjust=True).cov / var`. Raises InputError on a decay outside (0, 1).
    """
    _check(decay)
    a, b = finite_pairs(x, y)
    half_life = math.log(0.5) / math.log(decay)
    if a.size < 3:
        return EwmaBeta(a.size, decay, half_life, reason=few_pairs(a.size, least=3))
    w = decay ** np.arange(a.size - 1, -1, -1, dtype=np.float64)
    total = float(w.sum())
    n_eff = total * total / float(w @ w)
    dx, dy = _about_mean(a, w), _about_mean(b, w)
    sxx = float(w @ (dx * dx))
    if sxx == 0.0 or spread(a, dx) == 0.0:
        reason = "the benchmark does not move in this window (zero variance)"
        return EwmaBeta(a.size, decay, half_life, n_eff, reason=reason)
    beta = float(w @ (dx * dy)) / sxx
    score = w * dx * (dy - beta * dx)
    se = math.sqrt(float(score @ score) * n_eff / (n_eff - 2.0)) / sxx if n_eff > 2.0 else None
    low, high = (None, None)
    if se is not None:
        low, high = student_interval(beta, se, df=n_eff - 2.0, confidence=confidence)
    return EwmaBeta(a.size, decay, half_life, n_eff, beta, se, low, high)


def ewma_path(x: ArrayLike, y: ArrayLike, *, decay: float = RISKMETRICS_DAILY) -> F64:
    """(T,) centred EWMA beta known at each row (no look-ahead); NaN before 3 pairs or without variance.

    A missing pair leaves the weights as they were: the clock of the decay is pairs, not calendar time.
    """
    import pandas

    _check(decay)
    a, b = as_pair(x, y)
    whole = np.isfinite(a + b)
    pairs = pandas.DataFrame({"x": np.where(whole, a, np.nan), "y": np.where(whole, b, np.nan)})
    weighted = pairs.ewm(alpha=1.0 - decay, min_periods=3, ignore_na=True)
    variance = weighted["x"].var(bias=True)
    moves = variance > ZERO_VARIANCE * (pairs["x"] ** 2).ewm(alpha=1.0 - decay, ignore_na=True).mean()
    path: F64 = (weighted["x"].cov(pairs["y"], bias=True) / variance).where(moves).to_numpy()
    return path


def _about_mean(values: F64, weights: F64) -> F64:
    shifted = values - values[0]
    about: F64 = shifted - float(weights @ shifted) / float(weights.sum())
    return about


def _check(decay: float) -> None:
    if not 0.0 < decay < 1.0:
        raise InputError(f"decay {decay} must lie between 0 and 1, e.g. {RISKMETRICS_DAILY}")
