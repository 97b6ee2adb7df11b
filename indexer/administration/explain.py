"""Why this number? One level → everything it was computed from, by keyed reads, in milliseconds.

Place in the flow: `deai explain` and `/v1/indices/{id}/explain`. Contributions are to the move since the previous
level and add up to the return of the recomputed levels; published levels are those, rounded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from indexer.administration.explained_supply import SupplyEvidence, supply_evidence
from indexer.engine.eligibility import NO_SUPPLY
from indexer.engine.history import RESUMPTION
from indexer.engine.market import Status
from indexer.errors import NotFoundError
from indexer.levels.hash_chain import Segment, inputs_hashes
from indexer.levels.published import rules_of
from indexer.reference import RateFlag
from indexer.registry import Registry
from indexer.registry.records import LinePart
from indexer.store.administration import read_announcements, read_overrides
from indexer.store.assets import read_assets
from indexer.store.db import Session, Store
from indexer.store.indices import read_index, read_methodologies
from indexer.store.levels import LevelRevision, read_level_revisions, unpublished
from indexer.store.rates import RateRow, rate_at, read_quotes
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import RebalancingRow
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
    without_supply: tuple[str, ...] = ()  # candidates that stayed out of the last review because no supply was known
    challenges: tuple[int, ...] = ()  # of the answer's promised form: challenges are not kept any more


def explain(store: Store, registry: Registry, *, index_id: str, at_us: int, as_of_us: int | None = None) -> Explanation:
    """The last level at or before an instant, explained; with `as_of_us` the one that was published by then.

    Raises NotFoundError for an unknown index, or when it has no level by then.
    """
    index = read_index(store, index_id)
    revisions = read_level_revisions(store, index_id, at_us=at_us, as_of_us=as_of_us)
    if not revisions:
        later = f'Index "{index_id}" has no level at or before {iso(at_us)}; its history starts later'
        raise NotFoundError(unpublished(store, index_id, as_of_us=as_of_us) or later)
    row = revisions[0]
    before = read_level_revisions(store, index_id, at_us=row.time_us - 1, as_of_us=as_of_us)
    basket, review = _basket(store, index_id, time_us=row.time_us, as_of_us=as_of_us)
    rules = next(one for one in read_methodologies(store, index_id) if one.id == row.methodology_id)
    windows = rules_of(rules).perpetual_windows
    book = _Book(store, registry, basket=basket, review=review, as_of_us=as_of_us, windows=windows)
    with store.session() as session:
        lines = book.lines(session, row.time_us, before_us=before[0].time_us if before else None)
    value = sum(line.units * line.price for line in lines)
    worth = sum(line.units * line.price_before for line in lines) if before else None
    made = tuple(_finished(line, value=value, worth=worth) for line in lines)
    return Explanation(
        index=index_id,
        simulated=index.simulated,
        state=index.state,
        time=from_us(row.time_us),
        level=row.level,
        level_exact=value / basket.divisor_after,
        status=Status(row.status).name.lower(),
        carried_weight=row.carried_weight,
        perpetual_weight=row.perpetual_weight,
        divisor=basket.divisor_after,
        value_usd=value,
        constituents=made,
        below_minimum=len(made) < rules_of(rules).selection.min_constituents,
        basket_since=basket.effective_at,
        basket_kind=basket.kind,
        previous_time=from_us(before[0].time_us) if before else None,
        return_since_previous=None if not worth else value / worth - 1.0,
        methodology_version=rules.version,
        methodology_hash=rules.hash,
        revision=row.revision,
        revisions=tuple(_revision(one) for one in revisions),
        run={"id": row.run_id, "kind": row.run_kind, "started_at": from_us(row.run_started_us)},
        inputs_hash=row.inputs_hash.hex(),
        previous_hash=row.prev_hash.hex(),
        hash=row.hash.hex(),
        without_supply=tuple(one.asset for one in review.items if NO_SUPPLY in one.reason),
        inputs_hold=_hash(row, lines, divisor=basket.divisor_after, rules=rules.hash) == row.inputs_hash,
        **_judgement(store, index_id, time_us=row.time_us, assets={line.asset for line in lines}),
    )


@dataclass(slots=True)
class _Line:
    """A constituent under construction."""

    asset: str
    symbol: str
    sub_sector: str
    units: float
    weight_target: float
    price: float
    rate: RateRow
    carried: bool
    quotes: tuple[Quote, ...]
    price_before: float
    supply: SupplyEvidence | None


class _Book:
    """The basket's lines with their tokens, and the reads for each."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        basket: RebalancingRow,
        review: RebalancingRow,
        as_of_us: int | None,
        windows: Sequence[tuple[int, int]],
    ) -> None:
        self.basket, self.review, self.as_of_us, self.windows = basket, review, as_of_us, windows
        self.store, self.registry = store, registry
        self.ids = {asset.slug: int(asset.id) for asset in read_assets(store)}
        held = [item.asset for item in basket.items if item.units_after > 0]
        # a line that the registry does not have (any more) stands for itself
        own = {slug: (LinePart(self.ids[slug], slug, 1.0, None, None),) for slug in held}
        self.parts: dict[str, tuple[LinePart, ...]] = {**own}
        self.parts |= {slug: parts for slug, parts in registry.parts(self.ids).items() if slug in self.parts and parts}

    def lines(self, session: Session, time_us: int, *, before_us: int | None) -> list[_Line]:
        """Every constituent, in the order of target weight."""
        return [
            self._line(session, n, time_us=time_us, before_us=before_us)
            for n, item in enumerate(self.basket.items)
            if item.units_after > 0
        ]

    def _line(self, session: Session, number: int, *, time_us: int, before_us: int | None) -> _Line:
        item = self.basket.items[number]
        rate, ratio = self._rate(session, item.asset, at_us=time_us)
        quotes = read_quotes(session, rate.asset_id, time_us=rate.time, as_of_us=self.as_of_us)
        verdicts: dict[str, Any] = json.loads(rate.verdicts or "{}")
        price_before = float("nan")
        if before_us is not None:
            old, old_ratio = self._rate(session, item.asset, at_us=before_us)
            price_before = old.rate / old_ratio
        decided = next((one for one in self.review.items if one.asset == item.asset), None)
        parts = self.parts[item.asset]
        return _Line(
            asset=item.asset,
            symbol=item.symbol,
            sub_sector=item.sub_sector,
            units=item.units_after,
            weight_target=item.weight_target,
            price=rate.rate / ratio,
            rate=rate,
            carried=rate.time < time_us,
            quotes=tuple(
                Quote(
                    one.venue,
                    self.registry.market(one.venue),
                    one.source,
                    one.symbol,
                    one.interval,
                    one.quote,
                    one.close,
                    one.volume_usd,
                    _verdict(verdicts, one.venue),
                    one.revision,
                )
                for one in quotes
            ),
            price_before=price_before,
            supply=supply_evidence(session, decided, review=self.review, parts=parts, registry=self.registry),
        )

    def _rate(self, session: Session, asset: str, *, at_us: int) -> tuple[RateRow, float]:
        """The line's price at an instant: of the token that stood for it, within that token's time."""
        for part in reversed(self.parts.get(asset, ())):
            if part.from_us is not None and at_us < part.from_us:
                continue
            until = at_us if part.until_us is None else min(at_us, part.until_us - 1)
            found = rate_at(session, part.asset_id, at_us=until, as_of_us=self.as_of_us, perpetual=self.windows)
            if found is not None and (part.from_us is None or found.time >= part.from_us):
                return found, part.ratio
        raise NotFoundError(f"{asset} has no official rate at or before {iso(at_us)}, though it was in the basket")


