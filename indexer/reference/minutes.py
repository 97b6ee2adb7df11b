"""Minute bars of named venues → the fixing of one or of many assets. Pure; the named face of `fixing_rates`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64
from indexer.errors import InputError
from indexer.reference.fixing import Fixings, Memory, fixing_rates
from indexer.reference.rules import WINDOW, FixingRules, RateStatus, Verdict
from indexer.sources.records import Bars
from indexer.times import MINUTE_US, iso


@dataclass(frozen=True, slots=True)
class FixingRate:
    """The reference rate of one asset at one instant, with every venue's verdict and what it was judged by.

    `rate` is None when suspended or missing; `age_s` is above 0 only for a carried or suspended rate.
    """

    at_us: int
    rate: float | None
    status: RateStatus
    method: str
    doubtful: bool
    age_s: float
    verdicts: Mapping[str, Verdict]
    venue_prices: Mapping[str, float]
    partitions: tuple[float, ...]


def minute_cube(assets: Sequence[Mapping[str, Bars]], venues: Sequence[str], *, at_us: int) -> tuple[F64, F64]:
    """(A, V, 60) typical prices and traded values of the hour before `at_us`, NaN where there is no candle.

    The typical price is (high + low + close) / 3, or the close where high or low are unknown. A source without
    traded value but with base volume gives their product. Raises InputError for bars that are not in USD or an
    instant that is not a whole minute.
    """
    if at_us % MINUTE_US:
        raise InputError(f"a fixing is at a whole minute, not {iso(at_us)}")
    prices = np.full((len(assets), len(venues), WINDOW), np.nan)
    values = np.full_like(prices, np.nan)
    for a, by_venue in enumerate(assets):
        for v, venue in enumerate(venues):
            if venue in by_venue:
                _lay(by_venue[venue], prices[a, v], values[a, v], at_us=at_us, venue=venue)
    return prices, values


def _lay(bars: Bars, prices: F64, values: F64, *, at_us: int, venue: str) -> None:
    """Write one venue's minutes of the hour into its two rows."""
    if bars.quote != "USD":
        raise InputError(f"{venue}: minute bars are in {bars.quote}; convert them with records.in_usd first")
    hour = bars.between(at_us - WINDOW * MINUTE_US, at_us)
    place: NDArray[np.int64] = (hour.time_us - at_us) // MINUTE_US + WINDOW - 1
    typical = (hour.high + hour.low + hour.close) / 3.0
    prices[place] = np.where(np.isfinite(typical), typical, hour.close)
    values[place] = np.where(np.isfinite(hour.volume_usd), hour.volume_usd, hour.volume_base * hour.close)


def fixing_rate(
    venues: Mapping[str, Bars],
    *,
    at_us: int,
    rules: FixingRules = FixingRules(),
    memory: Memory | None = None,
    quarantined: frozenset[str] = frozenset(),
) -> tuple[FixingRate, Memory]:
    """The fixing of one asset from its venues' minute bars (in USD), and the memory for the next one.

    `memory` is that of the previous fixing with the same venues in the same order.
    """
    names = tuple(venues)
    prices, values = minute_cube([venues], names, at_us=at_us)
    shut = np.array([[name in quarantined for name in names]], dtype=np.bool_)
    got = fixing_rates(prices, values, rules=rules, memory=memory, quarantined=shut)
    return named(got, 0, names, at_us=at_us), got.memory(seconds_to_next=WINDOW * 60.0)


def named(fixings: Fixings, asset: int, venues: Sequence[str], *, at_us: int) -> FixingRate:
    """One asset's part of many fixings, with the venues by name."""
    rate = float(fixings.rate[asset])
    return FixingRate(
        at_us=at_us,
        rate=rate if np.isfinite(rate) else None,
        status=RateStatus(int(fixings.status[asset])),
        method=fixings.method,
        doubtful=bool(fixings.doubtful[asset]),
        age_s=float(fixings.age_s[asset]),
        verdicts={name: Verdict(int(fixings.verdicts[asset, v])) for v, name in enumerate(venues)},
        venue_prices={name: float(fixings.venue_price[asset, v]) for v, name in enumerate(venues)},
        partitions=tuple(fixings.partitions[asset].tolist()),
    )
