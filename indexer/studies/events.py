"""Event studies on the stored history: the index, the other indices and the members of that day about a dated event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from indexer.analytics.align import HOURLY_CLOCKS, Clock
from indexer.analytics.event_study import (
    CONFIDENCE,
    CarTest,
    CrossSection,
    EventResult,
    EventWindows,
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
from indexer.analytics.linear import t_quantile
from indexer.arrays import F64, I64
from indexer.errors import InputError, NotEnoughDataError
from indexer.store.db import Store
from indexer.store.indices import read_indices
from indexer.store.rebalancings import read_constituents
from indexer.studies.catalogue import (
    Event,
    Overlap,
    PolicyDistance,
    find_event,
    load_events,
    other_events,
    policy_distance,
)
from indexer.studies.claims import CheckedClaim, check_claims
from indexer.studies.report.blocks import moment, number, percent
from indexer.studies.series import (
    INDEX,
    UNRATED,
    Frame,
    Series,
    benchmark_series,
    left_out,
    make_frame,
    sampled_index,
    sampled_tokens,
    sampling,
    subject_series,
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
MIN_MEMBERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Abnormal(CarTest):
    """One subject under one market model: betas to its factors, abnormal log returns and their sum with its error.

    `raw` is the plain log return over the event window; `exp(x) - 1` is any of them in percent. `p_bootstrap` draws
    blocks of estimation residuals, `p_holm` corrects `p` for all models and windows of this subject, `p_placebo` and
    the two after it are of days without an event (`Placebo`). `largest_ar` is the window's largest abnormal return, of
    the interval that ends at `largest_at`; `others` are the catalogue's other events in the window.
    """

    subject: str
    factors: tuple[str, ...]
    first: int
    last: int
    betas: tuple[float, ...] = ()
    raw: float | None = None
    p_bootstrap: float | None = None
    p_holm: float | None = None
    p_placebo: float | None = None
    n_placebo: int = 0
    placebo_rejects: float | None = None
    largest_ar: float | None = None
    largest_at_us: int | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTests(Placebo):
    """Tests over the members of that day under one model: they share the day, so read `kolari_pynnonen`.

    Placebo's fields are those of BMP among days without an event.
    """

    factors: tuple[str, ...]
    members: tuple[Abnormal, ...]
    tests: CrossSection
    rank_z: float | None
    rank_p: float | None


@dataclass(frozen=True, slots=True)
class EventStudy:
    """What an event did: by the hour (`path`), then at closes.

    `interval_start_us` and `interval_end_us` bound the interval that contains its begin. `indices` has a row for each
    index, model and window; `members` one block for each model over the window asked for. `overlaps` are the
    catalogue's other events in any of the windows, `claims` what was told of the event against the data, `policy` the
    distance to FOMC decisions.
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
    own = subject_series(store, index_id)
    about = _about(store, event, known, own, models=models, windows=windows, estimation=estimation, clock=clock)
    lead, row, w = about.lead, about.row, about.windows
    siblings, held = _beside(store, about) if own.kind == INDEX else ([], {})
    nearest, furthest = min(first for first, _ in about.spans), max(last for _, last in about.spans)
    absent = about.absent(own, max(row + nearest - 11 - w.length, 0), min(row + furthest, len(lead.y) - 1))
    return EventStudy(
        index_id, event, hourly_path(own, event), lead.clock, lead.calendar, int(lead.starts_us[row]),
        int(lead.times_us[row]), w.length, w.first, w.last,
        indices=tuple(tested for subject in (own, *siblings) for tested in about.index(subject)),
        members=tuple(about.members(held, model) for model in about.models) if held else (),
        overlaps=tuple(o for o in other_events(known.values(), event, lead.times_us) if nearest <= o.step <= furthest),
        claims=check_claims(store, event),
        policy=policy_distance(event.at_us),
        notes=(*absent, *NOTES, *((DAY_ONLY,) if event.precision == "day" else ())),
    )  # fmt: skip


def _beside(store: Store, about: _About) -> tuple[list[Series], dict[str, Series]]:
    """The other indices and the members when the event's interval began, at the instants of the clock."""
    index_id, began_us = about.lead.subject, int(about.lead.starts_us[about.row])
    instants = sampling(store, about.models, clock=about.lead.clock)
    others = (sampled_index(store, row.id, instants) for row in read_indices(store) if row.id != index_id)
    members = [member.asset for member in read_constituents(store, index_id, began_us)]
    held = sampled_tokens(store, members, instants, rules_of=index_id)
    return [series for series in others if len(series.times_us)], held


