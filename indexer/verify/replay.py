"""All facts again from the archive into an empty store; when asked, every update after them by the rules of its day.

What every run wrote is held against what it writes now, row by row. Facts whose inputs were never kept, or are over
their time, are taken from the stored rows, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from indexer.errors import DeaiError, NotFoundError, VerificationError
from indexer.files.archived import FILE, RECORD
from indexer.levels.pipeline import update
from indexer.levels.rules import Rules
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.registry import Registry
from indexer.store.archive import Archive, read_payload_links
from indexer.store.assets import read_assets, read_benchmarks, read_listings
from indexer.store.bulk import copy_rows
from indexer.store.db import Store
from indexer.store.indices import read_methodologies
from indexer.store.rows import RunRow
from indexer.store.runs import COMPUTING, DONE, finish_run, forgotten_before, read_runs, runs_with_rows, start_run
from indexer.store.sealed import MISSING, RUNS, Sealed, digest_of, read_runs_of
from indexer.store.seals import INSTANTS
from indexer.store.tables import (
    Announcement,
    Asset,
    Bar,
    Benchmark,
    BenchmarkBar,
    Level,
    Listing,
    Metric,
    Override,
    Payload,
    Rate,
    Supply,
)
from indexer.times import iso, to_us
from indexer.verify.derive import Derivation

if TYPE_CHECKING:
    from onchain.tokens import Token

MOST = 20
FACTS = (Bar, BenchmarkBar, Supply, Rate, Metric)
KNOWN = (Asset, Listing, Benchmark, Override)  # what rows refer to, and decisions of people: taken over
WORDS = {FILE: "file", RECORD: "record"}
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was read from the archive and done again, and what of it is not as it is stored (nothing is good).

    `answers` files and answers are the bytes that came. `derived` counts runs by kind whose facts were derived from
    them, `rows` what those had stored; of `taken_over` runs no inputs were kept, of `over` their time was over.
    `updates` were computed again.
    """

    answers: int
    derived: Mapping[str, int]
    rows: int
    taken_over: int
    over: int
    updates: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was kept holds."""
        return not self.problems


@dataclass
class _Walk:
    """One replay; `again` are the numbers of the runs that were done again, `writers` the runs with rows, by table."""

    derivation: Derivation
    rules: Rules | None
    damaged: set[int]
    since: datetime | None
    gone: datetime | None
    writers: Mapping[str, set[int]]
    again: dict[int, int] = field(default_factory=dict)
    derived: Counter[str] = field(default_factory=Counter)
    count: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def replay(
    store: Store,
    into: Store,
    *,
    registry: Registry,
    archive: Archive,
    tokens: Mapping[str, Token] | None = None,
    rules: Rules | None = None,
    since: datetime | None = None,
    updates: bool = True,
    progress: Progress = lambda done, total: None,
) -> Replayed:
    """Does all runs of facts again in an empty, migrated store, and the updates too; says what came out differently.

    `tokens` are the supply rules that readings of chains are derived by. With `since` only what came from then on is
    read from the archive. Raises VerificationError for rules that were changed after they were stored.
    """
    links = read_payload_links(store, since_us=None if since is None else to_us(since))
    runs = sorted(read_runs(store), key=lambda run: (run.started_at, run.id))
    steps = len(links) + len(runs)
    damaged = list(_damaged(archive, links, progress=lambda n: progress(n, steps)))
    for model in KNOWN:
        copy_rows(store, into, model)
    walk = _Walk(
        derivation=Derivation(store, into, archive, registry, tokens or {}),
        rules=rules,
        damaged=_runs_of({link.sha256 for link, _ in damaged}, links),
        since=since,
        gone=forgotten_before(store),
        writers={model.__name__: runs_with_rows(store, model) for model in FACTS},
        problems=[text for _, text in damaged],
    )
    for n, run in enumerate(runs, 1):
        if run.kind != COMPUTING:
            _facts_again(walk, run)
        elif updates and run.outcome == DONE and not run.detail.get("provisional"):  # their results are gone
            _update_again(walk, run)
        progress(len(links) + n, steps)
    rows = _compare(walk, tables=(*FACTS, Level) if updates else FACTS)
    return Replayed(
        answers=len({link.sha256 for link in links}) - len(damaged),
        derived=dict(walk.derived),
        rows=rows,
        taken_over=walk.count["taken over"],
        over=walk.count["over"],
        updates=walk.count["updates"],
        problems=tuple(walk.problems[:MOST]),
    )


def _runs_of(hashes: set[str], links: Sequence[Payload]) -> set[int]:
    return {link.run_id for link in links if link.sha256 in hashes}


def _damaged(
    archive: Archive, links: Sequence[Payload], *, progress: Callable[[int], None]
) -> Iterator[tuple[Payload, str]]:
    """The links whose bytes are not what came, each file read once; reading uses all cores."""
    once = list({link.sha256: link for link in links}.values())

    def problem(link: Payload) -> str:
        try:
            size = sum(map(len, archive.pieces(link.sha256)))
        except (NotFoundError, VerificationError) as error:
            return str(error)
        return "" if size == link.bytes else f"it has {size} bytes, {link.bytes} came"

    with ThreadPoolExecutor(thread_name_prefix="archive") as pool:
        for n, (link, text) in enumerate(zip(once, pool.map(problem, once), strict=True), 1):
            if n % 100 == 0:
                progress(n)
            if text:
                what = WORDS.get(link.source, f"answer of {link.source}")
                yield link, f"archived {what} {link.sha256} (run {link.run_id}): {text}"


def _facts_again(walk: _Walk, run: RunRow) -> None:
    """What one run of facts wrote: from its archived inputs, else from the rows that are stored."""
    store, into = walk.derivation.store, walk.derivation.into
    run_id = start_run(into, kind=run.kind, key=run.key, now=run.started_at, due_at=run.due_at)
    assert run_id is not None, "the key of a run is its own"
    if _derived(walk, run, run_id):
        walk.derived[run.kind] += 1
        walk.again[run.id] = run_id
    else:
        writing = [model for model in FACTS if run.id in walk.writers[model.__name__]]
        for model in writing:
            copy_rows(store, into, model, run=run.id, run_id=run_id)
        walk.count["taken over"] += bool(writing) and (walk.since is None or run.started_at >= walk.since)
    if run.kind == "decision":  # of people: states take effect by what it announced
        copy_rows(store, into, Announcement, run=run.id, run_id=run_id)
    finish_run(into, run_id, now=run.finished_at or run.started_at, outcome=run.outcome, detail=run.detail)


def _derived(walk: _Walk, run: RunRow, run_id: int) -> bool:
    """Whether the rows of a run could be derived and were written. What should be there and is not is a problem."""
    late = walk.since is None or run.started_at >= walk.since
    if run.outcome != DONE or run.id in walk.damaged or not late:
        return False
    try:
        return walk.derivation.derive(run, run_id)
    except DeaiError as error:
        if isinstance(error, NotFoundError) and walk.gone is not None and run.started_at < walk.gone:
            walk.count["over"] += 1
        else:
            walk.problems.append(f"what run {run.id} ({run.kind}) was fed with: {error}")
        return False


def _compare(walk: _Walk, *, tables: Sequence[type]) -> int:
    """Notes what differs between the stores; how many rows were compared."""
    compared = 0
    stores = walk.derivation.store, walk.derivation.into
    for table in RUNS:
        if table.model in tables:
            given_by = "doing it again" if table.model is Level else "the archive"
            rows, texts = different_rows(*stores, table, runs=walk.again, given_by=given_by)
            walk.problems += texts
            compared += rows
    return compared


def _update_again(walk: _Walk, run: RunRow) -> None:
    into, registry = walk.derivation.into, walk.derivation.registry
    asked = run.key.startswith("rebuild:")
    update(
        into,
        registry=registry,
        methodologies=_methodologies(walk.derivation.store, run.started_at, registry=registry),
        clock=lambda: run.started_at,
        rules=walk.rules,
        rebuild=str(run.detail.get("rebuild", "")) if asked else "",
    )
    [newest] = read_runs(into, limit=1)
    walk.again[run.id] = newest.id
    walk.count["updates"] += 1


def _methodologies(store: Store, at: datetime, *, registry: Registry) -> dict[str, Methodology]:
    """The rules of every index as they were at an instant. A run's own new versions were loaded during it."""
    runs = [to_us(one.started_at) for one in read_runs(store, kind=COMPUTING)]
    later = min((one for one in runs if one > to_us(at)), default=2**62)
    return {
        row.index_id: load_methodology(row.text, source=f"{row.index_id} {row.version}", registry=registry)
        for row in read_methodologies(store)
        if to_us(row.loaded_at) < later
    }


