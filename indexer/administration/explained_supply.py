"""The supply that a constituent was weighed by, with its origin, block and what was left out of the float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from indexer.registry import Registry, supply_facts
from indexer.registry.records import LinePart
from indexer.store.db import Session
from indexer.store.rows import RebalancingItemRow, RebalancingRow
from indexer.store.supplies import SupplyReading, read_supplies_at, review_started_us
from indexer.times import from_us, to_us

COUNTED = {"on_chain": "free_float", "reported": "circulating", "imported": "circulating"}


@dataclass(frozen=True, slots=True)
class Left:
    """A part of the supply that is known and is not the float: burnt, treasury, locked, …, or the total."""

    kind: str
    tokens: float
    origin: str
    source: str
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class SupplyEvidence:
    """`tokens` is what was weighed with, in the line's token. The rest says which reading it was; None unknown.

    `grade` (rule, schedule, published) and `rests_on` are of a shipped fact: what its figure rests on.
    """

    tokens: float
    origin: str | None
    reference_at: datetime
    kind: str | None = None
    source: str | None = None
    reading_tokens: float | None = None
    observed_at: datetime | None = None
    chain: str | None = None
    block_number: int | None = None
    block_hash: str | None = None
    finality: str | None = None
    grade: str | None = None
    rests_on: str | None = None
    exclusions: tuple[Left, ...] = ()


def supply_evidence(
    session: Session,
    decided: RebalancingItemRow | None,
    *,
    review: RebalancingRow,
    parts: Sequence[LinePart],
    registry: Registry,
) -> SupplyEvidence | None:
    """The evidence for a decision at a review, None where no supply was used.

    `reading_tokens` differs from `tokens` where a corporate action takes unclaimed tokens off the float.
    """
    if decided is None or decided.supply is None:
        return None
    # A step that waits is newer than what was weighed by.
    reference_us = to_us(decided.supply_observed_at or review.reference_at)
    known_us = review_started_us(session, review.id)
    ratios = {part.asset_id: part.ratio for part in parts}
    decimals = {part.asset_id: registry.by_slug[part.slug].decimals for part in parts if part.slug in registry.by_slug}
    readings = [
        one
        for one in read_supplies_at(session, list(ratios), reference_us=reference_us, as_of_us=known_us)
        if _stands(one, parts) and one.asset_id in decimals
    ]
    if any(one.origin == "reported" and one.source != supply_facts.SOURCE for one in readings):
        readings = [one for one in readings if one.source != supply_facts.SOURCE]  # a provider goes before facts

    def tokens(one: SupplyReading) -> float:
        return float(one.amount / 10 ** decimals[one.asset_id]) * ratios[one.asset_id]

    used = next(
        (one for one in readings if one.origin == decided.supply_source and one.kind == COUNTED[one.origin]),
        next((one for one in readings if one.origin == decided.supply_source and one.kind == "free_float"), None),
    )
    plain = SupplyEvidence(decided.supply, decided.supply_source, review.reference_at)
    if used is None:
        return plain
    left = tuple(
        Left(one.kind, tokens(one), one.origin, one.source, from_us(one.observed_at_us))
        for one in readings
        if one is not used and one.origin == used.origin and one.kind not in ("circulating", "free_float")
    )
    slug = next(part.slug for part in parts if part.asset_id == used.asset_id)
    grade, rests_on = _grade(slug, used)
    return SupplyEvidence(
        tokens=decided.supply,
        origin=used.origin,
        reference_at=review.reference_at,
        kind=used.kind,
        source=used.source,
        reading_tokens=tokens(used),
        observed_at=from_us(used.observed_at_us),
        chain=used.chain,
        block_number=used.block_number,
        block_hash=used.block_hash,
        finality=used.finality,
        grade=grade,
        rests_on=rests_on,
        exclusions=left,
    )


def _grade(slug: str, used: SupplyReading) -> tuple[str | None, str | None]:
    """The grade of a shipped fact and what it rests on; None for any other reading."""
    facts = supply_facts.load_supply_facts()
    fact = facts.at(slug, from_us(used.observed_at_us)) if used.source == supply_facts.SOURCE else None
    return (fact.grade, facts.origins[fact.origin]) if fact is not None else (None, None)


def _stands(one: SupplyReading, parts: Sequence[LinePart]) -> bool:
    """Whether the reading is of the token that stood for the line when it was true."""
    part = next(part for part in parts if part.asset_id == one.asset_id)
    after = part.from_us is None or one.observed_at_us >= part.from_us
    return after and (part.until_us is None or one.observed_at_us < part.until_us)
