"""Shrunk betas: Blume's fixed pull towards 1, and Vasicek's towards the cross-section of our own tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexer.analytics.series import as_series
from indexer.arrays import F64
from indexer.errors import InputError, NotEnoughDataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
    if se == 0.0:
        return ShrunkBeta(beta, 0.0, 1.0, prior)
    if prior.sd == 0.0:
        return ShrunkBeta(prior.mean, 0.0, 0.0, prior)
    own, before = 1.0 / se**2, 1.0 / prior.sd**2
    mean = (own * beta + before * prior.mean) / (own + before)
    return ShrunkBeta(mean, math.sqrt(1.0 / (own + before)), own / (own + before), prior)


def cross_section_prior(betas: ArrayLike) -> Prior:
    """Mean and standard deviation (n - 1) of the constituents' own betas, missing ones left out.

    Raises NotEnoughDataError below 3: two tokens are no cross-section.
    """
    known = _known(betas)
    if known.size < 3:
        raise NotEnoughDataError(f"a cross-section prior needs at least 3 betas and there are {known.size}")
    return Prior(float(known.mean()), float(known.std(ddof=1)), known.size)


def vasicek_cross_section(betas: ArrayLike, ses: ArrayLike) -> list[ShrunkBeta | None]:
    """Each constituent's beta shrunk to the cross-section of all; None where it has none."""
    own, errors = as_series(betas, "betas"), as_series(ses, "ses")
    prior = cross_section_prior(own)
    return [
        vasicek_beta(float(b), float(s), prior=prior) if math.isfinite(b) and math.isfinite(s) else None
        for b, s in zip(own, errors, strict=True)
    ]


def _known(values: ArrayLike) -> F64:
    series = as_series(values, "betas")
    known: F64 = series[[math.isfinite(value) for value in series]]
    return known
