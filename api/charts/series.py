"""The data behind a chart: an index's levels, drawdown or rolling beta over a range that ends at its newest level."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from indexer.arrays import F64, I64
from indexer.errors import NotEnoughDataError
from indexer.store.db import Store
from indexer.store.read import IndexRow, read_latest_level, read_levels
from indexer.times import DAY_US, HOUR_US


class ChartKind(StrEnum):
    """What is drawn."""

    LEVEL = "level"
    DRAWDOWN = "drawdown"
    BETA = "beta"


class ChartRange(StrEnum):
    """How far back, from the newest level."""

    WEEK = "1w"
    MONTH = "1m"
    QUARTER = "3m"
    YEAR = "1y"
    ALL = "all"


DAYS = {ChartRange.WEEK: 7, ChartRange.MONTH: 30, ChartRange.QUARTER: 91, ChartRange.YEAR: 365, ChartRange.ALL: None}
FINE_DAYS = 31


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """Points (T,) ascending, with a band where there is one; `newest` is the index's newest level."""

    times_us: I64
    values: F64
    low: F64 | None
    high: F64 | None
    newest_us: int
    newest: float


def chart_series(
    store: Store, index: IndexRow, *, kind: ChartKind, span: ChartRange, benchmark: str, sessions: int
) -> ChartSeries:
    """The points of a chart. Raises NotEnoughDataError while there is nothing to draw."""
    newest = read_latest_level(store, index.id)
    if newest is None:
        raise NotEnoughDataError(f'Index "{index.id}" has no levels yet, so no chart; `deai import FILE` brings prices')
    newest_us, level = int(newest.times_us[-1]), float(newest.levels[-1])
    days = DAYS[span]
    start_us = None if days is None else newest_us - days * DAY_US
    if kind is ChartKind.BETA:
        return _beta(store, index, start_us, newest_us, level=level, benchmark=benchmark, sessions=sessions)
    step = HOUR_US if days is not None and days <= FINE_DAYS else DAY_US
    if kind is ChartKind.LEVEL:
        rows = read_levels(store, index.id, start_us=start_us, step_us=step)
        return ChartSeries(rows.times_us, rows.levels, None, None, newest_us, level)
    rows = read_levels(store, index.id, step_us=step)
    falls = rows.levels / np.maximum.accumulate(rows.levels) - 1.0 if len(rows) else rows.levels
    keep = rows.times_us >= (start_us or 0)
    return ChartSeries(rows.times_us[keep], falls[keep], None, None, newest_us, level)


def _beta(
    store: Store, index: IndexRow, start_us: int | None, newest_us: int, *, level: float, benchmark: str, sessions: int
) -> ChartSeries:
    from indexer.studies.beta import beta_history

    found = beta_history(store, index.id, benchmark, sessions=sessions, start_us=start_us)
    known = np.isfinite(found.rolling.beta)
    low, high = found.interval()
    return ChartSeries(found.times_us[known], found.rolling.beta[known], low[known], high[known], newest_us, level)
