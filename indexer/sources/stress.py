"""Market stress from derivatives: values over instants, and liquidations per hour with their long share. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from indexer.arrays import F64, I64
from indexer.sources.base import Call, Parsed
from indexer.sources.records import Liquidations, Reject, Series, check_columns
from indexer.sources.rows import number, stamps_us
from indexer.times import HOUR_US


@dataclass(frozen=True, slots=True, eq=False)
class HourlyLiquidations:
    """Forced closures per hour. `time_us` (N,) is the hour's end; USD by side; hours without any are absent.

    `long_share` = long / (long + short): near 1 in a fall, near 0 in a squeeze.
    """

    time_us: I64
    long_usd: F64
    short_usd: F64
    long_share: F64

    def __post_init__(self) -> None:
        check_columns(self)


def hourly_liquidations(orders: Sequence[Liquidations]) -> HourlyLiquidations:
    """The totals per hour over all the venues' and symbols' orders given; each order once."""
    at = np.concatenate([part.time_us for part in orders]) if orders else np.empty(0, dtype=np.int64)
    usd = np.concatenate([part.usd for part in orders]) if orders else np.empty(0)
    long = np.concatenate([part.long for part in orders]) if orders else np.empty(0, dtype=np.bool_)
    ends, hour = np.unique(-(-at // HOUR_US) * HOUR_US, return_inverse=True)
    long_usd = np.bincount(hour, weights=np.where(long, usd, 0.0), minlength=len(ends)).astype(np.float64)
    short_usd = np.bincount(hour, weights=np.where(long, 0.0, usd), minlength=len(ends)).astype(np.float64)
    return HourlyLiquidations(ends, long_usd, short_usd, long_usd / (long_usd + short_usd))


def series_of(name: str, rows: Sequence[Sequence[Any]], call: Call, *, fetched_us: int, unit_us: int = 1000) -> Parsed:
    """One series from [stamp, value] rows in any order, within the asked range; doubtful rows are rejects."""
    at = stamps_us(np.array([number(row[0]) for row in rows]), unit_us, name=call.source)
    value = np.array([number(row[1]) for row in rows])
    good = (at > 0) & (at <= fetched_us) & np.isfinite(value)
    rejects = tuple(
        Reject("not a finite value at a past instant", str(list(rows[n]))[:300], n)
        for n in np.flatnonzero(~good).tolist()
    )
    asked = good & (at > call.ask.start_us) & (at <= call.ask.end_us)
    times, first = np.unique(at[asked], return_index=True)
    return Parsed(series=(Series(call.ask.symbol, name, times, value[asked][first]),), rejects=rejects)
