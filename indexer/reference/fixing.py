"""The minute fixing: one hour of minute candles of several venues → one rate per asset. Pure.

Steps: who has data and is not stale → who is an outlier (gate with memory; below three venues the MAD test
against the asset's own last hour) → lone bad minutes out → medians of five minutes → mean of the non-empty.
All assets are computed at once on (assets, venues, minutes) arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64, Bools
from indexer.errors import InputError
from indexer.reference.bars import weighted_median
from indexer.reference.rules import FINAL_QUORUM, WINDOW, FixingRules, Method, RateStatus, Verdict, twap_weights
from indexer.sources.records import Bars
from indexer.times import MINUTE_US, iso

_NORMAL_MAD: Final = 1.4826  # makes the median absolute deviation of a normal sample its standard deviation
_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What a fixing must know of the one before. All by asset (A, …), in the same order of venues.

    `out` (A, V): who was an outlier. `recent` (A, H): the asset's last partition medians, NaN-padded.
    `rate` (A,) and `age_s` (A,): the last published rate and its age at this fixing; NaN when there is none.
    """

    out: Bools
    recent: F64
    rate: F64
    age_s: F64


@dataclass(frozen=True, slots=True, eq=False)
class Gated:
    """The outcome: verdicts (A, V), the points (A, V, 60) that count, and what was seen on the way."""

    verdicts: NDArray[np.int8]
    points: Bools
    doubtful: Bools
    out: Bools
    venue_price: F64
    venue_age_s: F64


def venue_gates(
    prices: F64,
    volumes: F64,
    *,
    rules: FixingRules,
    trades: F64 | None,
    memory: Memory | None,
) -> Gated:
    """Every venue's verdict. Arrays as in `fixing_rates`; a last venue is kept and marked doubtful."""
    assets, venues, _ = prices.shape
    with np.errstate(invalid="ignore"):
        traded = np.isfinite(prices) & (prices > 0.0) & ~(volumes == 0.0) & ~(volumes < 0.0)
    verdicts = np.where(traded.any(axis=2), np.int8(Verdict.USED), np.int8(Verdict.NO_DATA)).astype(np.int8)
    age_s = _age_s(traded)
    alive = verdicts == Verdict.USED
    stale = alive & _is_stale(prices, volumes, traded, age_s, trades=trades, rules=rules)
    kept = _keep_one(alive & ~stale, alive, age_s)  # of stale venues only, the freshest stays
    verdicts[alive & ~kept] = Verdict.STALE
    price = (_aligned_price if rules.aligned else _venue_price)(prices, traded & kept[:, :, None])
    before = memory.out if memory is not None else np.zeros((assets, venues), dtype=np.bool_)
    out = _outliers(price, kept, before, memory=memory, rules=rules)
    reference = _last_rate(memory, assets)
    centre = np.where(np.isfinite(reference), reference, _plain_median(price, kept))
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = np.abs(np.log(price / centre[:, None]))
    used = _keep_one(kept & ~out, kept, distance)
    verdicts[kept & ~used] = Verdict.OUTLIER
    doubtful = ((used & (stale | out)).any(axis=1)) & (used.sum(axis=1) == 1)
    return Gated(verdicts, traded & used[:, :, None], doubtful, out, price, age_s)


def _age_s(traded: Bools) -> F64:
    """Seconds from the close of each venue's last traded minute to the fixing; inf without one."""
    since = np.argmax(traded[:, :, ::-1], axis=2).astype(np.float64) * _MINUTE_S
    return np.where(traded.any(axis=2), since, np.inf)


def _is_stale(
    prices: F64,
    volumes: F64,
    traded: Bools,
    age_s: F64,
    *,
    trades: F64 | None,
    rules: FixingRules,
) -> Bools:
    """Too old for its tempo, or repeating one and the same candle."""
    minutes = traded.sum(axis=2)
    active_s = np.maximum(WINDOW * _MINUTE_S - age_s, _MINUTE_S)  # tempo while it was trading
    limit = np.maximum(rules.stale_floor_s, rules.tempo_gaps * active_s / np.maximum(minutes, 1))
    if trades is not None:
        count = np.where(np.isfinite(trades), trades, 0.0).sum(axis=2)
        by_count = np.maximum(rules.stale_floor_s, rules.stale_gaps * active_s / np.maximum(count, 1.0))
        limit = np.where(count > 0.0, by_count, limit)
    tail = slice(WINDOW - rules.frozen_minutes, WINDOW)
    last = traded[:, :, tail].all(axis=2)
    frozen = last & _constant(prices[:, :, tail]) & _constant(volumes[:, :, tail])
    stale: Bools = (age_s > limit) | frozen
    return stale