def _verdict(verdicts: dict[str, Any], venue: str) -> str:
    said = verdicts.get(venue)
    if isinstance(said, dict):
        said = said.get("verdict")
    return str(said) if said is not None else "not used"


def _finished(line: _Line, *, value: float, worth: float | None) -> ExplainedConstituent:
    moved = None if not worth else line.units * (line.price - line.price_before) / worth
    return ExplainedConstituent(
        asset=line.asset,
        symbol=line.symbol,
        sub_sector=line.sub_sector,
        units=line.units,
        weight=line.units * line.price / value,
        weight_target=line.weight_target,
        price=line.price,
        price_at=from_us(line.rate.time),
        price_status="carried" if line.carried else Status(min(line.rate.status, 4)).name.lower(),
        carried=line.carried,
        perpetual=bool(line.rate.flags & RateFlag.PERPETUAL),
        at_par=bool(line.rate.flags & RateFlag.AT_PAR),
        method=line.rate.method,
        rate_revision=line.rate.revision,
        rate_run=line.rate.run_id,
        quotes=line.quotes,
        price_before=line.price_before if worth else None,
        contribution=moved,
        supply=line.supply,
    )


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


def _revision(row: LevelRevision) -> dict[str, Any]:
    return {
        "revision": row.revision,
        "level": row.level,
        "status": Status(row.status).name.lower(),
        "published_at": from_us(row.published_at_us),
        "run": row.run_id,
        "hash": row.hash.hex(),
    }


def _hash(row: LevelRevision, lines: Sequence[_Line], *, divisor: float, rules: str) -> bytes:
    """The hash of the inputs shown, by the ledger's own rule."""
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
    return inputs_hashes(np.array([row.time_us]), prices, segments=[segment], methodology_hash=rules)[0]


def _judgement(store: Store, index_id: str, *, time_us: int, assets: set[str]) -> dict[str, Any]:
    """Decisions and announcements that are about this level."""
    at = from_us(time_us)
    overrides = [
        {"id": row.id, "kind": row.kind, "asset": row.asset, "reason": row.reason, "approved_by": row.approved_by}
        for row in read_overrides(store)
        if row.approved_at is not None
        and row.starts_at <= at < row.expires_at
        and row.index_id in (None, index_id)
        and row.asset in assets
    ]
    told = []
    for one in read_announcements(store, index_id=index_id, kind="restatement"):
        detail = json.loads(one.detail)
        if detail["first"] <= iso(time_us) <= detail["last"]:
            told.append({"id": one.id, "published_at": one.published_at, "title": one.title})
    return {"overrides": tuple(overrides), "announcements": tuple(told)}
