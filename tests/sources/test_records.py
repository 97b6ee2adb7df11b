"""Records hold their shape; quotes are converted by our own rate and never by assuming a peg."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.errors import InputError
from indexer.reference.bars import conversion_rate
from indexer.sources.records import Bars, Liquidations, Series, hourly_liquidations, in_usd, join_bars, no_bars
from indexer.times import HOUR_US, MINUTE_US


def bars(times: list[int], closes: list[float], quote: str = "USD") -> Bars:
    t, c = np.array(times, dtype=np.int64), np.array(closes)
    return Bars(t, c, c, c, c, np.ones(len(t)), 2.0 * c, quote)


def test_columns_must_fit_and_ascend() -> None:
    with pytest.raises(InputError, match="Bars: instants must ascend without repeats"):
        bars([1, 1], [2.0, 3.0])
    with pytest.raises(InputError, match="Bars: columns differ in length"):
        Bars(*(np.arange(3),) * 6, np.arange(2.0))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Series: instants must ascend"):
        Series("x", "y", np.array([2, 1]), np.array([1.0, 2.0]))


def test_between_is_open_at_the_start_and_closed_at_the_end() -> None:
    some = bars([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])
    assert some.between(1, 3).time_us.tolist() == [2, 3]


def test_joining_sorts_and_the_first_part_wins() -> None:
    joined = join_bars([bars([3, 4], [30.0, 40.0]), bars([1, 3], [1.0, 99.0])])
    assert (joined.time_us.tolist(), joined.close.tolist()) == ([1, 3, 4], [1.0, 30.0, 40.0])
    assert len(join_bars([])) == 0
    assert join_bars([no_bars("USDT")]).quote == "USDT"
    with pytest.raises(InputError, match="bars in USD and USDT cannot be joined; convert them with in_usd first"):
        join_bars([bars([1], [1.0]), bars([2], [1.0], "USDT")])


def test_conversion_multiplies_by_the_rate_and_leaves_out_what_has_none() -> None:
    got = in_usd(bars([1, 2, 3], [10.0, 10.0, 10.0], "USDT"), bars([1, 2], [0.99, np.nan]))
    assert (got.time_us.tolist(), got.close.tolist(), got.volume_usd.tolist()) == ([1], [9.9], [19.8])
    assert (got.quote, got.volume_base.tolist()) == ("USD", [1.0])
    same = bars([1], [1.0])
    assert in_usd(same, bars([1], [9.0])) is same
    with pytest.raises(InputError, match="the rate of BTC is itself in USDT; give it in USD"):
        in_usd(bars([1], [1.0], "BTC"), bars([1], [1.0], "USDT"))


def test_our_own_usdt_rate_is_the_median_of_its_markets_and_no_older_than_ten_minutes() -> None:
    minutes = np.arange(1, 31) * MINUTE_US
    markets = {
        "kraken": bars([int(t) for t in minutes[:10]], [0.999] * 10),
        "coinbase": bars([int(t) for t in minutes[:5]], [0.997] * 5),
    }
    rate = conversion_rate(markets, minutes)
    assert rate.close[:5].tolist() == [0.998] * 5
    assert rate.close[5:10].tolist() == [0.999] * 5
    assert len(rate) == 20  # ten minutes after the last trade there is no rate any more
    with pytest.raises(InputError, match="needs USD markets, not okx in USDC"):
        conversion_rate({"okx": bars([1], [1.0], "USDC")}, minutes)
    with pytest.raises(InputError, match="no venue gives the quote currency's USD rate"):
        conversion_rate({}, minutes)


def test_a_stablecoin_market_that_lies_is_out() -> None:
    minutes = np.arange(1, 11) * MINUTE_US
    times = [int(t) for t in minutes]
    markets = {name: bars(times, [level] * 10) for name, level in (("a", 0.999), ("b", 0.9991), ("c", 1.1))}
    assert conversion_rate(markets, minutes).close[0] == pytest.approx(0.99905)


def test_liquidations_per_hour_and_their_long_share() -> None:
    orders = [
        Liquidations(
            "A", np.array([1, HOUR_US, HOUR_US + 1]), np.array([True, False, True]), np.array([30.0, 10.0, 5.0])
        ),
        Liquidations("B", np.array([5]), np.array([True]), np.array([40.0])),
    ]
    hours = hourly_liquidations(orders)
    assert hours.time_us.tolist() == [HOUR_US, 2 * HOUR_US]  # an order at the full hour belongs to the hour it ends
    assert hours.long_usd.tolist() == [70.0, 5.0]
    assert hours.short_usd.tolist() == [10.0, 0.0]
    assert hours.long_share.tolist() == [0.875, 1.0]
    assert len(hourly_liquidations([]).time_us) == 0
