"""All history again on an empty store: every run of facts in its order, every update after it, byte for byte.

The strongest proof there is: nothing of what was published is taken over. Imported files are read again from the
archive and fixings computed again from their archived answers; facts whose inputs are not there (history bars,
reported supplies, what was never kept) are taken from the stored rows, and counted. Decisions of people and the
rules are those of the day. Then what every run wrote is held against what it writes now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from indexer.errors import NotFoundError
from indexer.files.importing import asset_rows, write_rows
from indexer.files.kept import read_import
from indexer.levels.pipeline import update
from indexer.levels.rules import Rules
from indexer.live.fixing import evidence, write_evidence, write_fixed
from indexer.live.replay import replay_fixing
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.registry import Registry
from indexer.store.administration import copy_overrides, read_announcements, write_announcements
from indexer.store.archive import Archive
from indexer.store.db import Store
from indexer.store.facts import read_facts
from indexer.store.levels import published_rows
from indexer.store.read import RunRow, read_indices, read_listings, read_methodologies, read_runs
from indexer.store.rows import BarColumns, ListingRow
from indexer.store.seals import read_digests
from indexer.store.supplies import copy_supplies
from indexer.store.tables import Bar, Rate
from indexer.store.write import ensure_listings, finish_run, start_run, write_assets, write_bars, write_rates
from indexer.times import iso, to_us

BAR_COLUMNS = ("open", "high", "low", "close", "volume_base", "volume_usd")
COMPARED = ("bar", "supply", "rate", "level")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came out differently (empty is good), and how many runs' facts came from where."""

    differences: tuple[str, ...]
    runs: int
    from_archive: int
    from_store: int


@dataclass
class _Walk:
    """One replay: from a store, by its archive, into an empty one; `made` are the new runs by the old."""

    store: Store
    into: Store
    archive: Archive | None
    registry: Registry
    rules: Rules | None
    ids: Mapping[str, int]
    listings: Mapping[int, int]
    made: dict[int, int] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)


def replay(
    store: Store,
    into: Store,
    *,
    registry: Registry,
    archive: Archive | None = None,
    rules: Rules | None = None,
    progress: Progress = lambda done, total: None,
) -> Replayed:
    """Does all runs again in an empty, migrated store, and says what came out differently.

    Raises VerificationError for an archived input that is damaged.
    """
    ids = write_assets(into, asset_rows(registry))
    walk = _Walk(store, into, archive, registry, rules, ids, _copy_listings(store, into))
    copy_overrides(store, into)
    runs = sorted((run for run in read_runs(store) if run.outcome == "done"), key=lambda run: (run.started_at, run.id))
    for n, run in enumerate(runs):
        if run.kind == "update":
            _update_again(walk, run)
        else:
            _facts_again(walk, run)
        progress(n + 1, len(runs))
    found = [*differences(store, into), *_other_rows(walk)]
    return Replayed(tuple(found), len(runs), walk.count["archive"], walk.count["store"])


def _other_rows(walk: _Walk) -> list[str]:
    """Runs that wrote other bars, supplies, rates or levels than before, by the digests of their seals."""
    old, new = read_digests(walk.store, COMPARED), read_digests(walk.into, COMPARED)
    found = []
    for run, again in walk.made.items():
        for table in COMPARED:
            if (run, table) in old and old[run, table] != new.get((again, table)):
                found.append(f"{table}: run {run} wrote other rows than it writes when it is done again")
    return found


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


def _facts_again(walk: _Walk, run: RunRow) -> None:
    """What one run of facts wrote: from its archived inputs, else from the rows that are stored."""
    store, into = walk.store, walk.into
    run_id = start_run(into, kind=run.kind, key=run.key, now=run.started_at)
    assert run_id is not None
    walk.made[run.id] = run_id
    if _from_archive(walk, run, run_id):
        walk.count["archive"] += 1
    else:
        wrote = [
            _bars_again(store, into, run=run.id, run_id=run_id, listings=walk.listings),
            copy_supplies(store, into, run=run.id, run_id=run_id),
            _rates_again(store, into, run=run.id, run_id=run_id),
        ]
        walk.count["store"] += any(wrote)
    _said_again(store, into, run=run.id, run_id=run_id)
    finish_run(into, run_id, now=run.finished_at or run.started_at, detail=run.detail)


def _from_archive(walk: _Walk, run: RunRow, run_id: int) -> bool:
    """Writes what the archived inputs of an import or a fixing give; False when they are not there."""
    try:
        if walk.archive is None:
            return False
        if run.kind == "import" and "record" in run.detail:
            _, rows = read_import(walk.archive, str(run.detail["record"]))
            write_rows(walk.into, run_id, rows)
            return True
        if run.kind == "fixing" and "manifest" in run.detail:
            again = replay_fixing(walk.archive, str(run.detail["manifest"]))
            at = again.fixed.at_us
            bars = evidence(again.rows, again.got, at_us=at)
            write_evidence(walk.into, run_id, bars, sources=again.sources, at_us=at)
            write_fixed(walk.into, run_id, again.fixed, again.rows, ids=walk.ids)
            return True
    except NotFoundError:
        return False
    return False


def _bars_again(store: Store, into: Store, *, run: int, run_id: int, listings: Mapping[int, int]) -> bool:
    names = ("listing_id", "time", *BAR_COLUMNS)
    found = read_facts(store, Bar, names, run=run, order=("listing_id", "time"))
    if len(found["time"]):
        numbers = np.array([listings[one] for one in found["listing_id"].tolist()], dtype=np.int64)
        write_bars(into, run_id, BarColumns(numbers, found["time"], *(found[name] for name in BAR_COLUMNS)))
    return bool(len(found["time"]))


def _said_again(store: Store, into: Store, *, run: int, run_id: int) -> None:
    """What a run of people's decisions announced: states take effect by it."""
    write_announcements(into, run_id, read_announcements(store, run_id=run)[::-1])


def _rates_again(store: Store, into: Store, *, run: int, run_id: int) -> bool:
    """Rates that a run of facts fixed itself (minutes, live); those of an update are computed again."""
    rates = read_facts(store, Rate, ("asset_id", "time", "rate", "status", "method", "verdicts"), run=run)
    write_rates(
        into,
        run_id,
        asset_id=rates["asset_id"],
        time_us=rates["time"],
        rate=rates["rate"],
        status=rates["status"].astype(np.int8),
        method=rates["method"].tolist(),
        verdicts=rates["verdicts"].tolist(),
    )
    return bool(len(rates["time"]))


def _update_again(walk: _Walk, run: RunRow) -> None:
    asked = run.key.startswith("rebuild:")
    update(
        walk.into,
        registry=walk.registry,
        methodologies=_methodologies(walk.store, run.started_at, registry=walk.registry),
        clock=lambda: run.started_at,
        rules=walk.rules,
        rebuild=str(run.detail.get("rebuild", "")) if asked else "",
    )
    [newest] = read_runs(walk.into, limit=1)
    walk.made[run.id] = newest.id


def _methodologies(store: Store, at: datetime, *, registry: Registry) -> dict[str, Methodology]:
    """The rules of every index as they were at an instant. A run's own new versions were loaded during it."""
    runs = [to_us(one.started_at) for one in read_runs(store, kind="update")]
    later = min((one for one in runs if one > to_us(at)), default=2**62)
    found: dict[str, Methodology] = {}
    for row in read_methodologies(store):
        if to_us(row.loaded_at) < later:
            found[row.index_id] = load_methodology(row.text, source=f"{row.index_id} {row.version}", registry=registry)
    return found
