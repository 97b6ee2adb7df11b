"""The reference rate of hourly and daily bars: the volume-weighted median across venues at each bar. Pure.

Bars are coarser evidence than the minute fixing, and the method name says so. Most bars are calm (every
venue within half the threshold), so they are settled in one vectorised step; only the others are walked
in time order, because the outlier gate remembers: out above θ, back in only under θ/2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64, I64, Bools
from indexer.errors import InputError
from indexer.reference.rules import FINAL_QUORUM, RateStatus, Verdict
from indexer.sources.records import Bars
from indexer.times import MINUTE_US

_TIE: Final = 1e-12  # relative: two halves of a total that were summed in another order still count as equal


def weighted_median(prices: F64, weights: F64) -> F64:
    """The weighted median of each row: (R, N) prices and weights → (R,); NaN where a row has no weight.

    The median is the lowest price whose cumulated weight passes half of the total; where the weight up to a
    price is exactly half, the mean of that price and the next one, so that equal weights give the ordinary
    median. Prices that are NaN, and weights that are not positive, take no part.
    Prices 100/101/99/150 with weights 1/2/1/3.9 give 101, with 4.1 they give 150.
    """
    return median_of_columns(np.ascontiguousarray(prices.T), np.ascontiguousarray(weights.T))


def median_of_columns(prices: F64, weights: F64) -> F64:
    """The same of each column: (N, R) → (R,). Few venues and many bars run along memory this way, 2.5× faster."""
    count, columns = prices.shape
    if count == 0:
        return np.full(columns, np.nan)
    usable = np.isfinite(prices) & np.isfinite(weights) & (weights > 0.0)
    clean = np.where(usable, prices, np.inf)
    order = np.argsort(clean, axis=0, kind="stable")
    ascending = np.take_along_axis(clean, order, axis=0)
    cumulated = np.cumsum(np.take_along_axis(np.where(usable, weights, 0.0), order, axis=0), axis=0)
    total = cumulated[-1]
    low = _first_at_least(cumulated, 0.5 * total * (1.0 - _TIE), ascending)
    high = _first_at_least(cumulated, 0.5 * total * (1.0 + _TIE), ascending)
    with np.errstate(invalid="ignore"):
        middle = np.where(low == high, low, 0.5 * (low + high))
    return np.where(total > 0.0, middle, np.nan)


def _first_at_least(cumulated: F64, bound: F64, ascending: F64) -> F64:
    """The price of each column's first cumulated weight at or above the bound."""
    first = np.minimum((cumulated < bound).sum(axis=0), len(cumulated) - 1)
    prices: F64 = np.take_along_axis(ascending, first[None, :], axis=0)[0]
    return prices


THETA_DAILY: Final = 0.10
THETA_INTRADAY: Final = 0.02  # closes of one instant: at 3 % off, the venue with most of the volume would be the rate
THETA_PAIR: Final = 0.01  # of two venues nobody has a majority, so less is enough to ask the last rate
METHOD: Final = "bar-vwm/2"  # volume-weighted median across venues at the bar; /1: 5 % intraday, and no THETA_PAIR


@dataclass(frozen=True)
class BarRates:
    """One rate per bar. `rate` (T,) is NaN where there is none; nothing is carried over a missing bar.

    `status` (T,) int8 holds RateStatus numbers, `verdicts` (T, V) int8 holds Verdict numbers in the order
    of the venues given. A rate kept alive by its last, doubtful venue has status DEGRADED. Rates from row
    `inherits` on are the same whatever came before the first bar.
    """

    rate: F64
    status: NDArray[np.int8]
    verdicts: NDArray[np.int8]
    method: str
    inherits: int = 0


