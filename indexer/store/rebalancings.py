"""Rebalancings with their evidence, the constituents at an instant, and memberships.

What the engine decides is written as revisions: a rebalancing that comes out the same is left alone, a different
one becomes the next revision, and one that a recomputation no longer finds is withdrawn; nothing is overwritten.
Memberships follow from the units of successive rebalancings; the end of one is a new revision of its row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from indexer.engine.history import Decision, Rebalance
from indexer.engine.market import SupplySource
from indexer.errors import MethodologyError, NotFoundError
from indexer.methodology.load import load_methodology
from indexer.store.assets import asset_id, asset_ids
from indexer.store.columnar import fields
from indexer.store.db import Store
from indexer.store.indices import known_rules, read_index
from indexer.store.rates import rate_at
from indexer.store.rows import ConstituentRow, MembershipRow, RebalancingItemRow, RebalancingRow, Written, as_row
from indexer.store.runs import latest
from indexer.store.tables import Asset, Membership, Rebalancing, RebalancingItem
from indexer.times import DAY_US, from_us, iso, to_us

HEAD = ("reference_at", "methodology_id", "level", "divisor_before", "divisor_after", "turnover", "withdrawn")
KEY = ("index_id", "effective_at", "kind")
MEMBERSHIP_KEY = ("index_id", "asset_id", "valid_from")
MEMBERSHIP_COMPARED = ("valid_to", "reason_in", "reason_out", "withdrawn")


def read_rebalancings(
    store: Store,
    index_id: str,
    *,
    start_us: int | None = None,
    end_us: int | None = None,
    as_of_us: int | None = None,
) -> list[RebalancingRow]:
    """Changes of units, start <= effective < end, oldest first, with items; as they were known at `as_of_us`.

    Raises NotFoundError for an unknown index.
    """
    as_of_us = store.as_of_us if as_of_us is None else as_of_us
    query = select(Rebalancing).where(Rebalancing.index_id == index_id, *latest(Rebalancing, KEY, as_of_us))
    if start_us is not None:
        query = query.where(Rebalancing.effective_at >= from_us(start_us))
    if end_us is not None:
        query = query.where(Rebalancing.effective_at < from_us(end_us))
    with store.session() as session:
        heads = session.exec(query.order_by(col(Rebalancing.effective_at), col(Rebalancing.id))).all()
        items = _item_rows(session, [head.id for head in heads])
    if not heads:
        read_index(store, index_id)  # there is one, or the error says which there are
    return [as_row(RebalancingRow, head, items=tuple(items.get(head.id, ()))) for head in heads]


def read_constituents(store: Store, index_id: str, at_us: int, *, as_of_us: int | None = None) -> list[ConstituentRow]:
    """Who is in the index at an instant, largest target weight first, with the weight that prices give then.

    With `as_of_us`: by what was known then. A weight is None unless every constituent has a rate at or before the
    instant. Raises NotFoundError for an unknown index, or an instant before its base.
    """
    read_index(store, index_id)
    as_of_us = store.as_of_us if as_of_us is None else as_of_us
    heads = select(Rebalancing).where(
        Rebalancing.index_id == index_id,
        Rebalancing.effective_at <= from_us(at_us),
        *latest(Rebalancing, KEY, as_of_us),
    )
    with store.session() as session:
        newest = heads.order_by(col(Rebalancing.effective_at).desc(), col(Rebalancing.id).desc())
        head = session.exec(newest.limit(1)).first()
        if head is None:
            raise NotFoundError(f'Index "{index_id}" has no constituents at {iso(at_us)}: its history starts later.')
        held = (
            select(Asset, RebalancingItem)
            .join(RebalancingItem)
            .where(RebalancingItem.rebalancing_id == head.id, RebalancingItem.units_after > 0)
            .order_by(col(RebalancingItem.weight_target).desc(), col(Asset.slug))
        )
        windows = _windows_of(session, index_id, as_of_us)
        rows = [(asset, item, _rate(session, asset, at_us, as_of_us, windows)) for asset, item in session.exec(held)]
    values = [item.units_after * rate[0] if rate else None for _, item, rate in rows]
    total = sum(value for value in values if value is not None) if None not in values else None
    return [
        as_row(
            ConstituentRow,
            asset,
            asset=asset.slug,
            asset_id=asset.id,
            units=item.units_after,
            weight_target=item.weight_target,
            price_effective=item.price,
            rate=rate[0] if rate else None,
            rate_at=from_us(rate[2]) if rate else None,
            rate_status=rate[1] if rate else None,
            weight=None if value is None or not total else value / total,
            effective_at=head.effective_at,
            divisor=head.divisor_after,
        )
        for (asset, item, rate), value in zip(rows, values, strict=True)
    ]


SUPPLY_BACK_US = 400 * DAY_US  # no constituent is weighed by an older supply, nor is a review further back


def read_supply_times(
    store: Store, index_id: str, at_us: int, *, as_of_us: int | None = None
) -> dict[str, datetime | None]:
    """When the supply was true that each line was weighed by last at or before an instant; None where not stored."""
    start = at_us - SUPPLY_BACK_US
    changes = read_rebalancings(store, index_id, start_us=start, end_us=at_us + 1, as_of_us=as_of_us)
    return {item.asset: item.supply_observed_at for change in changes for item in change.items if item.supply_source}


def weighted_age_days(
    rows: Sequence[ConstituentRow], true_at: Mapping[str, datetime | None], at_us: int
) -> float | None:
    """The age of the supplies of constituents at an instant, by weight; None unless every one of them is known."""
    if not rows or any(row.weight is None or true_at.get(row.asset) is None for row in rows):
        return None
    return sum((row.weight or 0.0) * (at_us - to_us(true_at[row.asset] or row.effective_at)) for row in rows) / DAY_US


def read_memberships(store: Store, index_id: str, *, at_us: int | None = None) -> list[MembershipRow]:
    """Memberships of an index by start and asset; with `at_us` only those that run then."""
    read_index(store, index_id)
    query = select(Membership, Asset.slug).join(Asset).where(Membership.index_id == index_id)
    query = query.where(*latest(Membership, MEMBERSHIP_KEY, store.as_of_us))
    if at_us is not None:
        at, end = from_us(at_us), col(Membership.valid_to)
        query = query.where(Membership.valid_from <= at, end.is_(None) | (end > at))
    rows = store.all(query.order_by(col(Membership.valid_from), col(Asset.slug)))
    return [as_row(MembershipRow, membership, asset=slug) for membership, slug in rows]


def write_rebalancings(
    store: Store,
    run_id: int,
    *,
    index_id: str,
    methodology_id: int,
    rebalances: Sequence[Rebalance],
    slugs: Sequence[str],
    replace_from_us: int | None = None,
) -> Written:
    """How many rebalancings were new, revised, unchanged; `slugs` (N,) names the engine's columns in order.

    With `replace_from_us`, what is stored from that instant on and not among `rebalances` is withdrawn.
    Memberships are derived from the units. Raises NotFoundError for a slug the store has not.
    """
    written = Written()
    with store.writing_session() as session:
        ids = asset_ids(session)
        numbers = [asset_id(ids, slug) for slug in slugs]
        for rebalance in rebalances:
            head = _head(rebalance, index_id=index_id, methodology_id=methodology_id, run_id=run_id)
            written += _write(session, head, _items(rebalance, slugs, numbers))
        if replace_from_us is not None:
            standing = {(rebalance.effective_us, rebalance.kind) for rebalance in rebalances}
            written += _withdraw(session, run_id, index_id, replace_from_us, standing)
        _write_memberships(session, run_id, index_id)
    return written


def _item_rows(session: Session, ids: Sequence[int]) -> dict[int, list[RebalancingItemRow]]:
    """Items by rebalancing, largest target weight first."""
    if not ids:
        return {}
    of_asset = ("asset", "symbol", "sub_sector")
    names = [name for name in RebalancingItemRow.__dataclass_fields__ if name not in of_asset]
    slug, *labels = fields(Asset, "slug", "symbol", "sub_sector")
    number, target = fields(RebalancingItem, "rebalancing_id", "weight_target")
    query = (
        select_columns(number, slug.label("asset"), *labels, *fields(RebalancingItem, *names))
        .join_from(RebalancingItem, Asset)
        .where(number.between(min(ids), max(ids)))
        .order_by(number, target.desc(), slug)
    )
    grouped: dict[int, list[RebalancingItemRow]] = {}
    for row in session.connection().execute(query).mappings():
        fields_of_row = dict(row)
        grouped.setdefault(fields_of_row.pop("rebalancing_id"), []).append(RebalancingItemRow(**fields_of_row))
    return grouped


Windows = tuple[tuple[int, int], ...]


def read_line_rate(store: Store, slug: str, at_us: int, *, rules_of: str) -> float | None:
    """The last rate of a line at or before an instant that the rules of an index take; None where there is none."""
    with store.session() as session:
        line = session.exec(select(Asset).where(Asset.slug == slug)).first()
        windows = _windows_of(session, rules_of, store.as_of_us)
        rate = None if line is None else _rate(session, line, at_us, store.as_of_us, windows)
    return None if rate is None else rate[0]


def read_perpetual_windows(store: Store, index_id: str) -> Windows | None:
    """The windows in which the rules of an index let a perpetual stand in; none for an index that is not there."""
    with store.session() as session:
        return _windows_of(session, index_id, store.as_of_us)


def _windows_of(session: Session, index_id: str, as_of_us: int | None) -> Windows | None:
    rules = known_rules(session, index_id, as_of_us)
    return () if rules is None else _windows(rules.text)


@lru_cache(maxsize=64)
def _windows(text: str) -> Windows | None:
    """The windows in which rules let a perpetual stand in; None for rules that this program cannot read."""
    try:
        return load_methodology(text, source="the store").perpetual_windows
    except MethodologyError:
        return None


def _rate(
    session: Session, line: Asset, at_us: int, as_of_us: int | None, windows: Windows | None
) -> tuple[float, int, int] | None:
    """The newest rate at or before the instant that the rules take, its status and time; None when there is none.

    Before a migration it is the old token's, in units of the line's token.
    """
    tokens = session.exec(select(Asset).where(Asset.line == line.slug)).all()
    rates = [(token, rate_at(session, token.id, at_us=at_us, as_of_us=as_of_us, perpetual=windows)) for token in tokens]
    known = [(token, rate) for token, rate in rates if rate is not None]
    if not known:
        return None
    token, rate = max(known, key=lambda pair: (pair[1].time, pair[0].id == line.id))
    return rate.rate / token.line_ratio, rate.status, rate.time


def _head(rebalance: Rebalance, *, index_id: str, methodology_id: int, run_id: int) -> Rebalancing:
    return Rebalancing(
        index_id=index_id,
        kind=rebalance.kind,
        reference_at=from_us(rebalance.reference_us),
        effective_at=from_us(rebalance.effective_us),
        methodology_id=methodology_id,
        level=float(rebalance.level),
        divisor_before=float(rebalance.divisor_before),
        divisor_after=float(rebalance.divisor_after),
        turnover=float(rebalance.turnover),
        run_id=run_id,
    )


def _items(rebalance: Rebalance, slugs: Sequence[str], ids: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of every column that had or has units or was decided upon, in the order of their asset ids."""
    decisions = {decision.slug: decision for decision in rebalance.decisions}
    rows = []
    for i, (slug, number) in enumerate(zip(slugs, ids, strict=True)):
        before, after = float(rebalance.units_before[i]), float(rebalance.units_after[i])
        decision = decisions.get(slug)
        if decision is None and not before and not after:
            continue
        row = {
            "asset_id": number,
            "units_before": before,
            "units_after": after,
            "weight_drifted": float(rebalance.weight_drifted[i]),
            "weight_target": float(rebalance.weight_target[i]),
            "price": _none_if_nan(float(rebalance.prices[i])),
        }
        rows.append(row | _evidence(decision))
    return sorted(rows, key=lambda row: row["asset_id"])


