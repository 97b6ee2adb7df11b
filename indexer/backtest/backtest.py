"""A methodology over the stored history: levels, turnover, concentration, effective N, tracking to the flagship.

Place in the flow: `deai backtest FILE` and, many times over, `deai sweep`. It computes and writes nothing to the
store. The simulated history is what the rules would have given by what is known now: said in every result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.arrays import F64, I64
from indexer.engine.history import BasketEvent, IndexHistory
from indexer.engine.level import compute_index
from indexer.engine.market import Market, Status
from indexer.errors import NotEnoughDataError
from indexer.methodology.spec import Methodology
from indexer.times import DAY_US, iso

YEAR_DAYS = 365.25
HINDSIGHT = "simulated by what is known now: not a record of what was published"


@dataclass(frozen=True, slots=True)
class Result:
    """What rules would have given over daily levels. Shares are fractions, volatility and turnover are a year's.

    Days on which the index is impaired are left out, and so are returns over a gap; `left_out` counts them.
    `constituents` and `fewest` are those held at the levels of all days. `notes` names each review that was skipped or
    relaxed and each spell of being impaired or suspended, `warnings` what the figures do not cover. `effective_number`
    is the mean of 1 / Σ w² after rebalances; `tracking_error` and `correlation` are of daily log returns against the
    flagship over the days both have; None without one.
    """

    index: str
    first: str
    last: str
    days: int
    total_return: float
    annual_return: float
    volatility: float
    max_drawdown: float
    turnover: float
    rebalances: int
    constituents: float
    fewest: int
    largest_weight: float
    effective_number: float
    tracking_error: float | None
    correlation: float | None
    beta_to_flagship: float | None
    skipped: int
    left_out: int = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    note: str = HINDSIGHT


@dataclass(frozen=True, slots=True)
class Backtest:
    """The result with the history it was taken from: daily instants (K,) and levels (K,)."""

    result: Result
    history: IndexHistory
    times_us: I64
    levels: F64


def daily(market: Market) -> Market:
    """The market at 00:00 UTC only."""
    return market.rows(market.times_us % DAY_US == 0)


def backtest(
    market: Market,
    methodology: Methodology,
    *,
    flagship: tuple[I64, F64] | None = None,
    events: Sequence[BasketEvent] = (),
    end_us: int | None = None,
) -> Backtest:
    """The methodology over a market of its candidates; `end_us` is the end that was asked for.

    Raises as `compute_index`, or NotEnoughDataError for one day.
    """
    history = compute_index(market, methodology, events=events)
    rows = history.times_us % DAY_US == 0
    good = rows & (history.status != Status.IMPAIRED)
    times, levels = history.times_us[good], history.levels[good]
    if len(times) < 2:
        raise NotEnoughDataError(f"index {methodology.id} has {len(times)} daily levels; two are needed")
    result = _result(methodology, history, times=times, levels=levels, flagship=flagship)
    return Backtest(
        replace(result, warnings=_warnings(history, market, asked_us=end_us)), history, history.times_us[rows],
        history.levels[rows],
    )  # fmt: skip


def _warnings(history: IndexHistory, market: Market, *, asked_us: int | None) -> tuple[str, ...]:
    """What the figures do not cover: time after the data, and time in which constituents had no data of their own."""
    last, out = int(market.times_us[-1]), []
    if asked_us is not None and last < asked_us - DAY_US:
        out.append(f"the data end at {iso(last)}, before the end asked for ({iso(asked_us)})")
    if history.suspended:
        out.append(f"suspended: no levels after {iso(int(history.times_us[-1]))}, prices go on to {iso(last)}")
    held = np.flatnonzero(history.rebalances[-1].units_after)
    for column in held.tolist():
        known = np.flatnonzero(np.isfinite(market.prices[:, column]))
        ended = int(market.times_us[known[-1]])
        if ended < int(history.times_us[-1]) - 2 * DAY_US:
            out.append(f"{market.slugs[column]} is held to the end, its prices end at {iso(ended)}")
    return tuple(out)


def _notes(history: IndexHistory) -> tuple[str, ...]:
    """Each review that was not as scheduled and each spell, by date, with its reason."""
    reviews = [(one.effective_us, "skipped", one.reason) for one in history.skipped]
    reviews += [(one.effective_us, "relaxed", one.reason) for one in history.relaxed]
    spells = [
        (one.start_us, f"{one.kind} to {iso(one.end_us) if one.end_us is not None else 'the end'}", one.reason)
        for one in history.spells
    ]
    return tuple(f"{iso(at)} {what}: {reason}" for at, what, reason in sorted(reviews + spells))


def _result(
    methodology: Methodology, history: IndexHistory, *, times: I64, levels: F64, flagship: tuple[I64, F64] | None
) -> Result:
    years = (times[-1] - times[0]) / (YEAR_DAYS * DAY_US)
    moves = np.diff(np.log(levels))[np.diff(times) == DAY_US]
    changes = [one for one in history.rebalances if one.kind != "suspension"]
    weights = np.array([one.weight_target for one in changes])
    days = history.times_us % DAY_US == 0
    held = history.constituents[days]
    against = _against(times, levels, flagship=flagship)
    total = float(levels[-1] / levels[0] - 1.0)
    return Result(
        index=methodology.id,
        first=iso(int(times[0])),
        last=iso(int(times[-1])),
        days=len(times),
        total_return=total,
        annual_return=float((1.0 + total) ** (1.0 / years) - 1.0),
        volatility=float(moves.std(ddof=1) * np.sqrt(YEAR_DAYS)) if len(moves) > 1 else 0.0,
        max_drawdown=float((levels / np.maximum.accumulate(levels) - 1.0).min()),
        turnover=float(sum(one.turnover for one in history.rebalances) / years),
        rebalances=len(changes),
        constituents=float(held.mean()),
        fewest=int(held.min()),
        largest_weight=float(weights.max()),
        effective_number=float((1.0 / (weights**2).sum(axis=1)).mean()),
        tracking_error=against[0],
        correlation=against[1],
        beta_to_flagship=against[2],
        skipped=len(history.skipped),
        left_out=int((history.status[days] == Status.IMPAIRED).sum()),
        notes=_notes(history),
    )


def _against(
    times: I64, levels: F64, *, flagship: tuple[I64, F64] | None
) -> tuple[float | None, float | None, float | None]:
    """Tracking error a year, correlation and beta of daily log returns to the flagship."""
    if flagship is None:
        return None, None, None
    both, mine, theirs = np.intersect1d(times, flagship[0], assume_unique=True, return_indices=True)
    if len(both) < 30:
        return None, None, None
    steps = np.diff(both) == DAY_US
    x, y = np.diff(np.log(flagship[1][theirs]))[steps], np.diff(np.log(levels[mine]))[steps]
    apart = float((y - x).std(ddof=1) * np.sqrt(YEAR_DAYS))
    spread = float(x.var(ddof=1))
    if spread == 0.0 or float(y.var()) == 0.0:
        return apart, None, None
    together = float(np.cov(x, y, ddof=1)[0, 1])
    return apart, float(np.corrcoef(x, y)[0, 1]), together / spread
