"""An index history → published levels with their evidence: only what is new or differs is written.

A level is rounded once, here, to the methodology's decimals. A changed level becomes the next revision; the old
one stays readable. Each row is chained to the row published before it (see `ledger`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from indexer.engine.carry import carry
from indexer.engine.history import IndexHistory
from indexer.engine.market import F64, I8, I64, Market
from indexer.ledger import GENESIS, Segment, chain, inputs_hashes
from indexer.methodology.spec import Methodology
from indexer.store.db import Store
from indexer.store.read import read_levels
from indexer.store.read_state import last_hash
from indexer.store.write import write_index, write_levels, write_methodology, write_rebalancings
from indexer.times import HOUR_US, to_us


@dataclass(frozen=True, slots=True)
class Candidates:
    """Levels as they would be published: rounded, with the hash of what each was computed from. All (K,)."""

    times_us: I64
    levels: F64
    status: I8
    carried_weight: F64
    inputs: list[bytes]


def candidates(history: IndexHistory, market: Market, methodology: Methodology) -> Candidates:
    """The history's levels, rounded, each with its inputs' hash."""
    start = int(np.searchsorted(market.times_us, history.times_us[0])) if len(history.times_us) else 0
    used = carry(market, methodology.missing.max_carry_hours * HOUR_US).prices[start : start + len(history.times_us)]
    return Candidates(
        times_us=history.times_us,
        levels=np.round(history.levels, methodology.decimals),
        status=history.status,
        carried_weight=np.round(history.carried_weight, 12),
        inputs=inputs_hashes(
            history.times_us, used, segments=segments(history, market), methodology_hash=methodology.hash
        ),
    )


def segments(history: IndexHistory, market: Market) -> list[Segment]:
    """Spans of levels under one set of units. The level at a rebalancing's instant is by the units before it,

    except at the base, which has none before.
    """
    edges = np.searchsorted(history.times_us, [r.effective_us for r in history.rebalances], side="right")
    stops = [*edges[1:].tolist(), len(history.times_us)]
    made: list[Segment] = []
    start = 0
    for change, stop in zip(history.rebalances, stops, strict=True):
        members = np.flatnonzero(change.units_after != 0.0)
        members = members[np.argsort([market.lines[n].slug for n in members], kind="stable")]
        made.append(
            Segment(
                start=start,
                stop=stop,
                members=members,
                slugs=tuple(market.lines[n].slug for n in members),
                units=change.units_after[members],
                divisor=change.divisor_after,
            )
        )
        start = stop
    return made


def publish(
    store: Store,
    run_id: int,
    history: IndexHistory,
    *,
    market: Market,
    methodology: Methodology,
    now: datetime,
    simulated: bool = False,
) -> int:
    """Write what is new or differs; the number of levels written. Safe to repeat after being killed anywhere."""
    version = write_methodology(
        store,
        index_id=methodology.id,
        version=methodology.version,
        hash=methodology.hash,
        text_=methodology.text,
        loaded_at=now,
    )
    write_index(
        store,
        index_id=methodology.id,
        name=methodology.name,
        description=methodology.description,
        methodology_id=version,
        simulated=simulated,
    )
    write_rebalancings(
        store,
        run_id,
        index_id=methodology.id,
        methodology_id=version,
        rebalances=history.rebalances,
        slugs=[line.slug for line in market.lines],
        replace_from_us=int(history.times_us[0]),
    )
    made = candidates(history, market, methodology)
    rows, revisions = _changed(store, methodology.id, made)
    inputs = [made.inputs[n] for n in rows]
    before, after = chain(
        made.times_us[rows],
        made.levels[rows],
        revisions=revisions,
        status=made.status[rows],
        inputs=inputs,
        previous=last_hash(store, methodology.id) or GENESIS,
    )
    write_levels(
        store,
        run_id,
        index_id=methodology.id,
        methodology_id=version,
        times_us=made.times_us[rows],
        levels=made.levels[rows],
        status=made.status[rows],
        carried_weight=made.carried_weight[rows],
        inputs_hash=inputs,
        prev_hash=before,
        hash=after,
        published_at_us=to_us(now),
    )
    return len(rows)


def _changed(store: Store, index_id: str, made: Candidates) -> tuple[I64, I64]:
    """Row numbers of candidates that are not stored as they are, and the revision each would become."""
    stored = read_levels(store, index_id)
    slot = np.searchsorted(stored.times_us, made.times_us)
    slot_in = np.minimum(slot, max(len(stored.times_us) - 1, 0))
    known = (
        stored.times_us[slot_in] == made.times_us
        if len(stored.times_us)
        else np.zeros(len(made.times_us), dtype=np.bool_)
    )
    same = np.zeros(len(made.times_us), dtype=np.bool_)
    for n in np.flatnonzero(known):
        k = int(slot_in[n])
        same[n] = (
            stored.levels[k] == made.levels[n]
            and stored.status[k] == made.status[n]
            and stored.inputs_hash[k] == made.inputs[n]
        )
    rows = np.flatnonzero(~same).astype(np.int64)
    revisions = np.ones(len(rows), dtype=np.int64)
    old = known[rows]
    revisions[old] = stored.revision[slot_in[rows[old]]] + 1
    return rows, revisions