def _evidence(decision: Decision | None) -> dict[str, Any]:
    names = ("supply", "supply_source", "free_float_cap_usd", "median_adv_usd", "rank")
    if decision is None:
        return {**dict.fromkeys((*names, "supply_observed_at", "supply_stale_at")), "reason": ""}
    source = None if decision.supply_source is None else SupplySource(decision.supply_source).name.lower()
    return {
        "supply": _none_if_nan(decision.supply),
        "supply_source": source,
        "supply_observed_at": None if decision.supply_us is None else from_us(decision.supply_us),
        "supply_stale_at": None if decision.supply_stale_us is None else from_us(decision.supply_stale_us),
        "free_float_cap_usd": _none_if_nan(decision.free_float_cap_usd),
        "median_adv_usd": _none_if_nan(decision.median_adv_usd),
        "rank": decision.rank,
        "reason": decision.reason,
    }


def _write(session: Session, head: Rebalancing, items: list[dict[str, Any]]) -> Written:
    same = [getattr(Rebalancing, name) == getattr(head, name) for name in KEY]
    old = session.exec(select(Rebalancing).where(*same).order_by(col(Rebalancing.revision).desc()).limit(1)).first()
    same_head = old is not None and all(getattr(old, name) == getattr(head, name) for name in HEAD)
    if old is not None and same_head and _stored_items(session, old) == items:
        return Written(unchanged=1)
    head.revision = 1 if old is None else old.revision + 1
    session.add(head)
    session.flush()
    session.add_all(RebalancingItem(rebalancing_id=head.id, **item) for item in items)
    session.flush()
    return Written(new=1) if old is None else Written(revised=1)


