"""Liquidations, funding, open interest and fear & greed beside the index; what has no row stays missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from indexer.analytics.drawdown import Bar
from indexer.arrays import F64, I64, finite
from indexer.store.bars import read_metrics
from indexer.store.db import Store
from indexer.store.rows import MetricSeries
from indexer.studies.drawdowns import regular, step_of
from indexer.studies.series import index_series, left_out
from indexer.times import HOUR_US

LIQUIDATION = ("liquidation_long_usd", "liquidation_short_usd")
# What is read, and its name in the store. Levels are read at the end of a bar, flows are summed inside it.
METRICS = {
    "liquidation_long_usd": "liquidations_long_usd",
    "liquidation_short_usd": "liquidations_short_usd",
    "funding_rate": "funding_rate",
    "open_interest_usd": "open_interest_usd",
    "fear_greed": "fear_greed_0_100",
}
MARKET = "market"
Readings = Mapping[str, tuple[I64, F64]]
"""Metric (of METRICS) → instants and values (M,), ascending; one that is not there has no row."""
NOTHING: tuple[I64, F64] = (np.empty(0, dtype=np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class LiquidationHour:
    """Totals in USD of one hour [start_us, start_us + 1 h) from `n` readings. `long_share` = long / (long + short)."""

    start_us: int
    long_usd: float
    short_usd: float
    n: int
    long_share: float | None


@dataclass(frozen=True, slots=True)
class LiquidationTotals:
    """Hours that have rows, in order, their sum, and the hour with the largest total; no row may mean no feed."""

    hours: tuple[LiquidationHour, ...]
    long_usd: float
    short_usd: float
    long_share: float | None
    worst: LiquidationHour | None


@dataclass(frozen=True, slots=True)
class StressBar:
    """One bar that ends at `time_us`. `move_z` is the index's log return in standard deviations of the 90 before.

    Sums and last readings inside the bar; None without a row. `open_interest_change` is a fraction of the bar before.
    """

    time_us: int
    level: float
    move: float | None
    move_z: float | None
    long_usd: float | None
    short_usd: float | None
    long_share: float | None
    funding: float | None
    open_interest_change: float | None
    fear_greed: float | None


@dataclass(frozen=True, slots=True)
class StressStudy:
    """Stress beside an index. `absent` names the metrics without any row: they are unknown, not zero.

    `left_out` says which spans have no bar, because the index was impaired or suspended."""

    index_id: str
    subject: str
    bar: str
    rows: tuple[StressBar, ...]
    liquidations: LiquidationTotals | None
    absent: tuple[str, ...]
    left_out: str


def study_stress(
    store: Store,
    index_id: str,
    readings: Readings,
    *,
    start_us: int,
    end_us: int,
    subject: str = "btc",
    bar: str = Bar.DAILY,
) -> StressStudy:
    """Each bar of an index in (start, end] beside the readings of `subject` inside that bar.

    Raises NotFoundError for the index and InputError for an unknown bar.
    """
    series = regular(index_series(store, index_id), bar)
    inside = (series.times_us > start_us) & (series.times_us <= end_us)
    moves = np.r_[np.nan, np.diff(np.log(series.values))]
    moves[np.r_[False, np.diff(series.times_us) != step_of(bar)]] = np.nan  # over a gap is no move of one bar
    known, z = np.isfinite(moves), np.full(len(moves), np.nan)
    z[known] = move_z(moves[known])
    by_metric = {name: readings.get(name, NOTHING) for name in METRICS}
    rows = [
        _bar(int(series.times_us[n]), float(series.values[n]), (moves[n], z[n]), by_metric=by_metric, step=step_of(bar))
        for n in np.flatnonzero(inside)
    ]
    return StressStudy(
        index_id, subject, bar, tuple(rows), liquidation_totals(readings, start_us=start_us, end_us=end_us),
        tuple(name for name, (at, _) in by_metric.items() if not len(at)),
        left_out(series.left_out, start_us=start_us, end_us=end_us),
    )  # fmt: skip


def _bar(at: int, level: float, move: tuple[float, float], *, by_metric: Readings, step: int) -> StressBar:
    def values(name: str, until: int = at) -> F64:
        times, readings = by_metric[name]
        return readings[(times > until - step) & (times <= until)]

    long, short = (_sum(values(name)) for name in LIQUIDATION)
    now, before = _last(values("open_interest_usd")), _last(values("open_interest_usd", at - step))
    return StressBar(
        at, level, finite(move[0]), finite(move[1]), long, short, _share(long, short),
        _sum(values("funding_rate")), now / before - 1.0 if now is not None and before else None,
        _last(values("fear_greed")),
    )  # fmt: skip


def liquidation_totals(readings: Readings, *, start_us: int, end_us: int) -> LiquidationTotals | None:
    """Forced closures of both sides by hour in (start, end]; None where no reading lies there."""
    sides = [readings.get(name, NOTHING) for name in LIQUIDATION]
    inside = [(times > start_us) & (times <= end_us) for times, _ in sides]
    times = np.concatenate([at[rows] for (at, _), rows in zip(sides, inside, strict=True)])
    if not len(times):
        return None
    usd = np.concatenate([amounts[rows] for (_, amounts), rows in zip(sides, inside, strict=True)])
    is_long = np.arange(len(times)) < np.count_nonzero(inside[0])
    starts, place = np.unique(times // HOUR_US * HOUR_US, return_inverse=True)
    columns = [np.bincount(place, weights=weights).tolist() for weights in (usd * is_long, usd * ~is_long)]
    counts = np.bincount(place).tolist()
    hours = tuple(
        LiquidationHour(start, long, short, n, _share(long, short))
        for start, long, short, n in zip(starts.tolist(), *columns, counts, strict=True)
    )
    long, short = math.fsum(columns[0]), math.fsum(columns[1])
    worst = max(hours, key=lambda hour: hour.long_usd + hour.short_usd)
    return LiquidationTotals(hours, long, short, _share(long, short), worst)


def move_z(returns: F64, *, window: int = 90) -> F64:
    """(T,) each return in standard deviations of the `window` returns *before* it; NaN until there are that many.

    The move itself is not in its own yardstick; a window without variance gives NaN.
    """
    z = np.full(len(returns), np.nan)
    if len(returns) > window:
        past = np.lib.stride_tricks.sliding_window_view(returns, window)[:-1]
        mean, sd = past.mean(axis=1), past.std(axis=1, ddof=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            z[window:] = np.where(sd > 1e-12 * np.abs(past).max(axis=1), (returns[window:] - mean) / sd, np.nan)
    return z


def _share(long: float | None, short: float | None) -> float | None:
    return long / (long + short) if long is not None and short is not None and long + short > 0.0 else None


def _sum(values: F64) -> float | None:
    return float(values.sum()) if len(values) else None


def _last(values: F64) -> float | None:
    return float(values[-1]) if len(values) else None


def stored_stress(store: Store, subject: str, *, since_us: int, until_us: int) -> Readings:
    """The readings of a token (slug), and of the market where the token has none, in [since, until)."""
    readings = {}
    for metric, name in METRICS.items():
        for owner in (subject, MARKET):
            series = read_metrics(store, subject=owner, name=name, since_us=since_us, until_us=until_us)
            if series:
                readings[metric] = _joined(series, name)
                break
    return readings


def _joined(series: list[MetricSeries], name: str) -> tuple[I64, F64]:
    """Several sources as one series."""
    at = np.unique(np.concatenate([source.time_us for source in series]))
    table = np.full((len(series), len(at)), np.nan)
    for row, source in zip(table, series, strict=True):
        row[np.searchsorted(at, source.time_us)] = source.value
    known = np.isfinite(table)
    total = np.where(known, table, 0.0).sum(axis=0)
    if name == "open_interest_usd":
        whole = known.all(axis=0)
        return at[whole], total[whole]
    if name in ("funding_rate", "fear_greed_0_100"):
        return at, total / known.sum(axis=0)
    return at, total
