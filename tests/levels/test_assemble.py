"""Stored facts become the market: splices by succession, volumes by day, supplies in the line's token."""

import numpy as np
import pytest

from indexer.engine.known import SupplyTokens
from indexer.levels.assemble import LineFacts, assemble, daily_volumes
from indexer.reference.rates import RateSeries
from indexer.registry.records import LinePart
from indexer.times import DAY_US, HOUR_US

D = 19_000 * DAY_US


def rates(*rows):
    asset, time, rate = zip(*rows, strict=True)
    none = np.zeros(len(rows), np.int8)
    return RateSeries(np.array(asset), np.array(time), np.array(rate, dtype=float), none, none)


def line(slug, *parts):
    return LineFacts(slug, "compute", 1, tuple(parts))


def test_a_redenomination_divides_the_old_price_and_multiplies_the_old_supply():
    merged = line("new", LinePart(1, "old", 6.0, None, D), LinePart(2, "new", 1.0, D, None))
    market = assemble(
        [merged],
        rates((1, D - HOUR_US, 0.6), (1, D + HOUR_US, 0.9), (2, D - HOUR_US, 9.0), (2, D, 0.1)),
        supplies=[
            SupplyTokens(1, "circulating", "imported", D - DAY_US, 1_100.0),
            SupplyTokens(2, "circulating", "reported", D, 7_000.0),
        ],
    )
    assert market.times_us.tolist() == [D - HOUR_US, D, D + HOUR_US]
    assert market.prices[:, 0].tolist() == pytest.approx([0.1, 0.1, np.nan], nan_ok=True)
    supply = market.lines[0].supply
    assert supply.circulating.tolist() == pytest.approx([6_600.0, 7_000.0])
    assert supply.source.tolist() == [2, 1]
    assert market.lines[0].successor_since_us == D


def test_an_instant_without_a_rate_is_missing_not_filled():
    market = assemble(
        [line("a", LinePart(1, "a", 1.0, None, None)), line("b", LinePart(2, "b", 1.0, None, None))],
        rates((1, D, 1.0), (2, D, 2.0), (1, D + HOUR_US, 1.1)),
        supplies=[],
    )
    assert np.isnan(market.prices[1, 1])
    assert market.price_status[1, 1] == 5
    assert [one.first_price_us for one in market.lines] == [D, D]


def test_a_line_without_any_rate_is_left_out_and_other_assets_set_no_clock():
    market = assemble(
        [line("a", LinePart(1, "a", 1.0, None, None)), line("never", LinePart(9, "never", 1.0, None, None))],
        rates((1, D, 1.0), (5, D + HOUR_US, 2.0)),
        supplies=[],
    )
    assert [one.slug for one in market.lines] == ["a"]
    assert market.times_us.tolist() == [D]


def volumes(*rows):
    asset, venue, interval, time, value = (np.array(column) for column in zip(*rows, strict=True))
    return daily_volumes(asset, venue, interval_us=interval, time_us=time, volume_usd=value.astype(float))


def test_a_day_is_the_venues_daily_bar_or_all_of_its_hours():
    whole = [(1, 0, HOUR_US, D + h * HOUR_US, 10.0) for h in range(1, 25)]
    made = volumes(*whole, (1, 1, DAY_US, D + DAY_US, 500.0), (1, 1, HOUR_US, D + HOUR_US, 7.0))
    assert made.day_us.tolist() == [D + DAY_US]
    assert made.value.tolist() == [740.0], "24 x 10 of one venue and the daily 500 of the other"


def test_a_venues_bar_that_comes_from_two_sources_counts_once():
    whole = [(1, 0, HOUR_US, D + h * HOUR_US, 10.0) for h in range(1, 25)]
    assert volumes(*whole, *whole[5:]).value.tolist() == [240.0]


def test_a_day_with_a_missing_or_unknown_hour_is_unknown():
    hours = [(1, 0, HOUR_US, D + h * HOUR_US, 10.0) for h in range(1, 24)]
    assert len(volumes(*hours).day_us) == 0
    assert len(volumes(*hours, (1, 0, HOUR_US, D + DAY_US, np.nan)).day_us) == 0
