"""Prices in another currency: converted by a rate of exactly their instant, left out without one."""

import numpy as np

from indexer.reference.rates import ListedBars, in_dollars


def test_a_price_is_converted_by_the_rate_of_its_instant_or_waits():
    bars = ListedBars(np.array([1, 1, 2, 3]), np.array([10, 20, 10, 10]), np.array([4.0, 4.0, 5.0, 6.0]), np.ones(4))
    rates = {"EUR": (np.array([10, 30]), np.array([1.25, 9.0]))}
    priced, at_par = in_dollars(bars, {1: "EUR", 2: "USDT", 3: "BTC"}, rates)
    assert (priced.listing_id.tolist(), priced.time_us.tolist(), priced.close.tolist()) == (
        [1, 2],
        [10, 10],
        [5.0, 5.0],
    )
    assert at_par.tolist() == [False, True]


def test_a_known_rate_of_a_stablecoin_is_used_and_par_elsewhere():
    bars = ListedBars(np.array([1, 1]), np.array([10, 20]), np.array([4.0, 4.0]), np.ones(2))
    priced, at_par = in_dollars(bars, {1: "USDC"}, {"USDC": (np.array([10]), np.array([0.9]))})
    assert priced.close.tolist() == [3.6, 4.0]
    assert at_par.tolist() == [False, True]
