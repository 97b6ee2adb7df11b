"""A methodology over the stored history: levels before and after costs, turnover, weights, tracking to the flagship.

It writes nothing to the store. The history is what the rules would have given by what is known now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from indexer.arrays import F64, I8, I64, Bools
from indexer.engine.history import BasketEvent, IndexHistory
from indexer.engine.level import compute_index
from indexer.engine.market import Market, Status, carry
from indexer.errors import NotEnoughDataError
from indexer.methodology.spec import Methodology
from indexer.times import DAY_US, HOUR_US, iso

YEAR_DAYS = 365.25
HINDSIGHT = "simulated by what is known now: not a record of what was published"


@dataclass(frozen=True, slots=True)
class Result:
    """What rules would have given over daily levels. Shares are fractions, volatility and turnover are a year's.

    Days on which the index is impaired are left out, and so are returns over a gap; `left_out` counts them.
    `constituents` and `fewest` are those held at the levels of all days. `notes` names each review that was skipped or
    relaxed and each spell of being impaired or suspended, `warnings` what the figures do not cover. `effective_number`
    is the mean of 1 / Σ w² after rebalances; `tracking_error` and `correlation` are of daily log returns against the
    flagship over the days both have; None without one. Net figures are after `cost_bps`, and so is `sharpe`: mean over
    deviation of simple daily returns, times √365.25, above no rate; None where they do not vary.
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
    cost_bps: float = 0.0
    net_total_return: float = 0.0
    net_annual_return: float = 0.0
    sharpe: float | None = None


@dataclass(frozen=True, slots=True)
class Backtest:
    """The result with what it was taken from, by day (K,): instants, levels, levels after costs, status, the one-way
    turnover since the day before, and weights (K, N) of `slugs` held from the instant on (0 where nothing is)."""

    result: Result
    slugs: tuple[str, ...]
    times_us: I64
    levels: F64
    net_levels: F64
    status: I8
    turnover: F64
    weights: F64


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
    cost_bps: float = 0.0,
) -> Backtest:
    """The methodology over a market of its candidates; `end_us` is the end that was asked for.

    What is bought and what is sold at a change of the basket costs `cost_bps` (1/10,000) of its value each; the first
    purchase costs nothing, so that both levels begin at the base, and no more does a corporate action, which converts.
    Raises as `compute_index`, or NotEnoughDataError for one day.
    """
    history = compute_index(market, methodology, events=events)
    days = history.times_us % DAY_US == 0
    times, levels = history.times_us[days], history.levels[days]
    net = levels * _left_of_costs(history, times, cost_bps=cost_bps)
    good = history.status[days] != Status.IMPAIRED
    if good.sum() < 2:
        raise NotEnoughDataError(f"index {methodology.id} has {good.sum()} daily levels; two are needed")
    return Backtest(
        result=Result(
            index=methodology.id,
            cost_bps=cost_bps,
            warnings=_warnings(history, market, asked_us=end_us),
            **_returns(times[good], levels[good], net=net[good]),
            **_baskets(history, days),
            **_tracking(times[good], levels[good], flagship=flagship),
        ),
        slugs=market.slugs,
        times_us=times,
        levels=levels,
        net_levels=net,
        status=history.status[days],
        turnover=_turnover(history, times),
        weights=_weights(history, market, times, carry_us=methodology.missing.max_carry_hours * HOUR_US),
    )


def _left_of_costs(history: IndexHistory, times: I64, *, cost_bps: float) -> F64:
    """What is left of a unit of value (K,) after the costs of all changes up to each instant.

    A change of one-way turnover τ buys τ and sells τ of the value: Π (1 − 2 τ · bps / 10,000), to first order in bps.
    """
    paid = [change for change in history.rebalances if change.kind not in ("base", "event")]
    left = np.cumprod([1.0, *(1.0 - 2.0 * change.turnover * cost_bps / 1e4 for change in paid)])
    at = np.array([change.effective_us for change in paid], dtype=np.int64)
    return np.asarray(left[np.searchsorted(at, times, side="right")])


def _turnover(history: IndexHistory, times: I64) -> F64:
    """One-way turnover (K,) of the changes after the instant before, up to each instant."""
    at = np.array([change.effective_us for change in history.rebalances], dtype=np.int64)
    turnover = np.array([change.turnover for change in history.rebalances])
    place = np.searchsorted(times, at)
    return np.bincount(place, weights=turnover, minlength=len(times) + 1)[: len(times)].astype(np.float64)


def _weights(history: IndexHistory, market: Market, times: I64, *, carry_us: int) -> F64:
    """Weights (K, N) held from each instant on, at its prices."""
    at = np.array([change.effective_us for change in history.rebalances], dtype=np.int64)
    units = np.stack([change.units_after for change in history.rebalances])
    prices = carry(market, carry_us).prices[np.searchsorted(market.times_us, times)]
    value = units[np.searchsorted(at, times, side="right") - 1] * prices
    total = value.sum(axis=1, keepdims=True)
    weights: F64 = np.divide(value, total, out=np.zeros_like(value), where=total > 0)
    return weights


