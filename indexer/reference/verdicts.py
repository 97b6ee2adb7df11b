"""The words a rate is published with: the status of the rate, and the verdict on each venue. Pure."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

FINAL_QUORUM: Final = 3  # METHODOLOGY §1.2 (7)


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
    QUARANTINED = 4


def status_of_count(used: int) -> RateStatus:
    """The status that so many used venues give: 3+ final, 2 indicative, 1 degraded, 0 missing."""
    if used >= FINAL_QUORUM:
        return RateStatus.FINAL
    return (RateStatus.MISSING, RateStatus.DEGRADED, RateStatus.INDICATIVE)[used]