def _constant(values: F64) -> Bools:
    """Whether the last axis holds one and the same known value throughout."""
    same: Bools = (values == values[:, :, :1]).all(axis=2)
    return same


def _keep_one(chosen: Bools, candidates: Bools, badness: F64) -> Bools:
    """The chosen venues; where none is chosen but there are candidates, the least bad of them."""
    nobody = (chosen.sum(axis=1) == 0) & (candidates.sum(axis=1) > 0)
    if not nobody.any():
        return chosen
    rank = np.where(candidates & np.isfinite(badness), badness, np.inf)
    best = np.argmin(rank, axis=1)
    rescued = np.zeros_like(chosen)
    rescued[np.arange(len(best)), best] = True
    return np.where(nobody[:, None], rescued & candidates, chosen)


def _venue_price(prices: F64, use: Bools) -> F64:
    """Each venue's own median of the hour, its minutes weighed equally.

    Volume has no say here: one mistaken print of enormous size would make the whole venue an outlier.
    """
    assets, venues, minutes = prices.shape
    flat_use = use.reshape(assets * venues, minutes)
    flat = np.where(flat_use, prices.reshape(assets * venues, minutes), np.nan)
    return weighted_median(flat, flat_use.astype(np.float64)).reshape(assets, venues)


def _aligned_price(prices: F64, use: Bools) -> F64:
    """Each venue's price as if all had traded in the same minutes: the hour's centre times its median ratio, in the
    minutes in which it traded, to the median of all venues' last prices then.

    Medians of the hour alone would be of different minutes: in a fast market a thin venue would look wrong.
    """
    assets, venues, minutes = prices.shape
    newest = np.maximum.accumulate(np.where(use, np.arange(minutes), -1), axis=2)
    last = np.where(newest >= 0, np.take_along_axis(prices, np.maximum(newest, 0), axis=2), np.nan)
    by_minute = last.transpose(0, 2, 1).reshape(assets * minutes, venues)
    market = _plain_median(by_minute, np.isfinite(by_minute)).reshape(assets, 1, minutes)
    centre = _venue_price(market, np.isfinite(market))
    with np.errstate(invalid="ignore"):
        return centre * _venue_price(prices / market, use)


def _plain_median(price: F64, use: Bools) -> F64:
    return weighted_median(np.where(use, price, np.nan), use.astype(np.float64))


def _outliers(price: F64, live: Bools, before: Bools, *, memory: Memory | None, rules: FixingRules) -> Bools:
    """Who is out after this fixing; venues that are not live keep the word they had."""
    centre = _plain_median(price, live)
    with np.errstate(invalid="ignore"):
        away = np.abs(price / centre[:, None] - 1.0)
        gated = (away > rules.theta) | (before & (away >= rules.theta / 2.0))
    count = live.sum(axis=1)
    out = np.where(live, gated, before)
    two = count == 2
    if two.any():
        out = np.where((two[:, None]) & live, _out_of_two(price, live, before, memory=memory, rules=rules), out)
    single = count == 1  # nobody to be measured against: it keeps the word it had
    return np.where(single[:, None], before, out)


