"""Beta over time: every window's least squares, the exponentially weighted one, or the Kalman filter's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.analytics.align import AT_CLOSE
from indexer.analytics.distributions import t_quantile
from indexer.analytics.ewma import ewma_path
from indexer.analytics.kalman import kalman_fit
from indexer.analytics.rolling import RollingBeta, rolling_beta
from indexer.analytics.rolling_hac import rolling_hac
from indexer.arrays import F64, I64
from indexer.errors import InputError, NotEnoughDataError, did_you_mean
from indexer.store.db import Store
from indexer.studies.beta import DEFAULT_SESSIONS, MIN_SESSIONS, inclusive
from indexer.studies.frame import HOURLY_CLOCKS, Frame, make_frame, unit_of
from indexer.studies.series import benchmark_series, subject_series

ROLLING, EWMA, FILTERED, SMOOTHED = "rolling", "ewma", "kalman", "kalman_smoothed"
PATHS = (ROLLING, EWMA, FILTERED, SMOOTHED)


@dataclass(frozen=True, slots=True)
class BetaHistory:
    """Beta over time, arrays (T,), NaN where there is none. `rolling.se` is the error of each row's beta: as in

    `compute_beta` the larger of the OLS and the Newey-West one, for a Kalman path the state's standard deviation.

    `kind` rolling: the window of `sessions` intervals that ends at `times_us[t]`. ewma, kalman: what was known
    then. kalman_smoothed is `hindsight`: each row uses the whole sample and must not be read as known then.
    """

    index_id: str
    benchmark: str
    sessions: int
    times_us: I64
    rolling: RollingBeta
    kind: str = ROLLING
    hindsight: bool = False
    clock: str = AT_CLOSE
    calendar: str = ""

    def interval(self, confidence: float = 0.95) -> tuple[F64, F64]:
        """(low, high) (T,) of beta, Student with `sessions` - 2 degrees of freedom."""
        half = t_quantile(self.sessions - 2, 0.5 + confidence / 2.0) * self.rolling.se
        return self.rolling.beta - half, self.rolling.beta + half


def beta_history(
    store: Store,
    subject: str,
    benchmark: str = "QQQ",
    *,
    sessions: int = DEFAULT_SESSIONS,
    start_us: int | None = None,
    end_us: int | None = None,
    kind: str = ROLLING,
    clock: str = AT_CLOSE,
    decay: float = 0.94,
) -> BetaHistory:
    """Beta at every interval end in [start, end), windows reaching back before `start` as they need.

    Raises NotFoundError for an unknown name, InputError for a window, kind or clock that does not exist, and
    NotEnoughDataError saying how many returns there are and are needed.
    """
    if sessions < MIN_SESSIONS:
        raise InputError(f"a window of {sessions} sessions is too short for a beta; ask for {MIN_SESSIONS} or more")
    if kind not in PATHS:
        raise InputError(f'"{kind}" is not a path.{did_you_mean(kind, PATHS)} Use one of {", ".join(PATHS)}')
    own = subject_series(store, subject)
    other = benchmark_series(store, benchmark, interval="1h" if clock in HOURLY_CLOCKS else "1d")
    frame = make_frame(store, own, [other], clock=clock).between(None, inclusive(end_us))
    if len(frame.y) < sessions:
        raise NotEnoughDataError(
            f"{subject} and {benchmark} have {len(frame.y)} {unit_of(clock)} returns in common; {sessions} are needed"
        )
    found = _path(frame, kind, sessions=sessions, decay=decay)
    keep = np.ones(len(frame.y), dtype=np.bool_) if start_us is None else frame.times_us >= start_us
    cut = RollingBeta(sessions, found.beta[keep], found.alpha[keep], found.r2[keep], found.se[keep])
    return BetaHistory(
        subject, other.name, sessions, frame.times_us[keep], cut, kind, kind == SMOOTHED, clock, frame.calendar
    )


def _path(frame: Frame, kind: str, *, sessions: int, decay: float) -> RollingBeta:
    x, nothing = frame.x[:, 0], np.full(len(frame.y), np.nan)
    if kind == ROLLING:
        rolled = rolling_beta(x, frame.y, [sessions])[sessions]
        se = np.maximum(rolled.se[:, 0], rolling_hac(x, frame.y, window=sessions)[:, 0])
        return RollingBeta(sessions, rolled.beta[:, 0], rolled.alpha[:, 0], rolled.r2[:, 0], se)
    if kind == EWMA:
        return RollingBeta(sessions, ewma_path(x, frame.y, decay=decay), nothing, nothing, nothing)
    fit = kalman_fit(x, frame.y)
    path = fit.smoothed if kind == SMOOTHED else fit.filtered
    if path is None:
        raise NotEnoughDataError(f"{frame.subject} and {frame.benchmarks[0]}: no Kalman beta, {fit.reason}")
    # The first pairs only set the level; until there are as many as a window needs, their spread says nothing.
    early = np.cumsum(frame.complete) < MIN_SESSIONS
    columns = (np.where(early, np.nan, column) for column in (path.beta, path.alpha, nothing, path.sd_beta))
    return RollingBeta(sessions, *columns)