def _warnings(history: IndexHistory, market: Market, *, asked_us: int | None) -> tuple[str, ...]:
    """What the figures do not cover: time after the data, and time in which constituents had no data of their own."""
    last, out = int(market.times_us[-1]), []
    if asked_us is not None and last < asked_us - DAY_US:
        out.append(f"the data end at {iso(last)}, before the end asked for ({iso(asked_us)})")
    if history.suspended:
        out.append(f"suspended: no levels after {iso(int(history.times_us[-1]))}, prices go on to {iso(last)}")
    for column in np.flatnonzero(history.rebalances[-1].units_after).tolist():
        known = np.flatnonzero(np.isfinite(market.prices[:, column]))
        ended = int(market.times_us[known[-1]])
        if ended < int(history.times_us[-1]) - 2 * DAY_US:
            out.append(f"{market.slugs[column]} is held to the end, its prices end at {iso(ended)}")
    return tuple(out)


def _notes(history: IndexHistory) -> tuple[str, ...]:
    """Each review that was not as scheduled and each spell, by date, with its reason."""
    notes = [(review.effective_us, "skipped", review.reason) for review in history.skipped]
    notes += [(review.effective_us, "relaxed", review.reason) for review in history.relaxed]
    for spell in history.spells:
        until = "the end" if spell.end_us is None else iso(spell.end_us)
        notes.append((spell.start_us, f"{spell.kind} to {until}", spell.reason))
    return tuple(f"{iso(at)} {what}: {reason}" for at, what, reason in sorted(notes))


def _returns(times: I64, levels: F64, *, net: F64) -> dict[str, Any]:
    """The figures of levels (K,), before and after costs."""
    years = (times[-1] - times[0]) / (YEAR_DAYS * DAY_US)
    a_day = np.diff(times) == DAY_US
    moves, after = np.diff(np.log(levels))[a_day], (net[1:] / net[:-1] - 1.0)[a_day]
    total, net_total = float(levels[-1] / levels[0] - 1.0), float(net[-1] / net[0] - 1.0)
    spread = float(after.std(ddof=1)) if len(after) > 1 else 0.0
    return {
        "first": iso(int(times[0])),
        "last": iso(int(times[-1])),
        "days": len(times),
        "total_return": total,
        "annual_return": float((1.0 + total) ** (1.0 / years) - 1.0),
        "volatility": float(moves.std(ddof=1) * np.sqrt(YEAR_DAYS)) if len(moves) > 1 else 0.0,
        "max_drawdown": float((levels / np.maximum.accumulate(levels) - 1.0).min()),
        "net_total_return": net_total,
        "net_annual_return": float((1.0 + net_total) ** (1.0 / years) - 1.0),
        "sharpe": float(after.mean() / spread * np.sqrt(YEAR_DAYS)) if spread > 0.0 else None,
    }


def _baskets(history: IndexHistory, days: Bools) -> dict[str, Any]:
    """The figures of what was held."""
    changes = [change for change in history.rebalances if change.kind != "suspension"]
    weights, held = np.array([change.weight_target for change in changes]), history.constituents[days]
    good = history.times_us[days & (history.status != Status.IMPAIRED)]
    years = (good[-1] - good[0]) / (YEAR_DAYS * DAY_US)
    return {
        "turnover": float(sum(change.turnover for change in history.rebalances) / years),
        "rebalances": len(changes),
        "constituents": float(held.mean()),
        "fewest": int(held.min()),
        "largest_weight": float(weights.max()),
        "effective_number": float((1.0 / (weights**2).sum(axis=1)).mean()),
        "skipped": len(history.skipped),
        "left_out": int((history.status[days] == Status.IMPAIRED).sum()),
        "notes": _notes(history),
    }


def _tracking(times: I64, levels: F64, *, flagship: tuple[I64, F64] | None) -> dict[str, Any]:
    """Tracking error a year, correlation and beta of daily log returns to the flagship."""
    none = dict.fromkeys(("tracking_error", "correlation", "beta_to_flagship"))
    if flagship is None:
        return none
    both, mine, theirs = np.intersect1d(times, flagship[0], assume_unique=True, return_indices=True)
    if len(both) < 30:
        return none
    steps = np.diff(both) == DAY_US
    x, y = np.diff(np.log(flagship[1][theirs]))[steps], np.diff(np.log(levels[mine]))[steps]
    error = {"tracking_error": float((y - x).std(ddof=1) * np.sqrt(YEAR_DAYS))}
    spread = float(x.var(ddof=1))
    if spread == 0.0 or float(y.var()) == 0.0:
        return none | error
    together = float(np.cov(x, y, ddof=1)[0, 1])
    return error | {"correlation": float(np.corrcoef(x, y)[0, 1]), "beta_to_flagship": together / spread}
