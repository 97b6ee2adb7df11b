"""Instants: conversion is exact, forms are accepted or refused with words."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import InputError
from indexer.times import from_us, iso, parse_instant, to_us


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)))
def test_microseconds_come_back_exactly(instant):
    assert from_us(to_us(instant)) == instant
    assert parse_instant(instant.isoformat()) == to_us(instant)


def test_other_zones_are_the_same_instant():
    east = datetime(2025, 1, 27, 16, tzinfo=timezone(-timedelta(hours=5)))
    assert iso(to_us(east)) == "2025-01-27T21:00:00Z"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-01-27", "2025-01-27T00:00:00Z"),
        ("2025-01-27T21:00:00Z", "2025-01-27T21:00:00Z"),
        ("2025-01-27T16:00:00-05:00", "2025-01-27T21:00:00Z"),
        ("2025-01-27 21:00", "2025-01-27T21:00:00Z"),
        ("1738011600", "2025-01-27T21:00:00Z"),
        ("1738011600000", "2025-01-27T21:00:00Z"),
        (" 1738011600500 ", "2025-01-27T21:00:00.500000Z"),
        ("20250127", "2025-01-27T00:00:00Z"),
    ],
)
def test_accepted_forms(text, instant):
    assert iso(parse_instant(text)) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01", "12", "NaN", "²³⁴²³⁴²³⁴²", "2025-01-27T25:00Z"])
def test_refused_forms_name_the_accepted_ones(text):
    with pytest.raises(InputError, match="is not a time: give 2025-01-27"):
        parse_instant(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("202501270930", "2025-01-27T09:30:00Z"),
        ("20250127093015", "2025-01-27T09:30:15Z"),
        ("1737970200000000", "2025-01-27T09:30:00Z"),
        ("1737970200000000000", "2025-01-27T09:30:00Z"),
        ("1737970200.5", "2025-01-27T09:30:00.500000Z"),
        ("2025-01-27 09:30:00 UTC", "2025-01-27T09:30:00Z"),
        ("2025-01-27T09:30+02:00", "2025-01-27T07:30:00Z"),
        ("Jan 27, 2025", "2025-01-27T00:00:00Z"),
    ],
)
def test_times_as_files_write_them(text, instant):
    assert iso(parse_instant(text)) == instant


def test_a_date_in_digits_that_is_none_is_refused_and_not_taken_for_milliseconds():
    with pytest.raises(InputError, match="is not a time"):
        parse_instant("202513010930")


def test_the_plus_of_an_offset_that_an_address_made_a_blank_is_hinted_at():
    with pytest.raises(InputError, match="%2B"):
        parse_instant("2025-01-27T09:30:00 02:00")


def test_numbers_beyond_the_calendar_are_refused():
    with pytest.raises(InputError, match="beyond the year 9999"):
        parse_instant("99999999999999999")


def test_a_naive_instant_is_refused():
    with pytest.raises(InputError, match="has no time zone"):
        to_us(datetime(2025, 1, 27))