def _out_of_two(price: F64, live: Bools, before: Bools, *, memory: Memory | None, rules: FixingRules) -> Bools:
    """Of two live venues, who is out: one that fails the MAD test while the other passes, or the further one
    of two that are more than θ of a pair apart; one that was out stays out until they agree within half of it."""
    high = np.where(live, price, -np.inf).max(axis=1)
    low = np.where(live, price, np.inf).min(axis=1)
    with np.errstate(invalid="ignore"):
        gap = high / low - 1.0
    fails = _mad_fails(price, memory, rules)
    reference = _last_rate(memory, len(price))
    with np.errstate(invalid="ignore"):
        distance = np.where(live, np.abs(np.log(price / reference[:, None])), -np.inf)
    further = live & (distance == distance.max(axis=1, keepdims=True)) & np.isfinite(distance)
    one_fails = (fails & live).sum(axis=1) == 1
    disagree = gap > rules.mad_floor
    held = before & live & (gap >= rules.pair_theta / 2.0)[:, None]
    now_out = np.where((one_fails & disagree)[:, None], fails & live, further & (gap > rules.pair_theta)[:, None])
    return np.where((held.sum(axis=1) == 1)[:, None], held, now_out)


def _mad_fails(price: F64, memory: Memory | None, rules: FixingRules) -> Bools:
    """|p − med| / (1.4826·MAD) > 5 and |p/med − 1| > 0.5 %, against the asset's own last hour.

    Without a last hour nobody fails: there is nothing to be measured against.
    """
    if memory is None or memory.recent.shape[1] == 0:
        return np.zeros(price.shape, dtype=np.bool_)
    recent = memory.recent
    known = np.isfinite(recent)
    median = weighted_median(recent, known.astype(np.float64))
    mad = weighted_median(np.abs(recent - median[:, None]), known.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        sigmas = np.abs(price - median[:, None]) / (_NORMAL_MAD * mad[:, None])
        fails: Bools = (sigmas > rules.mad_sigmas) & (np.abs(price / median[:, None] - 1.0) > rules.mad_floor)
    return fails


def _last_rate(memory: Memory | None, assets: int) -> F64:
    return memory.rate if memory is not None else np.full(assets, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Fixings:
    """Rates of A assets from V venues, with the evidence.

    `rate` (A,): NaN when suspended or missing; when carried it is the last rate and `age_s` (A,) its age, else 0.
    `status` (A,) RateStatus; `verdicts` (A, V) Verdict. `doubtful` (A,): the rate stands on a last venue that
    would have been excluded. `venue_price` (A, V): each venue's price of the hour; `venue_age_s` (A, V):
    time since its last traded minute. `partitions` (A, 12): the medians, NaN where empty; give them to the
    next fixing as `recent`, and `out` (A, V) as `out`.
    """

    rate: F64
    status: NDArray[np.int8]
    verdicts: NDArray[np.int8]
    doubtful: Bools
    age_s: F64
    venue_price: F64
    venue_age_s: F64
    partitions: F64
    out: Bools
    method: str

    def memory(self, *, seconds_to_next: float) -> Memory:
        """The memory for the next fixing, so many seconds later."""
        return Memory(self.out, self.partitions, self.rate, self.age_s + seconds_to_next)


def fixing_rates(
    prices: F64,
    volumes: F64,
    *,
    rules: FixingRules = FixingRules(),
    trades: F64 | None = None,
    memory: Memory | None = None,
) -> Fixings:
    """The fixing of A assets from typical minute prices and traded values, both (A, V, 60), in USD.

    The last axis is the minutes before the fixing, oldest first. A minute without a trade is NaN or has volume
    0; NaN volume means unknown, and a partition holding one weighs its minutes equally. `trades` (A, V, 60) are
    trade counts where venues give them. Raises InputError when shapes differ.
    """
    _check_shapes(prices, volumes, trades)
    gated = venue_gates(prices, volumes, rules=rules, trades=trades, memory=memory)
    medians = _partition_medians(prices, volumes, gated, rules)
    linear = rules.method in (Method.LINEAR_TWAP, Method.LINEAR_TWAP_1)
    rate = _twap(prices, volumes, gated) if linear else _mean(medians)
    used = (gated.verdicts == Verdict.USED).sum(axis=1)
    ladder = np.array([RateStatus.MISSING, RateStatus.DEGRADED, RateStatus.INDICATIVE, RateStatus.FINAL])
    status = ladder[np.minimum(used, FINAL_QUORUM)].astype(np.int8)
    status[gated.doubtful] = RateStatus.DEGRADED
    rate, status, age_s = _carry(rate, status, memory, rules)
    return Fixings(
        rate=rate,
        status=status,
        verdicts=gated.verdicts,
        doubtful=gated.doubtful,
        age_s=age_s,
        venue_price=gated.venue_price,
        venue_age_s=gated.venue_age_s,
        partitions=medians,
        out=gated.out,
        method=str(rules.method),
    )


def _check_shapes(prices: F64, volumes: F64, trades: F64 | None) -> None:
    shapes = {array.shape for array in (prices, volumes, trades) if array is not None}
    if len(shapes) != 1 or prices.ndim != 3 or prices.shape[2] != WINDOW:
        raise InputError(f"a fixing takes equal (assets, venues, {WINDOW}) arrays, not {sorted(map(str, shapes))}")


def _pooled(values: F64, groups: int) -> F64:
    """(A, V, 60) → (A·groups, V·60/groups): all venues' minutes of one stretch of time in one row."""
    assets, venues, minutes = values.shape
    split = values.reshape(assets, venues, groups, minutes // groups).transpose(0, 2, 1, 3)
    return split.reshape(assets * groups, venues * (minutes // groups))


def _partition_medians(prices: F64, volumes: F64, gated: Gated, rules: FixingRules) -> F64:
    """(A, partitions) volume-weighted medians over venue × minute, without lone bad minutes; NaN where empty."""
    points = _pooled(np.where(gated.points, prices, np.nan), rules.partitions)
    weights = _pooled(volumes, rules.partitions)
    present = np.isfinite(points)
    plain = weighted_median(points, present.astype(np.float64))
    with np.errstate(invalid="ignore"):
        near: Bools = np.abs(points / plain[:, None] - 1.0) <= rules.point_theta
    near = near | ~near.any(axis=1, keepdims=True) & present  # two camps far apart: neither is the lone bad minute
    return _weighted(points, weights, near).reshape(len(prices), rules.partitions)


def _weighted(points: F64, weights: F64, use: Bools) -> F64:
    """The volume-weighted median of each row's used points; equal weights where one's volume is unknown."""
    known: Bools = np.isfinite(weights) | ~use
    by_volume = known.all(axis=1, keepdims=True)
    return weighted_median(np.where(use, points, np.nan), np.where(use, np.where(by_volume, weights, 1.0), 0.0))


def _mean(medians: F64) -> F64:
    """The equal-weighted mean of the non-empty partitions; NaN where all are empty."""
    filled = np.isfinite(medians)
    count = filled.sum(axis=1)
    total = np.where(filled, medians, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _twap(prices: F64, volumes: F64, gated: Gated) -> F64:
    """The linear TWAP of minute medians. An empty minute takes the next one's median, the last the previous."""
    assets, _, minutes = prices.shape
    points = _pooled(np.where(gated.points, prices, np.nan), minutes)
    medians = _weighted(points, _pooled(volumes, minutes), np.isfinite(points)).reshape(assets, minutes)
    place = np.where(np.isfinite(medians), np.arange(minutes), minutes)
    following = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1]
    last = np.where(np.isfinite(medians), np.arange(minutes), -1).max(axis=1)
    source = np.where(following < minutes, following, np.maximum(last, 0)[:, None])
    weights = twap_weights()[1:]
    filled = np.take_along_axis(medians, source, axis=1)
    rate: F64 = filled @ weights / weights.sum()
    return rate


def _carry(
    rate: F64, status: NDArray[np.int8], memory: Memory | None, rules: FixingRules
) -> tuple[F64, NDArray[np.int8], F64]:
    """Where no venue is left: the last rate with its age, up to the declared age; then none."""
    age_s = np.zeros(len(rate))
    if memory is None:
        return rate, status, age_s
    empty = status == RateStatus.MISSING
    known = empty & np.isfinite(memory.age_s)
    carried = known & np.isfinite(memory.rate) & (memory.age_s <= rules.suspend_after_s)
    status = status.copy()
    status[known] = RateStatus.SUSPENDED
    status[carried] = RateStatus.CARRIED
    return np.where(carried, memory.rate, rate), status, np.where(known, memory.age_s, age_s)


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
