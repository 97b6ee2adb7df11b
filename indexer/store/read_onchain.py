"""Reads what chain work stands on and what it serves: provisional supplies, the latest of each kind, rates, metrics."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from operator import itemgetter

import numpy as np
from sqlalchemy import bindparam, select, text
from sqlmodel import SQLModel

from indexer.arrays import F64, I64
from indexer.store.db import Store
from indexer.store.records import MetricSeries, SupplyRow


def read_latest_supplies(store: Store, slug: str) -> list[SupplyRow]:
    """The newest reading of each kind, origin and source of one asset, in its latest revision; orphaned ones not."""
    best: dict[tuple[str, str, str], SupplyRow] = {}
    for _, row in _latest_revisions(store, slug=slug):
        if row.finality != "orphaned":
            best[row.kind, row.origin, row.source] = row
    return list(best.values())


def read_all_latest_supplies(store: Store) -> dict[str, list[SupplyRow]]:
    """What `read_latest_supplies` gives, for every asset that has any, by slug."""
    best: dict[tuple[str, str, str, str], SupplyRow] = {}
    for _, row in _latest_revisions(store):
        if row.finality != "orphaned":
            best[row.asset, row.kind, row.origin, row.source] = row
    made: dict[str, list[SupplyRow]] = {}
    for row in best.values():
        made.setdefault(row.asset, []).append(row)
    return made


def read_supplies_by_finality(store: Store, levels: Collection[str]) -> list[tuple[int, SupplyRow]]:
    """The runs and on-chain readings whose latest revision has one of these finalities, oldest first."""
    rows = _latest_revisions(store, origin="on_chain")
    return [(run, row) for run, row in rows if row.finality is not None and row.finality in levels]


def _latest_revisions(store: Store, *, slug: str = "", origin: str = "") -> list[tuple[int, SupplyRow]]:
    supply, asset = (SQLModel.metadata.tables[name] for name in ("supply", "asset"))
    query = select(supply, asset.c.slug.label("asset")).join(asset, asset.c.id == supply.c.asset_id)
    if slug:
        query = query.where(asset.c.slug == slug)
    if origin:
        query = query.where(supply.c.origin == origin)
    query = query.order_by(supply.c.observed_at, supply.c.id)
    latest: dict[tuple[object, ...], tuple[int, SupplyRow]] = {}
    with store.reading() as connection:
        for found in connection.execute(query).mappings():
            row = SupplyRow(**{name: found[name] for name in SupplyRow.__dataclass_fields__})
            key = (row.asset, row.kind, row.source, row.observed_at)
            if key not in latest or latest[key][1].revision < row.revision:
                latest[key] = (found["run_id"], row)
    return list(latest.values())


def read_rate_before(store: Store, slug: str, at_us: int, *, max_age_us: int) -> tuple[float, int] | None:
    """The last reference rate of an asset at or before an instant, and its instant; None when none is young enough."""
    sql = text(
        "SELECT r.rate, r.time FROM rate r JOIN asset a ON a.id = r.asset_id WHERE a.slug = :slug "
        "AND r.time <= :at AND r.time >= :oldest ORDER BY r.time DESC, r.revision DESC LIMIT 1"
    )
    with store.reading() as connection:
        found = connection.execute(sql, {"slug": slug, "at": at_us, "oldest": at_us - max_age_us}).first()
    return None if found is None else (float(found.rate), int(found.time))


def read_asset_metrics(store: Store, names: Collection[str], *, as_of_us: int | None = None) -> list[MetricSeries]:
    """The series of these names of every asset, as known at `as_of_us`, by asset, name and source."""
    known = "" if as_of_us is None else " AND run_id IN (SELECT id FROM run WHERE started_at <= :known)"
    sql = text(
        "SELECT subject, name, source, time, value FROM metric WHERE name IN :names "
        f"AND subject IN (SELECT slug FROM asset){known} ORDER BY subject, name, source, time, revision"
    ).bindparams(bindparam("names", expanding=True))
    params = {"names": sorted(names)} | ({} if as_of_us is None else {"known": as_of_us})
    with store.reading() as connection:
        found = connection.execute(sql, params).all()
    made = []
    for (subject, name, source), rows in groupby(found, key=itemgetter(0, 1, 2)):
        latest = {row[3]: row[4] for row in rows}
        times: I64 = np.array(list(latest), dtype=np.int64)
        values: F64 = np.array(list(latest.values()), dtype=np.float64)
        made.append(MetricSeries(subject, name, source, times, values))
    return made


def read_newest_metrics(store: Store, subject: str, *, source_prefix: str) -> list[MetricSeries]:
    """The newest value of each series of a subject whose source begins so: one instant and value each."""
    sql = text(
        "SELECT m.name, m.source, m.time, m.value FROM metric m JOIN (SELECT name, source, max(time) AS newest "
        "FROM metric WHERE subject = :subject AND source LIKE :prefix GROUP BY name, source) n "
        "ON n.name = m.name AND n.source = m.source AND n.newest = m.time "
        "WHERE m.subject = :subject ORDER BY m.name, m.source, m.revision"
    )
    with store.reading() as connection:
        found = connection.execute(sql, {"subject": subject, "prefix": f"{source_prefix}%"}).all()
    latest = {(row.name, row.source): row for row in found}
    return [
        MetricSeries(subject, name, source, np.array([row.time], np.int64), np.array([row.value], np.float64))
        for (name, source), row in latest.items()
    ]


def read_newest_rate(store: Store, slug: str) -> tuple[float, int, int] | None:
    """The newest reference rate of an asset, its instant and status; None when there is none."""
    sql = text(
        "SELECT r.rate, r.time, r.status FROM rate r JOIN asset a ON a.id = r.asset_id WHERE a.slug = :slug "
        "ORDER BY r.time DESC, r.revision DESC LIMIT 1"
    )
    with store.reading() as connection:
        found = connection.execute(sql, {"slug": slug}).first()
    return None if found is None else (float(found.rate), int(found.time), int(found.status))
