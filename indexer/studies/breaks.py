"""Did the relation to a benchmark change at an event: breaks, two betas, two correlations, and a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.analytics.align import Clock
from indexer.analytics.breaks import (
    ChowTest,
    CorrelationShift,
    Regime,
    RegimeRow,
    beta_difference,
    chow_test,
    correlation_shift,
    cusum_ols,
    regime_table,
    sup_f,
)
from indexer.errors import NotEnoughDataError
from indexer.store.db import Store
from indexer.studies.report.blocks import p_value
from indexer.studies.series import Frame, benchmark_series, make_frame, subject_series
from indexer.times import from_us, iso

MIN_SIDE = 30
DEFAULT_SIDE = 250
SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class UnknownBreak:
    """Quandt-Andrews test over a span. `at_us` is the first interval end of the second regime where F is largest.

    `level` is the smallest of 0.10, 0.05, 0.01 at which stability is rejected; None: it is not.
    """

    first_us: int | None
    last_us: int | None
    n: int
    f: float | None
    sup_wald: float | None
    critical: tuple[float, ...]
    level: float | None
    at_us: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class BreakStudy:
    """Before and after one instant, beside a benchmark, at most `sessions` returns on each side.

    `chow` and `cusum` are over both sides together, `unknown` too; `unknown_whole` over all common history.
    `z` and `p` compare the two betas; `shift` the correlations, corrected for the change in volatility.
    """

    subject: str
    benchmark: str
    clock: str
    calendar: str
    at_us: int
    sessions: int
    first_session_us: int
    last_session_us: int
    n: int
    stale_days: int
    regimes: tuple[RegimeRow, ...]
    z: float | None
    p: float | None
    chow: ChowTest
    unknown: UnknownBreak
    unknown_whole: UnknownBreak
    cusum_stat: float | None
    cusum_p: float | None
    cusum_at_us: int | None
    shift: CorrelationShift
    verdict: str
    reasons: tuple[str, ...]


def study_breaks(
    store: Store,
    subject: str,
    benchmark: str = "QQQ",
    *,
    at_us: int,
    sessions: int = DEFAULT_SIDE,
    clock: str = Clock.AT_CLOSE,
) -> BreakStudy:
    """Whether the subject's beta to the benchmark changed at an instant chosen beforehand, and whether anywhere.

    The interval that contains the instant opens the second side. Raises NotFoundError for an unknown name and
    NotEnoughDataError with fewer than 30 returns on a side.
    """
    frame = make_frame(store, subject_series(store, subject), [benchmark_series(store, benchmark)], clock=clock)
    whole = frame.rows(np.flatnonzero(frame.complete))
    row = int(np.searchsorted(whole.times_us, at_us))
    sides = (row, len(whole.y) - row)
    if min(sides) < MIN_SIDE:
        raise NotEnoughDataError(
            f"{subject} and {benchmark} have {sides[0]} returns before {iso(at_us)} and {sides[1]} from it on; "
            f"{MIN_SIDE} are needed on each side"
        )
    start, stop = max(row - sessions, 0), min(row + sessions, len(whole.y))
    span = whole.rows(np.arange(start, stop))
    split = row - start
    x, y = span.x[:, 0], span.y
    regimes = _regimes(span, split)
    z, p = beta_difference(regimes[0].beta, regimes[1].beta) or (None, None)
    cusum = cusum_ols(x, y)
    known = chow_test(x, y, row=split)
    unknown = _unknown(span)
    shift = correlation_shift(x, y, row=split)
    verdict = _verdict(regimes, p=p, chow=known, unknown=unknown, shift=shift)
    return BreakStudy(
        frame.subject, frame.benchmarks[0], frame.clock, frame.calendar, int(whole.times_us[row]), sessions,
        int(span.times_us[0]), int(span.times_us[-1]), len(y), span.stale_days,
        tuple(regimes), z, p, known, unknown, _unknown(whole), cusum.stat, cusum.p,
        None if cusum.row is None else int(span.times_us[cusum.row]), shift, verdict, frame.reasons,
    )  # fmt: skip


def _regimes(span: Frame, split: int) -> list[RegimeRow]:
    cut, end = int(span.times_us[split]), int(span.times_us[-1]) + 1
    regimes = [Regime("before", int(span.times_us[0]), cut), Regime("after", cut, end)]
    return regime_table(
        span.x[:, 0], span.y, times_us=span.times_us, regimes=regimes, periods_per_year=span.periods_per_year
    )


def _unknown(frame: Frame) -> UnknownBreak:
    test = sup_f(frame.x[:, 0], frame.y)
    at = None if test.row is None else int(frame.times_us[test.row])
    first, last = (int(frame.starts_us[0]), int(frame.times_us[-1])) if len(frame.y) else (None, None)
    return UnknownBreak(first, last, test.n, test.f, test.sup_wald, test.critical, test.level, at, test.reason)


def _verdict(
    regimes: list[RegimeRow],
    *,
    p: float | None,
    chow: ChowTest,
    unknown: UnknownBreak,
    shift: CorrelationShift,
) -> str:
    """The tests in words: whether the betas differ, whether the other tests agree, and what each of them says.

    The difference of the betas leads: it alone is about beta only and has errors that allow unequal variances. Chow
    and sup-F take the variance as constant and test alpha with it. All read the same returns, so that agreement of
    two is less than two pieces of evidence. CUSUM is no part of it: it finds drift of the level, not of the slope.
    """
    before, after = regimes[0].beta, regimes[1].beta
    if before.beta is None or after.beta is None:
        return f"no verdict: {before.reason or after.reason}"
    sentences = [
        f"beta {before.beta:.2f} ± {before.se:.2f} before (n = {before.n}) and "
        f"{after.beta:.2f} ± {after.se:.2f} after (n = {after.n}), difference p = {p_value(p)}",
        f"Chow p = {p_value(chow.p)}",
    ]
    if unknown.f is not None and unknown.at_us is not None:
        where = f"{from_us(unknown.at_us):%Y-%m-%d}"
        rule = f"rejected at {unknown.level * 100:.0f} %" if unknown.level else "not rejected at 10 %"
        sentences.append(f"sup-F {unknown.f:.2f} at {where}: stability {rule}")
    if shift.before is not None and shift.after is not None and shift.adjusted is not None:
        sentences.append(
            f"correlation {shift.before:.2f} to {shift.after:.2f}, {shift.adjusted:.2f} at the volatility before "
            f"(p = {p_value(shift.p)})"
        )
    others = [value is not None and value < SIGNIFICANT for value in (chow.p, shift.p)]
    others.append(unknown.level is not None and unknown.level <= SIGNIFICANT)
    return f"{_head(p, sum(others), lower=after.beta < before.beta)}: {'; '.join(sentences)}."


def _head(p: float | None, others: int, *, lower: bool) -> str:
    """What the tests show together, at 5 %; `others` of Chow, sup-F and the corrected correlation reject."""
    way = "decoupling" if lower else "closer coupling"
    also = f"{others} of 3 other tests {'rejects' if others == 1 else 'reject'} stability"
    if p is not None and p < SIGNIFICANT:
        return f"Evidence of {way} at 5 %: the betas differ, and {also} as well"
    if others:
        return f"No change of beta can be shown, although {also} at 5 %"
    return "No change can be shown"
