"""Prices at instants → bars with a close only: for aggregators, which give points instead of candles. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from indexer.arrays import F64, I64
from indexer.sources.base import Call, Parsed
from indexer.sources.rows import gate, number, stamps_us
from indexer.times import INTERVAL_US

_NEAR_US: Final = 10 * 60_000_000

Points = Sequence[Sequence[Any]]


def bars_of_points(
    points: Points, call: Call, *, fetched_us: int, volumes: Points | None = None, unit_us: int = 1000
) -> Parsed:
    """Bars from [stamp, price] pairs that are true at the stamp; open, high and low stay unknown.

    A point belongs to the bar whose close is nearest, if that is within ten minutes (aggregators sample some
    minutes past the hour); of several the nearest counts. Others (such as the trailing point "now" of a daily
    chart) lie off the grid and are left out.
    """
    stamps = stamps_us(np.array([number(p[0]) for p in points]), unit_us, name=call.source)
    price = np.array([number(p[1]) for p in points])
    step = INTERVAL_US[call.ask.interval]
    close_us = np.where(stamps < 0, stamps, (stamps + step // 2) // step * step)
    distance = np.abs(stamps - close_us)
    chosen = np.flatnonzero((distance <= min(_NEAR_US, step // 4)) | (stamps < 0))
    chosen = chosen[np.argsort(distance[chosen], kind="stable")]
    _, first = np.unique(close_us[chosen], return_index=True)
    chosen = chosen[first]
    values = np.full((len(chosen), 6), np.nan)
    values[:, 3] = price[chosen]
    if volumes is not None:
        values[:, 5] = _matched(stamps[chosen], volumes, unit_us, name=call.source)
    return gate(close_us[chosen], values, call, fetched_us=fetched_us, raw=[points[at] for at in chosen.tolist()])


def _matched(stamps: I64, volumes: Points, unit_us: int, *, name: str) -> F64:
    """The volumes with exactly these stamps, NaN where there is none."""
    at = stamps_us(np.array([number(p[0]) for p in volumes]), unit_us, name=name)
    by_stamp = dict(zip(at.tolist(), (number(p[1]) for p in volumes), strict=True))
    return np.array([by_stamp.get(stamp, np.nan) for stamp in stamps.tolist()], dtype=np.float64)
