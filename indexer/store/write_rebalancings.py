"""Writes what the engine decided: rebalancings with their items, and the memberships that follow from them.

A rebalancing that comes out the same is left alone, a different one becomes the next revision, and one that a
recomputation no longer finds is withdrawn; nothing is overwritten.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from indexer.engine.history import Decision, Rebalance
from indexer.engine.market import SupplySource
from indexer.store.db import Store
from indexer.store.memberships import write_memberships
from indexer.store.records import Written
from indexer.store.write_assets import asset_id, asset_ids

ITEM_COLUMNS = (
    "asset_id",
    "units_before",
    "units_after",
    "weight_drifted",
    "weight_target",
    "price",
    "supply",
    "supply_source",
    "free_float_cap_usd",
    "median_adv_usd",
    "rank",
    "reason",
)
HEAD_COLUMNS = ("reference_at", "methodology_id", "level", "divisor_before", "divisor_after", "turnover", "withdrawn")


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
    with store.writing() as connection:
        ids = asset_ids(connection)
        numbers = [asset_id(ids, slug) for slug in slugs]
        for rebalance in rebalances:
            head = _head(rebalance, methodology_id)
            items = _items(rebalance, slugs, numbers)
            written += _write_one(connection, run_id, index_id=index_id, rebalance=rebalance, head=head, items=items)
        if replace_from_us is not None:
            kept = {(rebalance.effective_us, rebalance.kind) for rebalance in rebalances}
            written += _withdraw(connection, run_id, index_id, replace_from_us, kept)
        write_memberships(
            connection,
            run_id,
            index_id,
            rebalances=rebalances,
            slugs=slugs,
            ids=numbers,
            replace_from_us=replace_from_us,
        )
    return written


def _head(rebalance: Rebalance, methodology_id: int) -> tuple[Any, ...]:
    return (
        rebalance.reference_us,
        methodology_id,
        float(rebalance.level),
        float(rebalance.divisor_before),
        float(rebalance.divisor_after),
        float(rebalance.turnover),
        False,
    )


def _items(rebalance: Rebalance, slugs: Sequence[str], ids: Sequence[int]) -> list[tuple[Any, ...]]:
    """The rows of every column that had or has units or was decided upon, in the order of their asset ids."""
    decisions = {decision.slug: decision for decision in rebalance.decisions}
    rows = []
    for i, (slug, number) in enumerate(zip(slugs, ids, strict=True)):
        before, after = float(rebalance.units_before[i]), float(rebalance.units_after[i])
        decision = decisions.get(slug)
        if decision is None and not before and not after:
            continue
        drifted, target = float(rebalance.weight_drifted[i]), float(rebalance.weight_target[i])
        price = _none_if_nan(float(rebalance.prices[i]))
        rows.append((number, before, after, drifted, target, price, *_evidence(decision)))
    return sorted(rows)


def _evidence(decision: Decision | None) -> tuple[Any, ...]:
    if decision is None:
        return (None, None, None, None, None, "")
    source = None if decision.supply_source is None else SupplySource(decision.supply_source).name.lower()
    return (
        _none_if_nan(decision.supply),
        source,
        _none_if_nan(decision.free_float_cap_usd),
        _none_if_nan(decision.median_adv_usd),
        decision.rank,
        decision.reason,
    )


def _write_one(
    connection: Connection,
    run_id: int,
    *,
    index_id: str,
    rebalance: Rebalance,
    head: tuple[Any, ...],
    items: list[tuple[Any, ...]],
) -> Written:
    key = {"index_id": index_id, "effective_at": rebalance.effective_us, "kind": rebalance.kind}
    old = connection.execute(
        text(
            f"SELECT id, revision, {', '.join(HEAD_COLUMNS)} FROM rebalancing WHERE index_id = :index_id "
            "AND effective_at = :effective_at AND kind = :kind ORDER BY revision DESC LIMIT 1"
        ),
        key,
    ).first()
    if old is not None and tuple(old[2:]) == head and _stored_items(connection, old.id) == items:
        return Written(unchanged=1)
    revision = 1 if old is None else int(old.revision) + 1
    row = {**key, **dict(zip(HEAD_COLUMNS, head, strict=True)), "revision": revision, "run_id": run_id}
    number = insert_row(connection, "rebalancing", row)
    names = ("rebalancing_id", *ITEM_COLUMNS)
    marks = ", ".join(f":{name}" for name in names)
    if items:
        connection.execute(
            text(f"INSERT INTO rebalancing_item ({', '.join(names)}) VALUES ({marks})"),
            [dict(zip(names, (number, *item), strict=True)) for item in items],
        )
    return Written(new=1) if old is None else Written(revised=1)


def _stored_items(connection: Connection, rebalancing_id: int) -> list[tuple[Any, ...]]:
    sql = f"SELECT {', '.join(ITEM_COLUMNS)} FROM rebalancing_item WHERE rebalancing_id = :id ORDER BY asset_id"
    return [tuple(row) for row in connection.execute(text(sql), {"id": rebalancing_id})]


def _withdraw(connection: Connection, run_id: int, index_id: str, from_us: int, kept: set[tuple[int, str]]) -> Written:
    columns = ("index_id", "effective_at", "kind", "revision", *HEAD_COLUMNS)
    rows = connection.execute(
        text(
            f"SELECT {', '.join(columns)} FROM rebalancing r WHERE index_id = :index_id AND effective_at >= :start "
            "AND revision = (SELECT max(revision) FROM rebalancing o WHERE o.index_id = r.index_id "
            "AND o.effective_at = r.effective_at AND o.kind = r.kind)"
        ),
        {"index_id": index_id, "start": from_us},
    ).mappings()
    gone = [dict(row) for row in rows if not row["withdrawn"] and (row["effective_at"], row["kind"]) not in kept]
    for row in gone:
        insert_row(
            connection, "rebalancing", {**row, "revision": row["revision"] + 1, "withdrawn": True, "run_id": run_id}
        )
    return Written(revised=len(gone))


def insert_row(connection: Connection, table: str, row: dict[str, Any]) -> int:
    """Inserts one row and gives its id."""
    marks = ", ".join(f":{name}" for name in row)
    sql = text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) RETURNING id")
    return int(connection.execute(sql, row).scalar_one())


def _none_if_nan(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
