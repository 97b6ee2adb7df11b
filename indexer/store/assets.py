"""What prices refer to: assets, their listings, and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session, col, select

from indexer.errors import NotFoundError, did_you_mean
from indexer.registry import Registry
from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.rows import AssetRow, BenchmarkRow, ListingRow, StoredAsset, as_row, as_values
from indexer.store.tables import Asset, Benchmark, Listing

ASSET_LABELS = ("name", "symbol", "chain", "contract", "decimals", "sub_sector", "status", "line", "line_ratio")
LISTING_KEY = ("asset_id", "venue", "interval", "source")


def read_assets(store: Store) -> list[StoredAsset]:
    """Every asset, by slug."""
    return [as_row(StoredAsset, asset) for asset in store.all(select(Asset).order_by(col(Asset.slug)))]


def read_asset(store: Store, name: str) -> StoredAsset:
    """The asset of this slug or present symbol, case ignored. Raises NotFoundError naming the closest."""
    assets, folded = read_assets(store), name.casefold()
    for asset in assets:
        if folded in (asset.slug, asset.symbol.casefold()):
            return asset
    names = [word for asset in assets for word in (asset.symbol, asset.slug)]
    raise NotFoundError(f'No asset "{name}".{did_you_mean(name.upper(), names)} /v1/assets lists them.')


def write_assets(store: Store, assets: Sequence[AssetRow]) -> dict[str, int]:
    """Ids by slug of the assets given, new or known; labels are brought to what the registry says now."""
    known = {asset.slug: asset for asset in read_assets(store)}
    fresh = [asset for asset in assets if asset.slug not in known or as_row(AssetRow, known[asset.slug]) != asset]
    if fresh:
        with store.writing_session() as session:
            upsert(session, Asset, [as_values(asset) for asset in fresh], key=["slug"], update=ASSET_LABELS)
        known = {asset.slug: asset for asset in read_assets(store)}
    return {asset.slug: known[asset.slug].id for asset in assets}


def write_registry(store: Store, registry: Registry) -> dict[str, int]:
    """Ids by slug of a registry's assets, written where they are new, with the labels that they have now."""
    rows = [as_row(AssetRow, asset, line=asset.line or asset.slug) for asset in registry.assets]
    return write_assets(store, rows)


def asset_ids(session: Session) -> dict[str, int]:
    """Every asset's id by slug."""
    return dict(session.exec(select(Asset.slug, Asset.id)).all())


def asset_id(ids: dict[str, int], slug: str) -> int:
    """The id of a slug, or NotFoundError with the closest one known."""
    if slug not in ids:
        raise NotFoundError(f'The store has no asset "{slug}".{did_you_mean(slug, ids)} Write the registry first.')
    return ids[slug]


def read_listings(store: Store, *, interval: str | None = None) -> list[ListingRow]:
    """Every listing with its id, by asset, interval and venue."""
    query = select(Listing, Asset.slug).join(Asset)
    if interval is not None:
        query = query.where(Listing.interval == interval)
    query = query.order_by(col(Asset.slug), col(Listing.interval), col(Listing.venue), col(Listing.source))
    return [as_row(ListingRow, listing, asset=slug) for listing, slug in store.all(query)]


def ensure_listings(store: Store, listings: Sequence[ListingRow]) -> list[int]:
    """Ids of the listings in the order given, made where they are new. Raises NotFoundError for unknown assets."""
    with store.writing_session() as session:
        ids = asset_ids(session)
        rows = [as_values(listing, asset_id=asset_id(ids, listing.asset)) for listing in listings]
        for row in rows:
            del row["asset"]
        upsert(session, Listing, rows, key=LISTING_KEY)
        known = {tuple(getattr(one, name) for name in LISTING_KEY): one.id for one in session.exec(select(Listing))}
    return [known[tuple(row[name] for name in LISTING_KEY)] for row in rows]


def read_benchmarks(store: Store) -> list[BenchmarkRow]:
    """Every benchmark, by symbol."""
    with store.session() as session:
        query = select(Benchmark).order_by(col(Benchmark.symbol))
        return [as_row(BenchmarkRow, benchmark) for benchmark in session.exec(query)]


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


def ensure_benchmarks(store: Store, benchmarks: Sequence[BenchmarkRow]) -> dict[str, int]:
    """Ids by symbol of the benchmarks given, made where they are new."""
    with store.writing_session() as session:
        upsert(session, Benchmark, [as_values(row) for row in benchmarks], key=["symbol"])
        ids = dict(session.exec(select(Benchmark.symbol, Benchmark.id)).all())
    return {row.symbol: int(ids[row.symbol] or 0) for row in benchmarks}
