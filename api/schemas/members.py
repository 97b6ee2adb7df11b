"""What is in an index and why, on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from api.schemas.base import LevelStatus, OfIndex, Wire
from api.schemas.indices import MethodologyRef


class Constituent(Wire):
    """A constituent at an instant."""

    asset: str
    symbol: str
    name: str
    sub_sector: str
    weight: float | None = Field(description="Share of the index value now; null without a reference rate")
    weight_target: float = Field(description="Share given at the last rebalancing")
    drift: float | None = Field(description="weight - weight_target")
    units: float = Field(description="Index shares held")
    rate: float | None = Field(description="Reference rate in USD")
    rate_at: datetime | None = Field(description="Instant of that rate")
    rate_status: LevelStatus | None
    change_since_rebalance: float | None = Field(description="Price change since the last rebalancing")
    contribution: float | None = Field(description="Share of the index's move since the last rebalancing, fraction")
    supply_source: str | None = Field(description="Where the supply behind the weight came from")
    supply_observed_at: datetime | None = Field(description="When that supply was true; null without a stored reading")
    supply_block: int | None = Field(description="The block it was read at; null for what no chain gave")
    supply_link: str | None = Field(description="That block at a public explorer")


class Constituents(OfIndex):
    """The constituents at an instant, heaviest first."""

    at: datetime
    rebalanced_at: datetime | None
    count: int
    effective_number: float | None = Field(description="1 / sum of squared weights")
    data: list[Constituent]


class RebalanceItem(Wire):
    """One candidate of a rebalancing, with the evidence."""

    asset: str
    symbol: str
    sub_sector: str
    units_before: float
    units_after: float
    weight_drifted: float
    weight_target: float
    price: float | None
    supply: float | None
    supply_source: str | None
    free_float_cap_usd: float | None
    median_adv_usd: float | None
    rank: int | None
    reason: str


class Rebalance(Wire):
    """One change of units at equal value."""

    kind: str = Field(description="base, rebalance, reconstitution, suspension or event")
    reference_at: datetime
    effective_at: datetime
    revision: int
    level: float
    divisor_before: float | None
    divisor_after: float | None
    turnover: float | None = Field(description="One way: half the sum of |target - drifted|")
    entered: list[str] = Field(description="Assets held after and not before")
    left: list[str] = Field(description="Assets held before and not after")
    items: list[RebalanceItem]


class Rebalances(OfIndex):
    """Rebalancings, newest last."""

    count: int
    data: list[Rebalance]


class MethodologyAnswer(OfIndex):
    """The rules in force: the file itself, its hash, and its content as data."""

    version: str
    hash: str
    loaded_at: datetime
    text: str = Field(description="The methodology file (TOML)")
    rules: dict[str, Any] = Field(description="The same content as JSON")
    versions: list[MethodologyRef] = Field(description="All versions this index was computed by")