FEW = 5  # rows of a table that are named


def different_rows(
    store: Store, again: Store, table: Sealed, *, runs: Mapping[int, int], given_by: str
) -> tuple[int, list[str]]:
    """How many rows some runs wrote into a table of a store, and those that are other in the second one, in words.

    `runs` gives the numbers of the runs there; `given_by` says what the rows there come of.
    """
    table = replace(table, values=[name for name in table.values if name != "id"])
    mine, theirs = {run: run for run in runs}, {number: run for run, number in runs.items()}
    counts, digests = zip(*(_digests(*one, table) for one in ((store, mine), (again, theirs))), strict=True)
    unlike = {run for run in runs if digests[0].get(run) != digests[1].get(run)}
    if not unlike:
        return counts[0], []
    stored, given = (_by_key(*one, table, unlike) for one in ((store, mine), (again, theirs)))
    labels = _labels(store)
    keys = sorted(key for key in stored.keys() | given.keys() if stored.get(key) != given.get(key))
    texts = [
        f"{_named(table, key, labels)}{_difference(table, stored.get(key), given.get(key), given_by=given_by)}"
        for key in keys[:FEW]
    ]
    if len(keys) > FEW:
        texts.append(f"{table.name}: {len(keys) - FEW:,} more rows differ")
    return counts[0], texts


