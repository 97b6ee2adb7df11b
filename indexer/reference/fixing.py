"""The minute fixing: one hour of minute candles of several venues → one rate per asset (METHODOLOGY §1.2). Pure.

Steps: who has data and is not stale → who is an outlier (gate with memory; below three venues the MAD test
against the asset's own last hour) → lone bad minutes out → medians of five minutes → mean of the non-empty.
All assets are computed at once on (assets, venues, minutes) arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64, Bools
from indexer.errors import InputError
from indexer.reference.fixing_gates import Gated, Memory, venue_gates
from indexer.reference.median import weighted_median
from indexer.reference.rules import WINDOW, FixingRules, Method, twap_weights
from indexer.reference.verdicts import FINAL_QUORUM, RateStatus, Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Fixings:
    """Rates of A assets from V venues, with the evidence.

    `rate` (A,): NaN when suspended or missing; when carried it is the last rate and `age_s` (A,) its age, else 0.
    `status` (A,) RateStatus; `verdicts` (A, V) Verdict. `doubtful` (A,): the rate stands on a last venue that
    would have been excluded. `venue_price` (A, V): each venue's own median of the hour; `venue_age_s` (A, V):
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
    quarantined: Bools | None = None,
) -> Fixings:
    """The fixing of A assets from typical minute prices and traded values, both (A, V, 60), in USD.

    The last axis is the minutes before the fixing, oldest first. A minute without a trade is NaN or has volume
    0; NaN volume means unknown, and a partition holding one weighs its minutes equally. `trades` (A, V, 60) are
    trade counts where venues give them. Raises InputError when shapes differ.
    """
    _check_shapes(prices, volumes, trades)
    gated = venue_gates(prices, volumes, rules=rules, trades=trades, memory=memory, quarantined=quarantined)
    medians = _partition_medians(prices, volumes, gated, rules)
    rate = _twap(prices, volumes, gated) if rules.method is Method.LINEAR_TWAP else _mean(medians)
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
