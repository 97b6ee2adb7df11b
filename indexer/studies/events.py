"""Event studies on the stored history: the index, its sub-indices and the members of that day about a dated event.

Place in the flow: the event catalogue and frames → `analytics.event_study`, its cross-sectional tests and placebos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
    EveryRow,
    Placebo,
    block_bootstrap_p,
    cross_section,
    event_row,
    event_study,
    fit_every_row,
    holm,
    placebo,
    quiet_rows,
    rank_test,
    residual_table,
)
from indexer.arrays import F64, I64
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.db import Store
from indexer.store.indices import read_indices
from indexer.store.rebalancings import read_constituents
from indexer.studies.catalogue import Overlap, load_events, other_events
from indexer.studies.claims import CheckedClaim, check_claims
from indexer.studies.report.blocks import moment, number, percent
from indexer.studies.series import (
    INDEX,
    Frame,
    Series,
    benchmark_series,
    index_series,
    left_out,
    make_frame,
    subject_series,
    token_series,
)
from indexer.times import DAY_US, HOUR_US


@dataclass(frozen=True, slots=True)
class Hour:
    """A level and the simple return to it since the event's begin."""

    time_us: int
    level: float
    change: float


@dataclass(frozen=True, slots=True)
class HourlyPath:
    """The last level before the event, the one furthest from it, the last one of the window, and every hour between.

    An event without a window of its own is followed for a day.
    """

    subject: str
    start_us: int
    start_level: float
    furthest: Hour
    last: Hour
    statement: str
    hours: tuple[Hour, ...]


def hourly_path(series: Series, event: Event) -> HourlyPath | None:
    """The path of a series by the hour; None where it has no level within an hour before the event, or none after."""
    until_us = event.until_us if event.until_us > event.at_us else event.at_us + DAY_US
    row = int(np.searchsorted(series.times_us, event.at_us, side="right")) - 1
    if row < 0 or event.at_us - int(series.times_us[row]) > HOUR_US:
        return None
    start_us, start = int(series.times_us[row]), float(series.values[row])
    inside = np.flatnonzero((series.times_us > start_us) & (series.times_us <= until_us))
    hours = tuple(Hour(int(series.times_us[n]), v := float(series.values[n]), v / start - 1.0) for n in inside)
    if not hours:
        return None
    # A halving and a doubling are equally far.
    furthest = max(hours, key=lambda hour: abs(np.log(hour.level / start)))
    statement = (
        f"By the hour: {series.name} went from {number(start, 1)} ({moment(start_us)}) to {number(furthest.level, 1)} "
        f"({moment(furthest.time_us)}), {percent(furthest.change)}, and stood at {number(hours[-1].level, 1)} "
        f"({moment(hours[-1].time_us)}), {percent(hours[-1].change)}"
    )
    return HourlyPath(series.name, start_us, start, furthest, hours[-1], statement, hours)


