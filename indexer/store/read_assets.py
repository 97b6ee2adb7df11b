"""Reads what prices refer to: assets, listings, benchmarks, supplies, methodology versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select, text
from sqlmodel import SQLModel

from indexer.errors import NotFoundError, did_you_mean
from indexer.store.db import Store
from indexer.store.records import AssetRow, BenchmarkRow, ListingRow, SupplyRow
from indexer.times import to_us


@dataclass(frozen=True, slots=True)
class StoredAsset(AssetRow):
    """An asset with its id in this store."""

    id: int = 0


@dataclass(frozen=True, slots=True)
class MethodologyRow:
    """A stored version of an index's methodology file."""

    id: int
    index_id: str
    version: str
    hash: str
    text: str
    loaded_at: datetime


def read_assets(store: Store) -> list[StoredAsset]:
    """Every asset, by slug."""
    return [StoredAsset(**row) for row in rows(store, "asset", order=["slug"])]


def read_listings(store: Store, *, interval: str | None = None) -> list[ListingRow]:
    """Every listing with its id, by asset, interval and venue."""
    names = (
        "l.id, l.asset_id, l.venue, l.source, l.symbol, l.interval, l.quote, l.price_basis, l.stamp, a.slug AS asset"
    )
    where = "" if interval is None else "WHERE l.interval = :interval "
    with store.reading() as connection:
        found = connection.execute(
            text(
                f"SELECT {names} FROM listing l JOIN asset a ON a.id = l.asset_id {where}"
                "ORDER BY a.slug, l.interval, l.venue, l.source"
            ),
            {} if interval is None else {"interval": interval},
        ).mappings()
        return [ListingRow(**row) for row in found]


def read_benchmarks(store: Store) -> list[BenchmarkRow]:
    """Every benchmark, by symbol."""
    return [BenchmarkRow(**row) for row in rows(store, "benchmark", order=["symbol"])]


def read_benchmark(store: Store, symbol: str) -> BenchmarkRow:
    """One benchmark by symbol (case does not matter). Raises NotFoundError naming the closest and the known ones."""
    known = {row.symbol: row for row in read_benchmarks(store)}
    folded = {name.casefold(): name for name in known}
    name = folded.get(symbol.casefold())
    if name is None:
        hint = did_you_mean(symbol.upper(), known)
        has = ", ".join(known) or "none yet; import some"
        raise NotFoundError(f'No benchmark "{symbol}".{hint} Known: {has}.')
    return known[name]


def read_supplies(store: Store, *, as_of_us: int | None = None) -> list[SupplyRow]:
    """Supply readings by asset, kind, source and instant: the latest revision (known at `as_of_us`) of each.

    One whose block left its chain (finality orphaned) is not among them.
    """
    supply, asset, run = (SQLModel.metadata.tables[name] for name in ("supply", "asset", "run"))
    query = (
        select(supply, asset.c.slug.label("asset"), run.c.started_at)
        .join(asset, asset.c.id == supply.c.asset_id)
        .join(run, run.c.id == supply.c.run_id)
        .order_by(asset.c.slug, supply.c.kind, supply.c.source, supply.c.observed_at, supply.c.revision)
    )
    latest: dict[tuple[Any, ...], SupplyRow] = {}
    with store.reading() as connection:
        for row in connection.execute(query).mappings():
            if as_of_us is not None and to_us(row["started_at"]) > as_of_us:
                continue
            fields = {name: row[name] for name in SupplyRow.__dataclass_fields__}
            latest[(row["asset"], row["kind"], row["source"], row["observed_at"])] = SupplyRow(**fields)
    return [row for row in latest.values() if row.finality != "orphaned"]


def read_methodologies(store: Store, index_id: str | None = None) -> list[MethodologyRow]:
    """Every methodology version, oldest first; of one index when given."""
    found = rows(store, "methodology_version", order=["id"])
    return [MethodologyRow(**row) for row in found if index_id in (None, row["index_id"])]


def rows(store: Store, table: str, *, order: list[str]) -> list[RowMapping]:
    """Every row of a small table as a mapping, with instants aware."""
    source = SQLModel.metadata.tables[table]
    with store.reading() as connection:
        return list(connection.execute(select(source).order_by(*(source.c[name] for name in order))).mappings())
