"""A supposed move of a benchmark → what the index may do, and a hedge; each beside how well it did out of sample.

Every session with a whole window before it is predicted by that window alone, given the benchmark's move of that
session, and compared with what the index did: that record is what the interval and the hedge are worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from indexer.analytics.rolling import Predictions, predict, share_removed
from indexer.arrays import F64
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.bars import read_benchmark_closes
from indexer.store.db import Store
from indexer.studies.beta import MIN_SESSIONS, past
from indexer.studies.report.blocks import percent
from indexer.studies.series import BENCHMARK, Frame, Series, benchmark_series, index_series, make_frame

SESSIONS = 250
CONFIDENCE = 0.9
CALIBRATED = (0.87, 0.93)
LARGEST = 25
# Dollars for a point of the Nasdaq-100, by contract; of anything else a unit is one share at its close.
NASDAQ = "^NDX"
CONTRACTS = {"NQ": 20.0, "MNQ": 2.0}


@dataclass(frozen=True, slots=True)
class RealisedCoverage:
    """Shares of the `n` predicted sessions, and of the `n_large` of them, that fell inside their interval.

    Large are those in which the benchmark moved by more than two standard deviations. `calibrated`: within three
    points of what it claims.
    """

    n: int
    coverage: float | None
    n_large: int
    coverage_large: float | None
    calibrated: bool


@dataclass(frozen=True, slots=True)
class ScoredSession:
    """A session as it was predicted and as it came: simple returns up to the close at `time_us`."""

    time_us: int
    move: float
    expected: float
    low: float
    high: float
    actual: float
    inside: bool


@dataclass(frozen=True, slots=True)
class ScenarioRecord:
    """Every prediction that could have been made, scored, oldest first; by levels and closes as they are known now."""

    index_id: str
    benchmark: str
    sessions: int
    confidence: float
    realised: RealisedCoverage
    rows: tuple[ScoredSession, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Simple returns of one session: the benchmark's supposed `move`, the index's expected one and its interval.

    Estimated on `sessions` returns between closes up to `last_session_us`; `realised` is how such intervals did.
    """

    index_id: str
    benchmark: str
    move: float
    expected: float
    low: float
    high: float
    confidence: float
    sessions: int
    beta: float
    first_session_us: int
    last_session_us: int
    stale_days: int
    realised: RealisedCoverage
    statement: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hedge:
    """What to hold against `notional` USD of the index: `units` (negative is short) worth `unit_value` USD each.

    `removed` is the share of the index's mean square that such a hedge, with each session's ratio known before it,
    removed over `n` sessions; `removed_largest` over the 25 in which the benchmark moved most. `verdict` is usable,
    doubtful (it failed on the largest) or refused (it failed over all: no units).
    """

    index_id: str
    instrument: str
    benchmark: str
    notional: float
    verdict: str
    units: float | None
    unit_value: float
    beta: float
    sessions: int
    last_session_us: int
    stale_days: int
    n: int
    removed: float
    removed_largest: float
    reason: str
    notes: tuple[str, ...]


def study_scenario(
    store: Store,
    index_id: str,
    benchmark: str,
    move: float,
    *,
    sessions: int = SESSIONS,
    end_us: int | None = None,
) -> Scenario:
    """What the index may do in a session in which the benchmark moves by `move` (a fraction: -0.17 is -17 %).

    Raises NotFoundError for an unknown name, InputError for a move of -100 % or less, and NotEnoughDataError saying how
    many returns there are and are needed.
    """
    if not -1.0 < move < math.inf:
        raise InputError(f"a move of {move:.0%} cannot be; give a fraction above -1, such as -0.17")
    pairs = _pairs(store, index_id, benchmark, sessions=sessions, end_us=end_us)
    supposed = math.log1p(move)
    predictions = predict(np.r_[pairs.x[:, 0], supposed], pairs.y, window=sessions, confidence=CONFIDENCE)
    expected, half = float(predictions.expected[-1]), float(predictions.half[-1])
    if not math.isfinite(half):
        raise NotEnoughDataError(f"{pairs.benchmarks[0]} or {index_id} does not move in these {sessions} sessions")
    realised = _realised(pairs, predictions, sessions)
    low, mid, high = (math.expm1(expected + side * half) for side in (-1, 0, 1))
    window = pairs.x[-sessions:, 0]
    notes = list(pairs.reasons)
    if not window.min() <= supposed <= window.max():
        least, most = percent(math.expm1(window.min())), percent(math.expm1(window.max()))
        notes.append(f"beyond every move of the window ({least} to {most}): nothing in it shows what happens there")
    if realised.n and not realised.calibrated:
        notes.append(f"such intervals held {percent(realised.coverage, sign=False)} and not {CONFIDENCE:.0%}")
    name = pairs.benchmarks[0]
    statement = (
        f"{name} {percent(move)}: {index_id} {percent(mid)}, in 9 of 10 such sessions between {percent(low)} and "
        f"{percent(high)}. {_record_in_words(realised, name)}"
    )
    return Scenario(
        index_id, name, move, mid, low, high, CONFIDENCE, sessions, float(predictions.beta[-1]),
        int(pairs.times_us[-sessions]), int(pairs.times_us[-1]), pairs.stale_days, realised, statement, tuple(notes),
    )  # fmt: skip


