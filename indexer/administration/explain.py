"""Why this number? One level → everything it was computed from, by keyed reads, in milliseconds.

Contributions are to the move since the previous level and add up to the return of the levels before rounding.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from indexer.engine.eligibility import NO_SUPPLY
from indexer.engine.history import RESUMPTION
from indexer.engine.market import Status
from indexer.errors import NotFoundError
from indexer.levels.hash_chain import Segment, inputs_hashes
from indexer.levels.published import rules_of
from indexer.reference.rules import RateFlag
from indexer.registry import Registry, supply_facts
from indexer.registry.records import LinePart
from indexer.store.administration import read_announcements, read_overrides
from indexer.store.assets import read_assets
from indexer.store.db import Session, Store
from indexer.store.indices import read_index, read_methodologies
from indexer.store.levels import read_level_revisions, unpublished
from indexer.store.rates import rate_at, read_quotes
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import RebalancingItemRow, RebalancingRow, as_row
from indexer.store.supplies import read_supplies_at, review_started_us
from indexer.store.tables import Bar, Level, Listing, Rate, Supply
from indexer.times import DAY_US, from_us, iso, to_us

ITEMS_BACK_DAYS = 400


@dataclass(frozen=True, slots=True)
class Quote:
    """A venue's price at the rate's instant in the currency it is quoted in, and what became of it. `market` is the
    kind of the venue's market: spot, perpetual, aggregate or amm."""

    venue: str
    market: str
    source: str
    symbol: str
    interval: str
    quote: str
    price: float
    volume_usd: float | None
    verdict: str
    revision: int


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
        reading
        for reading in read_supplies_at(session, list(ratios), reference_us=reference_us, as_of_us=known_us)
        if _stands(reading, parts) and reading.asset_id in decimals
    ]
    if any(reading.origin == "reported" and reading.source != supply_facts.SOURCE for reading in readings):
        # A provider goes before facts.
        readings = [reading for reading in readings if reading.source != supply_facts.SOURCE]

    def tokens(reading: Supply) -> float:
        return float(reading.amount / 10 ** decimals[reading.asset_id]) * ratios[reading.asset_id]

    of_origin = {reading.kind: reading for reading in reversed(readings) if reading.origin == decided.supply_source}
    used = of_origin.get(COUNTED.get(decided.supply_source or "", "")) or of_origin.get("free_float")
    plain = SupplyEvidence(decided.supply, decided.supply_source, review.reference_at)
    if used is None:
        return plain
    left = tuple(
        Left(reading.kind, tokens(reading), reading.origin, reading.source, reading.observed_at)
        for reading in readings
        if reading is not used and reading.origin == used.origin and reading.kind not in ("circulating", "free_float")
    )
    slug = next(part.slug for part in parts if part.asset_id == used.asset_id)
    grade, rests_on = _grade(slug, used)
    return as_row(
        SupplyEvidence,
        used,
        tokens=decided.supply,
        reference_at=review.reference_at,
        reading_tokens=tokens(used),
        grade=grade,
        rests_on=rests_on,
        exclusions=left,
    )


def _grade(slug: str, used: Supply) -> tuple[str | None, str | None]:
    """The grade of a shipped fact and what it rests on; None for any other reading."""
    facts = supply_facts.load_supply_facts()
    fact = facts.at(slug, used.observed_at) if used.source == supply_facts.SOURCE else None
    return (fact.grade, facts.origins[fact.origin]) if fact is not None else (None, None)


def _stands(reading: Supply, parts: Sequence[LinePart]) -> bool:
    """Whether the reading is of the token that stood for the line when it was true."""
    return next(part for part in parts if part.asset_id == reading.asset_id).holds(to_us(reading.observed_at))