BOOTSTRAP_SEED = 20_250_127
# Event windows read beside the one asked for, in intervals of the clock.
WINDOWS = ((0, 0), (0, 1), (-1, 5), (-5, 20))
ONE_FACTOR, TWO_FACTORS = ("QQQ",), ("QQQ", "btc")
TESTED = (
    "n_estimation", "ar", "ar_sd", "car", "car_sd", "car_low", "car_high", "t", "p", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Abnormal:
    """One subject under one market model: betas to its factors, abnormal log returns and their sum with its error.

    `raw` is the plain log return over the event window; `exp(x) - 1` is any of them in percent. `p_bootstrap` draws
    blocks of estimation residuals, `p_holm` corrects `p` for all models and windows of this subject, `p_placebo` is
    the share of days without an event with a |t| as large: of `n_placebo` days `p` calls `placebo_rejects` significant
    at 5 %. `largest_ar` is the window's largest abnormal return, of the interval that ends at `largest_at`; `others`
    are the catalogue's other events in the window.
    """

    subject: str
    factors: tuple[str, ...]
    first: int
    last: int
    n_estimation: int = 0
    betas: tuple[float, ...] = ()
    raw: float | None = None
    ar: tuple[float, ...] = ()
    ar_sd: tuple[float, ...] = ()
    car: float | None = None
    car_sd: float | None = None
    car_low: float | None = None
    car_high: float | None = None
    t: float | None = None
    p: float | None = None
    p_bootstrap: float | None = None
    p_holm: float | None = None
    p_placebo: float | None = None
    n_placebo: int = 0
    placebo_rejects: float | None = None
    largest_ar: float | None = None
    largest_at_us: int | None = None
    others: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class MemberTests:
    """Tests over the members of that day under one model: they share the day, so read `kolari_pynnonen`.

    `p_placebo` is that of BMP among `n_placebo` days without an event, of which BMP's own p calls `placebo_rejects`
    significant at 5 %.
    """

    factors: tuple[str, ...]
    members: tuple[Abnormal, ...]
    tests: CrossSection
    rank_z: float | None
    rank_p: float | None
    p_placebo: float | None
    n_placebo: int
    placebo_rejects: float | None


@dataclass(frozen=True, slots=True)
class EventStudy:
    """What an event did: by the hour (`path`), then at closes. `interval_start_us` and `interval_end_us` bound the

    interval that contains its begin. `indices` has a row for each index, model and window; `members` one block for
    each model over the window asked for. `overlaps` are the catalogue's other events in any of the windows, `claims`
    what was told of the event against the data, `policy` the distance to FOMC decisions.
    """

    index_id: str
    event: Event
    path: HourlyPath | None
    clock: str
    calendar: str
    interval_start_us: int
    interval_end_us: int
    estimation: int
    first: int
    last: int
    indices: tuple[Abnormal, ...]
    members: tuple[MemberTests, ...]
    overlaps: tuple[Overlap, ...]
    claims: tuple[CheckedClaim, ...]
    policy: PolicyDistance
    notes: tuple[str, ...]


def study_event(
    store: Store,
    index_id: str,
    event: str | Event,
    *,
    events: dict[str, Event] | None = None,
    models: Sequence[Sequence[str]] = (ONE_FACTOR, TWO_FACTORS),
    windows: EventWindows | None = None,
    estimation: int = 120,
    clock: str = Clock.AT_CLOSE,
) -> EventStudy:
    """The event study of an index, of the other indices, and of the members that the index had on that day.

    `event` is an id of the catalogue, or one's own (`catalogue.event_at` makes one of any date). Each model is a list
    of benchmarks or tokens. Without `windows`, [-1, +5] about the close; on an hourly clock, whose factors must have
    hourly bars, from the event's begin to its end; each after `estimation` intervals. Raises NotFoundError for an
    unknown name and NotEnoughDataError when the event lies outside the data.
    """
    known = load_events(store) if events is None else events
    event = find_event(known, event) if isinstance(event, str) else event
    if not models or not all(models):
        raise InputError("name at least one factor, e.g. QQQ")
    chosen = [tuple(model) for model in models]
    factors = _factors(store, chosen, clock=clock)
    own = subject_series(store, index_id)
    lead = make_frame(store, own, [factors[name] for name in chosen[0]], clock=clock)
    row = event_row(lead.times_us, at_us=event.first_us)
    if row is None:
        raise NotEnoughDataError(
            f'event "{event.id}" lies outside the {len(lead.y)} intervals that {index_id} and '
            f"{', '.join(chosen[0])} share; import more history"
        )
    about = _About(store, event, tuple(known.values()), windows or _windows_of(event, lead, estimation), clock)
    siblings = _siblings(store, index_id) if own.kind == INDEX else []
    models_of = [[factors[name] for name in model] for model in chosen]
    indices = [row for subject in (own, *siblings) for row in about.index(subject, models_of)]
    start_us = int(lead.starts_us[row])
    members = read_constituents(store, index_id, start_us) if own.kind == INDEX else []
    held = {row.asset: _token(store, row.asset, rules_of=index_id) for row in members}
    w = about.windows
    spans = [(w.first, w.last), *WINDOWS]
    nearest, furthest = min(first for first, _ in spans), max(last for _, last in spans)
    used = max(row + nearest - 11 - w.length, 0), min(row + furthest, len(lead.y) - 1)
    absent = left_out(own.left_out, start_us=int(lead.starts_us[used[0]]), end_us=int(lead.times_us[used[1]]))
    return EventStudy(
        index_id=index_id,
        event=event,
        path=hourly_path(own, event),
        clock=lead.clock,
        calendar=lead.calendar,
        interval_start_us=start_us,
        interval_end_us=int(lead.times_us[row]),
        estimation=w.length,
        first=w.first,
        last=w.last,
        indices=tuple(indices),
        members=tuple(about.members(held, model, lead) for model in models_of) if held else (),
        overlaps=tuple(o for o in about.overlaps(lead) if nearest <= o.step <= furthest),
        claims=check_claims(store, event),
        policy=policy_distance(parse_decisions(packaged_text("fomc.toml")), event.at_us),
        notes=(*([absent] if absent else []), *_notes(event)),
    )


def windows_asked(first: int | None, last: int | None, estimation: int) -> EventWindows | None:
    """The window that was asked for, its estimation 11 intervals or more before it; None where none was."""
    if first is None and last is None:
        return None
    begin, end = -1 if first is None else first, 5 if last is None else last
    return EventWindows(begin, end, estimation, min(begin - 10, -11))


def _windows_of(event: Event, lead: Frame, estimation: int) -> EventWindows:
    """The usual window at closes; by the hour the event's own, from the first whole hour after its begin."""
    first, last = (event_row(lead.times_us, at_us=at) for at in (event.first_us, max(event.first_us, event.until_us)))
    if lead.clock not in HOURLY_CLOCKS or first is None or last is None or last == first:
        return EventWindows(length=estimation)
    return EventWindows(1, last - first, estimation)


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


def _token(store: Store, asset: str, *, rules_of: str) -> Series | str:
    """The asset's rates, or why there are none."""
    try:
        return token_series(store, asset, rules_of=rules_of)
    except NotEnoughDataError as error:
        return str(error)


@dataclass(frozen=True, slots=True)
class _About:
    """What every row of one study shares: the event among the others, the window asked for, and the clock."""

    store: Store
    event: Event
    known: tuple[Event, ...]
    windows: EventWindows
    clock: str

    def overlaps(self, frame: Frame) -> list[Overlap]:
        return other_events(self.known, self.event, frame.times_us)

    def index(self, subject: Series, models: Sequence[Sequence[Series]]) -> list[Abnormal]:
        """A row for each model in the window asked for, then in the usual ones, all with one estimation window."""
        w = self.windows
        spans = dict.fromkeys([(w.first, w.last), *WINDOWS])
        end = min(w.end, min(first for first, _ in spans) - 1)
        rows = []
        for factors in models:
            frame = make_frame(self.store, subject, factors, clock=self.clock)
            everyday = fit_every_row(frame.y, frame.x, length=w.length, end=end)
            rows += [self.tested(frame, EventWindows(first, last, w.length, end), everyday)[0] for first, last in spans]
        corrected = holm([row.p for row in rows])
        return [replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]

    def tested(self, frame: Frame, w: EventWindows, everyday: EveryRow | None = None) -> tuple[Abnormal, EventResult]:
        """The subject of a frame over one window; with `everyday` also its bootstrap and placebo p."""
        row = event_row(frame.times_us, at_us=self.event.first_us)
        subject = Abnormal(frame.subject, frame.benchmarks, w.first, w.last)
        if row is None:
            result = EventResult(
                0, reason="the event lies outside the intervals that the subject and its factors share"
            )
            return replace(subject, reason=result.reason), result
        result = _counted(event_study(frame.y, frame.x, row=row, windows=w), row=row, windows=w)
        overlaps = self.overlaps(frame)
        inside = [overlap for overlap in overlaps if w.first <= overlap.step <= w.last]
        largest = int(np.argmax(np.abs(result.ar))) if result.ar else None
        abnormal = replace(
            subject,
            **{name: getattr(result, name) for name in TESTED},
            betas=result.coef[1:],
            raw=_raw(frame, row, w),
            largest_ar=None if largest is None else result.ar[largest],
            largest_at_us=None if largest is None else int(frame.times_us[row + w.first + largest]),
            others=tuple(dict.fromkeys(overlap.id for overlap in inside)),
        )
        if everyday is None:
            return abnormal, result
        quiet = quiet_rows(len(frame.y), [row + overlap.step for overlap in overlaps], row=row, windows=w)
        unusual = placebo(result.t, everyday.t(w.first, w.last)[quiet], df=result.df or 1)
        numbers = _placebo_numbers(unusual)
        return replace(abnormal, p_bootstrap=block_bootstrap_p(result, seed=BOOTSTRAP_SEED), **numbers), result

    def members(self, held: Mapping[str, Series | str], factors: Sequence[Series], lead: Frame) -> MemberTests:
        """The members of that day, each alone and all together."""
        names = tuple(factor.name for factor in factors)
        rows: list[Abnormal] = []
        results: list[EventResult] = []
        everyday: list[F64] = []
        for asset, series in held.items():
            if isinstance(series, str):
                rows.append(Abnormal(asset, names, self.windows.first, self.windows.last, reason=series))
                continue
            frame = make_frame(self.store, series, factors, clock=self.clock)
            row, result = self.tested(frame, self.windows)
            rows.append(row)
            results.append(result)
            if result.car is not None:
                w = self.windows
                t = fit_every_row(frame.y, frame.x, length=w.length, end=w.end).t(w.first, w.last)
                everyday.append(_on(lead.times_us, frame, t))
        tests = cross_section(results)
        unusual = self._placebo_of_bmp(tests, everyday, lead)
        return MemberTests(names, tuple(rows), tests, *_ranks(results), **_placebo_numbers(unusual))

    def _placebo_of_bmp(self, tests: CrossSection, everyday: Sequence[F64], lead: Frame) -> Placebo | None:
        """BMP over the same members on every day without an event."""
        row = event_row(lead.times_us, at_us=self.event.first_us)
        if tests.bmp is None or row is None:
            return None
        t = np.column_stack(everyday)
        count = np.isfinite(t).sum(axis=1)
        mean = np.nansum(t, axis=1) / np.maximum(count, 1)
        spread = np.sqrt(np.nansum((t - mean[:, None]) ** 2, axis=1) / np.maximum(count - 1, 1))
        bmp, enough = np.full(len(t), np.nan), (count >= MIN_MEMBERS) & (spread > 0.0)
        bmp[enough] = mean[enough] / spread[enough] * np.sqrt(count[enough])
        busy = [row + overlap.step for overlap in self.overlaps(lead)]
        quiet = quiet_rows(len(lead.y), busy, row=row, windows=self.windows)
        return placebo(tests.bmp, bmp[quiet], df=tests.n - 1)


MIN_MEMBERS = 3


def _on(times_us: I64, frame: Frame, values: F64) -> F64:
    """A frame's values at these interval ends, NaN where it has no such row."""
    row = np.minimum(np.searchsorted(frame.times_us, times_us), len(frame.times_us) - 1)
    return np.where(frame.times_us[row] == times_us, values[row], np.nan)


def _placebo_numbers(unusual: Placebo | None) -> dict[str, Any]:
    if unusual is None:
        return {"p_placebo": None, "n_placebo": 0, "placebo_rejects": None}
    return {"p_placebo": unusual.p, "n_placebo": unusual.n, "placebo_rejects": unusual.rejects}


def _counted(result: EventResult, *, row: int, windows: EventWindows) -> EventResult:
    """Estimation rows counted from the first row of the window: frames begin where their subject's life does."""
    if result.estimation_rows is None:
        return result
    return replace(result, estimation_rows=result.estimation_rows - (row + windows.end - windows.length + 1))


def _raw(frame: Frame, row: int, windows: EventWindows) -> float | None:
    span = frame.y[max(row + windows.first, 0) : row + windows.last + 1]
    whole = len(span) == windows.last - windows.first + 1 and bool(np.isfinite(span).all())
    return float(span.sum()) if whole else None


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
        "p takes one variance for all days: read p_holm (number of tests) and p_placebo (days without an event)",
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
) -> EventPath:
    """The path of a subject about an event at the exchange's closes. Raises NotEnoughDataError with the reason."""
    frame = make_frame(store, subject_series(store, subject), [benchmark_series(store, name) for name in factors])
    row = event_row(frame.times_us, at_us=event.first_us)
    if row is None:
        raise NotEnoughDataError(f'event "{event.id}" lies outside the returns that {subject} and its factors share')
    rows = []
    first, last = WINDOWS[-1]
    for step in range(first, last + 1):
        result = event_study(frame.y, frame.x, row=row, windows=EventWindows(first, step, end=min(PATH_END, first - 1)))
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
