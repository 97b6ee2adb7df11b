"""How many venues had a bar of an asset on a day, from the bars as they are stored."""

from __future__ import annotations

import numpy as np

from indexer.engine.market import VENUES
from indexer.levels.markets import venues_a_day
from indexer.store.rows import BarSeries, ListingRow
from indexer.times import DAY_US, HOUR_US, parse_instant

D = parse_instant("2025-01-01")


def listing(number: int, asset: int, venue: str, *, source: str = "x", interval: str = "1h") -> ListingRow:
    return ListingRow("", venue, source, "", interval, "bar_open", id=number, asset_id=asset)


def bars(*rows: tuple[int, int]) -> BarSeries:
    ids, times = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    ones = np.ones(len(ids))
    return BarSeries(ids, times, ones, ones, ones)


def test_a_venue_counts_on_the_days_on_which_it_had_a_bar_once_whatever_its_listings() -> None:
    known = [
        listing(1, 7, "okx"),
        listing(2, 7, "kraken"),
        listing(3, 7, "okx", source="y"),
        listing(4, 7, "okx", interval="1d"),
        listing(5, 8, "kraken"),
    ]
    made = venues_a_day(
        bars(
            (1, D + HOUR_US), (1, D + DAY_US), (1, D + DAY_US + HOUR_US),
            (2, D + DAY_US + 5 * HOUR_US), (2, D + DAY_US + 6 * HOUR_US),
            (3, D + 2 * HOUR_US), (4, D + DAY_US), (5, D + 3 * DAY_US),
        ),
        known,
    )  # fmt: skip
    rows = list(zip(made.asset_id.tolist(), ((made.day_us - D) // DAY_US).tolist(), made.value.tolist(), strict=True))
    assert made.name == VENUES
    assert rows == [(7, 1, 1.0), (7, 2, 2.0), (8, 3, 1.0)]


def test_a_flat_candle_without_volume_is_no_venue() -> None:
    """okx stands still at zero on day 2 and moves on day 3; kraken does not say its volume."""
    ids, times = np.array([1, 1, 1, 2, 2]), D + np.array([1, 2, 3, 1, 2]) * DAY_US
    close, volume = np.array([5.0, 5.0, 6.0, 5.0, 5.0]), np.array([3.0, 0.0, 0.0, np.nan, np.nan])
    made = venues_a_day(BarSeries(ids, times, close, volume, volume), [listing(1, 7, "okx"), listing(2, 7, "kraken")])
    assert made.value.tolist() == [2.0, 1.0, 1.0]


def test_without_bars_there_is_no_day() -> None:
    empty = np.empty(0, dtype=np.int64)
    made = venues_a_day(BarSeries(empty, empty, np.empty(0), np.empty(0), np.empty(0)), [])
    assert len(made.asset_id) == len(made.day_us) == len(made.value) == 0
