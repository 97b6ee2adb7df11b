"""What holding the index gave and how rough it was: returns by period and month, risk, and how it went with others.

Daily levels at 00:00 UTC, simple returns, a year of 365 days, a risk-free rate of nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from indexer.analytics.align import CONTINUOUS_DAYS
from indexer.analytics.drawdown import drawdown_series, observed_levels
from indexer.arrays import F64, I64, ArrayLike
from indexer.times import DAY_US

JULIAN_YEAR_US = 365.25 * DAY_US
PERIODS = {"1d": 1, "7d": 7, "30d": 30, "90d": 90, "180d": 180, "1y": 365, "3y": 1096}


@dataclass(frozen=True, slots=True)
class PeriodReturn:
    """The simple return of the last days; None where there is no level exactly so many days ago.

    `over_gap`: days in between have no level, as while an index is impaired or suspended."""

    period: str
    start_us: int
    end_us: int
    value: float | None
    over_gap: bool


@dataclass(frozen=True, slots=True)
class MonthReturn:
    """The simple return of a calendar month in UTC, from the last level of the month before, or from the first level.

    `partial`: the month does not begin or is not over within the data. `over_gap` as of a period.
    """

    year: int
    month: int
    value: float
    partial: bool
    over_gap: bool


@dataclass(frozen=True, slots=True)
class Risk:
    """Risk over the daily simple returns of a window; ratios are None below 20 returns.

    `volatility` = s √365 with s the standard deviation (n − 1) · `sharpe` = mean / s √365 · `sortino` = mean / d √365
    with d = √(Σ min(r, 0)² / n) · `cagr` = (last / first)^(365.25 days / elapsed) − 1 · `max_drawdown` ≤ 0.
    `over_gap` as of a period.
    """

    window: str
    first_us: int
    last_us: int
    n: int
    cumulative: float
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown: float
    best_day: float
    worst_day: float
    over_gap: bool


MIN_RETURNS = 20


def period_returns(times_us: ArrayLike, levels: ArrayLike) -> list[PeriodReturn]:
    """The return of each of `PERIODS` up to the last level, of the year to date, and since the first level."""
    times, values = observed_levels(times_us, levels)
    last = int(times[-1])
    year = np.datetime64(last, "us").astype("datetime64[Y]").astype("datetime64[us]").astype(np.int64)
    starts = {name: last - days * DAY_US for name, days in PERIODS.items()}
    starts |= {"ytd": int(year), "all": int(times[0])}
    return [
        PeriodReturn(name, start, last, _return(times, values, start), _over_gap(times[times >= start]))
        for name, start in starts.items()
    ]


def _over_gap(times: I64) -> bool:
    """Whether a day between the first and the last of these instants is missing."""
    return bool((np.diff(times) > DAY_US).any())


def _return(times: I64, values: F64, start: int) -> float | None:
    row = int(np.searchsorted(times, start))
    return float(values[-1] / values[row] - 1.0) if row < len(times) and times[row] == start else None


def month_returns(times_us: ArrayLike, levels: ArrayLike) -> list[MonthReturn]:
    """The return of every calendar month that has a level, oldest first.

    A level at 00:00 UTC of the first is the close of the month before, as a daily level is about the day before it.
    """
    times, values = observed_levels(times_us, levels)
    months = (times - 1).astype("datetime64[us]").astype("datetime64[M]")
    ends = np.flatnonzero(np.r_[months[1:] != months[:-1], True])
    before = np.r_[0, ends[:-1]]
    number = months[ends].astype(np.int64)
    over = (months[ends] + 1).astype("datetime64[us]").astype(np.int64) == times[ends]
    begun = (months[ends]).astype("datetime64[us]").astype(np.int64) == times[before]
    return [
        MonthReturn(
            1970 + int(n) // 12,
            1 + int(n) % 12,
            float(values[end] / values[start] - 1.0),
            not whole,
            _over_gap(times[start : end + 1]),
        )
        for n, start, end, whole in zip(number, before, ends, over & begun, strict=True)
        if end > start
    ]


def risk(times_us: ArrayLike, levels: ArrayLike, *, window: str = "all") -> Risk:
    """Risk and return of these levels, two at least. Days without a level make no return."""
    times, values = observed_levels(times_us, levels)
    daily = np.diff(times) == DAY_US
    returns = (values[1:] / values[:-1] - 1.0)[daily]
    years = float(times[-1] - times[0]) / JULIAN_YEAR_US
    spread = float(np.std(returns, ddof=1)) if returns.size >= MIN_RETURNS else None
    fall = float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))) if returns.size >= MIN_RETURNS else None
    mean = float(np.mean(returns)) if returns.size else 0.0
    growth = float(values[-1] / values[0])
    return Risk(
        window=window,
        first_us=int(times[0]),
        last_us=int(times[-1]),
        n=int(returns.size),
        cumulative=growth - 1.0,
        cagr=growth ** (1.0 / years) - 1.0 if years >= 1.0 else None,
        volatility=None if spread is None else spread * math.sqrt(CONTINUOUS_DAYS),
        sharpe=_ratio(mean, spread),
        sortino=_ratio(mean, fall),
        max_drawdown=float(np.min(drawdown_series(values))),
        best_day=float(np.max(returns)) if returns.size else 0.0,
        worst_day=float(np.min(returns)) if returns.size else 0.0,
        over_gap=_over_gap(times),
    )


def _ratio(mean: float, spread: float | None) -> float | None:
    return mean / spread * math.sqrt(CONTINUOUS_DAYS) if spread else None
