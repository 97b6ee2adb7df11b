"""Drawdown episodes, recovery with censoring, conditional statistics, the analogue table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.analytics.drawdown import (
    after_fall,
    analogues,
    drawdown_episodes,
    drawdown_series,
    recovery_summary,
    ulcer_index,
)
from indexer.errors import InputError
from indexer.times import DAY_US

LEVELS = [100, 120, 90, 96, 120, 130, 117, 104, 110, np.nan, 125]
TIMES = np.arange(len(LEVELS)) * DAY_US


def test_episodes_by_hand():
    first, second = drawdown_episodes(TIMES, LEVELS)
    assert (first.peak_us, first.trough_us, first.recovery_us) == (DAY_US, 2 * DAY_US, 4 * DAY_US)
    assert (first.depth, first.bars_down, first.bars_to_recover) == (-0.25, 1, 2)
    assert (first.days_down, first.days_to_recover, first.recovered) == (1.0, 2.0, True)
    assert first.ulcer == pytest.approx(math.sqrt((0 + 0.25**2 + 0.2**2) / 3))
    assert (second.peak_level, second.trough_level, second.bars_down) == (130, 104, 2)
    assert (second.recovery_us, second.bars_to_recover, second.days_to_recover) == (None, None, None)
    assert not second.recovered
    assert drawdown_episodes(TIMES, LEVELS, min_depth=0.22) == [first]
    assert drawdown_episodes([1, 2], [1, 2]) == [] == drawdown_episodes([], [])
    assert np.isnan(drawdown_series(LEVELS)[9]) and drawdown_series(LEVELS)[7] == pytest.approx(-0.2)
    assert ulcer_index([1, 2, 1]) == pytest.approx(math.sqrt(0.25 / 3)) and ulcer_index([]) is None


@given(st.lists(st.floats(1, 1000), min_size=2, max_size=60))
def test_episodes_are_disjoint_and_cover_every_deep_row(levels):
    times = np.arange(len(levels))
    found = drawdown_episodes(times, levels, min_depth=0.1)
    fall = drawdown_series(levels)
    inside = np.zeros(len(levels), dtype=bool)
    for episode in found:
        end = len(levels) if episode.recovery_us is None else episode.recovery_us
        assert not inside[episode.peak_us + 1 : end].any()
        inside[episode.peak_us + 1 : end] = True
        assert fall[episode.trough_us] == episode.depth == fall[episode.peak_us : end].min()
        if episode.recovered:
            assert levels[episode.recovery_us] >= episode.peak_level > levels[episode.recovery_us - 1]
    assert inside[fall <= -0.1].all()


def test_recovery_counts_open_episodes_as_long():
    found = drawdown_episodes(TIMES, LEVELS)
    got = recovery_summary(found, min_depth=0.1)
    assert (got.n, got.n_open, got.median_bars) == (2, 1, None)
    assert got.statement == (
        "pullbacks of 10 % or more: n = 2, too few for a median; 1 recovered (in 2 bars), 1 still open"
    )
    got = recovery_summary(found, min_depth=0.22, max_depth=0.3)
    assert got.statement == (
        "pullbacks of 22 to 30 %: n = 1, too few for a median; 1 recovered (in 2 bars), 0 still open"
    )
    assert recovery_summary(found, min_depth=0.5).statement == "pullbacks of 50 % or more: none in the data"


def test_after_fall_does_not_count_a_return_twice():
    levels = [100, 94, 88, 90, 95, 99, 93, 94]
    got = after_fall(np.arange(8), levels, fall=0.05, horizons=(1, 3))
    assert got.events_us.tolist() == [1, 2, 6]
    one, three = got.rows
    assert (one.n, one.n_all, one.n_open) == (3, 3, 0)
    assert one.median == pytest.approx(94 / 93 - 1) and one.share_up == pytest.approx(2 / 3)
    assert (three.n, three.n_all, three.n_open) == (1, 3, 1)  # the one at row 2 overlaps, row 6 is unfinished
    assert three.mean == pytest.approx(95 / 94 - 1)
    empty = after_fall(np.arange(8), levels, fall=0.5).rows[0]
    assert (empty.n, empty.median, empty.share_up) == (0, None, None)


def test_analogues_side_by_side():
    levels = [200, 100, 120, 90, 100, 130, 125, 104, 140]
    windows = {"one": (1, 3), "two": (4, 6), "flat": (8, 8), "none": (50, 60)}
    one, two, flat, none = analogues(np.arange(9), levels, windows=windows, horizons=(1, 5))
    assert (one.episode.peak_level, one.episode.depth) == (120, -0.25)  # not the older peak of 200
    assert one.after_trough == {1: pytest.approx(100 / 90 - 1), 5: pytest.approx(140 / 90 - 1)}
    assert one.after_peak == {1: -0.25, 5: pytest.approx(104 / 120 - 1)}
    assert (two.episode.peak_level, two.after_trough) == (130, {1: pytest.approx(140 / 104 - 1), 5: None})
    assert one.overlaps == () == two.overlaps
    assert flat.reason == "no pullback of 5% begins in the window" and none.reason == "no level in the window"
    both = analogues(np.arange(9), levels, windows={"a": (1, 3), "b": (2, 4)})
    assert both[0].overlaps == ("b",) and both[1].overlaps == ("a",)


def test_input_errors():
    with pytest.raises(InputError, match="times must strictly increase"):
        drawdown_episodes([1, 1], [1, 2])
    with pytest.raises(InputError, match="levels must be positive; give index levels or prices, not returns"):
        drawdown_episodes([1, 2], [1, -2])
    with pytest.raises(InputError, match=r"min_depth 10 must be a fraction between 0 and 1, e.g. 0.10"):
        drawdown_episodes([1, 2], [1, 2], min_depth=10)
    with pytest.raises(InputError, match="fall 5 must be a fraction"):
        after_fall([1, 2], [1, 2], fall=5)
    with pytest.raises(InputError, match="horizon 0 must be at least 1 bar"):
        after_fall([1, 2], [1, 2], fall=0.1, horizons=(0,))
    with pytest.raises(InputError, match="2 times and 1 levels do not pair up"):
        drawdown_episodes([1, 2], [1])