def scenario_record(
    store: Store, index_id: str, benchmark: str, *, sessions: int = SESSIONS, end_us: int | None = None
) -> ScenarioRecord:
    """The scored predictions of every session that has a whole window before it. Raises as `study_scenario`."""
    pairs = _pairs(store, index_id, benchmark, sessions=sessions, end_us=end_us)
    predictions = predict(pairs.x[:, 0], pairs.y, window=sessions, confidence=CONFIDENCE)
    expected, half = predictions.expected, predictions.half
    log_returns = pairs.x[sessions:, 0], expected, expected - half, expected + half, pairs.y[sessions:]
    columns = np.expm1(np.column_stack(log_returns)).tolist()
    inside = _inside(pairs, predictions, sessions).tolist()
    times = pairs.times_us[sessions:].tolist()
    rows = (
        ScoredSession(at, move, expected, low, high, actual, hit)
        for at, (move, expected, low, high, actual), hit in zip(times, columns, inside, strict=True)
    )
    return ScenarioRecord(
        index_id, pairs.benchmarks[0], sessions, CONFIDENCE, _realised(pairs, predictions, sessions), tuple(rows)
    )


def study_hedge(
    store: Store,
    index_id: str,
    instrument: str,
    notional: float,
    *,
    sessions: int = SESSIONS,
    end_us: int | None = None,
) -> Hedge:
    """Units of a benchmark's shares, or of NQ or MNQ futures, against `notional` USD of the index.

    Raises as `study_scenario`; NotEnoughDataError too where fewer than twice 25 sessions can be scored.
    """
    if not 0.0 < notional < math.inf:
        raise InputError(f"a notional of {notional:g} USD cannot be hedged; give what the index position is worth")
    contract = CONTRACTS.get(instrument.upper())
    other = benchmark_series(store, NASDAQ if contract else instrument)
    pairs = _pairs(store, index_id, other.name, sessions=sessions, end_us=end_us)
    n = len(pairs.y) - sessions
    if n < 2 * LARGEST:
        raise NotEnoughDataError(f"a hedge by {sessions} sessions can be scored on {n}; {2 * LARGEST} are needed")
    betas = predict(np.r_[pairs.x[:, 0], 0.0], pairs.y, window=sessions, confidence=CONFIDENCE).beta
    removed, removed_largest = _removed(pairs.rows(slice(sessions, None)), betas[:-1])
    verdict = "refused" if not removed > 0.0 else "usable" if removed_largest > 0.0 else "doubtful"
    beta, last_us = float(betas[-1]), int(pairs.times_us[-1])
    unit_value = _close_at(store, other, last_us) * (contract or 1.0)
    futures = f"{instrument.upper()} is taken at {contract or 0:g} USD a point of {NASDAQ}, not at its own price"
    return Hedge(
        index_id, instrument.upper() if contract else other.name, other.name, notional, verdict,
        None if verdict == "refused" else -beta * notional / unit_value,
        unit_value, beta, sessions, last_us, pairs.stale_days, n, removed, removed_largest,
        reason=f"out of sample it {_removed_in_words(removed)} over {n} sessions, and "
        f"{_removed_in_words(removed_largest)} in the {LARGEST} with the largest moves of {other.name}",
        notes=(*pairs.reasons, *((futures,) if contract else ())),
    )  # fmt: skip


def _close_at(store: Store, series: Series, at_us: int) -> float:
    """What a share cost at a close: its series has closes adjusted for the dividends paid since."""
    times, closes = series.times_us, series.values
    if series.kind == BENCHMARK:
        times, closes, _ = read_benchmark_closes(store, series.name, interval="1d")
    return float(closes[np.searchsorted(times, at_us)])


def _pairs(store: Store, index_id: str, benchmark: str, *, sessions: int, end_us: int | None) -> Frame:
    """All complete pairs of returns at closes up to an instant, at least `sessions`, with why others are not."""
    if sessions < MIN_SESSIONS:
        raise InputError(f"a window of {sessions} sessions is too short; ask for {MIN_SESSIONS} or more")
    frame = make_frame(store, index_series(store, index_id), [benchmark_series(store, benchmark)])
    frame = frame.between(None, past(end_us))
    notes = frame.last(sessions, until_us=end_us).reasons
    return replace(frame.rows(frame.complete), notes=notes, left_out=())


def _removed(scored: Frame, ratio: F64) -> tuple[float, float]:
    """What a hedge by these ratios (M,) removed of the simple returns' mean square, in all and in the largest moves."""
    y, x = np.expm1(scored.y), np.expm1(scored.x[:, 0])
    most = np.argsort(-np.abs(x), kind="stable")[:LARGEST]
    return share_removed(y, x, ratio), share_removed(y[most], x[most], ratio[most])


def _inside(pairs: Frame, predictions: Predictions, sessions: int) -> np.ndarray:
    """(M,) which sessions after the first window fell inside their intervals."""
    actual: F64 = pairs.y[sessions:]
    return np.abs(actual - predictions.expected[: len(actual)]) <= predictions.half[: len(actual)]


def _realised(pairs: Frame, predictions: Predictions, sessions: int) -> RealisedCoverage:
    inside = _inside(pairs, predictions, sessions)
    large = inside[predictions.large[: len(inside)]]
    share = float(inside.mean()) if len(inside) else None
    calibrated = share is not None and CALIBRATED[0] <= share <= CALIBRATED[1]
    return RealisedCoverage(len(inside), share, len(large), float(large.mean()) if len(large) else None, calibrated)


def _record_in_words(realised: RealisedCoverage, benchmark: str) -> str:
    if not realised.n:
        return "No such interval could be scored yet."
    held, large = (percent(share, sign=False) for share in (realised.coverage, realised.coverage_large))
    return (
        f"Out of sample such intervals held in {held} of {realised.n} sessions, and in {large} of the "
        f"{realised.n_large} in which {benchmark} moved by more than two standard deviations"
    )


def _removed_in_words(share: float) -> str:
    return f"{'removed' if share > 0.0 else 'added'} {abs(share):.1%} of the variance"
