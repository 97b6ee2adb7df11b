"""Rates that came out different from the official ones: which of them may change published levels, by the policy.

Place in the flow: between computing rates and writing them. A rate that no published level depends on becomes
official at once. One that published levels depend on does so only when it moves one of them by more than the
threshold; then exactly the levels that depend on it get a new revision. Otherwise the official rate stays and the
correction is logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.engine.history import IndexHistory
from indexer.engine.market import Market, carry
from indexer.methodology.spec import Methodology
from indexer.times import HOUR_US


@dataclass(frozen=True, slots=True)
class Effect:
    """What differing rates do to one index's published instants: `move` (K,) relative, `touched` (K, N) by line."""

    times_us: I64
    move: F64
    touched: Bools
    slugs: tuple[str, ...]
    published_at_us: I64


@dataclass(slots=True)
class Verdict:
    """For each differing rate: whether published levels depend on it, the largest move, and when they were out."""

    depends: Bools
    move: F64
    published_us: I64


def effect_on(
    official: tuple[Market, IndexHistory],
    corrected: tuple[Market, IndexHistory],
    *,
    methodology: Methodology,
    times_us: I64,
    published_at_us: I64,
) -> Effect:
    """How published levels of one index would differ under the corrected rates; both histories are settled alike."""
    (market0, history0), (market1, history1) = official, corrected
    both = np.isin(times_us, history0.times_us) & np.isin(times_us, history1.times_us)
    times_us, published_at_us = times_us[both], published_at_us[both]
    row0, row1 = (np.searchsorted(market.times_us, times_us) for market in (market0, market1))
    at0, at1 = (np.searchsorted(history.times_us, times_us) for history in (history0, history1))
    hours = methodology.missing.max_carry_hours * HOUR_US
    pick = [market1.slugs.index(slug) for slug in market0.slugs]
    used0, used1 = carry(market0, hours).prices[row0], carry(market1, hours).prices[row1][:, pick]
    differs = (used0 != used1) | (market0.price_status[row0] != market1.price_status[row1][:, pick])
    held = _held(history0, times_us, lines=len(market0.lines))
    return Effect(
        times_us=times_us,
        move=np.abs(history1.levels[at1] / history0.levels[at0] - 1.0),
        touched=differs & held,
        slugs=market0.slugs,
        published_at_us=published_at_us,
    )


def _held(history: IndexHistory, times_us: I64, *, lines: int) -> Bools:
    """Which lines the level of each instant was computed from (K, N)."""
    begins = np.array([change.begins_us for change in history.rebalances], dtype=np.int64)
    units = np.array([change.units_after > 0 for change in history.rebalances])
    basket = np.searchsorted(begins, times_us, side="right") - 1
    held: Bools = units[basket].reshape(len(times_us), lines)
    return held


def judge_rates(line: str, times_us: I64, *, next_us: I64, effects: Sequence[Effect]) -> Verdict:
    """The verdict on one line's differing rates at `times_us` (M,), each in use until `next_us` (M,)."""
    verdict = Verdict(
        depends=np.zeros(len(times_us), dtype=np.bool_),
        move=np.zeros(len(times_us)),
        published_us=np.full(len(times_us), np.iinfo(np.int64).max),
    )
    for effect in effects:
        if line not in effect.slugs:
            continue
        touched = effect.touched[:, effect.slugs.index(line)]
        first, last = np.searchsorted(effect.times_us, [times_us, next_us])
        verdict.depends |= _largest(touched.astype(np.float64), first, last=last) > 0
        np.maximum(verdict.move, _largest(np.where(touched, effect.move, 0.0), first, last=last), out=verdict.move)
        earliest = -_largest(np.where(touched, -effect.published_at_us.astype(np.float64), -np.inf), first, last=last)
        known = np.isfinite(earliest)
        verdict.published_us[known] = np.minimum(verdict.published_us[known], earliest[known].astype(np.int64))
    return verdict


def _largest(values: F64, first: I64, *, last: I64) -> F64:
    """The largest of values[first:last] for each pair; 0 (or -inf where values may be) for an empty span."""
    empty = -np.inf if len(values) and np.isneginf(values).any() else 0.0
    padded = np.append(values, empty)
    pairs = np.stack([first, last], axis=1).ravel()
    largest: F64 = np.maximum.reduceat(padded, np.minimum(pairs, len(values)))[::2] if len(pairs) else np.zeros(0)
    return np.where(last > first, largest, empty)


def by_policy(verdict: Verdict, *, threshold: float, now_us: int, window_us: int) -> Bools:
    """Which differing rates become official: those nothing depends on, and those beyond the threshold in time."""
    recent = now_us - verdict.published_us <= window_us
    applied: Bools = ~verdict.depends | ((verdict.move > threshold) & recent)
    return applied


@dataclass(frozen=True, slots=True)
class Deferred:
    """Corrections of one token that were logged and not applied: where, how many, the largest move of a level."""

    asset: str
    first_us: int
    last_us: int
    count: int
    move: float
    official: float | None
    corrected: float
    too_late: bool


def deferred(
    asset: str, times_us: I64, *, verdict: Verdict, applied: Bools, official: F64, corrected: F64, threshold: float
) -> Deferred | None:
    """The log entry for what was not applied, None when all was. `official` is NaN where there was no rate."""
    rows = np.flatnonzero(~applied)
    if not len(rows):
        return None
    worst = int(rows[np.argmax(verdict.move[rows])])
    was = float(official[worst])
    return Deferred(
        asset=asset,
        first_us=int(times_us[rows[0]]),
        last_us=int(times_us[rows[-1]]),
        count=len(rows),
        move=float(verdict.move[worst]),
        official=None if np.isnan(was) else was,
        corrected=float(corrected[worst]),
        too_late=bool(verdict.move[worst] > threshold),
    )
