"""Many subjects beside many benchmarks: at the close, by the naive date join, and by daily bars with Dimson."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.analytics.align import Clock
from indexer.analytics.beta_variants import Prior, ShrunkBeta, blume_beta, cross_section_prior, vasicek_beta
from indexer.arrays import I64
from indexer.errors import NotEnoughDataError
from indexer.store.db import Store
from indexer.store.read import read_constituents
from indexer.studies.beta import DEFAULT_SESSIONS, past, windowed_beta
from indexer.studies.methods import Estimate
from indexer.studies.series import (
    Frame,
    Series,
    benchmark_series,
    index_series,
    make_frame,
    subject_series,
    token_series,
)
from indexer.times import DAY_US

# How each column of a comparison is made: (name, clock, method).
WAYS = (
    ("at_close", Clock.AT_CLOSE, "ols"),
    ("date_join", Clock.DATE_JOIN, "ols"),
    ("daily_dimson", Clock.DAILY_UTC, "dimson"),
)
ALL_WAYS = tuple(name for name, _, _ in WAYS)


@dataclass(frozen=True, slots=True)
class ComparedBeta:
    """One cell: a subject, a benchmark and a way of pairing. `naive` marks the date join, which is biased.

    `reason` says why there is no estimate; `first_us` and `last_us` bound the returns used.
    """

    subject: str
    benchmark: str
    way: str
    naive: bool
    n: int
    beta: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    r2: float | None
    first_us: int | None
    last_us: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class BetaComparison:
    """Rows by subject, benchmark and way. `sessions` None means the whole common history."""

    sessions: int | None
    end_us: int | None
    rows: tuple[ComparedBeta, ...]


@dataclass(frozen=True, slots=True)
class ConstituentBeta:
    """A constituent's beta at the close, Blume's and Vasicek's shrunk ones; `reason` says what is missing."""

    asset: str
    symbol: str
    sub_sector: str
    weight: float | None
    n: int
    beta: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    r2: float | None
    blume: float | None
    vasicek: ShrunkBeta | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ConstituentBetas:
    """Every constituent at an instant beside one benchmark; `prior` is the cross-section they are shrunk to."""

    index_id: str
    benchmark: str
    sessions: int
    at_us: int
    prior: Prior | None
    rows: tuple[ConstituentBeta, ...]


def compare_betas(
    store: Store,
    subjects: Sequence[str],
    benchmarks: Sequence[str],
    *,
    sessions: int | None = DEFAULT_SESSIONS,
    end_us: int | None = None,
    ways: Sequence[str] = ALL_WAYS,
) -> BetaComparison:
    """Each subject's beta to each benchmark, in each way. A cell that cannot be had carries its reason instead.

    The ways are compared over the same sessions: from the first to the last day that all of them have. Raises
    NotFoundError for an unknown name: only a lack of data becomes a reason.
    """
    owns = [subject_series(store, name) for name in subjects]
    others = [benchmark_series(store, name) for name in benchmarks]
    chosen = [way for way in WAYS if way[0] in ways]
    rows = [
        _cell(frame, way=way, sessions=sessions)
        for own in owns
        for other in others
        for frame, way in zip(_frames(store, own, other, ways=chosen, end_us=end_us), chosen, strict=True)
    ]
    return BetaComparison(sessions, end_us, tuple(rows))


def constituent_betas(
    store: Store, index_id: str, benchmark: str = "QQQ", *, sessions: int = 250, end_us: int | None = None
) -> ConstituentBetas:
    """Betas of the constituents at `end_us` (the newest level when None), shrunk to their own cross-section.

    Raises NotFoundError for an unknown name or an instant before the index's base.
    """
    at_us = end_us if end_us is not None else int(index_series(store, index_id).times_us[-1])
    other = benchmark_series(store, benchmark)
    held = read_constituents(store, index_id, at_us)
    fits: list[Estimate | str] = []
    for row in held:
        try:
            frame = make_frame(store, token_series(store, row.asset), [other])
            fits.append(windowed_beta(frame, sessions=sessions, end_us=at_us).estimate)
        except NotEnoughDataError as error:
            fits.append(str(error))
    known = [fit.beta for fit in fits if isinstance(fit, Estimate) and fit.beta is not None]
    prior = cross_section_prior(known) if len(known) >= 3 else None
    rows = [
        _constituent((row.asset, row.symbol, row.sub_sector, row.weight), fit, prior=prior)
        for row, fit in zip(held, fits, strict=True)
    ]
    return ConstituentBetas(index_id, other.name, sessions, at_us, prior, tuple(rows))


def _frames(
    store: Store, own: Series, other: Series, *, ways: Sequence[tuple[str, str, str]], end_us: int | None
) -> list[Frame]:
    """One frame for each way, all cut to the days that every way with data has."""
    frames = []
    for _, clock, _ in ways:
        # Daily bars of a session end at the midnight after it.
        end = end_us if end_us is None or clock == Clock.AT_CLOSE else end_us // DAY_US * DAY_US
        frames.append(make_frame(store, own, [other], clock=clock).between(None, past(end)))
    spans = [_days(frame)[frame.complete][[0, -1]] for frame in frames if frame.pairs]
    if not spans:
        return frames
    first, last = max(span[0] for span in spans), min(span[1] for span in spans)
    return [frame.rows((_days(frame) >= first) & (_days(frame) <= last)) for frame in frames]


def _days(frame: Frame) -> I64:
    """(T,) the day that each interval belongs to: the one that holds its last instant."""
    days: I64 = (frame.times_us - 1) // DAY_US
    return days


def _cell(frame: Frame, *, way: tuple[str, str, str], sessions: int | None) -> ComparedBeta:
    name, _, method = way
    subject, benchmark = frame.subject, frame.benchmarks[0]
    try:
        beta = windowed_beta(frame, method=method, sessions=sessions)
    except NotEnoughDataError as error:
        return ComparedBeta(subject, benchmark, name, frame.naive, 0, *(None,) * 7, reason=str(error))
    e = beta.estimate
    return ComparedBeta(
        subject, benchmark, name, frame.naive, e.n, e.beta, e.se, e.ci_low, e.ci_high, e.r2,
        beta.first_us, beta.last_us, e.reason,
    )  # fmt: skip


def _constituent(
    row: tuple[str, str, str, float | None], fit: Estimate | str, *, prior: Prior | None
) -> ConstituentBeta:
    if isinstance(fit, str):
        return ConstituentBeta(*row, 0, *(None,) * 7, reason=fit)
    shrunk = None
    if prior is not None and fit.beta is not None and fit.se is not None:
        shrunk = vasicek_beta(fit.beta, fit.se, prior=prior)
    blume = None if fit.beta is None else blume_beta(fit.beta)
    return ConstituentBeta(*row, fit.n, fit.beta, fit.se, fit.ci_low, fit.ci_high, fit.r2, blume, shrunk, fit.reason)