NOTES = (
    "members are those held when the interval began",
    "tokens share the day: read kolari_pynnonen, not t_cross",
    "p takes one variance for all days: read p_holm (number of tests) and p_placebo (days without an event)",
)
DAY_ONLY = "only the day of the event is known: the interval is the one that ends at or after its instant"


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


def _about(
    store: Store,
    event: Event,
    known: Mapping[str, Event],
    own: Series,
    *,
    models: Sequence[Sequence[str]],
    windows: EventWindows | None,
    estimation: int,
    clock: str,
) -> _About:
    """The factors, and where the event lies among the intervals that the subject shares with the first model's."""
    if not models or not all(models):
        raise InputError("name at least one factor, e.g. QQQ")
    interval = "1h" if clock in HOURLY_CLOCKS else "1d"
    factors = {name: benchmark_series(store, name, interval=interval) for model in models for name in model}
    lead = make_frame(store, own, [factors[name] for name in models[0]], clock=clock)
    row = event_row(lead.times_us, at_us=event.first_us)
    if row is None:
        raise NotEnoughDataError(
            f'event "{event.id}" lies outside the {len(lead.y)} intervals that {own.name} and '
            f"{', '.join(models[0])} share; import more history"
        )
    chosen = [[factors[name] for name in model] for model in models]
    return _About(store, event, known, windows or _windows_of(event, lead, estimation), lead, row, chosen)


@dataclass(frozen=True, slots=True)
class _About:
    """What every row of one study shares: the event among the others, the window asked for, and the models.

    `lead` is the frame of the subject and the first model, in which the event is `row`.
    """

    store: Store
    event: Event
    known: Mapping[str, Event]
    windows: EventWindows
    lead: Frame
    row: int
    models: Sequence[Sequence[Series]]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The window asked for, then the usual ones."""
        return list(dict.fromkeys([(self.windows.first, self.windows.last), *WINDOWS]))

    def absent(self, own: Series, first: int, last: int) -> tuple[str, ...]:
        """What is left out of the subject between two rows of the lead."""
        spans = left_out(own.left_out, start_us=int(self.lead.starts_us[first]), end_us=int(self.lead.times_us[last]))
        return (spans,) if spans else ()

    def index(self, subject: Series) -> list[Abnormal]:
        """A row for each model in the window asked for, then in the usual ones, all with one estimation window."""
        length, end = self.windows.length, min(self.windows.end, min(first for first, _ in self.spans) - 1)
        windows = [EventWindows(first, last, length, end) for first, last in self.spans]
        rows = [row for factors in self.models for row, _, _ in self.tested(subject, factors, windows, alone=True)]
        corrected = holm([row.p for row in rows])
        return [replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]

    def tested(
        self, subject: Series, factors: Sequence[Series], windows: Sequence[EventWindows], *, alone: bool
    ) -> Iterator[tuple[Abnormal, EventResult, F64]]:
        """The subject over each window, which share length and end, and the t of every interval of the lead.

        `alone` adds the bootstrap and placebo p.
        """
        frame = make_frame(self.store, subject, factors, clock=self.lead.clock)
        row = event_row(frame.times_us, at_us=self.event.first_us)
        overlaps = other_events(self.known.values(), self.event, frame.times_us)
        everyday = fit_every_row(frame.y, frame.x, length=windows[0].length, end=windows[0].end)
        for w in windows:
            named = Abnormal(subject=frame.subject, factors=frame.benchmarks, first=w.first, last=w.last)
            if row is None:
                reason = "the event lies outside the intervals that the subject and its factors share"
                yield replace(named, reason=reason), EventResult(reason=reason), everyday.s2
                continue
            result = event_study(frame.y, frame.x, row=row, windows=w)
            t = everyday.t(w.first, w.last)
            largest = int(np.argmax(np.abs(result.ar))) if result.ar else None
            inside = (overlap.id for overlap in overlaps if w.first <= overlap.step <= w.last)
            abnormal = replace(
                named,
                **{field.name: getattr(result, field.name) for field in fields(CarTest)},
                betas=result.coef[1:],
                raw=_raw(frame, row, w),
                largest_ar=None if largest is None else result.ar[largest],
                largest_at_us=None if largest is None else int(frame.times_us[row + w.first + largest]),
                others=tuple(dict.fromkeys(inside)),
            )
            if alone:
                quiet = quiet_rows(len(frame.y), [row + overlap.step for overlap in overlaps], row=row, windows=w)
                unusual = asdict(placebo(result.t, t[quiet], df=result.df or 1))
                abnormal = replace(abnormal, p_bootstrap=block_bootstrap_p(result, seed=BOOTSTRAP_SEED), **unusual)
            yield abnormal, result, _on(self.lead.times_us, frame, t)

    def members(self, held: Mapping[str, Series], factors: Sequence[Series]) -> MemberTests:
        """The members of that day, each alone and all together."""
        w, names = self.windows, tuple(factor.name for factor in factors)
        rows: list[Abnormal] = []
        results: list[EventResult] = []
        everyday: list[F64] = []
        for asset, series in held.items():
            if not len(series.times_us):
                rows.append(
                    Abnormal(subject=asset, factors=names, first=w.first, last=w.last, reason=f"{asset} {UNRATED}")
                )
                continue
            [(row, result, t)] = self.tested(series, factors, [w], alone=False)
            rows.append(row)
            results.append(result)
            if result.car is not None:
                everyday.append(t)
        tests = cross_section(results)
        rank_z, rank_p = _ranks(results)
        unusual = self._placebo_of_bmp(tests, everyday)
        return MemberTests(
            factors=names, members=tuple(rows), tests=tests, rank_z=rank_z, rank_p=rank_p, **asdict(unusual)
        )

    def _placebo_of_bmp(self, tests: CrossSection, everyday: Sequence[F64]) -> Placebo:
        """BMP over the same members on every day without an event."""
        if tests.bmp is None:
            return Placebo()
        t = np.column_stack(everyday)
        count = np.isfinite(t).sum(axis=1)
        mean = np.nansum(t, axis=1) / np.maximum(count, 1)
        spread = np.sqrt(np.nansum((t - mean[:, None]) ** 2, axis=1) / np.maximum(count - 1, 1))
        bmp, enough = np.full(len(t), np.nan), (count >= MIN_MEMBERS) & (spread > 0.0)
        bmp[enough] = mean[enough] / spread[enough] * np.sqrt(count[enough])
        overlaps = other_events(self.known.values(), self.event, self.lead.times_us)
        busy = [self.row + overlap.step for overlap in overlaps]
        quiet = quiet_rows(len(bmp), busy, row=self.row, windows=self.windows)
        return placebo(tests.bmp, bmp[quiet], df=tests.n - 1)


def _on(times_us: I64, frame: Frame, values: F64) -> F64:
    """A frame's values at these interval ends, NaN where it has no such row."""
    row = np.minimum(np.searchsorted(frame.times_us, times_us), len(frame.times_us) - 1)
    return np.where(frame.times_us[row] == times_us, values[row], np.nan)


