"""Sampling at the close: exact instants only, nothing filled, invariant to what happens between closes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.analytics import align
from indexer.analytics.align import align_at, calendar_version, sample_at, session_closes, sessions
from indexer.analytics.beta import compute_beta
from indexer.errors import InputError
from indexer.times import HOUR_US, from_us, iso, to_us

HOUR = HOUR_US


def hourly(start: datetime, end: datetime, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    times = np.arange(to_us(start), to_us(end) + HOUR, HOUR)
    steps = np.random.default_rng(seed).normal(0, 0.01, times.size)
    return times, 1000 * np.exp(np.cumsum(steps))


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


@pytest.fixture(scope="module")
def market():
    times, levels = hourly(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 4, 15, tzinfo=UTC))
    closes = session_closes(date(2024, 2, 5), date(2024, 4, 10))
    prices = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, closes.size)))
    return times, levels, closes, prices


CLOSES = (
    "2024-03-08T21:00 2024-03-11T20:00 2024-07-03T17:00 2024-11-01T20:00 2024-11-04T21:00 2024-11-29T18:00 "
    "2024-12-24T18:00 2025-11-28T18:00 2026-03-06T21:00 2026-03-09T20:00 2026-10-30T20:00 2026-11-02T21:00"
)


@pytest.mark.parametrize("close", CLOSES.split())
def test_closes_of_the_exchange(close):
    day = date.fromisoformat(close[:10])
    assert [iso(us) for us in session_closes(day, day)] == [close + ":00Z"]


def test_sessions_of_a_year():
    assert len(session_closes(date(2024, 1, 1), date(2024, 12, 31))) == 252
    assert len(session_closes(date(2025, 1, 1), date(2025, 12, 31))) == 250
    assert session_closes(date(2025, 1, 9), date(2025, 1, 9)).size == 0  # day of mourning
    week = sessions(date(2025, 1, 24), date(2025, 1, 27))
    assert week.dates == (date(2025, 1, 24), date(2025, 1, 27))
    assert week.calendar == calendar_version() and week.calendar.startswith("XNYS exchange_calendars ")


def test_the_shipped_sessions_are_those_of_the_library():
    first, last = date(2000, 1, 1), date(2040, 12, 31)
    shipped, of_library = sessions(first, last), align._of_library(first, last, exchange="XNYS")
    assert shipped.dates == of_library.dates and shipped.zone == of_library.zone
    np.testing.assert_array_equal(shipped.closes_us, of_library.closes_us)
    np.testing.assert_array_equal(shipped.opens_us, of_library.opens_us)
    assert shipped.calendar.endswith(version("exchange_calendars")), "read the table anew from this version"


def test_calendar_errors():
    with pytest.raises(InputError, match="end 2024-01-01 is before start 2024-01-02"):
        session_closes(date(2024, 1, 2), date(2024, 1, 1))
    with pytest.raises(InputError, match='"NOPE" is not an exchange calendar'):
        session_closes(date(2024, 1, 2), date(2024, 1, 3), exchange="NOPE")


def test_returns_over_exactly_the_same_intervals(market):
    times, levels, closes, prices = market
    got = align_at(times, levels, closes, prices)
    sampled = np.array([levels[np.flatnonzero(times == c)[0]] for c in closes])
    assert np.array_equal(got.times_us, closes[1:])
    assert np.array_equal(got.starts_us, closes[:-1])
    np.testing.assert_allclose(got.y, np.log(sampled[1:] / sampled[:-1]), rtol=1e-14)
    np.testing.assert_allclose(got.x[:, 0], np.log(prices[1:] / prices[:-1]), rtol=1e-14)
    assert (got.pairs, got.dropped) == (closes.size - 1, 0)
    monday = from_us(got.times_us[4])
    assert (monday.weekday(), from_us(got.starts_us[4]).weekday()) == (0, 4)  # the weekend is inside


def test_a_missing_close_is_dropped_from_both_sides_and_not_spanned(market):
    times, levels, closes, prices = market
    holey = levels.copy()
    holey[times == closes[10]] = np.nan
    got = align_at(times, holey, closes, prices)
    assert got.dropped == 2 and got.times_us[~got.complete].tolist() == closes[[10, 11]].tolist()


def test_no_row_is_not_replaced_by_a_neighbour(market):
    times, levels, closes, prices = market
    keep = times != closes[10]
    got = align_at(times[keep], levels[keep], closes, prices)
    assert got.dropped == 2
    bad = prices.copy()
    bad[[3, 5]] = [0.0, np.nan]
    got = align_at(times, levels, closes, bad)
    assert got.dropped == 4
    assert np.isnan(sample_at([10, 20], [1.0, 2.0], at_us=[9, 10, 15, 20, 21])).tolist() == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert np.isnan(sample_at(np.array([], dtype=np.int64), [], at_us=[1])).all()


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_beta_at_the_close_ignores_everything_between_closes(seed):
    closes = session_closes(date(2024, 2, 5), date(2024, 4, 10))
    times, levels = hourly(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 4, 15, tzinfo=UTC))
    prices = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, closes.size)))
    noise = np.random.default_rng(seed)
    moved = np.where(np.isin(times, closes), levels, levels * np.exp(noise.normal(0, 0.5, times.size)))
    plain, other = (align_at(times, side, closes, prices) for side in (levels, moved))
    assert compute_beta(plain.x[:, 0], plain.y) == compute_beta(other.x[:, 0], other.y)


def test_hours_across_the_halt_are_dropped():
    times = np.array([0, 1, 2, 4, 5]) * HOUR  # the bar ending at hour 3 is the daily halt
    levels = np.exp(np.arange(6) / 100)
    got = align_at(np.arange(6) * HOUR, levels, times, np.exp(times / HOUR / 50), max_interval_us=HOUR)
    assert got.times_us.tolist() == [HOUR, 2 * HOUR, 5 * HOUR]
    assert got.dropped == 0


def test_several_benchmarks_keep_their_own_holes(market):
    times, levels, closes, prices = market
    two = np.column_stack([prices, np.where(np.arange(closes.size) == 7, np.nan, prices)])
    grid = align_at(times, levels, closes, two)
    assert grid.x.shape == (closes.size - 1, 2) and np.flatnonzero(np.isnan(grid.x[:, 1])).tolist() == [6, 7]
    np.testing.assert_allclose(grid.y, align_at(times, levels, closes, prices).y, rtol=1e-12)


def test_input_errors():
    ok = ([1, 2], [1.0, 2.0])
    with pytest.raises(InputError, match="benchmark times must strictly increase; row 1 repeats or goes back"):
        align_at(*ok, [2, 2], [1.0, 2.0])
    with pytest.raises(InputError, match="index: 1 times and values of shape"):
        align_at([1], [1.0, 2.0], *ok)
    with pytest.raises(InputError, match="times must be int64 microseconds, got float64"):
        align_at([1.5, 2.5], [1.0, 2.0], *ok)
    with pytest.raises(InputError, match="the index must be one series of levels"):
        align_at([1, 2], [[1.0, 2.0], [1.0, 2.0]], *ok)
