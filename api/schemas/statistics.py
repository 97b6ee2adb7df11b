"""The statistics on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from api.schemas.base import OfIndex, Wire


class Alignment(Wire):
    """How the two series were brought together."""

    clock: str
    calendar: str
    price_basis: str
    naive: bool = Field(description="True when the two sides' intervals do not match")
    pairs_used: int
    pairs_dropped: int = Field(description="Intervals inside the window without a pair")
    reasons: list[str]


class Sentinel(Wire):
    """Correlation with the benchmark's neighbouring intervals: a neighbour that is the strongest betrays a shift."""

    lag: float | None
    contemporaneous: float | None
    lead: float | None
    n: int
    shifted: bool
    message: str | None


class Bootstrap(Wire):
    """Percentile intervals of beta and the correlation from a stationary bootstrap on pairs."""

    n: int
    repetitions: int
    block: float | None
    beta: float | None
    beta_low: float | None
    beta_high: float | None
    se: float | None
    correlation_low: float | None
    correlation_high: float | None
    reason: str | None


class Beta(OfIndex):
    """Beta with its errors. A number that does not exist is null, and `reason` says why."""

    benchmark: str
    benchmarks: list[str] = Field(description="All of them, for method multi; `beta` is that of the first")
    method: str
    sessions: int
    first_time: datetime = Field(description="Close that the first return starts from")
    last_time: datetime
    n: int = Field(description="Pairs of returns used")
    beta: float | None
    se: float | None = Field(description="Larger of se_ols and se_hac; carries the interval, t and p")
    ci_low: float | None
    ci_high: float | None
    t: float | None
    p: float | None = Field(description="Two-sided, against beta = 0")
    r2: float | None
    r2_adj: float | None
    correlation: float | None
    correlation_low: float | None
    correlation_high: float | None
    alpha: float | None = Field(description="Per session")
    alpha_annualised: float | None
    se_alpha: float | None
    se_ols: float | None
    se_hac: float | None = Field(description="Newey-West with hac_lag lags")
    se_hc3: float | None
    hac_lag: int | None
    residual_sd: float | None
    durbin_watson: float | None
    confidence: float
    periods_per_year: float
    reason: str | None
    warnings: list[str]
    alignment: Alignment
    sentinel: Sentinel
    blume: float | None = Field(description="2/3 beta + 1/3")
    bootstrap: Bootstrap | None = Field(description="When asked for by bootstrap=true")
    detail: dict[str, Any] | None = Field(description="What only this method gives; null for ols, which is flat")


class BetaPoint(Wire):
    """Beta over the window that ends at a close; nulls where the window is not complete."""

    time: datetime
    beta: float | None
    se: float | None
    low: float | None = Field(description="Lower end of the 95 % interval")
    high: float | None = Field(description="Upper end of the 95 % interval")
    r2: float | None
    alpha: float | None


class BetaColumns(Wire):
    """Rolling beta, one list for each column."""

    time: list[datetime]
    beta: list[float | None]
    se: list[float | None]
    low: list[float | None]
    high: list[float | None]
    r2: list[float | None]
    alpha: list[float | None]


class BetaHistory(OfIndex):
    """Rolling beta, oldest first."""

    benchmark: str
    sessions: int
    kind: str = Field(description="rolling, ewma, kalman (filtered) or kalman_smoothed")
    hindsight: bool = Field(description="True when a row uses data later than itself")
    shape: str
    count: int
    data: list[BetaPoint] | BetaColumns