def bar_rates(
    prices: F64,
    volumes: F64,
    *,
    theta: float | F64 = THETA_DAILY,
) -> BarRates:
    """The reference rate of every bar from (T, V) closes and volumes, oldest bar first, one column a venue.

    Closes are USD; NaN, infinite or not positive means no data. Volumes are all in one unit, NaN = unknown:
    a bar in which a used venue has no volume weighs its venues equally. A venue with zero volume while
    another traded is stale. With two venues more than THETA_PAIR apart (theta, if that is less), the one nearer
    to the asset's last rate is used (without an earlier rate nobody can tell, and both are). `theta` is a fraction
    for all bars, or one of each (T,); pass THETA_INTRADAY for hourly bars. Raises InputError when the shapes differ.
    """
    if prices.ndim != 2 or prices.shape != volumes.shape:
        raise InputError(f"prices {prices.shape} and volumes {volumes.shape} must be two equal (bars, venues) tables")
    by_venue = np.ascontiguousarray(prices.T)  # few venues, many bars: columns are the fast way through memory
    traded = np.ascontiguousarray(volumes.T)
    with np.errstate(invalid="ignore"):
        present: Bools = np.isfinite(by_venue) & (by_venue > 0.0)
    words = np.where(present, np.int8(Verdict.USED), np.int8(Verdict.NO_DATA)).astype(np.int8)
    stale = _stale(present, traded)
    words[stale] = Verdict.STALE
    present = present & ~stale
    rate = _median_of(by_venue, traded, present)
    limits = np.broadcast_to(np.asarray(theta, dtype=np.float64), rate.shape)
    calm = _calm(by_venue, present, theta=limits)
    verdicts = np.ascontiguousarray(words.T)
    last_kept, inherits = _walk_gates(
        prices, volumes, np.ascontiguousarray(present.T), rate=rate, calm=calm, theta=limits, verdicts=verdicts
    )
    used = (verdicts.T == Verdict.USED).sum(axis=0)
    return BarRates(rate=rate, status=_status(used, last_kept), verdicts=verdicts, method=METHOD, inherits=inherits)


def _stale(present: Bools, volumes: F64) -> Bools:
    """(V, T): venues that did not trade in a bar in which another one did; their close repeats an older trade."""
    with np.errstate(invalid="ignore"):
        idle: Bools = present & (volumes == 0.0)
        traded: Bools = present & (volumes > 0.0)
    result: Bools = idle & traded.any(axis=0, keepdims=True)
    return result


def _median_of(prices: F64, volumes: F64, use: Bools) -> F64:
    """(V, T) → (T,): the volume-weighted median of the used venues; equal weights where one has no volume."""
    with np.errstate(invalid="ignore"):
        known: Bools = (np.isfinite(volumes) & (volumes > 0.0)) | ~use
    weighted = known.all(axis=0, keepdims=True)
    weights = np.where(use, np.where(weighted, volumes, 1.0), 0.0)
    return median_of_columns(np.where(use, prices, np.nan), weights)


def _calm(prices: F64, present: Bools, *, theta: F64) -> Bools:
    """(T,): whether a bar's venues all lie within θ/2 of their median; of two venues, of each other.

    Of two venues each lies half of their gap from the middle, so the gap itself is what is judged. A gap below
    θ/2 is calm with any number of venues, which spares nearly all bars the median.
    """
    with np.errstate(invalid="ignore"):
        high = np.where(present, prices, -np.inf).max(axis=0, initial=-np.inf)
        low = np.where(present, prices, np.inf).min(axis=0, initial=np.inf)
        gap = high / low - 1.0
    count = present.sum(axis=0)
    limits = np.where(count == 2, np.minimum(theta, THETA_PAIR), theta)
    calm: Bools = (count < 2) | (gap < limits / 2.0)
    doubtful = np.flatnonzero(~calm & (count > 2))
    if len(doubtful):
        here, values = present[:, doubtful], prices[:, doubtful]
        centre = median_of_columns(np.where(here, values, np.nan), here.astype(np.float64))
        with np.errstate(invalid="ignore"):
            calm[doubtful] = np.where(here, np.abs(values / centre - 1.0), 0.0).max(axis=0) < theta[doubtful] / 2.0
    return calm


