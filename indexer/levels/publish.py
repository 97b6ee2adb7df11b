"""An index history → published levels with their evidence: only what is new or differs is written.

A level is rounded once, here, to the methodology's decimals. A changed level becomes the next revision; the old
one stays readable. Each row is chained to the row published before it (see `hash_chain`). What was published under an
earlier version of the methodology keeps that version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.engine.history import IndexHistory, Settled
from indexer.engine.market import Market, Status, carry
from indexer.errors import InputError
from indexer.levels.hash_chain import GENESIS, Segment, chain, inputs_hashes
from indexer.levels.published import Versions, versions_of
from indexer.levels.rules import Walk
from indexer.methodology.spec import BY_CAP, Methodology
from indexer.store.administration import write_announcements
from indexer.store.indices import index_state, write_index, write_methodology
from indexer.store.levels import last_hash, published_span, read_levels, write_levels
from indexer.store.rebalancings import write_rebalancings
from indexer.store.rows import AnnouncementRow, LevelColumns, LevelRows
from indexer.times import HOUR_US, from_us, iso, to_us


@dataclass(frozen=True, slots=True)
class Candidates(LevelColumns):
    """Levels as they would be published: rounded, with the hash of what each was computed from (K,)."""

    inputs: list[bytes]
    versions: Versions


@dataclass(frozen=True, slots=True)
class Proposal:
    """Levels `made` beside those `stored`: the rows (M,) that are to be written and the revision (M,) of each."""

    made: Candidates
    stored: LevelRows
    rows: I64
    revisions: I64

    @property
    def restated(self) -> I64:
        """The rows of levels that are out as another one."""
        return self.rows[self.revisions > 1]


def candidates(
    history: IndexHistory, market: Market, *, methodology: Methodology, versions: Versions | None = None
) -> Candidates:
    """The history's levels, rounded, each with its inputs' hash; `versions` says what each was published under.

    A level weighed by a supply that is old is degraded at best.
    """
    versions = versions or Versions.one(methodology, count=len(history.times_us))
    used = carry(market, methodology.missing.max_carry_hours * HOUR_US).prices[history.rows]
    parts = segments(history, market)
    old = supply_is_old(history, methodology, parts=parts)
    return Candidates(
        times_us=history.times_us,
        levels=versions.rounded(history.levels),
        status=np.where(old, np.maximum(history.status, Status.DEGRADED), history.status).astype(np.int8),
        carried_weight=np.round(history.carried_weight, 12),
        perpetual_weight=perpetual_weight(market, used, rows=history.rows, parts=parts),
        constituents=history.constituents,
        inputs=inputs_hashes(history.times_us, used, segments=parts, methodology_hash=versions.hashes()),
        versions=versions,
    )


def perpetual_weight(market: Market, used: F64, *, rows: I64, parts: list[Segment]) -> F64:
    """The share (K,) of each level's value whose price of that instant is of perpetual futures; `used` (K, N) are the
    prices of these rows (K,) of the market."""
    share = np.zeros(len(used))
    if market.perpetual is None:
        return share
    future = market.perpetual[rows]
    for part in parts:
        span = slice(part.start, part.stop)
        value = used[span][:, part.members] * part.units
        share[span] = np.where(future[span][:, part.members], value, 0.0).sum(axis=1) / value.sum(axis=1)
    return np.round(share, 12)


def supply_is_old(history: IndexHistory, methodology: Methodology, *, parts: list[Segment]) -> Bools:
    """Where (K,) the weight of a constituent rests on a supply that counts as old by then."""
    old = np.zeros(len(history.times_us), dtype=np.bool_)
    if methodology.weighting.scheme not in BY_CAP and not methodology.float_rules.bands:
        return old
    stale: dict[str, int] = {}
    for change, part in zip(history.rebalances, parts, strict=True):
        stale |= {one.slug: one.supply_stale_us for one in change.decisions if one.supply_stale_us is not None}
        first = min((stale[slug] for slug in part.slugs if slug in stale), default=None)
        if first is not None:
            old[part.start : part.stop] = history.times_us[part.start : part.stop] >= first
    return old


def segments(history: IndexHistory, market: Market) -> list[Segment]:
    """Spans of levels under one set of units: those held into an instant, or begun at it (base, resumption)."""
    edges = np.searchsorted(history.times_us, [change.begins_us for change in history.rebalances])
    stops = [*edges[1:].tolist(), len(history.times_us)]
    parts: list[Segment] = []
    start = 0
    for change, stop in zip(history.rebalances, stops, strict=True):
        members = np.flatnonzero(change.units_after != 0.0)
        members = members[np.argsort([market.lines[n].slug for n in members], kind="stable")]
        parts.append(
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
    return parts


def propose(
    walk: Walk, methodology: Methodology, *, history: IndexHistory, market: Market, version: int, anew: bool = False,
    since_us: int | None = None,
) -> Proposal:  # fmt: skip
    """The levels of a history that are not stored as they are, with `since_us` from then on only.

    Nothing is written. Levels that are stored keep the version of the methodology that they have, unless `anew`.
    """
    stored = read_levels(walk.store, methodology.id, start_us=since_us)
    versions = versions_of(
        walk.store, methodology, times_us=history.times_us, version=version, stored=None if anew else stored
    )
    made = candidates(history, market, methodology=methodology, versions=versions)
    if walk.provisional:
        made = replace(made, status=np.full(len(made.times_us), Status.PROVISIONAL, dtype=np.int8))
    rows, revisions = _changed(stored, made)
    if since_us is not None:
        later = made.times_us[rows] >= since_us
        rows, revisions = rows[later], revisions[later]
    return Proposal(made, stored, rows, revisions)


def publish(
    walk: Walk, methodology: Methodology, *, history: IndexHistory, market: Market, settled: Settled | None
) -> Proposal:
    """Write what is new or differs, which is the answer. Safe to repeat after being killed anywhere.

    `settled` are the changes of units that were published before and stay; without them everything is stated anew.
    Provisional levels say so instead of their status. Raises InputError when that would take back levels that are out.
    """
    store = walk.store
    span = published_span(store, methodology.id)
    if span is not None and int(history.times_us[0]) > span[0]:
        raise InputError(
            f"index {methodology.id} would begin at {iso(int(history.times_us[0]))}, but levels from {iso(span[0])} "
            "are published and cannot be taken back; give the new index another id"
        )
    version = _register(walk, methodology)
    published = set() if settled is None else {id(change) for change in settled.changes}
    write_rebalancings(
        store,
        walk.run_id,
        index_id=methodology.id,
        methodology_id=version,
        rebalances=[change for change in history.rebalances if id(change) not in published],
        slugs=[line.slug for line in market.lines],
        replace_from_us=int(history.times_us[0]) if settled is None else None,
    )
    proposal = propose(walk, methodology, history=history, market=market, version=version, anew=settled is None)
    write_proposal(walk, proposal, index_id=methodology.id)
    if len(proposal.restated):
        _tell(walk, proposal, index_id=methodology.id)
    return proposal


def same_levels(stored: LevelRows, made: Candidates, *, slots: I64, rows: I64) -> Bools:
    """Whether stored levels (at `slots`) are those made (at `rows`): equal, or of equal inputs within one rounding.

    Sums of the same products may differ in the last bit when the market gains a column.
    """
    inputs = np.fromiter(
        (stored.inputs_hash[k] == made.inputs[n] for k, n in zip(slots.tolist(), rows.tolist(), strict=True)),
        np.bool_,
        count=len(rows),
    )
    near = np.abs(stored.levels[slots] - made.levels[rows]) <= 1.5 * made.versions.units()[rows]
    same: Bools = inputs & near & (stored.status[slots] == made.status[rows])
    return same


def _register(walk: Walk, methodology: Methodology) -> int:
    name, store = methodology.id, walk.store
    version = write_methodology(
        store, index_id=name, version=methodology.version, hash=methodology.hash, text_=methodology.text,
        loaded_at=walk.now,
    )  # fmt: skip
    write_index(
        store, index_id=name, name=methodology.name, description=methodology.description, methodology_id=version,
        simulated=walk.simulated, state=index_state(store, name) or "active",
    )  # fmt: skip
    return version


def _changed(stored: LevelRows, made: Candidates) -> tuple[I64, I64]:
    """Row numbers of candidates that are not stored as they are, and the revision each would become."""
    count = len(made.times_us)
    if not len(stored):
        return np.arange(count), np.ones(count, dtype=np.int64)
    slot = np.minimum(np.searchsorted(stored.times_us, made.times_us), len(stored) - 1)
    known = np.flatnonzero(stored.times_us[slot] == made.times_us)
    fresh = np.ones(count, dtype=np.bool_)
    fresh[known[same_levels(stored, made, slots=slot[known], rows=known)]] = False
    revisions = np.ones(count, dtype=np.int64)
    revisions[known] = stored.revision[slot[known]] + 1
    rows = np.flatnonzero(fresh).astype(np.int64)
    return rows, revisions[rows]


def write_proposal(walk: Walk, proposal: Proposal, *, index_id: str) -> None:
    """Writes levels in time order, each under the version it belongs to, chained to what was published before."""
    made, rows, revisions = proposal.made, proposal.rows, proposal.revisions
    if not len(rows):
        return
    inputs = [made.inputs[n] for n in rows]
    before, after = chain(
        made.times_us[rows],
        made.levels[rows],
        revisions=revisions,
        status=made.status[rows],
        inputs=inputs,
        previous=last_hash(walk.store, index_id) or GENESIS,
    )
    write_levels(
        walk.store,
        walk.run_id,
        index_id=index_id,
        methodology_id=made.versions.ids[rows],
        times_us=made.times_us[rows],
        levels=made.levels[rows],
        status=made.status[rows],
        carried_weight=made.carried_weight[rows],
        perpetual_weight=made.perpetual_weight[rows],
        constituents=made.constituents[rows],
        inputs_hash=inputs,
        prev_hash=before,
        hash=after,
        published_at_us=to_us(walk.now),
    )


def _tell(walk: Walk, proposal: Proposal, *, index_id: str) -> None:
    """Subscribers learn of restated levels: how many, from when to when, by how much at most, and why."""
    made, stored, rows = proposal.made, proposal.stored, proposal.restated
    old = stored.levels[np.searchsorted(stored.times_us, made.times_us[rows])]
    move = float(np.abs(made.levels[rows] / old - 1.0).max())
    first, last = int(made.times_us[rows[0]]), int(made.times_us[rows[-1]])
    why = walk.anew or "correction of a rate beyond the policy's threshold"
    detail = {"levels": len(rows), "first": iso(first), "last": iso(last), "largest_move": move, "reason": why}
    title = f"{index_id}: {len(rows)} levels from {iso(first)} to {iso(last)} restated, at most {move:.3%}: {why}"
    announcement = AnnouncementRow(
        key=f"restatement:{index_id}:{walk.run_id}:{first}:{last}",
        kind="restatement",
        title=title,
        published_at=walk.now,
        index_id=index_id,
        effective_at=from_us(first),
        detail=json.dumps(detail),
    )
    write_announcements(walk.store, walk.run_id, [announcement])
