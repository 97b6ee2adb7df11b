"""History that is settled: published changes of the basket are facts, and the engine goes on from them.

Place in the flow: `timeline.py` begins with it. What was learnt later changes prices (and so levels), never a
change of units that is already effective: composition errors are corrected from the next review on
(METHODOLOGY §4, restatement).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from indexer.arrays import F64, I64
from indexer.engine.carry import Carried
from indexer.engine.history import Rebalance
from indexer.engine.market import Market
from indexer.errors import InputError
from indexer.methodology.spec import Methodology
from indexer.times import iso

REVIEWS = ("rebalance", "reconstitution")


@dataclass(frozen=True, slots=True)
class Settled:
    """Changes of units that stay as they are, ascending, their arrays in the market's order of columns.

    Nothing is decided anew at or before `until_us`, the last published instant.
    """

    changes: tuple[Rebalance, ...]
    until_us: int


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A transition that was under way: weights it began from and goes to (N,), and how many fixings are done."""

    start: F64
    target: F64
    done: int
    reference_us: int
    kind: str


def rows_of(settled: Settled, market: Market) -> I64:
    """The rows of the clock at which the settled changes took effect. Raises InputError where the clock lacks one."""
    times = np.array([change.effective_us for change in settled.changes], dtype=np.int64)
    rows = np.searchsorted(market.times_us, times)
    inside = np.minimum(rows, len(market.times_us) - 1)
    lost = np.flatnonzero(market.times_us[inside] != times)
    if len(lost):
        raise InputError(
            f"the basket changed at {iso(int(times[lost[0]]))}, but no rate is known at that instant any more; "
            "restore the rates, or restate with `deai rebuild`"
        )
    return rows.astype(np.int64)


def last_row(settled: Settled, market: Market) -> int:
    """The row of the last settled instant."""
    return int(np.searchsorted(market.times_us, settled.until_us, side="right")) - 1


def closed_ranges(rows: I64, last: int, *, changes: tuple[Rebalance, ...], carried: Carried) -> list[tuple[int, int]]:
    """Row ranges [start, end) up to `last` in which every constituent's price was too old."""
    out: list[tuple[int, int]] = []
    stops = [*rows[1:].tolist(), last]
    for begin, stop, change in zip(rows.tolist(), stops, changes, strict=True):
        held = np.flatnonzero(change.units_after > 0).tolist()
        row = begin + 1
        while row <= stop:
            ranges = [carried.next_stale(column, row) for column in held]
            start, end = max(one[0] for one in ranges), min(one[1] for one in ranges)
            if start > stop:
                break
            if start < end:
                out.append((start, min(end, stop + 1)))
                row = end
            else:
                row = start
    return out


def unfinished(settled: Settled, methodology: Methodology) -> Unfinished | None:
    """The transition that the last published instant lies in, None when there is none.

    Its target follows from the first fixing: weights = (1 − part) · start + part · target, part = 1 / k.
    """
    fixings = methodology.schedule.transition_fixings
    reviews = [change for change in settled.changes if change.kind in REVIEWS]
    if fixings == 1 or not reviews:
        return None
    done = [change for change in reviews if change.reference_us == reviews[-1].reference_us]
    if len(done) >= fixings:
        return None
    first = done[0]
    target = np.maximum((first.weight_target - (1.0 - 1.0 / fixings) * first.weight_drifted) * fixings, 0.0)
    target = np.where(target < 1e-12, 0.0, target)
    return Unfinished(first.weight_drifted, target / target.sum(), len(done), first.reference_us, first.kind)


def aligned(change: Rebalance, *, slugs: tuple[str, ...], columns: tuple[str, ...]) -> Rebalance:
    """The same change with its arrays in another order of columns; lines it does not know have no units there.

    Raises InputError for a line that had or has units and is not among the columns.
    """
    place = {slug: column for column, slug in enumerate(columns)}
    lost = [
        slug
        for slug, before, after in zip(slugs, change.units_before, change.units_after, strict=True)
        if slug not in place and (before or after)
    ]
    if lost:
        raise InputError(
            f"{lost[0]} was in the basket at {iso(change.effective_us)} and has no rate any more; restore its prices"
        )
    at = [place[slug] for slug in slugs if slug in place]
    pick = [n for n, slug in enumerate(slugs) if slug in place]

    def spread(values: F64) -> F64:
        out = np.zeros(len(columns))
        out[at] = values[pick]
        return out

    return replace(
        change,
        units_before=spread(change.units_before),
        units_after=spread(change.units_after),
        weight_drifted=spread(change.weight_drifted),
        weight_target=spread(change.weight_target),
        prices=spread(change.prices),
    )
