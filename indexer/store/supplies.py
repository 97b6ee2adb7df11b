"""Supply readings of assets, with their evidence: the latest revision of each, as known at an instant."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from indexer.store.assets import asset_id, asset_ids
from indexer.store.columnar import fields
from indexer.store.db import Store
from indexer.store.rows import SupplyRow, Written, as_row, as_values
from indexer.store.runs import known_by
from indexer.store.tables import Asset, Rebalancing, Run, Supply
from indexer.times import from_us, to_us

SUPPLY_KEY = ("asset_id", "kind", "source", "observed_at")
SUPPLY_COMPARED = ("origin", "amount", "chain", "block_number", "block_hash", "finality")
ORPHANED = "orphaned"  # the finality of a reading whose block left its chain


def write_supplies(store: Store, run_id: int, supplies: Sequence[SupplyRow]) -> Written:
    """How many supply readings were new, revised, unchanged. Raises NotFoundError for an unknown asset."""
    written = Written()
    with store.writing_session() as session:
        ids = asset_ids(session)
        instants = [supply.observed_at for supply in supplies]
        query = select(Supply).order_by(col(Supply.revision))
        if instants:
            query = query.where(col(Supply.observed_at).between(min(instants), max(instants)))
        latest = {_key(row): row for row in session.exec(query)}
        for supply in supplies:
            values = as_values(supply, asset_id=asset_id(ids, supply.asset), run_id=run_id)
            del values["asset"]
            row = Supply(**values)
            old = latest.get(_key(row))
            if old is not None and all(getattr(old, name) == getattr(row, name) for name in SUPPLY_COMPARED):
                written += Written(unchanged=1)
                continue
            row.revision = 1 if old is None else old.revision + 1
            written += Written(new=1) if old is None else Written(revised=1)
            latest[_key(row)] = row
            session.add(row)
    return written


def _key(row: Any) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in SUPPLY_KEY)


def read_supplies(store: Store, *, as_of_us: int | None = None) -> list[SupplyRow]:
    """Supply readings by asset, kind, source and instant: the latest revision (known at `as_of_us`) of each.

    One whose block left its chain (finality orphaned) is not among them.
    """
    as_of_us = store.as_of_us if as_of_us is None else as_of_us
    rows = [row for _, row in _latest(store, as_of_us=as_of_us) if row.finality != ORPHANED]
    return sorted(rows, key=lambda row: (row.asset, row.kind, row.source, row.observed_at))


def read_latest_supplies(store: Store, slug: str) -> list[SupplyRow]:
    """The newest reading of each kind, origin and source of one asset, in its latest revision; orphaned ones not."""
    return read_all_latest_supplies(store, slug).get(slug, [])


def read_all_latest_supplies(store: Store, slug: str = "") -> dict[str, list[SupplyRow]]:
    """What `read_latest_supplies` gives, for every asset that has any, by slug."""
    newest: dict[tuple[str, str, str, str], SupplyRow] = {}
    for _, row in _latest(store, slug=slug):
        if row.finality != ORPHANED:
            newest[row.asset, row.kind, row.origin, row.source] = row
    by_asset: dict[str, list[SupplyRow]] = {}
    for row in newest.values():
        by_asset.setdefault(row.asset, []).append(row)
    return by_asset


def read_supplies_by_finality(store: Store, levels: Collection[str]) -> list[tuple[int, SupplyRow]]:
    """The runs and on-chain readings whose latest revision has one of these finalities, oldest first."""
    return [(run, row) for run, row in _latest(store, origin="on_chain") if row.finality in levels]


def _latest(
    store: Store, *, slug: str = "", origin: str = "", as_of_us: int | None = None
) -> list[tuple[int, SupplyRow]]:
    """The latest revision of each reading with the run that wrote it, oldest reading first."""
    names = [name for name in SupplyRow.__dataclass_fields__ if name != "asset"]
    asset = fields(Asset, "slug")[0].label("asset")
    query = select_columns(*fields(Supply, "asset_id", "run_id", *names), asset).join_from(Supply, Asset)
    query = query.where(*known_by(Supply, as_of_us)).order_by(*fields(Supply, "observed_at", "id"))
    if slug:
        query = query.where(col(Asset.slug) == slug)
    if origin:
        query = query.where(col(Supply.origin) == origin)
    latest: dict[tuple[Any, ...], Any] = {}
    with store.reading() as connection:
        for row in connection.execute(query):
            known = latest.get(_key(row))
            if known is None or known.revision < row.revision:
                latest[_key(row)] = row
    return [(row.run_id, as_row(SupplyRow, row)) for row in latest.values()]


def read_supplies_of(store: Store, run: int) -> list[SupplyRow]:
    """What one run wrote, revisions included, in the order of writing."""
    query = select(Supply, Asset.slug).join(Asset).where(Supply.run_id == run).order_by(col(Supply.id))
    return [as_row(SupplyRow, supply, asset=slug) for supply, slug in store.all(query)]


def read_supplies_at(session: Session, asset_ids: Sequence[int], *, reference_us: int, as_of_us: int) -> list[Supply]:
    """The newest reading of each kind, origin and source of these assets at a reference instant, as known then."""
    query = select(Supply).where(col(Supply.asset_id).in_(asset_ids), Supply.observed_at <= from_us(reference_us))
    query = query.where(*known_by(Supply, as_of_us))
    newest: dict[tuple[int, str, str, str], Supply] = {}
    for row in session.exec(query.order_by(col(Supply.observed_at).desc(), col(Supply.revision).desc())):
        newest.setdefault((row.asset_id, row.kind, row.origin, row.source), row)
    return list(newest.values())


def review_started_us(session: Session, rebalancing_id: int) -> int:
    """When the run started (us) that decided a rebalancing."""
    query = select(Run.started_at).join(Rebalancing).where(Rebalancing.id == rebalancing_id)
    return to_us(session.exec(query).one())
