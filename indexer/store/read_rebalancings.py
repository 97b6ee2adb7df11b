"""Reads rebalancings with their evidence, the constituents at an instant, and memberships."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, text

from indexer.errors import NotFoundError
from indexer.store.db import Store
from indexer.store.read_index import read_index
from indexer.store.records import ConstituentRow, MembershipRow, RebalancingItemRow, RebalancingRow
from indexer.times import from_us, iso

LATEST = (
    "r.withdrawn = :no AND r.revision = (SELECT max(o.revision) FROM rebalancing o "
    "WHERE o.index_id = r.index_id AND o.effective_at = r.effective_at AND o.kind = r.kind{known})"
)
KNOWN = " AND {table}.run_id IN (SELECT id FROM run WHERE started_at <= :known)"


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
    read_index(store, index_id)
    clauses, params = [], {}
    for clause, name, value in (("effective_at >= :start", "start", start_us), ("effective_at < :end", "end", end_us)):
        if value is not None:
            clauses.append(f" AND r.{clause}")
            params[name] = value
    with store.reading() as connection:
        heads = _heads(connection, index_id, "".join(clauses), params, as_of_us=as_of_us)
        items = _items(connection, [row["id"] for row in heads])
    return [_rebalancing(row, items.get(row["id"], ())) for row in heads]


def read_constituents(store: Store, index_id: str, at_us: int, *, as_of_us: int | None = None) -> list[ConstituentRow]:
    """Who is in the index at an instant, largest target weight first, with the weight that prices give then.

    With `as_of_us`: by what was known then. A weight is None unless every constituent has a rate at or before the
    instant. Raises NotFoundError for an unknown index, or an instant before its base.
    """
    read_index(store, index_id)
    with store.reading() as connection:
        heads = _heads(
            connection, index_id, " AND r.effective_at <= :at", {"at": at_us}, newest=True, as_of_us=as_of_us
        )
        if not heads:
            raise NotFoundError(f'Index "{index_id}" has no constituents at {iso(at_us)}: its history starts later.')
        head = heads[0]
        found = connection.execute(
            text(
                "SELECT a.slug, a.id, a.symbol, a.name, a.sub_sector, i.units_after, i.weight_target, i.price "
                "FROM rebalancing_item i JOIN asset a ON a.id = i.asset_id "
                "WHERE i.rebalancing_id = :id AND i.units_after > 0 ORDER BY i.weight_target DESC, a.slug"
            ),
            {"id": head["id"]},
        ).mappings()
        rows = [(row, _rate(connection, row, at_us, as_of_us=as_of_us)) for row in found]
    values = [row["units_after"] * rate[0] if rate else None for row, rate in rows]
    total = sum(value for value in values if value is not None) if None not in values else None
    return [
        _constituent(row, rate, head, None if value is None or not total else value / total)
        for (row, rate), value in zip(rows, values, strict=True)
    ]


def read_memberships(
    store: Store, index_id: str, *, at_us: int | None = None, as_of_us: int | None = None
) -> list[MembershipRow]:
    """Memberships of an index by start and asset; only those running at `at_us`, as known at `as_of_us`."""
    read_index(store, index_id)
    running = "" if at_us is None else " AND m.valid_from <= :at AND (m.valid_to IS NULL OR m.valid_to > :at)"
    params: dict[str, Any] = {"id": index_id, "no": False} | ({} if at_us is None else {"at": at_us})
    known = "" if as_of_us is None else KNOWN.format(table="o")
    params |= {} if as_of_us is None else {"known": as_of_us}
    with store.reading() as connection:
        found = connection.execute(
            text(
                "SELECT a.slug AS asset, m.valid_from, m.valid_to, m.reason_in, m.reason_out FROM membership m "
                "JOIN asset a ON a.id = m.asset_id WHERE m.index_id = :id AND m.withdrawn = :no AND m.revision = "
                "(SELECT max(o.revision) FROM membership o WHERE o.index_id = m.index_id AND o.asset_id = m.asset_id "
                f"AND o.valid_from = m.valid_from{known}){running} ORDER BY m.valid_from, a.slug"
            ),
            params,
        ).mappings()
        return [
            MembershipRow(
                asset=row["asset"],
                valid_from=from_us(row["valid_from"]),
                valid_to=None if row["valid_to"] is None else from_us(row["valid_to"]),
                reason_in=row["reason_in"],
                reason_out=row["reason_out"],
            )
            for row in found
        ]


def _heads(
    connection: Connection,
    index_id: str,
    where: str,
    params: dict[str, Any],
    *,
    newest: bool = False,
    as_of_us: int | None = None,
) -> list[RowMapping]:
    order = "r.effective_at DESC, r.id DESC LIMIT 1" if newest else "r.effective_at, r.id"
    latest = LATEST.format(known="" if as_of_us is None else KNOWN.format(table="o"))
    params = params if as_of_us is None else {**params, "known": as_of_us}
    sql = f"SELECT r.* FROM rebalancing r WHERE r.index_id = :index_id AND {latest}{where} ORDER BY {order}"
    return list(connection.execute(text(sql), {"index_id": index_id, "no": False, **params}).mappings())


def _items(connection: Connection, ids: list[int]) -> dict[int, tuple[RebalancingItemRow, ...]]:
    if not ids:
        return {}
    found = connection.execute(
        text(
            "SELECT i.*, a.slug AS asset, a.symbol, a.sub_sector FROM rebalancing_item i "
            "JOIN asset a ON a.id = i.asset_id WHERE i.rebalancing_id BETWEEN :first AND :last "
            "ORDER BY i.rebalancing_id, i.weight_target DESC, a.slug"
        ),
        {"first": min(ids), "last": max(ids)},
    ).mappings()
    grouped: dict[int, list[RebalancingItemRow]] = {number: [] for number in ids}
    for row in found:
        if row["rebalancing_id"] in grouped:
            fields = {name: row[name] for name in RebalancingItemRow.__dataclass_fields__}
            grouped[row["rebalancing_id"]].append(RebalancingItemRow(**fields))
    return {number: tuple(items) for number, items in grouped.items()}


def _rebalancing(row: RowMapping, items: tuple[RebalancingItemRow, ...]) -> RebalancingRow:
    fields = {name: row[name] for name in RebalancingRow.__dataclass_fields__ if name != "items"}
    fields |= {name: from_us(row[name]) for name in ("reference_at", "effective_at")}
    return RebalancingRow(**fields, items=items)


def _rate(
    connection: Connection, row: RowMapping, at_us: int, *, as_of_us: int | None
) -> tuple[float, int, int] | None:
    """The newest rate at or before the instant, its status and time; before a migration it is the old token's,

    in units of the line's token.
    """
    known_then = "" if as_of_us is None else KNOWN.format(table="rate")
    params = {"line": row["slug"], "at": at_us} | ({} if as_of_us is None else {"known": as_of_us})
    newest = connection.execute(
        text(
            "SELECT t.id, t.line_ratio, "
            f"(SELECT max(time) FROM rate WHERE asset_id = t.id AND time <= :at{known_then}) AS time "
            "FROM asset t WHERE t.line = :line"
        ),
        params,
    ).all()
    known = [token for token in newest if token.time is not None]
    if not known:
        return None
    token = max(known, key=lambda found: (found.time, found.id == row["id"]))
    source = f"rate WHERE asset_id = :id AND time = :time{known_then}"
    sql = f"SELECT rate, status FROM {source} ORDER BY revision DESC LIMIT 1"
    params = {"id": token.id, "time": token.time} | ({} if as_of_us is None else {"known": as_of_us})
    found = connection.execute(text(sql), params).one()
    return float(found.rate) / float(token.line_ratio), int(found.status), int(token.time)


def _constituent(
    row: RowMapping, rate: tuple[float, int, int] | None, head: RowMapping, weight: float | None
) -> ConstituentRow:
    return ConstituentRow(
        asset=row["slug"],
        asset_id=row["id"],
        symbol=row["symbol"],
        name=row["name"],
        sub_sector=row["sub_sector"],
        units=row["units_after"],
        weight_target=row["weight_target"],
        price_effective=row["price"],
        rate=rate[0] if rate else None,
        rate_at=from_us(rate[2]) if rate else None,
        rate_status=rate[1] if rate else None,
        weight=weight,
        effective_at=from_us(head["effective_at"]),
        divisor=head["divisor_after"],
    )
