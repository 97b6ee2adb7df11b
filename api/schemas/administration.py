"""Forms of the administration's answers: explanations, status, pro-formas, calendars, announcements, decisions."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from pydantic import Field

from api.schemas.base import LevelStatus, OfIndex, Wire
from indexer.store.records_administration import AnnouncementRow, ChallengeRow, OverrideRow


class QuoteItem(Wire):
    """A venue's price at the rate's instant, and what became of it."""

    venue: str
    source: str
    symbol: str
    interval: str
    price: float
    volume_usd: float | None
    verdict: str = Field(description="used, outlier, stale, …; not used for bars that the rate did not look at")
    revision: int


class LeftItem(Wire):
    """A part of the supply that is not the float."""

    kind: str
    tokens: float
    origin: str
    source: str
    observed_at: datetime


class SupplyItem(Wire):
    """The supply a constituent was weighed by."""

    tokens: float
    origin: str | None
    reference_at: datetime
    kind: str | None
    source: str | None
    reading_tokens: float | None
    observed_at: datetime | None
    chain: str | None
    block_number: int | None
    block_hash: str | None
    finality: str | None
    exclusions: list[LeftItem]


class ExplainedConstituent(Wire):
    """One line of the basket, down to its quotes."""

    asset: str
    symbol: str
    sub_sector: str
    units: float
    weight: float
    weight_target: float
    price: float = Field(description="USD for a unit of the line's token")
    price_at: datetime
    price_status: LevelStatus
    carried: bool
    method: str
    rate_revision: int
    rate_run: int
    quotes: list[QuoteItem]
    price_before: float | None
    contribution: float | None = Field(description="To the return since the previous level; they add up to it")
    supply: SupplyItem | None


class ExplanationAnswer(OfIndex):
    """A level with everything it was computed from."""

    state: str
    time: datetime
    level: float
    level_exact: float = Field(description="Value over divisor, before rounding")
    status: LevelStatus
    carried_weight: float
    divisor: float
    value_usd: float
    constituents: list[ExplainedConstituent]
    below_minimum: bool
    basket_since: datetime
    basket_kind: str
    previous_time: datetime | None
    return_since_previous: float | None
    methodology_version: str
    methodology_hash: str
    revision: int
    revisions: list[dict[str, Any]]
    run: dict[str, Any]
    inputs_hash: str
    previous_hash: str
    hash: str
    inputs_hold: bool = Field(description="Whether hashing the inputs shown gives the inputs hash")
    overrides: list[dict[str, Any]]
    announcements: list[dict[str, Any]]
    challenges: list[int]


class StatusAnswer(Wire):
    """Where an index stands."""

    index: str
    state: str = Field(description="proposed, active, suspended, terminated")
    planned_state: str | None
    planned_at: datetime | None
    level_at: datetime | None
    constituents: int
    minimum: int
    below_minimum: bool
    basket_since: datetime | None
    open_challenges: int
    note: str


class ProFormaLine(Wire):
    """One line of a rebalance to come."""

    asset: str
    units_before: float
    units_after: float
    weight_now: float
    weight_target: float
    trade_usd: float
    median_adv_usd: float | None
    days_to_trade: float | None
    reason: str


class ProFormaAnswer(Wire):
    """A rebalance before it happens."""

    index: str
    kind: str
    reference_at: datetime
    effective_at: datetime
    priced_at: datetime
    items: list[ProFormaLine]
    entered: list[str]
    left: list[str]
    turnover: float
    notional_usd: float
    participation: float
    days_to_trade: float | None


class CalendarEntry(Wire):
    """One date of an index."""

    index: str
    what: str
    kind: str
    at: datetime
    new_york: str
    exchange: str = Field(description="New York on that day: open, half-day or closed")


class CalendarAnswer(Wire):
    """Dates of the next 12 months."""

    index: str
    count: int
    data: list[CalendarEntry]


class AnnouncementItem(Wire):
    """Something users were told."""

    id: int
    kind: str
    index: str | None
    published_at: datetime
    effective_at: datetime | None
    title: str
    detail: dict[str, Any]


class AnnouncementList(Wire):
    """Announcements, newest first."""

    count: int
    data: list[AnnouncementItem]


class OverrideItem(Wire):
    """A decision of people."""

    id: int
    kind: str
    index: str | None
    asset: str
    starts_at: datetime
    expires_at: datetime
    detail: dict[str, Any]
    reason: str
    proposed_by: str
    proposed_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    withdrawn_by: str | None
    withdrawn_at: datetime | None


class OverrideList(Wire):
    """Overrides, oldest first."""

    count: int
    data: list[OverrideItem]


class ChallengeItem(Wire):
    """A doubt about a level."""

    id: int
    index: str
    time: datetime
    revision: int
    reason: str
    opened_by: str
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None
    sha256: str = Field(description="Of the frozen inputs")


class ChallengeList(Wire):
    """Challenges, newest first."""

    count: int
    data: list[ChallengeItem]


class TreatmentItem(Wire):
    """What an event of a kind does."""

    price: str
    units: str
    divisor: str
    supply: str


class ActionItem(Wire):
    """A corporate action of a token."""

    id: str
    kind: str
    asset: str
    effective: datetime
    source: str
    announced: datetime | None
    into: str
    ratio: float
    treatment: str
    unconverted: float | None
    issuance: float | None
    supply_before: float | None
    supply_after: float | None
    until: datetime | None
    note: str
    treated: TreatmentItem


class ActionList(Wire):
    """Corporate actions, oldest first, and the hash of the log."""

    count: int
    hash: str
    data: list[ActionItem]


def announcement(row: AnnouncementRow) -> dict[str, Any]:
    """An announcement as it goes over the wire."""
    return {
        "id": row.id,
        "kind": row.kind,
        "index": row.index_id,
        "published_at": row.published_at,
        "effective_at": row.effective_at,
        "title": row.title,
        "detail": json.loads(row.detail),
    }


def override(row: OverrideRow) -> dict[str, Any]:
    """An override as it goes over the wire."""
    body = {name: getattr(row, name) for name in OverrideItem.model_fields if name not in ("index", "detail")}
    return {**body, "index": row.index_id, "detail": json.loads(row.detail)}


def challenge(row: ChallengeRow) -> dict[str, Any]:
    """A challenge as it goes over the wire, without what is frozen."""
    body = {name: getattr(row, name) for name in ChallengeItem.model_fields if name != "index"}
    return {**body, "index": row.index_id}
