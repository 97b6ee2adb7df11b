"""The rebalance calendar: effective and reference instants, leap days, ends of months."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import MethodologyError
from indexer.methodology.spec import Schedule, rebalance_dates
from indexer.times import DAY_US, from_us, to_us


def us(year: int, month: int, day: int, hour: int = 0) -> int:
    return to_us(datetime(year, month, day, hour, tzinfo=UTC))


def test_a_year_of_the_flagship_calendar() -> None:
    found = rebalance_dates(Schedule(), us(2025, 1, 1), us(2025, 12, 31))
    assert [from_us(change.effective_us).month for change in found] == list(range(1, 13))
    assert [from_us(c.effective_us).month for c in found if c.reconstitution] == [1, 4, 7, 10]
    assert from_us(found[0].reference_us) == datetime(2024, 12, 27, tzinfo=UTC)


def test_reference_date_counts_the_leap_day() -> None:
    (leap,) = rebalance_dates(Schedule(), us(2024, 3, 1), us(2024, 3, 1))
    (plain,) = rebalance_dates(Schedule(), us(2023, 3, 1), us(2023, 3, 1))
    assert from_us(leap.reference_us) == datetime(2024, 2, 25, tzinfo=UTC)
    assert from_us(plain.reference_us) == datetime(2023, 2, 24, tzinfo=UTC)


def test_both_ends_are_included_and_an_instant_beside_them_is_not() -> None:
    assert len(rebalance_dates(Schedule(), us(2024, 1, 1), us(2024, 2, 1))) == 2
    assert len(rebalance_dates(Schedule(), us(2024, 1, 1) + 1, us(2024, 2, 1) - 1)) == 0
    assert len(rebalance_dates(Schedule(), us(2024, 1, 31), us(2024, 2, 1, 12))) == 1


@pytest.mark.parametrize("day", [0, 29, 30, 31])
def test_days_that_not_every_month_has_are_refused(day: int) -> None:
    with pytest.raises(MethodologyError, match=f"effective_day: {day} is not a day of every month; give 1 to 28"):
        rebalance_dates(replace(Schedule(), effective_day=day), us(2024, 1, 1), us(2024, 2, 1))


def test_a_weekly_calendar_is_every_such_day_and_members_change_on_a_months_first() -> None:
    weekly = Schedule(rebalance_months=(1, 2, 4), reconstitution_months=(1, 4), weekday="friday")
    dates = rebalance_dates(weekly, us(2024, 1, 1), us(2024, 4, 30))
    days = [from_us(date.effective_us) for date in dates]
    assert all(day.weekday() == 4 and day.month in (1, 2, 4) for day in days)
    assert len(days) == 4 + 4 + 4
    first = [from_us(date.effective_us).date() for date in dates if date.reconstitution]
    assert first == [date(2024, 1, 5), date(2024, 4, 5)]


def test_end_before_start_is_refused() -> None:
    with pytest.raises(MethodologyError, match="from 2024-02-01T00:00:00Z to 2024-01-01T00:00:00Z ends before it"):
        rebalance_dates(Schedule(), us(2024, 2, 1), us(2024, 1, 1))


@given(
    st.dates(date(2000, 1, 1), date(2060, 1, 1)),
    st.integers(0, 1500),
    st.integers(1, 28),
    st.integers(1, 31),
    st.sets(st.integers(1, 12), min_size=1),
)
def test_the_calendar_is_every_day_that_fits(
    start: date, days: int, effective_day: int, before: int, months: set[int]
) -> None:
    schedule = Schedule(tuple(sorted(months)), (min(months),), effective_day, before)
    start_us = to_us(datetime(start.year, start.month, start.day, tzinfo=UTC))
    found = rebalance_dates(schedule, start_us, start_us + days * DAY_US)
    walked = [start + timedelta(days=n) for n in range(days + 1)]
    fits = [day for day in walked if day.day == effective_day and day.month in months]
    assert [from_us(change.effective_us).date() for change in found] == fits
    assert all(change.effective_us - change.reference_us == before * DAY_US for change in found)
    assert all(change.reconstitution == (from_us(change.effective_us).month == min(months)) for change in found)
