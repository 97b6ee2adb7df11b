"""Reads what one level was computed from, row by row, by key: for `explain`, where milliseconds count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from indexer.store.db import Store

KNOWN = " AND run_id IN (SELECT id FROM run WHERE started_at <= :known)"


@dataclass(frozen=True, slots=True)
class LevelRevision:
    """One published row of a level, with the run that published it."""

    time_us: int
    revision: int
    level: float
    status: int
    carried_weight: float
    methodology_id: int
    published_at_us: int
    run_id: int
    run_kind: str
    run_started_us: int
    inputs_hash: bytes
    prev_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class RateRow:
    """An official rate as it stands in the store."""

    asset_id: int
    time_us: int
    revision: int
    rate: float
    status: int
    method: str
    verdicts: str
    run_id: int


@dataclass(frozen=True, slots=True)
class QuoteRow:
    """A venue's bar that closed at a rate's instant."""

    venue: str
    source: str
    symbol: str
    interval: str
    close: float
    volume_base: float | None
    volume_usd: float | None
    revision: int
    run_id: int


@dataclass(frozen=True, slots=True)
class SupplyReading:
    """A supply observation with its evidence; amounts in base units."""

    asset_id: int
    kind: str
    origin: str
    source: str
    observed_at_us: int
    amount: int
    chain: str | None
    block_number: int | None
    block_hash: str | None
    finality: str | None
    revision: int
    run_id: int


def read_level_revisions(
    store: Store, index_id: str, *, at_us: int, as_of_us: int | None = None
) -> list[LevelRevision]:
    """Every revision of the last level at or before an instant, newest first; empty when there is none."""
    known = "" if as_of_us is None else KNOWN
    params: dict[str, Any] = {"id": index_id, "at": at_us} | ({} if as_of_us is None else {"known": as_of_us})
    newest = f"SELECT max(time) FROM level WHERE index_id = :id AND time <= :at{known}"
    sql = (
        "SELECT l.time, l.revision, l.level, l.status, l.carried_weight, l.methodology_id, l.published_at, l.run_id, "
        "r.kind, r.started_at, l.inputs_hash, l.prev_hash, l.hash FROM level l JOIN run r ON r.id = l.run_id "
        f"WHERE l.index_id = :id AND l.time = ({newest}){known.replace('run_id', 'l.run_id')} ORDER BY l.revision DESC"
    )
    with store.reading() as connection:
        found = connection.execute(text(sql), params).all()
    return [LevelRevision(*row[:10], *(bytes(one) for one in row[10:])) for row in found]


def read_rates_at(
    connection: Connection, asset_ids: Sequence[int], *, at_us: int, as_of_us: int | None = None
) -> dict[int, RateRow]:
    """The last official rate of each asset at or before an instant, by asset."""
    known = "" if as_of_us is None else KNOWN
    sql = text(
        "SELECT asset_id, time, revision, rate, status, method, verdicts, run_id FROM rate "
        f"WHERE asset_id = :asset AND time <= :at{known} ORDER BY time DESC, revision DESC LIMIT 1"
    )
    found = {}
    for asset in asset_ids:
        params = {"asset": asset, "at": at_us} | ({} if as_of_us is None else {"known": as_of_us})
        row = connection.execute(sql, params).first()
        if row is not None:
            found[asset] = RateRow(*row)
    return found


def read_quotes(connection: Connection, asset_id: int, *, time_us: int, as_of_us: int | None = None) -> list[QuoteRow]:
    """The bars of an asset that closed at an instant, one for each listing, by venue."""
    known = "" if as_of_us is None else " AND b.run_id IN (SELECT id FROM run WHERE started_at <= :known)"
    sql = text(
        "SELECT l.venue, l.source, l.symbol, l.interval, b.close, b.volume_base, b.volume_usd, b.revision, b.run_id "
        "FROM listing l JOIN bar b ON b.listing_id = l.id AND b.time = :time "
        f"WHERE l.asset_id = :asset{known} ORDER BY l.venue, l.interval, l.id, b.revision DESC"
    )
    params = {"asset": asset_id, "time": time_us} | ({} if as_of_us is None else {"known": as_of_us})
    newest: dict[tuple[str, str, str], QuoteRow] = {}
    for row in connection.execute(sql, params):
        newest.setdefault((row.venue, row.interval, row.source), QuoteRow(*row))
    return list(newest.values())


def read_supplies_at(
    connection: Connection, asset_ids: Sequence[int], *, reference_us: int, as_of_us: int
) -> list[SupplyReading]:
    """The newest reading of each kind, origin and source of these assets at a reference instant, as known then."""
    marks = ", ".join(str(int(one)) for one in asset_ids) or "NULL"
    sql = text(
        "SELECT s.asset_id, s.kind, s.origin, s.source, s.observed_at AS observed_at_us, s.amount, s.chain, "
        "s.block_number, s.block_hash, s.finality, s.revision, s.run_id FROM supply s JOIN run r ON r.id = s.run_id "
        f"WHERE s.asset_id IN ({marks}) AND s.observed_at <= :reference AND r.started_at <= :known "
        "ORDER BY s.observed_at DESC, s.revision DESC"
    )
    newest: dict[tuple[int, str, str, str], SupplyReading] = {}
    for row in connection.execute(sql, {"reference": reference_us, "known": as_of_us}):
        made = SupplyReading(**{**row._mapping, "amount": int(row.amount)})
        newest.setdefault((made.asset_id, made.kind, made.origin, made.source), made)
    return list(newest.values())


def read_run_started(connection: Connection, table: str, number: int) -> int:
    """When the run started (us) that wrote a row of a table with ids."""
    sql = text(f"SELECT r.started_at FROM {table} t JOIN run r ON r.id = t.run_id WHERE t.id = :id")
    return int(connection.execute(sql, {"id": number}).scalar_one())
