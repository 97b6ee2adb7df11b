"""Candles against a loop over the same levels, with gaps and a bar that still lives."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.analytics.candles import MONDAY_US, SPANS_US, candles_of
from indexer.times import DAY_US, HOUR_US, parse_instant


def slow(times: list[int], values: list[float], span: int, shift: int) -> list[tuple[float, ...]]:
    rows = []
    for begin in range((times[0] - shift) // span * span + shift, times[-1], span):
        inside = [(at, value) for at, value in zip(times, values, strict=True) if begin <= at <= begin + span]
        if not any(at > begin for at, _ in inside):
            continue
        levels = [value for _, value in inside]
        closed = inside[-1][0] == begin + span
        rows.append((begin, levels[0], max(levels), min(levels), levels[-1], len(levels), closed))
    return rows


@pytest.mark.parametrize("interval", SPANS_US)
@pytest.mark.parametrize("start", ["2024-01-01", "2024-02-28T07:00:00Z"])
def test_a_bar_is_made_of_the_levels_at_its_ends_and_between(interval: str, start: str) -> None:
    rng = np.random.default_rng(3)
    times = parse_instant(start) + HOUR_US * np.arange(24 * 40)
    times = times[(rng.random(len(times)) > 0.2) & (abs(times - times[500]) > 2 * DAY_US)]
    values = 1000.0 * np.exp(np.cumsum(rng.standard_normal(len(times)) * 0.01))
    bars = candles_of(times, values, interval=interval)
    shift = MONDAY_US if interval == "1w" else 0
    expected = slow(times.tolist(), values.tolist(), SPANS_US[interval], shift)
    columns = (bars.time_us, bars.open, bars.high, bars.low, bars.close, bars.levels, bars.complete)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected


def test_no_levels_no_candles() -> None:
    assert len(candles_of(np.empty(0, np.int64), np.empty(0), interval="1d").time_us) == 0
    assert len(candles_of(np.array([0]), np.array([1.0]), interval="1d").time_us) == 0