def _raw(frame: Frame, row: int, windows: EventWindows) -> float | None:
    span = frame.y[max(row + windows.first, 0) : row + windows.last + 1]
    whole = len(span) == windows.last - windows.first + 1 and bool(np.isfinite(span).all())
    return float(span.sum()) if whole else None


def _ranks(results: Sequence[EventResult]) -> tuple[float | None, float | None]:
    """Corrado's test over the members that have a CAR, their estimation rows on one clock."""
    used = [result for result in results if result.car is not None]
    residuals = residual_table(used) if len(used) >= MIN_MEMBERS else None
    if residuals is None:
        return None, None
    return rank_test(residuals, np.column_stack([result.ar for result in used]))


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


def event_path(store: Store, subject: str, event: Event, *, factors: Sequence[str]) -> EventPath:
    """The path of a subject over the widest usual window, as far as its returns go, at the exchange's closes.

    Raises NotEnoughDataError with the reason.
    """
    frame = make_frame(store, subject_series(store, subject), [benchmark_series(store, name) for name in factors])
    row = event_row(frame.times_us, at_us=event.first_us)
    if row is None:
        raise NotEnoughDataError(f'event "{event.id}" lies outside the returns that {subject} and its factors share')
    first, last = WINDOWS[-1]
    begin = max(row + first, 0)
    broken = np.flatnonzero(~np.append(frame.complete[begin : row + last + 1], False))
    last = max(first + int(broken[0]) - 1, first)
    result = event_study(frame.y, frame.x, row=row, windows=EventWindows(first, last))
    if result.path_sd is None or result.df is None:
        raise NotEnoughDataError(f"{subject} has no abnormal return about {event.id}: {result.reason}")
    car, half = np.cumsum(result.ar), t_quantile(result.df, 0.5 + CONFIDENCE / 2.0) * result.path_sd
    rows = slice(begin, row + last + 1)
    raw = np.cumsum(frame.y[rows])
    steps = np.arange(first, last + 1)
    return EventPath(frame.subject, frame.benchmarks, steps, frame.times_us[rows], raw, car, car - half, car + half)
