"""Is every stored number what its inputs and rules give? Rows, rates, baskets, levels and their chain.

No sealed row was changed; the official rates are those of the bars, or a logged decision; each change of units is what
was known when it was decided gives, by the fast and by the plain calculator; each level, the superseded ones too,
follows from units and rates; each published row is chained to the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from indexer.errors import VerificationError
from indexer.levels.hash_chain import GENESIS, chain
from indexer.levels.markets import load_market
from indexer.levels.official import computed_rates, differing
from indexer.levels.rules import Rules, in_force, load_rules
from indexer.reference.rates import RateSeries
from indexer.registry import Registry
from indexer.store.assets import read_assets, read_listings
from indexer.store.bars import read_bars
from indexer.store.columnar import Columns
from indexer.store.db import Store
from indexer.store.indices import read_index, read_indices, read_methodologies
from indexer.store.levels import published_rows
from indexer.store.quality import read_quality
from indexer.store.rates import read_rates
from indexer.store.runs import fact_runs
from indexer.store.seals import altered_rows, unsealed_runs
from indexer.times import from_us, iso, to_us
from indexer.verify.levels import IndexCheck

ALWAYS = 2**62


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on one index. `max_difference` is the largest relative one of fast against plain.

    `chain_whole` tells whether each row's hash follows from its content and the row before; `problem` names the
    first thing that does not hold, and how.
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
    rules: Rules | None = None,
) -> list[Verification]:
    """Verify every stored index, or those named, from the stored facts and the stored methodology texts.

    A row that was changed after it was written is named in the verdict of every index: none can be trusted then.
    Raises NotFoundError for a name that is no index, VerificationError where there is no index to say it of.
    """
    rules = rules or load_rules(registry)
    for name in only:
        read_index(store, name)
    versions = {row.id: row for row in read_methodologies(store)}
    checks = [
        IndexCheck(store, registry, rules, versions=versions, index_id=row.id)
        for row in read_indices(store)
        if not only or row.id in only
    ]
    problem = "; ".join(altered_rows(store)) or _rates_problem(store, registry)
    for done, total in () if problem else _each_at_its_time(store, registry, rules, checks):
        progress(done + 1, total + 1)
    problem = problem or _unsealed(store)  # asked last: what was being done is sealed by now
    if problem and not checks:
        raise VerificationError(problem)
    return [_verdict(store, check, problem) for check in checks]


def _each_at_its_time(
    store: Store, registry: Registry, rules: Rules, checks: Sequence[IndexCheck]
) -> Iterator[tuple[int, int]]:
    """Takes all checks, those by the same knowledge one after the other, so that one market at a time is in memory.

    Gives after each how many are done, and how many there are.
    """
    learnt = fact_runs(store)

    def known(at_us: int | None) -> int:
        """How many runs of facts had started by an instant: equal numbers, equal markets."""
        return len(learnt) if at_us is None else int(np.searchsorted(learnt, at_us, side="right"))

    steps = [
        (known(at), at, check, step)
        for check in checks
        for at, step in check.steps(lambda at: known(at) == len(learnt))
    ]
    steps.sort(key=lambda one: one[0])
    done = 0
    for count, group in groupby(steps, key=lambda one: one[0]):
        mine = list(group)
        at = None if count == len(learnt) else mine[0][1]
        market = load_market(store, registry, effects=rules.supplies, as_of_us=at)
        for _, _, check, step in mine:
            check.look(step, market)
            done += 1
            yield done, len(steps)


def _unsealed(store: Store) -> str:
    """The runs that an update should have sealed, in words, or ''."""
    return "; ".join(
        f"run {number} is done and not sealed: a process was killed, or seals were taken away; run `deai update`"
        for number in unsealed_runs(store, before_an_update=True)[:20]
    )


def _verdict(store: Store, check: IndexCheck, problem: str) -> Verification:
    """The verdict on an index; a problem of the whole store goes before its own."""
    rows = published_rows(store, check.index_id)
    broken = broken_chain(rows)
    return Verification(
        index_id=check.index_id,
        levels=int((rows["revision"] == 1).sum()),
        max_difference=0.0 if problem else check.difference,
        chain_whole=not broken,
        problem=problem or check.problem or broken,
    )


def _rates_problem(store: Store, registry: Registry) -> str:
    """The first official rate that neither the bars nor a decision give, in words; '' when there is none.

    One asset after the other: no more than its bars are in memory, and those of coins that others are quoted in.
    """
    assets, listings = read_assets(store), read_listings(store)
    overrides = in_force(store, now=from_us(ALWAYS // 2**8))
    coins = [row for row in listings if row.symbol.upper() in {row.quote for row in listings}]
    logged: dict[str, list[tuple[int, int]]] = {}
    for row in read_quality(store, kind="correction_deferred"):
        logged.setdefault(row.subject, []).append((to_us(row.opened_at), to_us(row.closed_at or row.opened_at)))
    for asset in assets:
        mine = [row for row in listings if row.asset_id == asset.id or row in coins]
        bars = read_bars(store, listing_ids=[row.id or 0 for row in mine])
        given = computed_rates(store, registry, bars=bars, listings=mine, overrides=overrides, asset_id=asset.id).rates
        computed, stored = given.rows(np.flatnonzero(given.asset_id == asset.id)), read_rates(store, asset_id=asset.id)
        if problem := _rate_problem(computed, stored, logged=logged.get(asset.slug, [])):
            return f"rate of {asset.slug} at {problem}"
    return ""


def _rate_problem(computed: RateSeries, stored: RateSeries, *, logged: Sequence[tuple[int, int]]) -> str:
    """When a rate of an asset is not official as computed, and how, but for spans that are `logged`; '' for never."""
    fresh = differing(computed, stored)
    times = computed.time_us[fresh.rows]
    explained = np.zeros(len(times), dtype=np.bool_)
    for first, last in logged:
        explained |= (times >= first) & (times <= last)
    if not explained.all():
        n = int(np.flatnonzero(~explained)[0])
        official = "no official rate" if np.isnan(fresh.official[n]) else f"official {fresh.official[n]!r}"
        given = float(computed.rate[fresh.rows[n]])
        return f"{iso(int(times[n]))}: {official}, the bars give {given!r}; run `deai update`"
    lost = np.setdiff1d(stored.time_us, computed.time_us)
    return f"{iso(int(lost[0]))}: there is no bar that it could be from" if len(lost) else ""


def broken_chain(rows: Columns) -> str:
    """The first published row whose hash does not follow from its content and the row before it, in words, or ''."""
    _, hashes = chain(
        rows["time"],
        rows["level"],
        revisions=rows["revision"],
        status=rows["status"],
        inputs=rows["inputs_hash"].tolist(),
    )
    previous = GENESIS
    for n, stored in enumerate(rows["hash"]):
        if rows["prev_hash"][n] != previous or stored != hashes[n]:
            where = f"{iso(int(rows['time'][n]))} revision {int(rows['revision'][n])}"
            return f"the hash chain breaks at {where}: the row or its place was changed after publication"
        previous = stored
    return ""
