"""Stress beside the index: liquidations, funding, open interest and fear & greed, hour by hour or day by day.

Nothing is estimated where no row
was given, and an hour without a row stays missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from indexer.analytics.drawdown import Bar
from indexer.analytics.stress import LONG, SHORT, LiquidationTotals, liquidation_totals, move_z
from indexer.arrays import F64, I64, finite
from indexer.store.db import Store
from indexer.store.metrics import read_metrics
from indexer.store.rows import MetricSeries
from indexer.studies.drawdowns import regular, step_of
from indexer.studies.series import index_series, left_out

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
        _bar(
            int(series.times_us[n]),
            float(series.values[n]),
            move=(moves[n], z[n]),
            by_metric=by_metric,
            step=step_of(bar),
        )
        for n in np.flatnonzero(inside)
    ]
    return StressStudy(
        index_id, subject, bar, tuple(rows), _totals(by_metric, start_us, end_us),
        tuple(name for name, (at, _) in by_metric.items() if not len(at)),
        left_out(series.left_out, start_us=start_us, end_us=end_us),
    )  # fmt: skip


def _bar(at: int, level: float, *, move: tuple[float, float], by_metric: Readings, step: int) -> StressBar:
    def values(name: str, until: int = at) -> F64:
        times, readings = by_metric[name]
        return readings[(times > until - step) & (times <= until)]

    long, short = (_sum(values(name)) for name in LIQUIDATION)
    total = None if long is None or short is None else long + short
    now, before = _last(values("open_interest_usd")), _last(values("open_interest_usd", at - step))
    return StressBar(
        at, level, finite(move[0]), finite(move[1]), long, short,
        long / total if total and long is not None else None,
        _sum(values("funding_rate")), now / before - 1.0 if now is not None and before else None,
        _last(values("fear_greed")),
    )  # fmt: skip


def _totals(by_metric: Readings, start_us: int, end_us: int) -> LiquidationTotals | None:
    sides = [(side, *by_metric[name]) for side, name in zip((LONG, SHORT), LIQUIDATION, strict=True)]
    rows = [(at, side, usd) for side, *columns in sides for at, usd in zip(*columns, strict=True)]
    inside = [row for row in rows if start_us < row[0] <= end_us]
    if not inside:
        return None
    times, names, usd = zip(*inside, strict=True)
    return liquidation_totals(times, names, usd=usd)


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