@dataclass(frozen=True, slots=True)
class ExplainedConstituent:
    """One line: what is held, what it is worth, where the price is from, and what it did to the level.

    `price` is in USD for a unit of the line's token; `perpetual` tells that it is of perpetual futures, `at_par` that a
    quote in USDT or USDC was taken as dollars; `contribution` is to the return since the previous level.
    """

    asset: str
    symbol: str
    sub_sector: str
    units: float
    weight: float
    weight_target: float
    price: float
    price_at: datetime
    price_status: str
    carried: bool
    perpetual: bool
    at_par: bool
    method: str
    rate_revision: int
    rate_run: int
    quotes: tuple[Quote, ...]
    price_before: float | None
    contribution: float | None
    supply: SupplyEvidence | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A level with all its evidence. `level_exact` is before rounding; `inputs_hold` tells whether hashing the
    inputs shown gives the hash that was published with it; `contributions` sum to `return_since_previous`."""

    index: str
    simulated: bool
    state: str
    time: datetime
    level: float
    level_exact: float
    status: str
    carried_weight: float
    perpetual_weight: float
    divisor: float
    value_usd: float
    constituents: tuple[ExplainedConstituent, ...]
    below_minimum: bool
    basket_since: datetime
    basket_kind: str
    previous_time: datetime | None
    return_since_previous: float | None
    methodology_version: str
    methodology_hash: str
    revision: int
    revisions: tuple[dict[str, Any], ...]
    run: dict[str, Any]
    inputs_hash: str
    previous_hash: str
    hash: str
    inputs_hold: bool
    overrides: tuple[dict[str, Any], ...]
    announcements: tuple[dict[str, Any], ...]
    without_supply: tuple[str, ...]  # candidates that stayed out of the last review because no supply was known
    challenges: tuple[int, ...]  # of the answer's promised form: challenges are not kept any more


def explain(store: Store, registry: Registry, *, index_id: str, at_us: int, as_of_us: int | None = None) -> Explanation:
    """The last level at or before an instant, explained; with `as_of_us` the one that was published by then.

    Raises NotFoundError for an unknown index, or when it has no level by then.
    """
    index = read_index(store, index_id)
    revisions = read_level_revisions(store, index_id, at_us=at_us, as_of_us=as_of_us)
    if not revisions:
        later = f'Index "{index_id}" has no level at or before {iso(at_us)}; its history starts later'
        raise NotFoundError(unpublished(store, index_id, as_of_us=as_of_us) or later)
    row, run = revisions[0]
    before = read_level_revisions(store, index_id, at_us=row.time - 1, as_of_us=as_of_us)
    basket, review = _basket(store, index_id, time_us=row.time, as_of_us=as_of_us)
    rules = next(rules for rules in read_methodologies(store, index_id) if rules.id == row.methodology_id)
    windows = rules_of(rules).perpetual_windows
    book = _Book(store, registry, basket, review, as_of_us, windows)
    with store.session() as session:
        lines = book.lines(session, row.time, before_us=before[0][0].time if before else None)
    value = sum(line.units * line.price for line in lines)
    worth = sum(line.units * (line.price_before or 0.0) for line in lines) if before else None
    return as_row(
        Explanation,
        row,
        index=index_id,
        simulated=index.simulated,
        state=index.state,
        time=from_us(row.time),
        level_exact=value / basket.divisor_after,
        status=Status(row.status).name.lower(),
        divisor=basket.divisor_after,
        value_usd=value,
        constituents=tuple(_weighed(line, value=value, worth=worth) for line in lines),
        below_minimum=len(lines) < rules_of(rules).selection.min_constituents,
        basket_since=basket.effective_at,
        basket_kind=basket.kind,
        previous_time=from_us(before[0][0].time) if before else None,
        return_since_previous=None if not worth else value / worth - 1.0,
        methodology_version=rules.version,
        methodology_hash=rules.hash,
        revisions=tuple(_revision(revision) for revision, _ in revisions),
        run={"id": row.run_id, "kind": run.kind, "started_at": run.started_at},
        inputs_hash=row.inputs_hash.hex(),
        previous_hash=row.prev_hash.hex(),
        hash=row.hash.hex(),
        without_supply=tuple(item.asset for item in review.items if NO_SUPPLY in item.reason),
        inputs_hold=_hash(row, lines, divisor=basket.divisor_after, rules=rules.hash) == row.inputs_hash,
        challenges=(),
        **_judgement(store, index_id, time_us=row.time, assets={line.asset for line in lines}),
    )


@dataclass(frozen=True)
class _Book:
    """The basket's lines with their tokens, and the reads for each."""

    store: Store
    registry: Registry
    basket: RebalancingRow
    review: RebalancingRow
    as_of_us: int | None
    windows: Sequence[tuple[int, int]]

    @cached_property
    def parts(self) -> dict[str, tuple[LinePart, ...]]:
        """The tokens of each line; one that the registry does not have (any more) stands for itself."""
        ids = {asset.slug: int(asset.id) for asset in read_assets(self.store)}
        held = [item.asset for item in self.basket.items if item.units_after > 0]
        known = self.registry.parts(ids)
        return {slug: known.get(slug) or (LinePart(ids[slug], slug, 1.0, None, None),) for slug in held}

    def lines(self, session: Session, time_us: int, *, before_us: int | None) -> list[ExplainedConstituent]:
        """Every constituent, in the order of target weight."""
        return [
            self._line(session, item, time_us=time_us, before_us=before_us)
            for item in self.basket.items
            if item.units_after > 0
        ]

    def _line(
        self, session: Session, item: RebalancingItemRow, *, time_us: int, before_us: int | None
    ) -> ExplainedConstituent:
        rate, ratio = self._rate(session, item.asset, at_us=time_us)
        quotes = read_quotes(session, rate.asset_id, time_us=rate.time, as_of_us=self.as_of_us)
        price_before = None
        if before_us is not None:
            old, old_ratio = self._rate(session, item.asset, at_us=before_us)
            price_before = old.rate / old_ratio
        decided = next((other for other in self.review.items if other.asset == item.asset), None)
        parts = self.parts[item.asset]
        carried = rate.time < time_us
        return as_row(
            ExplainedConstituent,
            item,
            units=item.units_after,
            weight=float("nan"),
            price=rate.rate / ratio,
            price_at=from_us(rate.time),
            price_status="carried" if carried else Status(min(rate.status, 4)).name.lower(),
            carried=carried,
            perpetual=bool(rate.flags & RateFlag.PERPETUAL),
            at_par=bool(rate.flags & RateFlag.AT_PAR),
            method=rate.method,
            rate_revision=rate.revision,
            rate_run=rate.run_id,
            quotes=tuple(self._quote(listing, bar, json.loads(rate.verdicts or "{}")) for listing, bar in quotes),
            price_before=price_before,
            contribution=None,
            supply=supply_evidence(session, decided, review=self.review, parts=parts, registry=self.registry),
        )

    def _quote(self, listing: Listing, bar: Bar, verdicts: dict[str, Any]) -> Quote:
        verdict = verdicts.get(listing.venue)
        if isinstance(verdict, dict):
            verdict = verdict.get("verdict")
        return as_row(
            Quote,
            listing,
            market=self.registry.market(listing.venue),
            price=bar.close,
            volume_usd=bar.volume_usd,
            verdict="not used" if verdict is None else str(verdict),
            revision=bar.revision,
        )

    def _rate(self, session: Session, asset: str, *, at_us: int) -> tuple[Rate, float]:
        """The line's price at an instant: of the token that stood for it, within that token's time."""
        for part in reversed(self.parts.get(asset, ())):
            if part.from_us is not None and at_us < part.from_us:
                continue
            until = at_us if part.until_us is None else min(at_us, part.until_us - 1)
            rate = rate_at(session, part.asset_id, at_us=until, as_of_us=self.as_of_us, perpetual=self.windows)
            if rate is not None and (part.from_us is None or rate.time >= part.from_us):
                return rate, part.ratio
        raise NotFoundError(f"{asset} has no official rate at or before {iso(at_us)}, though it was in the basket")


