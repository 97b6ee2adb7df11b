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


def test_numbers_beyond_the_calendar_are_refused():
    with pytest.raises(InputError, match="beyond the year 9999"):
        parse_instant("99999999999999999")


def test_a_naive_instant_is_refused():
    with pytest.raises(InputError, match="has no time zone"):
        to_us(datetime(2025, 1, 27))
