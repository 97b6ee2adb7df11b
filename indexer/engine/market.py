"""What the engine sees of the world: aligned arrays, one column per line of tokens, no names of sources.

A *line* is a token through its renames and migrations (RNDR then RENDER): one column, spliced by the
succession ratio before it comes here, so that units never change for a change of label.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I8 = NDArray[np.int8]


class Status(IntEnum):
    """How good a published number is; higher is worse (METHODOLOGY §1.2, rule 7)."""

    FINAL = 0
    INDICATIVE = 1
    DEGRADED = 2
    CARRIED = 3
    SUSPENDED = 4


class SupplySource(IntEnum):
    """Where a supply came from, in the order of preference."""

    ON_CHAIN = 0
    REPORTED = 1
    IMPORTED = 2


@dataclass(frozen=True, slots=True)
class SupplyHistory:
    """Supply observations of one line, ascending by when they were true. Tokens, not base units.

    `free_float` and `total` (M,) are NaN where not known; `circulating` is as reported.
    """

    times_us: I64
    circulating: F64
    free_float: F64
    total: F64
    source: I8


@dataclass(frozen=True, slots=True)
class Line:
    """The slow facts of one column: canonical slug, sub-sector, first price, qualified venues, supplies."""

    slug: str
    sub_sector: str
    first_price_us: int
    venues: int
    supply: SupplyHistory
    successor_since_us: int | None = None


@dataclass(frozen=True, slots=True)
class Market:
    """Prices and evidence on one clock.

    times_us (T,) ascending instants; prices (T, N) USD, NaN where there is no reference rate at that instant;
    price_status (T, N) `Status` of each rate. day_us (D,) ascending 00:00 UTC day ends; volume_usd (D, N) traded
    value of the day that ends there, NaN unknown; fundamental (D, N) the chosen on-chain metric or None.
    """

    times_us: I64
    prices: F64
    price_status: I8
    lines: tuple[Line, ...]
    day_us: I64
    volume_usd: F64
    fundamental: F64 | None = None