def _stored_items(session: Session, head: Rebalancing) -> list[dict[str, Any]]:
    query = select(RebalancingItem).where(RebalancingItem.rebalancing_id == head.id)
    items = session.exec(query.order_by(col(RebalancingItem.asset_id)))
    return [item.model_dump(exclude={"rebalancing_id"}) for item in items]


def _withdraw(session: Session, run_id: int, index_id: str, start_us: int, kept: set[tuple[int, str]]) -> Written:
    """Withdraws, by a new revision, what stands from an instant on and is not among those kept."""
    query = select(Rebalancing).where(Rebalancing.index_id == index_id, *latest(Rebalancing, KEY, None))
    standing = session.exec(query.where(Rebalancing.effective_at >= from_us(start_us))).all()
    gone = [head for head in standing if (to_us(head.effective_at), head.kind) not in kept]
    for head in gone:
        values = head.model_dump(exclude={"id"})
        values |= {"revision": head.revision + 1, "withdrawn": True, "run_id": run_id}
        session.add(Rebalancing(**values))
    session.flush()
    return Written(revised=len(gone))


def _none_if_nan(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _write_memberships(session: Session, run_id: int, index_id: str) -> None:
    """Brings the memberships of an index up to what its rebalancings say, by new revisions of those that differ."""
    query = select(Membership).where(Membership.index_id == index_id).order_by(col(Membership.revision))
    stored = {(row.asset_id, row.valid_from): row for row in session.exec(query)}
    spans = _spans(session, index_id)
    for key in sorted(spans.keys() | stored.keys()):
        old, withdrawn = stored.get(key), key not in spans
        if old is None:
            values: dict[str, Any] = {"revision": 1}
        else:
            values = old.model_dump(exclude={"id"}) | {"revision": old.revision + 1}
        values |= spans.get(key, {}) | {"withdrawn": withdrawn, "run_id": run_id}
        if old is None or any(getattr(old, name) != values[name] for name in MEMBERSHIP_COMPARED):
            asset, start = key
            session.add(Membership(**(values | {"index_id": index_id, "asset_id": asset, "valid_from": start})))


def _spans(session: Session, index_id: str) -> dict[tuple[int, datetime], dict[str, Any]]:
    """By asset and start: until when an asset was held, and why it came and went (None: it is held yet)."""
    query = select(Rebalancing, RebalancingItem).join(RebalancingItem).where(Rebalancing.index_id == index_id)
    query = query.where(*latest(Rebalancing, KEY, None))
    spans: dict[tuple[int, datetime], dict[str, Any]] = {}
    held: dict[int, dict[str, Any]] = {}
    for head, item in session.exec(query.order_by(col(Rebalancing.effective_at), col(Rebalancing.id))):
        reason, span = item.reason or head.kind, held.get(item.asset_id)
        if span is None and item.units_after > 0:
            span = {"valid_to": None, "reason_in": reason, "reason_out": None}
            spans[item.asset_id, head.effective_at] = held[item.asset_id] = span
        elif span is not None and not item.units_after > 0:
            span.update(valid_to=head.effective_at, reason_out=reason)
            del held[item.asset_id]
    return spans
