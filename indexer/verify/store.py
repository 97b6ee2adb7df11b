"""Is every stored number what its inputs and rules give? Rows, rates, baskets, levels and their chain.

In this order: no sealed row was changed; the official rates are those of the bars, or a logged decision; each
change of units is what was known when it was decided gives, by the fast and by the plain calculator; each level,
the superseded ones too, follows from units and rates; each published row is chained to the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from indexer.errors import MethodologyError, VerificationError
from indexer.levels.hash_chain import broken_link
from indexer.levels.official import computed_rates, differing
from indexer.levels.overrides import in_force, values_of
from indexer.levels.rules import Rules, load_rules
from indexer.registry import Registry
from indexer.store.assets import read_assets, read_listings
from indexer.store.bars import read_bars
from indexer.store.db import Store
from indexer.store.indices import read_index, read_indices, read_methodologies
from indexer.store.levels import PublishedRows, published_rows
from indexer.store.quality import read_quality
from indexer.store.rates import read_rates
from indexer.store.seals import altered_rows, unsealed_runs
from indexer.times import from_us, iso, to_us
from indexer.verify.levels import Facts, IndexCheck

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
    known = read_indices(store)
    for name in only:
        read_index(store, name)
    indices = [row for row in known if not only or row.id in only]
    steps = len(indices) + 1
    with ThreadPoolExecutor(1, thread_name_prefix="rows") as beside:  # much of either is outside the interpreter
        everywhere = beside.submit(_about_the_store, store, registry)
        facts = Facts(store, registry, rules, {row.id: row for row in read_methodologies(store)})
        verdicts: list[Verification | Exception] = []
        for n, row in enumerate(indices):
            if everywhere.done() and everywhere.result():
                break
            try:
                verdicts.append(_one(facts, row.id))
            except Exception as error:  # of rows that were changed, perhaps: then that is what is said
                verdicts.append(error)
            progress(n + 1, steps)
        problem = everywhere.result()
    progress(steps, steps)
    problem = problem or _unsealed(store)  # asked last: what was being done is sealed by now
    if problem and not indices:
        raise VerificationError(problem)
    if problem:
        return [_untrusted(store, row.id, problem=problem) for row in indices]
    return [_verdict(store, row.id, one) for row, one in zip(indices, verdicts, strict=True)]


def _unsealed(store: Store) -> str:
    """The runs that an update should have sealed, in words, or ''."""
    return "; ".join(
        f"run {number} is done and not sealed: a process was killed, or seals were taken away; run `deai update`"
        for number in unsealed_runs(store, before_an_update=True)[:20]
    )


def _verdict(store: Store, index_id: str, one: Verification | Exception) -> Verification:
    """The verdict; of an index whose rules do not hold any more that is its problem and no other's."""
    if isinstance(one, MethodologyError):
        return _untrusted(store, index_id, problem=f"its rules do not hold: {one}")
    if isinstance(one, Exception):
        raise one
    return one


def _about_the_store(store: Store, registry: Registry) -> str:
    """What is wrong with rows or rates, whichever index they are of; '' when nothing is."""
    return "; ".join(altered_rows(store)) or _rates_problem(store, registry)


def _rates_problem(store: Store, registry: Registry) -> str:
    """The first official rate that neither the bars nor a decision give, in words; '' when there is none."""
    stored = read_rates(store)
    ids = {asset.slug: int(asset.id) for asset in read_assets(store)}
    slugs = {number: slug for slug, number in ids.items()}
    overrides = values_of(in_force(store, now=from_us(ALWAYS // 2**8)), ids=ids)
    bars, listings = read_bars(store), read_listings(store)
    computed = computed_rates(store, registry, bars=bars, listings=listings, overrides=overrides).rates
    logged: dict[str, list[tuple[int, int]]] = {}
    for row in read_quality(store, kind="correction_deferred"):
        logged.setdefault(row.subject, []).append((to_us(row.opened_at), to_us(row.closed_at or row.opened_at)))
    fresh = differing(computed, stored)
    assets, times = computed.asset_id[fresh.rows], computed.time_us[fresh.rows]
    explained = np.zeros(len(times), dtype=np.bool_)
    for asset_id in np.unique(assets).tolist():
        for first, last in logged.get(slugs[asset_id], []):
            explained |= (assets == asset_id) & (times >= first) & (times <= last)
    if not explained.all():
        n = int(np.flatnonzero(~explained)[0])
        official = "no official rate" if np.isnan(fresh.official[n]) else f"official {fresh.official[n]!r}"
        return (
            f"rate of {slugs[int(assets[n])]} at {iso(int(times[n]))}: {official}, the bars give "
            f"{float(computed.rate[fresh.rows[n]])!r}; run `deai update`"
        )
    for asset_id in np.unique(stored.asset_id).tolist():
        lost = np.setdiff1d(stored.time_us[stored.of(asset_id)], computed.time_us[computed.of(asset_id)])
        if len(lost):
            return f"rate of {slugs[asset_id]} at {iso(int(lost[0]))}: there is no bar that it could be from"
    return ""


def _untrusted(store: Store, index_id: str, *, problem: str) -> Verification:
    rows = published_rows(store, index_id)
    return Verification(index_id, len(rows.hash), 0.0, not broken_chain(rows), problem)


def _one(facts: Facts, index_id: str) -> Verification:
    rows = published_rows(facts.store, index_id)
    broken = broken_chain(rows)
    check = IndexCheck(facts, index_id)
    outcome = check.run()
    return Verification(
        index_id=index_id,
        levels=outcome.levels,
        max_difference=outcome.max_difference,
        chain_whole=not broken,
        problem=outcome.problem or broken,
    )


def broken_chain(rows: PublishedRows) -> str:
    """The first published row that is not chained to the one before it, in words, or ''."""
    return broken_link(
        rows.times_us,
        rows.levels,
        revisions=rows.revision,
        status=rows.status,
        inputs=rows.inputs_hash,
        before=rows.prev_hash,
        own=rows.hash,
    )
