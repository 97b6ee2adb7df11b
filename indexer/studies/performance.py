"""Performance and risk of an index or token from its daily levels, and how it went with BTC, QQQ or others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.analytics.align import Clock
from indexer.analytics.drawdown import Bar
from indexer.analytics.performance import MonthReturn, PeriodReturn, Risk, month_returns, period_returns, risk
from indexer.errors import NotEnoughDataError, NotFoundError
from indexer.store.db import Store
from indexer.studies.drawdowns import regular
from indexer.studies.series import TOKEN, Series, benchmark_series, left_out, make_frame, subject_series
from indexer.times import DAY_US

WINDOWS = {"30d": 30, "90d": 90, "1y": 365, "3y": 1096}
BESIDE = ("BTC", "QQQ")
MIN_PAIRS = 20


@dataclass(frozen=True, slots=True)
class Tracking:
    """How the returns of the last year went with another's, between the same instants of `clock`.

    `correlation` of log returns; `tracking_error` is the standard deviation of their difference, annualised.
    """

    beside: str
    clock: str
    n: int
    correlation: float
    tracking_error: float


@dataclass(frozen=True, slots=True)
class PerformanceStudy:
    """Returns by period and calendar month, risk by window, and tracking, up to the last daily level (00:00 UTC).

    `left_out` says which spans are not counted, because the index was impaired or suspended.
    """

    subject: str
    level: float
    first_us: int
    last_us: int
    periods: tuple[PeriodReturn, ...]
    risk: tuple[Risk, ...]
    months: tuple[MonthReturn, ...]
    tracking: tuple[Tracking, ...]
    left_out: str


def study_performance(store: Store, subject: str, *, beside: Sequence[str] = BESIDE) -> PerformanceStudy:
    """The performance of an index or token. What of `beside` is not stored, or has too few pairs, is left out.

    Raises NotFoundError for an unknown name, NotEnoughDataError below two daily levels.
    """
    every = subject_series(store, subject)
    series = regular(every, Bar.DAILY)
    times, values = series.times_us, series.values
    if len(times) < 2:
        raise NotEnoughDataError(f"{series.name} has {len(times)} daily levels; 2 are needed")
    last = int(times[-1])
    windows = {name: times >= last - days * DAY_US for name, days in WINDOWS.items()}
    known = {name: keep for name, keep in windows.items() if times[0] <= last - WINDOWS[name] * DAY_US}
    return PerformanceStudy(
        subject=series.name,
        level=float(values[-1]),
        first_us=int(times[0]),
        last_us=last,
        periods=tuple(period_returns(times, values)),
        risk=(
            *(risk(times[keep], values[keep], window=name) for name, keep in known.items()),
            risk(times, values),
        ),
        months=tuple(month_returns(times, values)),
        tracking=tuple(beside_it for name in beside if (beside_it := _tracking(store, every, name)) is not None),
        left_out=left_out(every.left_out),
    )


def _tracking(store: Store, subject: Series, beside: str) -> Tracking | None:
    """Over the last year of pairs: days beside a token, sessions at the close beside a benchmark."""
    try:
        other = benchmark_series(store, beside)
    except (NotFoundError, NotEnoughDataError):
        return None
    clock = Clock.DAILY_UTC if other.kind == TOKEN else Clock.AT_CLOSE
    frame = make_frame(store, subject, [other], clock=clock)
    if not frame.pairs:
        return None
    frame = frame.rows(frame.complete & (frame.times_us > frame.times_us[-1] - WINDOWS["1y"] * DAY_US))
    if len(frame.y) < MIN_PAIRS:
        return None
    difference = frame.y - frame.x[:, 0]
    return Tracking(
        beside=frame.benchmarks[0],
        clock=frame.clock,
        n=len(difference),
        correlation=float(np.corrcoef(frame.y, frame.x[:, 0])[0, 1]),
        tracking_error=float(np.std(difference, ddof=1)) * math.sqrt(frame.periods_per_year),
    )