def _weighed(line: ExplainedConstituent, *, value: float, worth: float | None) -> ExplainedConstituent:
    """The line with its share of the basket's value now, and its part of the move from what the basket was worth."""
    weight = line.units * line.price / value
    if not worth or line.price_before is None:
        return replace(line, weight=weight, price_before=None)
    return replace(line, weight=weight, contribution=line.units * (line.price - line.price_before) / worth)


def _basket(
    store: Store, index_id: str, *, time_us: int, as_of_us: int | None
) -> tuple[RebalancingRow, RebalancingRow]:
    """The change of units that a level was computed with, and the review that weighed its members last."""
    rows = read_rebalancings(
        store, index_id, start_us=time_us - ITEMS_BACK_DAYS * DAY_US, end_us=time_us + 1, as_of_us=as_of_us
    )
    held = [row for row in rows if to_us(row.effective_at) < time_us + (row.kind == RESUMPTION)] or rows[:1]
    if not held:
        raise NotFoundError(
            f'Index "{index_id}" has no change of units in the {ITEMS_BACK_DAYS} days before {iso(time_us)}'
        )
    reviews = [row for row in held if any(item.supply is not None for item in row.items)]
    return held[-1], (reviews or held)[-1]


def _revision(row: Level) -> dict[str, Any]:
    return {
        "revision": row.revision,
        "level": row.level,
        "status": Status(row.status).name.lower(),
        "published_at": from_us(row.published_at),
        "run": row.run_id,
        "hash": row.hash.hex(),
    }


def _hash(row: Level, lines: Sequence[ExplainedConstituent], *, divisor: float, rules: str) -> bytes:
    """The hash of the inputs shown, by the hash chain's rule."""
    ordered = sorted(lines, key=lambda line: line.asset)
    segment = Segment(
        start=0,
        stop=1,
        members=np.arange(len(ordered)),
        slugs=tuple(line.asset for line in ordered),
        units=np.array([line.units for line in ordered]),
        divisor=divisor,
    )
    prices = np.array([[line.price for line in ordered]])
    return inputs_hashes(np.array([row.time]), prices, segments=[segment], methodology_hash=rules)[0]


def _judgement(store: Store, index_id: str, *, time_us: int, assets: set[str]) -> dict[str, Any]:
    """Decisions and announcements that are about this level."""
    at = from_us(time_us)
    overrides = [
        {name: getattr(row, name) for name in ("id", "kind", "asset", "reason", "approved_by")}
        for row in read_overrides(store)
        if row.approved_at is not None
        and row.starts_at <= at < row.expires_at
        and row.index_id in (None, index_id)
        and row.asset in assets
    ]
    restatements = []
    for row in read_announcements(store, index_id=index_id, kind="restatement"):
        detail = json.loads(row.detail)
        if detail["first"] <= iso(time_us) <= detail["last"]:
            restatements.append({"id": row.id, "published_at": row.published_at, "title": row.title})
    return {"overrides": tuple(overrides), "announcements": tuple(restatements)}
