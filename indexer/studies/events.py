"""Event studies on the stored history: the index, its sub-indices and the members of that day about a dated event.

Place in the flow: the event catalogue and frames → `analytics.event_study` and its cross-sectional tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.analytics.align import HOURLY_CLOCKS, Clock
from indexer.analytics.catalogue import (
    Event,
    PolicyDistance,
    find_event,
    packaged_text,
    parse_decisions,
    policy_distance,
)
from indexer.analytics.event_study import (
    CrossSection,
    EventResult,
    EventWindows,
    block_bootstrap_p,
    cross_section,
    event_row,
    event_study,
    rank_test,
    residual_table,
)
from indexer.arrays import F64, I64
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.db import Store
from indexer.store.read import read_constituents, read_indices
from indexer.studies.catalogue import load_events
from indexer.studies.series import (
    Frame,
    Series,
    benchmark_series,
    index_series,
    make_frame,
    subject_series,
    token_series,
)

BOOTSTRAP_SEED = 20_250_127
# Event windows read beside the one asked for, in intervals of the clock.
WINDOWS = ((0, 0), (0, 1), (-1, 5), (-5, 20))
ONE_FACTOR, TWO_FACTORS = ("QQQ",), ("QQQ", "btc")


@dataclass(frozen=True, slots=True)
class Abnormal:
    """One subject under one market model: betas to its factors, abnormal returns and their sum with its error.

    `raw` is the plain log return over the event window. `p_bootstrap` draws blocks of estimation residuals.
    """

    subject: str
    factors: tuple[str, ...]
    first: int
    last: int
    n_estimation: int
    betas: tuple[float, ...]
    raw: float | None
    ar: tuple[float, ...]
    ar_sd: tuple[float, ...]
    car: float | None
    car_sd: float | None
    car_low: float | None
    car_high: float | None
    t: float | None
    p: float | None
    p_bootstrap: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class MemberTests:
    """Tests over the members of that day under one model: they share the day, so read `kolari_pynnonen`."""

    factors: tuple[str, ...]
    members: tuple[Abnormal, ...]
    tests: CrossSection
    rank_z: float | None
    rank_p: float | None


@dataclass(frozen=True, slots=True)
class EventStudy:
    """What an event did. `interval_start_us` and `interval_end_us` bound the interval that contains it.

    `indices` has a row for each index, model and window; `members` one block for each model over the window
    asked for. `policy` is the distance to FOMC decisions.
    """

    index_id: str
    event: Event
    clock: str
    calendar: str
    interval_start_us: int
    interval_end_us: int
    estimation: int
    first: int
    last: int
    indices: tuple[Abnormal, ...]
    members: tuple[MemberTests, ...]
    policy: PolicyDistance
    notes: tuple[str, ...]


def study_event(
    store: Store,
    index_id: str,
    event_id: str,
    *,
    events: dict[str, Event] | None = None,
    models: Sequence[Sequence[str]] = (ONE_FACTOR, TWO_FACTORS),
    windows: EventWindows | None = None,
    clock: str = Clock.AT_CLOSE,
) -> EventStudy:
    """The event study of an index, of the other indices, and of the members that the index had on that day.

    Each model is a list of benchmarks or tokens. On an hourly clock the factors must have hourly bars. Raises
    NotFoundError for an unknown name and NotEnoughDataError when the event lies outside the data.
    """
    event = find_event(load_events(store) if events is None else events, event_id)
    w = windows or EventWindows()
    if not models or not all(models):
        raise InputError("name at least one factor, e.g. QQQ")
    chosen = [tuple(model) for model in models]
    factors = _factors(store, chosen, clock=clock)
    own = index_series(store, index_id)
    lead = make_frame(store, own, [factors[name] for name in chosen[0]], clock=clock)
    row = event_row(lead.times_us, at_us=event.at_us)
    if row is None:
        raise NotEnoughDataError(
            f'event "{event.id}" lies outside the {len(lead.y)} intervals that {index_id} and '
            f"{', '.join(chosen[0])} share; import more history"
        )
    start_us, end_us = int(lead.starts_us[row]), int(lead.times_us[row])
    subjects = [own, *_siblings(store, index_id)]
    indices = [
        abnormal
        for subject in subjects
        for model in chosen
        for abnormal in _windows(store, subject, [factors[name] for name in model], event=event, windows=w, clock=clock)
    ]
    held = {row.asset: _token(store, row.asset) for row in read_constituents(store, index_id, start_us)}
    members = [
        _members(store, held, [factors[name] for name in model], event=event, windows=w, clock=clock)
        for model in chosen
    ]
    return EventStudy(
        index_id, event, lead.clock, lead.calendar, start_us, end_us, w.length, w.first, w.last, tuple(indices),
        tuple(members), policy_distance(parse_decisions(packaged_text("fomc.toml")), event.at_us), _notes(event),
    )  # fmt: skip


def _factors(store: Store, models: Sequence[Sequence[str]], *, clock: str) -> dict[str, Series]:
    interval = "1h" if clock in HOURLY_CLOCKS else "1d"
    return {name: benchmark_series(store, name, interval=interval) for model in models for name in model}


def _siblings(store: Store, index_id: str) -> list[Series]:
    siblings = []
    for row in read_indices(store):
        if row.id != index_id:
            try:
                siblings.append(index_series(store, row.id))
            except NotEnoughDataError:
                continue
    return siblings


def _windows(
    store: Store, subject: Series, factors: Sequence[Series], *, event: Event, windows: EventWindows, clock: str
) -> list[Abnormal]:
    """The subject in the window asked for, then in the usual ones, all with one estimation window."""
    spans = dict.fromkeys([(windows.first, windows.last), *WINDOWS])
    frame = make_frame(store, subject, factors, clock=clock)
    end = min(windows.end, min(first for first, _ in spans) - 1)
    rows = []
    for first, last in spans:
        rows.append(_abnormal(frame, EventWindows(first, last, windows.length, end), event=event)[0])
    return rows


def _token(store: Store, asset: str) -> Series | str:
    """The asset's rates, or why there are none."""
    try:
        return token_series(store, asset)
    except NotEnoughDataError as error:
        return str(error)


