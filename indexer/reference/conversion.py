"""Our own rate of a quote currency (USDT, USDC, BTC) in USD, minute by minute or bar by bar. Never a peg. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from indexer.arrays import I64
from indexer.errors import InputError
from indexer.reference.bars import bar_rates
from indexer.sources.records import Bars
from indexer.times import MINUTE_US

MAX_AGE_US: Final = 10 * MINUTE_US
THETA: Final = 0.01  # a stablecoin venue 1 % off the others is wrong, or the coin has no one price


def conversion_rate(by_venue: Mapping[str, Bars], at_us: I64, *, max_age_us: int = MAX_AGE_US) -> Bars:
    """The quote currency's USD rate at the instants (N,), for `records.in_usd`; instants without one are absent.

    The rate of a bar is the volume-weighted median across the venues (all in USD). An instant without a trade
    takes the newest rate before it, if that is no older than `max_age_us`.
    Raises InputError when a venue's bars are not in USD or no venue is given.
    """
    if not by_venue:
        raise InputError("no venue gives the quote currency's USD rate; name at least one")
    wrong = [f"{venue} in {bars.quote}" for venue, bars in by_venue.items() if bars.quote != "USD"]
    if wrong:
        raise InputError(f"the rate of a quote currency needs USD markets, not {', '.join(wrong)}")
    times = np.unique(np.concatenate([bars.time_us for bars in by_venue.values()]))
    prices = np.full((len(times), len(by_venue)), np.nan)
    volumes = np.full_like(prices, np.nan)
    for place, bars in enumerate(by_venue.values()):
        rows = np.searchsorted(times, bars.time_us)
        prices[rows, place] = bars.close
        volumes[rows, place] = bars.volume_base
    rated = bar_rates(prices, volumes, theta=THETA).rate
    times, rated = times[np.isfinite(rated)], rated[np.isfinite(rated)]
    newest = np.searchsorted(times, at_us, side="right") - 1
    known = newest >= 0
    known[known] = at_us[known] - times[newest[known]] <= max_age_us
    close = rated[newest[known]]
    nothing = np.full(len(close), np.nan)
    return Bars(at_us[known], close, close, close, close, nothing, nothing)
