"""Bars of several venues and intervals become one rate per asset and instant, with verdicts."""

import json

import numpy as np

from indexer.reference.rates import ListedBars, Place, compute_rates, traded
from indexer.reference.rules import RateFlag
from indexer.times import DAY_US, HOUR_US, MINUTE_US

NAN = float("nan")
T0 = 1_700_006_400_000_000 // DAY_US * DAY_US


def bars(*rows):
    listing, time, close, volume = zip(*rows, strict=True)
    return ListedBars(
        np.array(listing), np.array(time, dtype=np.int64), np.array(close, dtype=float), np.array(volume, dtype=float)
    )


def only(listed, places):
    made, _ = compute_rates(listed, places)
    assert len(set(made.asset_id.tolist())) == 1
    return made


def test_three_venues_make_a_final_rate_by_volume_weighted_median():
    places = {1: Place(7, "a", "1h"), 2: Place(7, "b", "1h"), 3: Place(7, "c", "1h")}
    made = only(bars((1, T0, 100.0, 1.0), (2, T0, 101.0, 5.0), (3, T0, 102.0, 1.0)), places)
    assert made.asset_id.tolist() == [7]
    assert made.rate.tolist() == [101.0]
    assert made.status.tolist() == [0]
    assert json.loads(made.verdicts[0]) == {"a": "used", "b": "used", "c": "used"}


def test_a_venue_far_from_the_others_is_an_outlier_and_says_so():
    places = {1: Place(7, "a", "1h"), 2: Place(7, "b", "1h"), 3: Place(7, "c", "1h")}
    made = only(bars((1, T0, 100.0, 1.0), (2, T0, 100.5, 1.0), (3, T0, 130.0, 9.0)), places)
    assert made.rate[0] == 100.25, "two equal volumes: the middle of the two"
    assert json.loads(made.verdicts[0])["c"] == "outlier"
    assert made.status.tolist() == [1]


def test_an_hourly_bar_does_not_beat_the_daily_bar_of_another_venue():
    """Volumes are compared a day: 1 token an hour is 24 a day, so the daily bar's 50 tokens weigh more."""
    places = {1: Place(7, "a", "1h"), 2: Place(7, "b", "1d")}
    made = only(
        bars((1, T0, 100.0, 1.0), (1, T0 + HOUR_US, 101.0, 1.0), (2, T0, 99.0, 50.0), (2, T0 + DAY_US, 110.0, 50.0)),
        places,
    )
    assert dict(zip(made.time_us.tolist(), made.rate.tolist(), strict=True)) == {
        T0: 99.0,
        T0 + HOUR_US: 101.0,
        T0 + DAY_US: 110.0,
    }
    assert json.loads(made.verdicts[0]) == {"a": "used", "b": "used"}
    assert made.status.tolist() == [1, 2, 2]


def test_hourly_and_daily_bar_of_one_venue_are_one_quote_and_the_hourly_one_is_it():
    places = {1: Place(7, "a", "1d"), 2: Place(7, "a", "1h")}
    made = only(bars((1, T0, 99.0, 50.0), (2, T0, 100.0, 1.0)), places)
    assert made.rate.tolist() == [100.0]
    assert made.status.tolist() == [2], "one venue, whatever its bars"


def test_a_perpetual_stands_in_only_where_no_spot_venue_has_a_bar_and_says_so():
    places = {
        1: Place(7, "spot", "1d"),
        2: Place(7, "futures", "1h", "perpetual"),
        3: Place(7, "mean", "1h", "aggregate"),
    }
    made = only(
        bars(
            (1, T0, 100.0, 1.0), (2, T0, 103.0, 9.0), (2, T0 + HOUR_US, 104.0, 9.0), (3, T0 + 2 * HOUR_US, 105.0, 9.0)
        ),
        places,
    )
    assert made.time_us.tolist() == [T0, T0 + HOUR_US], "an average over venues makes no rate"
    assert made.rate.tolist() == [100.0, 104.0]
    assert made.flags.tolist() == [0, RateFlag.PERPETUAL]
    assert json.loads(made.verdicts[0]) == {"spot": "used"}


def test_a_rate_says_that_a_used_quote_was_taken_at_par():
    places = {1: Place(7, "a", "1h"), 2: Place(7, "b", "1h"), 3: Place(7, "c", "1h")}
    listed = bars((1, T0, 100.0, 1.0), (2, T0, 100.0, 1.0), (3, T0, 150.0, 1.0), (1, T0 + HOUR_US, 100.0, 1.0))
    made, _ = compute_rates(listed, places, at_par=np.array([False, False, True, True]))
    assert made.flags.tolist() == [0, RateFlag.AT_PAR], "the outlier's quote did not enter"


def test_two_sources_of_one_venue_count_once_and_the_first_listing_wins():
    places = {1: Place(7, "spot", "1h"), 2: Place(7, "spot", "1h")}
    made = only(bars((2, T0, 200.0, 1.0), (1, T0, 100.0, 1.0)), places)
    assert made.rate.tolist() == [100.0]
    assert made.status.tolist() == [2], "one venue is degraded, however many files tell of it"


def test_assets_are_kept_apart_and_in_time_order():
    places = {1: Place(7, "spot", "1m"), 2: Place(3, "spot", "1m")}
    made, _ = compute_rates(bars((1, T0 + MINUTE_US, 2.0, NAN), (2, T0, 5.0, NAN), (1, T0, 1.0, NAN)), places)
    rows = list(zip(made.asset_id.tolist(), made.time_us.tolist(), made.rate.tolist(), strict=True))
    assert rows == [(3, T0, 5.0), (7, T0, 1.0), (7, T0 + MINUTE_US, 2.0)]


def test_no_bars_no_rates():
    empty = ListedBars(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))
    assert compute_rates(empty, {})[0].verdicts == []


def test_a_close_that_stands_still_without_volume_is_no_price() -> None:
    """Listing 1 is halted in its third hour, listing 2 does not say its volume; a move or a trade is a price."""
    bars = ListedBars(
        listing_id=np.array([1, 1, 1, 1, 2, 2]),
        time_us=np.array([1, 2, 3, 4, 3, 4]) * HOUR_US,
        close=np.array([5.0, 5.0, 5.0, 6.0, 5.0, 5.0]),
        volume_base=np.array([0.0, 3.0, 0.0, 0.0, np.nan, np.nan]),
    )
    kept = traded(bars)
    assert list(zip(kept.listing_id.tolist(), (kept.time_us // HOUR_US).tolist(), strict=True)) == [
        (1, 1), (1, 2), (1, 4), (2, 3), (2, 4),
    ]  # fmt: skip
