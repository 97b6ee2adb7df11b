"""All history again on an empty store: every run of facts in its order, every update after it, byte for byte.

The strongest proof there is: nothing of what was published is taken over, only bars, supplies, fixings, decisions
and the rules as they were. `differences` then holds the two hash chains against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import numpy as np
from sqlalchemy import select, text
from sqlmodel import SQLModel

from indexer.administration.rules import Rules
from indexer.assets import Registry
from indexer.importing import asset_rows
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.pipeline import update
from indexer.store.columnar import columns
from indexer.store.db import Store
from indexer.store.read import RunRow, read_indices, read_listings, read_methodologies, read_runs
from indexer.store.read_state import published_rows
from indexer.store.records import BarColumns, ListingRow
from indexer.store.records_administration import AnnouncementRow
from indexer.store.write import ensure_listings, finish_run, start_run, write_assets, write_bars, write_rates
from indexer.store.write_administration import write_announcements
from indexer.times import iso, to_us

BAR_COLUMNS = ("open", "high", "low", "close", "volume_base", "volume_usd")
Progress = Callable[[int, int], None]


def replay(
    store: Store,
    into: Store,
    *,
    registry: Registry,
    rules: Rules | None = None,
    progress: Progress = lambda done, total: None,
) -> list[str]:
    """Does all runs again in an empty, migrated store, and says what came out differently; empty is good."""
    write_assets(into, asset_rows(registry))
    listings = _copy_listings(store, into)
    _copy_rows(store, into, table="override")
    runs = sorted((run for run in read_runs(store) if run.outcome == "done"), key=lambda run: (run.started_at, run.id))
    for n, run in enumerate(runs):
        if run.kind == "update":
            _update_again(store, into, run=run, registry=registry, rules=rules)
        else:
            _facts_again(store, into, run=run, listings=listings)
        progress(n + 1, len(runs))
    return differences(store, into)


def differences(store: Store, other: Store) -> list[str]:
    """Where the published rows of two stores differ, the first row of each index; empty when they are the same."""
    found = []
    for index in read_indices(store):
        one, two = published_rows(store, index.id), published_rows(other, index.id)
        if one.hash == two.hash:
            continue
        if len(one.hash) != len(two.hash):
            found.append(f"{index.id}: {len(one.hash)} rows are published, doing it again gives {len(two.hash)}")
            continue
        n = next(n for n, (mine, theirs) in enumerate(zip(one.hash, two.hash, strict=True)) if mine != theirs)
        found.append(
            f"{index.id}: {iso(int(one.times_us[n]))} revision {int(one.revision[n])} is published as "
            f"{one.levels[n]!r}, doing it again gives {two.levels[n]!r} at {iso(int(two.times_us[n]))}"
        )
    return found


def _copy_listings(store: Store, into: Store) -> Mapping[int, int]:
    """Listings in the order they became known; gives their ids there by their ids here."""
    known = sorted((row for row in read_listings(store) if row.id is not None), key=lambda row: row.id or 0)
    names = [name for name in ListingRow.__dataclass_fields__ if name not in ("id", "asset_id")]
    made = ensure_listings(into, [ListingRow(**{name: getattr(row, name) for name in names}) for row in known])
    return {row.id or 0: number for row, number in zip(known, made, strict=True)}


def _copy_rows(store: Store, into: Store, *, table: str) -> None:
    source = SQLModel.metadata.tables[table]
    with store.reading() as connection:
        rows = [dict(row) for row in connection.execute(select(source)).mappings()]
    if rows:
        with into.writing() as connection:
            connection.execute(source.insert(), rows)


def _facts_again(store: Store, into: Store, *, run: RunRow, listings: Mapping[int, int]) -> None:
    """What one run of facts wrote: bars, supplies and fixed rates."""
    run_id = start_run(into, kind=run.kind, key=run.key, now=run.started_at)
    assert run_id is not None
    _bars_again(store, into, run=run.id, run_id=run_id, listings=listings)
    _supplies_again(store, into, run=run.id, run_id=run_id)
    _rates_again(store, into, run=run.id, run_id=run_id)
    _said_again(store, into, run=run.id, run_id=run_id)
    finish_run(into, run_id, now=run.finished_at or run.started_at, detail=run.detail)


def _bars_again(store: Store, into: Store, *, run: int, run_id: int, listings: Mapping[int, int]) -> None:
    kinds = {"listing_id": "int64", "time": "int64", "close": "float64"}
    kinds |= {name: "maybe" for name in BAR_COLUMNS if name != "close"}
    found = columns(store, kinds, source="bar WHERE run_id = :run", params={"run": run}, order="listing_id, time")
    if len(found["time"]):
        numbers = np.array([listings[one] for one in found["listing_id"].tolist()], dtype=np.int64)
        write_bars(into, run_id, BarColumns(numbers, found["time"], *(found[name] for name in BAR_COLUMNS)))


def _supplies_again(store: Store, into: Store, *, run: int, run_id: int) -> None:
    source = SQLModel.metadata.tables["supply"]
    with store.reading() as connection:
        rows = [dict(row) for row in connection.execute(select(source).where(source.c.run_id == run)).mappings()]
    if rows:
        with into.writing() as connection:
            fields = [{name: value for name, value in row.items() if name != "id"} | {"run_id": run_id} for row in rows]
            connection.execute(source.insert(), fields)


def _said_again(store: Store, into: Store, *, run: int, run_id: int) -> None:
    """What a run of people's decisions announced: states take effect by it."""
    source = SQLModel.metadata.tables["announcement"]
    with store.reading() as connection:
        rows = [dict(row) for row in connection.execute(select(source).where(source.c.run_id == run)).mappings()]
    if rows:
        names = [name for name in AnnouncementRow.__dataclass_fields__ if name != "id"]
        write_announcements(into, run_id, [AnnouncementRow(**{name: row[name] for name in names}) for row in rows])


def _rates_again(store: Store, into: Store, *, run: int, run_id: int) -> None:
    """Rates that a run of facts fixed itself (minutes, live); those of an update are computed again."""
    sql = text("SELECT asset_id, time, rate, status, method, verdicts FROM rate WHERE run_id = :run")
    with store.reading() as connection:
        rows = connection.execute(sql, {"run": run}).all()
    if not rows:
        return
    asset, time, rate, status, method, verdicts = zip(*rows, strict=True)
    write_rates(
        into,
        run_id,
        asset_id=np.array(asset, dtype=np.int64),
        time_us=np.array(time, dtype=np.int64),
        rate=np.array(rate, dtype=np.float64),
        status=np.array(status, dtype=np.int8),
        method=list(method),
        verdicts=list(verdicts),
    )


def _update_again(store: Store, into: Store, *, run: RunRow, registry: Registry, rules: Rules | None) -> None:
    asked = run.key.startswith("rebuild:")
    update(
        into,
        registry=registry,
        methodologies=_methodologies(store, run.started_at, registry=registry),
        clock=lambda: run.started_at,
        rules=rules,
        rebuild=str(run.detail.get("rebuild", "")) if asked else "",
    )


def _methodologies(store: Store, at: datetime, *, registry: Registry) -> dict[str, Methodology]:
    """The rules of every index as they were at an instant. A run's own new versions were loaded during it."""
    runs = [to_us(one.started_at) for one in read_runs(store, kind="update")]
    later = min((one for one in runs if one > to_us(at)), default=2**62)
    found: dict[str, Methodology] = {}
    for row in read_methodologies(store):
        if to_us(row.loaded_at) < later:
            found[row.index_id] = load_methodology(row.text, source=f"{row.index_id} {row.version}", registry=registry)
    return found
