"""Is every stored level what its inputs and rules give? Engine, plain calculator and hash chain against the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.assets import Registry
from indexer.engine.compare import compare
from indexer.engine.level import compute_index
from indexer.engine.market import Market
from indexer.engine.plain import plain_index
from indexer.ledger import GENESIS, chain
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.methodology.universe import universe_lines
from indexer.pipeline import load_market, narrowed
from indexer.publish import Candidates, candidates
from indexer.store.db import Store
from indexer.store.read import read_bars, read_indices, read_levels, read_listings, read_methodologies
from indexer.store.read_state import PublishedRows, published_rows
from indexer.times import iso

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on one index. `max_difference` is the largest relative one of fast against plain.

    `chain_whole` tells whether each row's hash follows from its content and the row before; `problem` names the
    first instant that does not hold, and how.
    """

    index_id: str
    levels: int
    max_difference: float
    chain_whole: bool
    problem: str

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problem


def verify_all(
    store: Store,
    registry: Registry,
    *,
    only: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Verification]:
    """Verify every stored index, or those named, from the stored rates and the stored methodology texts."""
    market = load_market(store, registry, bars=read_bars(store), listings=read_listings(store))
    rules = {row.hash: row.text for row in read_methodologies(store)}
    indices = [row for row in read_indices(store) if not only or row.id in only]
    made = []
    for n, row in enumerate(indices):
        methodology = load_methodology(rules[row.hash], source=f"{row.id} {row.version}", registry=registry)
        part = narrowed(market, universe_lines(methodology.universe, registry))
        made.append(verify_one(store, part, methodology))
        progress(n + 1, len(indices))
    return made


def verify_one(store: Store, market: Market, methodology: Methodology) -> Verification:
    """Recompute one index by both calculators and compare with what is stored, level by level and hash by hash."""
    history = compute_index(market, methodology)
    made = candidates(history, market, methodology)
    against = compare(history, plain_index(market, methodology), tolerance=TOLERANCE)
    broken = broken_link(published_rows(store, methodology.id))
    problem = _against_store(store, methodology.id, made) or broken
    if not problem and against.max_relative > TOLERANCE:
        problem = f"the plain calculator differs by {against.max_relative:.3g} at {iso(against.first_us or 0)}"
    return Verification(
        index_id=methodology.id,
        levels=len(made.times_us),
        max_difference=against.max_relative,
        chain_whole=not broken,
        problem=problem,
    )


def broken_link(rows: PublishedRows) -> str:
    """The first published row whose hash does not follow from its content and the row before it, or ''."""
    _, after = chain(rows.times_us, rows.levels, revisions=rows.revision, status=rows.status, inputs=rows.inputs_hash)
    previous = GENESIS
    for n, stored in enumerate(rows.hash):
        if rows.prev_hash[n] != previous or stored != after[n]:
            where = f"{iso(int(rows.times_us[n]))} revision {int(rows.revision[n])}"
            return f"the hash chain breaks at {where}: the row or its place was changed after publication"
        previous = stored
    return ""


def _against_store(store: Store, index_id: str, made: Candidates) -> str:
    stored = read_levels(store, index_id)
    if len(stored) != len(made.times_us) or not np.array_equal(stored.times_us, made.times_us):
        return f"{len(stored)} levels are stored, recomputing gives {len(made.times_us)}; run `deai update`"
    wrong = np.flatnonzero((stored.levels != made.levels) | (stored.status != made.status))
    if len(wrong):
        n = int(wrong[0])
        when = iso(int(made.times_us[n]))
        return f"{when}: stored {stored.levels[n]!r}, recomputed {made.levels[n]!r} ({len(wrong)} levels differ)"
    for n, (mine, theirs) in enumerate(zip(made.inputs, stored.inputs_hash, strict=True)):
        if mine != theirs:
            return f"{iso(int(made.times_us[n]))}: an input of this level is not what it was when it was published"
    return ""
