"""The index held against a benchmark: stored levels and closes → the statistics that REST, CLI and Python share.

It reads, aligns at the benchmark's close instants and hands over to `analytics`; no formula lives here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.analytics.align import Aligned, align_at, align_grid
from indexer.analytics.beta import BetaResult, compute_beta
from indexer.analytics.rolling import RollingBeta, rolling_beta
from indexer.engine.market import I64
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.db import Store
from indexer.store.read import read_benchmark_bars, read_levels
from indexer.times import DAY_US, iso

WINDOWS = (30, 60, 90, 180, 250)
MIN_SESSIONS = 20
DEFAULT_SESSIONS = 90


@dataclass(frozen=True, slots=True)
class IndexBeta:
    """Beta of an index to a benchmark over the last `sessions` session returns that end at or before `end_us`.

    `first_us` is the close that the first return starts from. `pairs_dropped` of the window had no level or close.
    """

    index_id: str
    benchmark: str
    sessions: int
    first_us: int
    last_us: int
    pairs_dropped: int
    clock: str
    calendar: str
    price_basis: str
    reasons: tuple[str, ...]
    result: BetaResult


@dataclass(frozen=True, slots=True)
class BetaHistory:
    """Rolling beta: arrays (T,), row t over the window of sessions ending at `times_us[t]`, NaN where none."""

    index_id: str
    benchmark: str
    sessions: int
    times_us: I64
    rolling: RollingBeta


def index_beta(
    store: Store,
    index_id: str,
    benchmark: str,
    *,
    sessions: int = DEFAULT_SESSIONS,
    end_us: int | None = None,
    confidence: float = 0.95,
) -> IndexBeta:
    """The index's OLS beta over `sessions` returns between exchange closes, with errors.

    Raises NotFoundError for an unknown index or benchmark, InputError for an impossible window, and
    NotEnoughDataError saying how many session returns there are and are needed.
    """
    _check(sessions)
    pairs, basis = aligned_at_close(store, index_id, benchmark, end_us=end_us)
    if pairs.n_pairs < sessions:
        until = f" up to {iso(end_us)}" if end_us is not None else ""
        raise NotEnoughDataError(
            f"{index_id} and {benchmark} have {pairs.n_pairs} session returns in common{until}; "
            f"{sessions} are needed. Ask for fewer sessions or import more history"
        )
    x, y = pairs.x[-sessions:], pairs.y[-sessions:]
    result = compute_beta(x, y, periods_per_year=pairs.periods_per_year, confidence=confidence)
    return IndexBeta(
        index_id=index_id,
        benchmark=benchmark,
        sessions=sessions,
        first_us=int(pairs.starts_us[-sessions]),
        last_us=int(pairs.times_us[-1]),
        pairs_dropped=pairs.n_dropped,
        clock=pairs.clock,
        calendar=pairs.calendar or "",
        price_basis=basis,
        reasons=pairs.reasons,
        result=result,
    )


def beta_history(
    store: Store,
    index_id: str,
    benchmark: str,
    *,
    sessions: int = DEFAULT_SESSIONS,
    start_us: int | None = None,
    end_us: int | None = None,
) -> BetaHistory:
    """Rolling beta at every session close in [start, end), windows reaching back before `start` as they need."""
    _check(sessions)
    times, closes, _ = read_benchmark_bars(store, benchmark)
    level_times, levels = _levels(store, index_id, end_us=end_us)
    inside = (times >= level_times[0]) & (times <= level_times[-1]) if len(level_times) else np.zeros(len(times), bool)
    grid = align_grid(level_times, levels, times[inside], closes[inside])
    if len(grid.times_us) < sessions:
        raise NotEnoughDataError(
            f"{index_id} and {benchmark} have {len(grid.times_us)} session returns in common; {sessions} are needed"
        )
    rolled = rolling_beta(grid.x, grid.y, [sessions])[sessions]
    keep = np.ones(len(grid.times_us), dtype=np.bool_) if start_us is None else grid.times_us >= start_us
    return BetaHistory(
        index_id=index_id,
        benchmark=benchmark,
        sessions=sessions,
        times_us=grid.times_us[keep],
        rolling=RollingBeta(
            window=sessions,
            beta=rolled.beta[keep, 0],
            alpha=rolled.alpha[keep, 0],
            r2=rolled.r2[keep, 0],
            se=rolled.se[keep, 0],
        ),
    )


def aligned_at_close(
    store: Store, index_id: str, benchmark: str, *, end_us: int | None = None, start_us: int | None = None
) -> tuple[Aligned, str]:
    """Session returns of the index and the benchmark within the index's life, and the benchmark's price basis."""
    times, closes, basis = read_benchmark_bars(store, benchmark)
    level_times, levels = _levels(store, index_id, end_us=end_us)
    if not len(level_times):
        raise NotEnoughDataError(f"{index_id} has no levels yet; import prices (`deai import`) and `deai update`")
    inside = (times >= level_times[0]) & (times <= level_times[-1])
    if start_us is not None:
        inside &= times >= start_us
    calendar = "benchmark close instants (XNYS)"
    return align_at(level_times, levels, times[inside], closes[inside], calendar=calendar), basis


def _levels(store: Store, index_id: str, *, end_us: int | None) -> tuple[I64, np.ndarray]:
    """Levels to the end inclusive: a close at `end_us` itself belongs to the window, a bare date is its whole day."""
    if end_us is not None:
        end_us = end_us + DAY_US if end_us % DAY_US == 0 else end_us + 1
    rows = read_levels(store, index_id, end_us=end_us)
    return rows.times_us, rows.levels


def _check(sessions: int) -> None:
    if sessions < MIN_SESSIONS:
        raise InputError(f"a window of {sessions} sessions is too short for a beta; ask for {MIN_SESSIONS} or more")
