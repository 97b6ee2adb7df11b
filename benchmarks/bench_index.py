"""Full index history: 30 tokens × 3,650 days against bt and pandas, 30 × 1,000,000 minutes against reading the bytes.

All methods see the same prices, run interleaved in one process, and their levels are compared before anything is
timed. Like is held against like: the whole `compute_index` (evidence, eligibility with reasons, statuses, records)
against bt's whole run; the kernel (capped weights at each rebalance, units, levels) against the same arithmetic in
vectorised pandas and against the time that one core needs to read the prices once.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

import numpy as np

from indexer.arrays import F64, I64
from indexer.engine.history import chain_divisors
from indexer.engine.level import compute_index, compute_levels
from indexer.engine.market import Line, Market, SupplyHistory
from indexer.engine.second import second_index
from indexer.engine.weights import water_fill
from indexer.methodology.spec import Caps, Eligibility, Methodology, Missing, Schedule, Selection, Universe, Weighting
from indexer.times import DAY_US, MINUTE_US, to_us

TOKENS = 30
CAP = 0.25
START = datetime(2015, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """Prices (T, N), supplies (N,) and the rows of monthly rebalances."""

    times_us: I64
    prices: F64
    supply: F64
    rows: I64


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """The rows of the table: name, ours_ms, peer, peer_ms, ratio, goal; `quick` takes small cases, once each."""
    days, minutes, rounds = (400, 5_000, 1) if quick else (3_650, 1_000_000, 7)
    return [*_daily(days, rounds), *_minutes(minutes, rounds)]


def _case(count: int, step_us: int) -> Case:
    rng = np.random.default_rng(20250127)
    walk = np.cumsum(rng.normal(0, 0.04 * np.sqrt(step_us / DAY_US), (count, TOKENS)), axis=0)
    times = to_us(START) + np.arange(count, dtype=np.int64) * step_us
    months = times.astype("datetime64[us]").astype("datetime64[M]")
    rows = np.concatenate([[0], np.flatnonzero(np.diff(months.astype(np.int64))) + 1])
    return Case(times, np.exp(walk), np.exp(rng.normal(15, 1.5, TOKENS)), rows)


def _weights(case: Case) -> F64:
    return water_fill(case.prices[case.rows] * case.supply, 0.0, CAP)


def kernel(case: Case) -> F64:
    """Weights, units and levels: the work that the peers do."""
    units = _weights(case) / case.prices[case.rows]
    return _chained(case, units)


def _chained(case: Case, units: F64) -> F64:
    divisors = chain_divisors(case.prices[case.rows], units, base_level=1000.0)
    begins = np.append(case.rows[:1], case.rows[1:] + 1)
    return compute_levels(case.prices, begins, units, divisors=divisors)


def pandas_levels(frame: Any, weights: Any) -> F64:
    """The usual vectorised way: returns times drifted weights since the last rebalance, chained."""
    units = weights / frame.loc[weights.index]
    growth = (units.reindex(frame.index).ffill().shift() * frame).sum(axis=1)
    marks = growth.loc[weights.index[1:]]
    chained = marks.cumprod().reindex(frame.index).ffill().shift().fillna(1.0)
    levels = (1000.0 * growth * chained).to_numpy(copy=True)
    levels[0] = 1000.0
    return levels


def bt_levels(frame: Any, weights: Any) -> F64:
    """bt 1.4: target weights on their dates, fractional positions."""
    import bt

    algos = [bt.algos.RunOnDate(*weights.index), bt.algos.WeighTarget(weights), bt.algos.Rebalance()]
    test = bt.Backtest(bt.Strategy("index", algos), frame, integer_positions=False, progress_bar=False)
    bt.run(test)
    prices: F64 = test.strategy.prices.reindex(frame.index).to_numpy()
    return 1000.0 * prices / prices[0]


def _daily(days: int, rounds: int) -> list[dict[str, Any]]:
    import pandas as pd

    case = _case(days, DAY_US)
    index = pd.to_datetime(case.times_us, unit="us")
    frame = pd.DataFrame(case.prices, index=index, columns=[f"t{n:02d}" for n in range(TOKENS)])

    def targets() -> Any:
        return pd.DataFrame(_weights(case), index=index[case.rows], columns=frame.columns)

    market, methodology = _market(case)
    ours = kernel(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bt's own use of pandas
        others = [pandas_levels(frame, targets()), bt_levels(frame, targets())]
        for other in (*others, compute_index(market, methodology).levels):
            np.testing.assert_allclose(ours, other, rtol=1e-9)
        times = _interleaved(
            {
                "kernel": lambda: kernel(case),
                "bt": lambda: bt_levels(frame, targets()),
                "pandas": lambda: pandas_levels(frame, targets()),
                "read": case.prices.sum,
                "compute_index": lambda: compute_index(market, methodology),
                "plain": lambda: second_index(market, methodology),
            },
            rounds=rounds,
            repeats={"kernel": 50, "read": 200, "pandas": 5},
        )
    what = f"daily history, {TOKENS} × {len(case.prices):,}, {len(case.rows)} rebalances"
    return [
        _row(f"{what}: compute_index", times["compute_index"], "bt, whole run", times["bt"], goal="≥ 35, ≤ 13 ms"),
        _row(f"{what}: kernel", times["kernel"], "vectorised pandas", times["pandas"], goal="≥ 8"),
        _row(f"{what}: kernel (ours / peer)", times["kernel"], "one read of the bytes", times["read"], over=True),
        _row(f"{what}: compute_index", times["compute_index"], "our plain calculator", times["plain"]),
    ]


def _minutes(count: int, rounds: int) -> list[dict[str, Any]]:
    case = _case(count, MINUTE_US)
    units = _weights(case) / case.prices[case.rows]
    market, methodology = _market(case)
    ours = _chained(case, units)
    np.testing.assert_allclose(ours, compute_index(market, methodology).levels, rtol=1e-9)
    flat = case.prices.reshape(-1)
    times = _interleaved(
        {
            "kernel": lambda: kernel(case),
            # the fastest single-core reads of the same bytes that numpy has
            "read": lambda: np.einsum("i->", flat),
            "sum": flat.sum,
            "compute_index": lambda: compute_index(market, methodology),
        },
        rounds=rounds,
    )
    what = f"minute history, {TOKENS} × {len(case.prices):,}, {len(case.rows)} rebalances"
    floor = min(times["read"], times["sum"])
    return [
        _row(f"{what}: kernel (ours / peer)", times["kernel"], "one-core read", floor, goal="≤ 1.15", over=True),
        _row(
            f"{what}: compute_index (ours / peer)",
            times["compute_index"],
            "one-core read",
            floor,
            goal="≤ 20 ms",
            over=True,
        ),
    ]


def _market(case: Case) -> tuple[Market, Methodology]:
    """The case as the engine's input, with rules that admit every token."""
    unknown = np.array([np.nan])
    before = np.array([int(case.times_us[0]) - DAY_US])
    imported = np.array([2], dtype=np.int8)
    lines = tuple(
        Line(
            f"t{n:02d}",
            "all",
            int(case.times_us[0]),
            3,
            SupplyHistory(before, case.supply[n : n + 1], unknown, unknown, imported),
        )
        for n in range(TOKENS)
    )
    days = np.arange(case.times_us[0], case.times_us[-1] + 1, DAY_US)
    rule = Eligibility(START, 0, 0, 0.0, min_atvr=0.0, min_free_float=0.0, min_venues=0, supply_max_age_days=9000)
    methodology = Methodology(
        id="bench", name="", version="1", description="", base_date=START, base_level=1000.0, decimals=6,
        effective_from=START, universe=Universe(), schedule=Schedule(reference_days_before=0), eligibility=(rule,),
        selection=Selection(TOKENS, TOKENS, TOKENS, 4), weighting=Weighting(), caps=Caps(single=CAP),
        missing=Missing(), hash="",
    )  # fmt: skip
    status = np.zeros(case.prices.shape, dtype=np.int8)
    market = Market(case.times_us, case.prices, status, lines, days, np.full((len(days), TOKENS), 1e7))
    return market, methodology


def _interleaved(
    jobs: dict[str, Callable[[], object]], *, rounds: int, repeats: dict[str, int] | None = None
) -> dict[str, float]:
    """Median milliseconds of each job, the jobs taking turns; short ones are repeated inside a turn."""
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in range(rounds):
        for name, job in jobs.items():
            times = (repeats or {}).get(name, 1)
            start = time.perf_counter()
            for _ in range(times):
                job()
            spent[name].append((time.perf_counter() - start) / times * 1e3)
    return {name: median(values) for name, values in spent.items()}


def _row(
    name: str, ours: float, peer: str, theirs: float | None, *, goal: str | None = None, over: bool = False
) -> dict[str, Any]:
    """`over`: the ratio is ours / peer (a floor to come near to), otherwise peer / ours."""
    ratio = None if theirs is None else ours / theirs if over else theirs / ours
    return {"name": name, "ours_ms": ours, "peer": peer, "peer_ms": theirs, "ratio": ratio, "goal": goal}
