"""Many subjects beside many benchmarks: at the close, by the naive date join, and by daily bars with Dimson."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from indexer.analytics.align import Clock
from indexer.analytics.beta_variants import Prior, ShrunkBeta, cross_section_prior, vasicek_beta
from indexer.arrays import I64
from indexer.errors import NotEnoughDataError
from indexer.store.db import Store
from indexer.store.rebalancings import read_constituents
from indexer.studies.beta import DEFAULT_SESSIONS, IndexBeta, past, windowed_beta
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


@dataclass(frozen=True, slots=True)
class BetaRow:
    """A beta among others: `reason` says why there is none, and the sessions say which returns were used."""

    n: int = 0
    beta: float | None = None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    r2: float | None = None
    first_session_us: int | None = None
    last_session_us: int | None = None
    stale_days: int | None = None
    reason: str | None = None


def beta_numbers(fit: IndexBeta) -> dict[str, Any]:
    """The fields of a BetaRow."""
    span = {"first_session_us": fit.first_session_us, "last_session_us": fit.last_us, "stale_days": fit.stale_days}
    numbers = ("n", "beta", "se", "ci_low", "ci_high", "r2", "reason")
    return span | {name: getattr(fit.estimate, name) for name in numbers}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedBeta(BetaRow):
    """One cell: a subject, a benchmark and a way of pairing. `naive` marks the date join, which is biased.

    `first_us` is where the first return starts and `last_us` where the last one ends.
    """

    subject: str
    benchmark: str
    way: str
    naive: bool
    first_us: int | None = None
    last_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstituentBeta(BetaRow):
    """A constituent's beta at the close, Blume's and Vasicek's shrunk ones; `reason` says what is missing."""

    asset: str
    symbol: str
    sub_sector: str
    weight: float | None
    blume: float | None = None
    vasicek: ShrunkBeta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spanned:
    """The sessions from the first to the last of all rows; of `n` the largest, of `stale_days` the least."""

    first_session_us: int | None
    last_session_us: int | None
    n: int
    stale_days: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaComparison(Spanned):
    """Rows by subject, benchmark and way. `sessions` None means the whole common history."""

    sessions: int | None
    end_us: int | None
    rows: tuple[ComparedBeta, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstituentBetas(Spanned):
    """Every constituent at an instant beside one benchmark; `prior` is the cross-section they are shrunk to."""

    index_id: str
    benchmark: str
    sessions: int
    at_us: int
    prior: Prior | None
    rows: tuple[ConstituentBeta, ...]


def _span(rows: Sequence[BetaRow]) -> dict[str, Any]:
    names = ("first_session_us", "last_session_us", "n", "stale_days")
    known = {name: [value for row in rows if (value := getattr(row, name)) is not None] for name in names}
    ends = zip(names, (min, max, max, min), (None, None, 0, None), strict=True)
    return {name: end(known[name], default=none) for name, end, none in ends}


def compare_betas(
    store: Store,
    subjects: Sequence[str],
    benchmarks: Sequence[str],
    *,
    sessions: int | None = DEFAULT_SESSIONS,
    end_us: int | None = None,
) -> BetaComparison:
    """Each subject's beta to each benchmark, in each way. A cell that cannot be had carries its reason instead.

    The ways are compared over the same sessions: from the first to the last day that all of them have. Raises
    NotFoundError for an unknown name: only a lack of data becomes a reason.
    """
    owns = [subject_series(store, name) for name in subjects]
    others = [benchmark_series(store, name) for name in benchmarks]
    rows = [
        _cell(frame, way=way, sessions=sessions)
        for own in owns
        for other in others
        for frame, way in zip(_frames(store, own, other, end_us=end_us), WAYS, strict=True)
    ]
    return BetaComparison(sessions=sessions, end_us=end_us, rows=tuple(rows), **_span(rows))


def constituent_betas(
    store: Store, index_id: str, benchmark: str = "QQQ", *, sessions: int = 250, end_us: int | None = None
) -> ConstituentBetas:
    """Betas of the constituents at `end_us` (the newest level when None), shrunk to their own cross-section.

    Raises NotFoundError for an unknown name or an instant before the index's base.
    """
    newest_us = index_series(store, index_id).newest_us or 0
    at_us = end_us if end_us is not None else newest_us
    other = benchmark_series(store, benchmark)
    held = read_constituents(store, index_id, at_us)
    rows = []
    for row in held:
        about: dict[str, Any] = {name: getattr(row, name) for name in ("asset", "symbol", "sub_sector", "weight")}
        try:
            frame = make_frame(store, token_series(store, row.asset, rules_of=index_id), [other])
            # A member's beta is as old as it is to the index, which may have ended before the token's prices.
            fit = windowed_beta(replace(frame, newest_us=newest_us), sessions=sessions, end_us=at_us)
            rows.append(ConstituentBeta(**about, **beta_numbers(fit), blume=fit.blume))
        except NotEnoughDataError as error:
            rows.append(ConstituentBeta(**about, reason=str(error)))
    known = [row.beta for row in rows if row.beta is not None]
    prior = cross_section_prior(known) if len(known) >= 3 else None
    shrunk = tuple(_shrunk(row, prior) for row in rows)
    return ConstituentBetas(
        index_id=index_id, benchmark=other.name, sessions=sessions, at_us=at_us, prior=prior, rows=shrunk, **_span(rows)
    )


def _shrunk(row: ConstituentBeta, prior: Prior | None) -> ConstituentBeta:
    if prior is None or row.beta is None or row.se is None:
        return row
    return replace(row, vasicek=vasicek_beta(row.beta, row.se, prior=prior))


def _frames(store: Store, own: Series, other: Series, *, end_us: int | None) -> list[Frame]:
    """One frame for each way, all cut to the days that every way with data has."""
    frames = []
    for _, clock, _ in WAYS:
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
    cell: dict[str, Any] = {"subject": frame.subject, "benchmark": frame.benchmarks[0], "way": name}
    try:
        beta = windowed_beta(frame, method=method, sessions=sessions)
    except NotEnoughDataError as error:
        return ComparedBeta(**cell, naive=frame.naive, reason=str(error))
    return ComparedBeta(**cell, naive=frame.naive, **beta_numbers(beta), first_us=beta.first_us, last_us=beta.last_us)