def _members(
    store: Store,
    held: Mapping[str, Series | str],
    factors: Sequence[Series],
    *,
    event: Event,
    windows: EventWindows,
    clock: str,
) -> MemberTests:
    names = tuple(factor.name for factor in factors)
    rows: list[Abnormal] = []
    results: list[EventResult] = []
    for asset, series in held.items():
        if isinstance(series, str):
            rows.append(_none(asset, names, windows, reason=series))
            continue
        frame = make_frame(store, series, factors, clock=clock)
        row, result = _abnormal(frame, windows, event=event, bootstrap=False)
        rows.append(row)
        results.append(result)
    tests = cross_section(results)
    z, p = _ranks(results)
    return MemberTests(names, tuple(rows), tests, z, p)


def _abnormal(
    frame: Frame, windows: EventWindows, *, event: Event, bootstrap: bool = True
) -> tuple[Abnormal, EventResult]:
    row = event_row(frame.times_us, at_us=event.at_us)
    if row is None:
        result = EventResult(0, reason="the event lies outside the intervals that the subject and its factors share")
    else:
        result = _counted(event_study(frame.y, frame.x, row=row, windows=windows), row=row, windows=windows)
    raw = None if row is None else _raw(frame, row, windows)
    p = block_bootstrap_p(result, seed=BOOTSTRAP_SEED) if bootstrap else None
    abnormal = Abnormal(
        frame.subject, frame.benchmarks, windows.first, windows.last, result.n_estimation, result.coef[1:], raw,
        result.ar, result.ar_sd, result.car, result.car_sd, result.car_low, result.car_high, result.t, result.p, p,
        result.reason,
    )  # fmt: skip
    return abnormal, result


def _counted(result: EventResult, *, row: int, windows: EventWindows) -> EventResult:
    """Estimation rows counted from the first row of the window: frames begin where their subject's life does."""
    if result.estimation_rows is None:
        return result
    return replace(result, estimation_rows=result.estimation_rows - (row + windows.end - windows.length + 1))


def _raw(frame: Frame, row: int, windows: EventWindows) -> float | None:
    span = frame.y[max(row + windows.first, 0) : row + windows.last + 1]
    whole = len(span) == windows.last - windows.first + 1 and bool(np.isfinite(span).all())
    return float(span.sum()) if whole else None


def _none(subject: str, factors: tuple[str, ...], windows: EventWindows, *, reason: str) -> Abnormal:
    return Abnormal(subject, factors, windows.first, windows.last, 0, (), None, (), (), *(None,) * 7, reason=reason)


def _ranks(results: Sequence[EventResult]) -> tuple[float | None, float | None]:
    """Corrado's test over the members that have a CAR, their estimation rows on one clock."""
    used = [result for result in results if result.car is not None]
    residuals = residual_table(used) if len(used) >= 3 else None
    if residuals is None:
        return None, None
    return rank_test(residuals, np.column_stack([result.ar for result in used]))


def _notes(event: Event) -> tuple[str, ...]:
    notes = [
        "members are those held when the interval began",
        "tokens share the day: read kolari_pynnonen, not t_cross",
    ]
    if event.precision == "day":
        notes.append("only the day of the event is known: the interval is the one that ends at or after its instant")
    return tuple(notes)


PATH_END = -11


@dataclass(frozen=True, slots=True)
class EventPath:
    """(T,) intervals about the event, their ends, and the cumulated return from the first: plain, abnormal, band."""

    subject: str
    factors: tuple[str, ...]
    step: I64
    times_us: I64
    raw: F64
    car: F64
    low: F64
    high: F64


def event_path(
    store: Store,
    subject: str,
    event: Event,
    *,
    factors: Sequence[str],
    first: int = -5,
    last: int = 20,
    length: int = 120,
) -> EventPath:
    """The path of a subject about an event at the exchange's closes. Raises NotEnoughDataError with the reason."""
    frame = make_frame(store, subject_series(store, subject), [benchmark_series(store, name) for name in factors])
    row = event_row(frame.times_us, at_us=event.at_us)
    if row is None:
        raise NotEnoughDataError(f'event "{event.id}" lies outside the returns that {subject} and its factors share')
    rows = []
    for step in range(first, last + 1):
        result = event_study(
            frame.y, frame.x, row=row, windows=EventWindows(first, step, length, min(PATH_END, first - 1))
        )
        if result.car is None:
            break
        raw = float(frame.y[row + first : row + step + 1].sum())
        rows.append((step, int(frame.times_us[row + step]), raw, result.car, result.car_low, result.car_high))
    if not rows:
        raise NotEnoughDataError(f"{subject} has no abnormal return about {event.id}: {result.reason}")
    columns = list(zip(*rows, strict=True))
    numbers = [np.array(column, dtype=np.float64) for column in columns[2:]]
    steps, times = (np.array(column, dtype=np.int64) for column in columns[:2])
    return EventPath(frame.subject, frame.benchmarks, steps, times, *numbers)
