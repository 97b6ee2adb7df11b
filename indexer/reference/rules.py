"""The words that a rate is published with, and the parameters of the minute fixing, named and versioned. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum
from typing import Final

import numpy as np

from indexer.arrays import F64
from indexer.errors import InputError

FINAL_QUORUM: Final = 3


class RateStatus(IntEnum):
    """How well a rate is supported, from best to none. The numbers are stored: never change them."""

    FINAL = 0  # three venues or more
    INDICATIVE = 1  # two venues
    DEGRADED = 2  # one venue, or one kept only because it was the last
    CARRIED = 3  # no venue: an earlier rate, with its age
    SUSPENDED = 4  # no venue, and the earlier rate is older than the declared age
    MISSING = 5  # no venue and no earlier rate: there is no number


class Verdict(IntEnum):
    """What became of one venue's quote. USED means it entered the rate. Stored numbers, never change them."""

    USED = 0
    STALE = 1
    OUTLIER = 2
    NO_DATA = 3


class RateFlag(IntFlag):
    """What a rate was made of that a reader should know. Stored numbers, never change them."""

    PERPETUAL = 1  # no spot bar of this instant: the rate is that of perpetual futures
    AT_PAR = 2  # a quote in USDT or USDC was taken as dollars, because no rate of that instant is known


WINDOW: Final = 60  # minutes of a fixing


class Method(StrEnum):
    """How the hour becomes one rate. The text is stored with the rate: a changed rule gets a new number."""

    PARTITIONS = "partition-vwm/2"
    LINEAR_TWAP = "linear-twap/2"
    # before `pair_theta` and `aligned`; fixings made by these are replayed with their own rules
    PARTITIONS_1 = "partition-vwm/1"
    LINEAR_TWAP_1 = "linear-twap/1"


@dataclass(frozen=True, slots=True)
class FixingRules:
    """The thresholds of a fixing (docs/sources.md, "The reference rate"). Fractions, seconds, minutes as named.

    `theta`: a venue is out beyond it and back in under half of it; of two venues `pair_theta`, because nobody has
    a majority. `aligned`: venues are compared in the minutes in which they traded. `point_theta`: a single minute
    further than this from its partition's median is left out (one minute at 100× with most of the volume would
    otherwise decide a twelfth of the rate). `mad_sigmas`, `mad_floor`: the test below three venues. Staleness: a
    venue is stale past max(stale_floor_s, stale_gaps × mean gap between trades) where trade counts are known, else
    past tempo_gaps × mean gap between traded minutes; or when its last frozen_minutes repeat one price and volume.
    """

    method: Method = Method.PARTITIONS
    partitions: int = 12
    theta: float = 0.02
    pair_theta: float = 0.01
    aligned: bool = True
    point_theta: float = 0.10
    mad_sigmas: float = 5.0
    mad_floor: float = 0.005
    stale_floor_s: float = 60.0
    stale_gaps: float = 100.0
    tempo_gaps: float = 10.0
    frozen_minutes: int = 10
    suspend_after_s: float = 86_400.0

    def __post_init__(self) -> None:
        if self.partitions < 1 or WINDOW % self.partitions:
            raise InputError(f"{self.partitions} partitions do not divide the {WINDOW} minutes of a fixing")
        if not 0.0 < self.theta < 1.0:
            raise InputError(f"theta is a fraction between 0 and 1, not {self.theta}")


def twap_weights() -> F64:
    """The 61 published weights of the linear TWAP: k·0.000526 for k = 0…58, then 0.05 twice; sum 0.999986.

    Source: Coin Metrics methodology of its reference rates. The oldest of the 61 minutes weighs nothing, so 60
    minutes suffice; the rate renormalises over the 60 (divides by 0.999986).
    """
    return np.concatenate([np.arange(59) * 0.000526, [0.05, 0.05]])
