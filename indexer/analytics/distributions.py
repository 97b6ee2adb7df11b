"""Quantiles and tail probabilities of the t, normal and F laws and of the Brownian bridge, to about 13 digits.

Written out instead of taken from `scipy.special`: its import takes longer than any answer that needs a quantile, in
the command as in the server's first request. Equal to scipy in tests/analytics/test_distributions.py.
"""

from __future__ import annotations

import math
from functools import lru_cache

ROOT_HALF = math.sqrt(0.5)
TINY = 1e-300
LAST_TERM = 1e-16
MOST_TERMS = 10_000
STIRLING_FROM = 20.0
"""Arguments from which four terms of Stirling's series are exact to a double."""


@lru_cache(maxsize=1024)
def t_quantile(df: float, p: float) -> float:
    """The p-quantile of Student's t with df degrees of freedom; NaN for df or p without one."""
    if not (df > 0.0 and 0.0 < p < 1.0):
        return math.nan
    if p == 0.5:
        return 0.0
    if p < 0.5:
        return -_t_upper_quantile(df, p)
    return _t_upper_quantile(df, 1.0 - p)


def t_two_sided(t: float, df: float) -> float:
    """P(|T| >= |t|) for Student's t with df degrees of freedom."""
    return incomplete_beta(0.5 * df, 0.5, x=df / (df + t * t), rest=t * t / (df + t * t))


def normal_quantile(p: float) -> float:
    """The p-quantile of the standard normal; NaN outside (0, 1)."""
    if not 0.0 < p < 1.0:
        return math.nan
    if p > 0.5:
        return -normal_quantile(1.0 - p)
    # Newton on the logarithm of the tail: concave, so that it converges from this start whatever p.
    z = -math.sqrt(-2.0 * math.log(p)) if p < 0.3 else 2.5 * (p - 0.5)
    for _ in range(60):
        tail = 0.5 * math.erfc(-z * ROOT_HALF)
        step = math.log(tail / p) * tail / (math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi))
        z -= step
        if abs(step) <= 4e-16 * abs(z):
            break
    return z


def normal_two_sided(z: float) -> float:
    """P(|Z| >= |z|) for the standard normal."""
    return math.erfc(abs(z) * ROOT_HALF)


def f_upper(f: float, df1: float, *, df2: float) -> float:
    """P(F >= f) for the F law with df1 and df2 degrees of freedom; NaN for f below 0."""
    if not f >= 0.0:
        return math.nan
    if math.isinf(f):
        return 0.0
    whole = df2 + df1 * f
    return incomplete_beta(0.5 * df2, 0.5 * df1, x=df2 / whole, rest=df1 * f / whole)


def kolmogorov_upper(x: float) -> float:
    """P(sup |Brownian bridge| >= x), the limit law of the OLS-CUSUM statistic."""
    if x <= 0.0:
        return 1.0
    if x < 1.0:
        # The theta function's other form converges where the alternating series does not.
        terms = (math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8.0 * x * x)) for k in range(1, 20))
        return 1.0 - math.sqrt(2.0 * math.pi) / x * math.fsum(terms)
    return 2.0 * math.fsum((-1.0) ** (k - 1) * math.exp(-2.0 * k * k * x * x) for k in range(1, 20))


def incomplete_beta(a: float, b: float, *, x: float, rest: float) -> float:
    """The regularised incomplete beta function I_x(a, b); `rest` is 1 - x, given so that none of its digits is lost.

    Continued fraction by Lentz's method on the side where it converges fast (DiDonato and Morris 1992).
    """
    if math.isnan(a + b + x) or x <= 0.0 or rest <= 0.0:
        return math.nan if math.isnan(a + b + x) else float(x > 0.0)
    large, small = max(a, b), min(a, b)
    power = a * (math.log(x) if x < 0.5 else math.log1p(-rest)) + b * (math.log(rest) if rest < 0.5 else math.log1p(-x))
    front = math.exp(log_gamma_ratio(large, small) - math.lgamma(small) + power)
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, rest) / b


def log_gamma_ratio(a: float, b: float) -> float:
    """ln(Γ(a + b) / Γ(a)) for a > 0, b >= 0.

    From Stirling's series where the two logarithms are large and their difference would lose the digits.
    """
    if a < STIRLING_FROM:
        return math.lgamma(a + b) - math.lgamma(a)
    return (a - 0.5) * math.log1p(b / a) + b * (math.log(a + b) - 1.0) + _stirling_rest(a + b) - _stirling_rest(a)


def _stirling_rest(x: float) -> float:
    square = x * x
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * square)) / square) / square) / x


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1.0))
    made = d
    for m in range(1, MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        factor = 1.0
        for term in (even, odd):
            d, c = 1.0 / _away(1.0 + term * d), _away(1.0 + term / c)
            factor *= d * c
        made *= factor
        if abs(factor - 1.0) <= LAST_TERM:
            break
    return made


def _away(value: float) -> float:
    """The value, or something tiny in place of 0, as Lentz's method wants it."""
    return value if abs(value) > TINY else TINY


def _t_upper_quantile(df: float, tail: float) -> float:
    """t > 0 with P(T >= t) = tail: Newton on the logarithm of the tail, from the normal quantile or the power law."""
    constant = log_gamma_ratio(0.5 * df, 0.5) - 0.5 * math.log(df * math.pi)
    far = math.exp((constant + 0.5 * (df - 1.0) * math.log(df) - math.log(tail)) / df)
    t = max(-normal_quantile(tail), min(far, 1e150)) if df < 3.0 else -normal_quantile(tail)
    for _ in range(200):
        have = 0.5 * t_two_sided(t, df)
        density = math.exp(constant - 0.5 * (df + 1.0) * math.log1p(t * t / df))
        step = math.log(have / tail) * have / density
        t = max(t + step, 0.1 * t)
        if abs(step) <= 4e-16 * t:
            break
    return t
