"""Writes what bars and levels refer to: assets, listings, benchmarks, methodology versions and indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, text

from indexer.errors import NotFoundError, did_you_mean
from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.records import AssetRow, BenchmarkRow, ListingRow

ASSET_LABELS = ("name", "symbol", "chain", "contract", "decimals", "sub_sector", "status", "line", "line_ratio")
LISTING_KEY = ("asset_id", "venue", "interval", "source")


def write_assets(store: Store, assets: Sequence[AssetRow]) -> dict[str, int]:
    """Ids by slug of the assets given, new or known; labels are brought to what the registry says now."""
    with store.writing() as connection:
        upsert(connection, "asset", [asdict(asset) for asset in assets], key=["slug"], update=ASSET_LABELS)
        ids = asset_ids(connection)
    return {asset.slug: ids[asset.slug] for asset in assets}


def ensure_listings(store: Store, listings: Sequence[ListingRow]) -> list[int]:
    """Ids of the listings in the order given, made where they are new. Raises NotFoundError for unknown assets."""
    with store.writing() as connection:
        ids = asset_ids(connection)
        rows = []
        for listing in listings:
            values = asdict(listing)
            slug = values.pop("asset")
            values.pop("id")
            values["asset_id"] = asset_id(ids, slug)
            rows.append(values)
        upsert(connection, "listing", rows, key=LISTING_KEY)
        found = connection.execute(text("SELECT asset_id, venue, interval, source, id FROM listing")).all()
    known = {tuple(row[:4]): int(row[4]) for row in found}
    return [known[tuple(row[name] for name in LISTING_KEY)] for row in rows]


def ensure_benchmarks(store: Store, benchmarks: Sequence[BenchmarkRow]) -> dict[str, int]:
    """Ids by symbol of the benchmarks given, made where they are new."""
    with store.writing() as connection:
        rows = [{k: v for k, v in asdict(row).items() if k != "id"} for row in benchmarks]
        upsert(connection, "benchmark", rows, key=["symbol"])
        known = connection.execute(text("SELECT symbol, id FROM benchmark")).all()
    ids = {symbol: int(number) for symbol, number in known}
    return {row.symbol: ids[row.symbol] for row in benchmarks}


def write_methodology(store: Store, *, index_id: str, version: str, hash: str, text_: str, loaded_at: datetime) -> int:
    """The id of this version of an index's methodology, written once per hash."""
    row = {"index_id": index_id, "version": version, "hash": hash, "text": text_, "loaded_at": loaded_at}
    with store.writing() as connection:
        upsert(connection, "methodology_version", [row], key=["index_id", "hash"])
        sql = text("SELECT id FROM methodology_version WHERE index_id = :index_id AND hash = :hash")
        return int(connection.execute(sql, {"index_id": index_id, "hash": hash}).scalar_one())


def write_index(
    store: Store,
    *,
    index_id: str,
    name: str,
    description: str,
    methodology_id: int,
    simulated: bool = False,
    state: str = "active",
) -> None:
    """Registers an index, or brings its name, state and present methodology up to date."""
    row = {
        "id": index_id,
        "name": name,
        "description": description,
        "simulated": simulated,
        "state": state,
        "methodology_id": methodology_id,
    }
    with store.writing() as connection:
        upsert(connection, "index_info", [row], key=["id"], update=[key for key in row if key != "id"])


def asset_ids(connection: Connection) -> dict[str, int]:
    """Every asset's id by slug."""
    return {slug: int(number) for slug, number in connection.execute(text("SELECT slug, id FROM asset"))}


def asset_id(ids: dict[str, int], slug: str) -> int:
    """The id of a slug, or NotFoundError with the closest one known."""
    if slug not in ids:
        raise NotFoundError(f'The store has no asset "{slug}".{did_you_mean(slug, ids)} Write the registry first.')
    return ids[slug]