def _walk_gates(
    prices: F64,
    volumes: F64,
    present: Bools,
    *,
    rate: F64,
    calm: Bools,
    theta: F64,
    verdicts: NDArray[np.int8],
) -> tuple[Bools, int]:
    """Settle the bars that are not calm, in time order.

    Writes `rate` and `verdicts`; returns the bars in which every venue was out and the nearest was kept, and from which
    bar on nothing hangs on what came before the first: every venue judged was calm among others since, and the last
    rate that two are judged by is known too.
    """
    last_kept = np.zeros(len(rate), dtype=np.bool_)
    # a count that grows whenever a venue is seen among others in a calm bar: that is its way back in
    agreed = calm & (present.sum(axis=1) >= 2)
    cleared = np.cumsum(agreed[:, None] & present, axis=0)
    out = np.zeros(prices.shape[1], dtype=np.bool_)
    seen = np.zeros(prices.shape[1], dtype=np.int64)
    inherits, known = 0, np.zeros(prices.shape[1], dtype=np.int64)
    for bar in np.flatnonzero(~calm).tolist():
        if not (cleared[bar] > known)[present[bar]].all() or not np.isfinite(rate[inherits:bar]).any():
            inherits, known = bar + 1, cleared[bar]
        out &= cleared[bar] == seen
        seen = cleared[bar]
        here = present[bar]
        before = _last_rate(rate, bar)
        centre = float(np.median(prices[bar, here]))
        if here.sum() >= FINAL_QUORUM:
            out = _gate(prices[bar], out, here, centre=centre, theta=float(theta[bar]))
        else:
            out = _gate_of_two(prices[bar], out, here, before=before, theta=min(float(theta[bar]), THETA_PAIR))
        use = here & ~out
        if not use.any():
            anchor = before if np.isfinite(before) else centre
            use = here & (np.arange(len(here)) == _nearest(prices[bar], here, anchor))
            last_kept[bar] = True
        verdicts[bar, here & ~use] = Verdict.OUTLIER
        rate[bar] = _median_of(prices[bar][:, None], volumes[bar][:, None], use[:, None])[0]
    return last_kept, inherits


def _gate(prices: F64, out: Bools, here: Bools, *, centre: float, theta: float) -> Bools:
    """Who is out after this bar: beyond θ of the venues' median, or already out and not yet within θ/2."""
    away = np.abs(np.where(here, prices, centre) / centre - 1.0)
    gated: Bools = np.where(here, (away > theta) | (out & (away >= theta / 2.0)), out)
    return gated


def _gate_of_two(prices: F64, out: Bools, here: Bools, *, before: float, theta: float) -> Bools:
    """Who of two venues is out: when they are more than θ apart, the one further from the last rate.

    The middle of two is equally far from both and cannot tell who is wrong; the asset's own last rate can.
    One that was out stays out: its bar would be calm if it had come back within θ/2 of the other.
    """
    pair = prices[here]
    gap = float(pair.max() / pair.min() - 1.0)
    held = out & here
    if held.sum() == 1 or (not held.any() and gap <= theta) or not np.isfinite(before):
        return out
    further = here & (np.arange(len(here)) != _nearest(prices, here, before))
    settled: Bools = np.where(here, further, out)
    return settled


def _nearest(prices: F64, here: Bools, reference: float) -> int:
    """The venue among those here whose price is nearest to the reference, in proportion."""
    distance = np.abs(np.log(np.where(here, prices, np.inf) / reference))
    return int(np.argmin(distance))


def _last_rate(rate: F64, bar: int) -> float:
    """The newest rate before this bar, NaN when there is none yet."""
    for earlier in range(bar - 1, -1, -1):
        if np.isfinite(rate[earlier]):
            return float(rate[earlier])
    return float("nan")


def _status(used: NDArray[np.intp], last_kept: Bools) -> NDArray[np.int8]:
    ladder = np.array([RateStatus.MISSING, RateStatus.DEGRADED, RateStatus.INDICATIVE, RateStatus.FINAL], dtype=np.int8)
    status = ladder[np.minimum(used, FINAL_QUORUM)]
    status[last_kept] = RateStatus.DEGRADED
    return status


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
