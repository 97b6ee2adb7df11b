"""Quantiles and tail probabilities of the t, normal, F and chi-square laws.

`scipy.special` is imported inside each function: the server and `deai --help` never pay for it.
"""

from __future__ import annotations


def t_quantile(df: float, p: float) -> float:
    """The p-quantile of Student's t with df degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(df, p))


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
