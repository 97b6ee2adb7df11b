"""Writes supplies, rejects, events, quality entries and the links to raw payloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, select
from sqlmodel import SQLModel

from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.records import EventRow, QualityRow, RejectRow, SupplyRow, Written
from indexer.store.write_assets import asset_id, asset_ids

SUPPLY_KEY = ("asset_id", "kind", "source", "observed_at")
SUPPLY_COMPARED = ("origin", "amount", "chain", "block_number", "block_hash", "finality")


def write_supplies(store: Store, run_id: int, supplies: Sequence[SupplyRow]) -> Written:
    """How many supply readings were new, revised, unchanged. Raises NotFoundError for an unknown asset."""
    written = Written()
    with store.writing() as connection:
        ids = asset_ids(connection)
        latest = _latest_supplies(connection)
        rows = []
        for supply in supplies:
            row = asdict(supply)
            row["asset_id"] = asset_id(ids, row.pop("asset"))
            key = tuple(row[name] for name in SUPPLY_KEY)
            revision, values = latest.get(key, (0, ()))
            new_values = tuple(row[name] for name in SUPPLY_COMPARED)
            if values == new_values:
                written += Written(unchanged=1)
                continue
            written += Written(revised=1) if revision else Written(new=1)
            latest[key] = (revision + 1, new_values)
            rows.append({**row, "revision": revision + 1, "run_id": run_id})
        if rows:
            connection.execute(SQLModel.metadata.tables["supply"].insert(), rows)
    return written


def _latest_supplies(connection: Connection) -> dict[tuple[object, ...], tuple[int, tuple[object, ...]]]:
    table = SQLModel.metadata.tables["supply"]
    found = connection.execute(select(table).order_by(table.c.revision)).mappings()
    return {
        tuple(row[name] for name in SUPPLY_KEY): (row["revision"], tuple(row[name] for name in SUPPLY_COMPARED))
        for row in found
    }


def write_rejects(store: Store, run_id: int, rejects: Sequence[RejectRow]) -> None:
    """Keeps rows that were not taken; the same row of the same file for the same reason is kept once."""
    with store.writing() as connection:
        rows = [  # by hand: asdict copies deeply, and there may be very many
            {
                "run_id": run_id,
                "file": reject.file,
                "file_sha256": reject.file_sha256,
                "line": reject.line,
                "reason": reject.reason,
                "row": reject.row,
            }
            for reject in rejects
        ]
        upsert(connection, "reject", rows, key=["file_sha256", "line", "reason"])


def write_events(store: Store, events: Sequence[EventRow]) -> None:
    """Keeps dated events by slug; text and time follow the file they come from."""
    with store.writing() as connection:
        columns = ["kind", "time", "title", "source", "detail"]
        upsert(connection, "event", [asdict(event) for event in events], key=["slug"], update=columns)


def write_quality(store: Store, run_id: int, entries: Sequence[QualityRow]) -> None:
    """Opens quality entries, or closes those already open (same kind, subject and opening)."""
    with store.writing() as connection:
        rows = [{**asdict(entry), "run_id": run_id} for entry in entries]
        key = ["kind", "subject", "opened_at"]
        upsert(connection, "quality_entry", rows, key=key, update=["closed_at", "detail"])


def write_payload(
    store: Store, run_id: int, *, sha256: str, source: str, url: str, fetched_at: datetime, size: int
) -> None:
    """Links a raw answer in the archive to the run it fed; once per answer and run."""
    row = {
        "sha256": sha256,
        "run_id": run_id,
        "source": source,
        "url": url,
        "fetched_at": fetched_at,
        "bytes": size,
    }
    with store.writing() as connection:
        upsert(connection, "payload", [row], key=["sha256", "run_id"])