def _digests(store: Store, runs: Mapping[int, int], table: Sealed) -> tuple[int, dict[int, list[bytes]]]:
    """How many rows runs wrote into a table, and the digests of their parts by the number each run is given."""
    count, digests = 0, dict[int, list[bytes]]()
    for number, parts in read_runs_of(store, table, only=runs.keys()):
        digests[runs[number]] = mine = []
        for part in parts:
            count += len(part["run_id"])
            mine.append(digest_of(table, [part]))
    return count, digests


def _by_key(
    store: Store, runs: Mapping[int, int], table: Sealed, only: set[int]
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The values of rows and the number that their run is given, by key, of the runs that are given these numbers."""
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for number, parts in read_runs_of(store, table, only={number for number, run in runs.items() if run in only}):
        for part in parts:
            keys = zip(*(part[name].tolist() for name in table.key), strict=True)
            values = zip(*(part[name].tolist() for name in table.values), strict=True)
            rows |= {key: (*value, runs[number]) for key, value in zip(keys, values, strict=True)}
    return rows


def _labels(store: Store) -> dict[str, dict[int, str]]:
    """What a number in a key stands for, by column."""
    return {
        "listing_id": {row.id or 0: f"{row.asset} ({row.venue}, {row.interval}, {row.source})"
                       for row in read_listings(store)},
        "asset_id": {asset.id: asset.slug for asset in read_assets(store)},
        "benchmark_id": {row.id or 0: row.symbol for row in read_benchmarks(store)},
    }  # fmt: skip


def _named(table: Sealed, key: tuple[Any, ...], labels: Mapping[str, Mapping[int, str]]) -> str:
    words, when = [], ""
    for name, value in zip(table.key, key, strict=True):
        if name in INSTANTS:
            when = f" at {iso(int(value))}"
        elif name == "revision":
            when += f" (revision {value})" if value > 1 else ""
        else:
            words.append(str(labels[name].get(value, value) if name in labels else value))
    return f"{table.name} of {' '.join(words)}{when}"


def _difference(table: Sealed, stored: tuple[Any, ...] | None, given: tuple[Any, ...] | None, *, given_by: str) -> str:
    if given is None:
        return f" is stored, but {given_by} does not give it"
    if stored is None:
        return f" is given by {given_by}, but it is not stored"
    n = next(n for n, value in enumerate(stored) if value != given[n])
    name = (*table.values, "run_id")[n]
    return f": {name} is stored as {_shown(stored[n])}, {given_by} gives {_shown(given[n])}"


def _shown(value: Any) -> str:
    return "nothing" if value in MISSING else repr(value)
