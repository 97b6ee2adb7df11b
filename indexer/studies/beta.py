"""Beta of an index (or a token) to benchmarks over the last so many sessions, by any method, with its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from indexer.analytics.align import HOURLY_CLOCKS, Clock
from indexer.analytics.beta import BetaPath, BetaResult, BootstrapInterval, Method, bootstrap_beta
from indexer.analytics.beta_variants import blume_beta, rolling_asymmetric, rolling_quantile
from indexer.analytics.linear import t_quantile
from indexer.analytics.rolling import RollingBeta, rolling_beta, rolling_hac
from indexer.analytics.series import LagScan, lag_scan
from indexer.analytics.time_varying import ewma_path, kalman_fit
from indexer.arrays import F64, I64, to_json
from indexer.errors import InputError, NotEnoughDataError, did_you_mean
from indexer.store.bars import read_coverage
from indexer.store.db import Store
from indexer.store.levels import read_level_page
from indexer.store.rebalancings import read_memberships
from indexer.studies.methods import Estimate, Options, estimate, intraday
from indexer.studies.series import INDEX, TOKEN, Frame, Series, benchmark_series, make_frame, subject_series, unit_of
from indexer.times import DAY_US, HOUR_US, iso

WINDOWS = (30, 60, 90, 180, 250)
MIN_SESSIONS = 20
QQQ, STAND_IN = "QQQ", "^NDX"
BENCHMARKS = (QQQ, "NVDA")  # where none is asked for
DEFAULT_SESSIONS = 90
BOOTSTRAP_SEED = 20_250_127
MOST_UNTRADED = 0.05
LEAD_LAG = (Method.DIMSON, Method.SCHOLES_WILLIAMS)


@dataclass(frozen=True, slots=True)
class IndexBeta:
    """Beta over the last `sessions` returns that end at or before an instant; None asks for all there are.

    `first_us` is where the first return starts, `first_session_us` where it ends, and `last_us` where the last one
    ends; `stale_days` are the calendar days from there to the subject's newest value. `pairs_used` and
    `pairs_dropped` count inside the window.
    `naive` marks a join whose intervals do not match. `sentinel` warns of a shifted time stamp; `blume` pulls
    beta towards 1 by a third; `bootstrap` is there when asked for. `perpetual_weight` is the mean share of perpetual
    futures in the levels at the ends of the returns.
    """

    index_id: str
    benchmarks: tuple[str, ...]
    sessions: int
    first_us: int
    first_session_us: int
    last_us: int
    stale_days: int
    pairs_used: int
    pairs_dropped: int
    clock: str
    calendar: str
    price_basis: tuple[str, ...]
    periods_per_year: float
    naive: bool
    reasons: tuple[str, ...]
    estimate: Estimate
    sentinel: LagScan
    blume: float | None
    bootstrap: BootstrapInterval | None
    perpetual_weight: float = 0.0

    @property
    def benchmark(self) -> str:
        """The first benchmark: the one that `estimate.beta` is about."""
        return self.benchmarks[0]

    @property
    def result(self) -> BetaResult:
        """Everything that least squares gives. Raises InputError for another method, which has its own `detail`."""
        if not isinstance(self.estimate.detail, BetaResult):
            raise InputError(f'method "{self.estimate.method}" has no least-squares result; read estimate.detail')
        return self.estimate.detail


def index_beta(
    store: Store,
    subject: str,
    benchmark: str | Sequence[str] = "QQQ",
    *,
    method: str = Method.OLS,
    clock: str = Clock.AT_CLOSE,
    sessions: int | None = DEFAULT_SESSIONS,
    end_us: int | None = None,
    options: Options | None = None,
    bootstrap: bool = False,
    own: Series | None = None,
) -> IndexBeta:
    """The beta of a subject (index id or token slug) to one benchmark, or to several at once by method "multi".

    `own` is the subject's series where it has been read already. A bare date as `end_us` means that whole day.
    `sessions` counts intervals of the clock. Raises NotFoundError for an unknown name, InputError for an impossible
    window, method or clock, and NotEnoughDataError saying how many returns there are and are needed.
    """
    names = [benchmark] if isinstance(benchmark, str) else list(benchmark)
    _check(sessions, method, names)
    own, others, frame = _read_frame(store, subject, names, clock=clock, own=own)
    hourly = method == Method.HAYASHI_YOSHIDA
    usual = Method.OLS if hourly else method
    beta = windowed_beta(frame, method=usual, sessions=sessions, end_us=end_us, options=options, bootstrap=bootstrap)
    if hourly:
        other = benchmark_series(store, beta.benchmark, interval="1h")
        fit = intraday(other, own, first_us=beta.first_us, last_us=beta.last_us, options=options or Options())
        blume = None if fit.beta is None else blume_beta(fit.beta)
        beta = replace(beta, estimate=fit, blume=blume, pairs_used=fit.n)
    return beta if own.kind != INDEX else _with_cautions(store, frame, beta, others)


def _with_cautions(store: Store, frame: Frame, beta: IndexBeta, others: Sequence[Series]) -> IndexBeta:
    """With what is to be known of the index's levels at the instants of the window, and of benchmarks it has held."""
    first, last = beta.first_us, beta.last_us
    page = read_level_page(
        store, frame.subject, start_us=first, end_us=last + 1, step_us=None, as_of_us=None,
        limit=(last - first) // HOUR_US + 2,
    )  # fmt: skip
    at = np.isin(page.times_us, frame.times_us)
    fit = replace(beta.estimate, warnings=(*beta.estimate.warnings, *untraded_warning(page.carried_weight[at])))
    share = round(float(page.perpetual_weight[at].mean()), 12) if at.any() else 0.0
    held = {row.asset for row in read_memberships(store, frame.subject)}
    cautions = [
        f"{other.name} is or was a constituent of {frame.subject}: this is partly a regression on itself"
        for other in others
        if other.kind == TOKEN and other.name in held
    ]
    if share > 0:
        cautions.append(f"{share:.1%} of the weight at these instants is priced from perpetual futures")
    return replace(beta, estimate=fit, reasons=(*beta.reasons, *cautions), perpetual_weight=share)


def untraded_warning(carried: F64) -> tuple[str, ...]:
    """A warning where on average more than 5 % of the weight had no rate of the hour before the window's instants."""
    if not carried.size or carried.mean() <= MOST_UNTRADED + 1e-9:
        return ()
    return (
        f"{carried.mean():.1%} of the weight (at most {carried.max():.1%}) had no trade in the hour before the close, "
        f"on average over {carried.size} closes: its older prices make the beta too low",
    )


def beta_pairs(
    store: Store,
    subject: str,
    benchmark: str = "QQQ",
    *,
    clock: str = Clock.AT_CLOSE,
    sessions: int | None = DEFAULT_SESSIONS,
    end_us: int | None = None,
) -> Frame:
    """The pairs of log returns that `index_beta` estimates from with the same arguments; of short windows too."""
    _check(None, Method.OLS, [benchmark])
    _, _, frame = _read_frame(store, subject, [benchmark], clock=clock)
    window = _window(frame, sessions, end_us=end_us)
    return window.rows(window.complete)


def benchmarks_of(store: Store, asked: Sequence[str] | None) -> tuple[list[str], str]:
    """The benchmarks that are asked for by name, else the usual ones, and one line where another stands in.

    Where none is asked for and QQQ has too few closes, the Nasdaq-100 itself takes its place.
    """
    coverage = read_coverage(store)
    if asked or coverage.get(QQQ, (0, 0, 0))[2] > MIN_SESSIONS or STAND_IN not in coverage:
        return list(asked or BENCHMARKS), ""
    known = [name for name in BENCHMARKS if name in coverage and name != QQQ]
    return [STAND_IN, *known], f"No closes of {QQQ} could be had: {STAND_IN}, the index it follows, stands in."


def windowed_beta(
    frame: Frame,
    *,
    method: str = Method.OLS,
    sessions: int | None = DEFAULT_SESSIONS,
    end_us: int | None = None,
    options: Options | None = None,
    bootstrap: bool = False,
) -> IndexBeta:
    """The same from a frame that is there already, for many windows or methods on one reading."""
    window = _window(frame, sessions, end_us=end_us)
    fit = estimate(window, method, options=options or Options())
    x, y = window.x[:, 0], window.y
    scan = lag_scan(x, y)
    # A lead-lag method is the remedy for what the sentinel finds, and the other clocks are marked already.
    cautions = (scan.message,) if scan.message and method not in LEAD_LAG else ()
    return IndexBeta(
        frame.subject, frame.benchmarks, window.pairs, int(window.starts_us[0]), int(window.times_us[0]),
        int(window.times_us[-1]), window.stale_days, fit.n, window.dropped, frame.clock, frame.calendar,
        frame.price_basis, frame.periods_per_year, frame.naive, window.reasons,
        estimate=replace(fit, warnings=(*fit.warnings, *cautions)),
        sentinel=scan,
        blume=None if fit.beta is None else blume_beta(fit.beta),
        bootstrap=bootstrap_beta(x, y, seed=BOOTSTRAP_SEED) if bootstrap else None,
    )  # fmt: skip


def _read_frame(
    store: Store, subject: str, names: Sequence[str], *, clock: str, own: Series | None = None
) -> tuple[Series, list[Series], Frame]:
    own = own or subject_series(store, subject)
    interval = "1h" if clock in HOURLY_CLOCKS else "1d"
    others = [benchmark_series(store, name, interval=interval) for name in names]
    return own, others, make_frame(store, own, others, clock=clock)


def _window(frame: Frame, sessions: int | None, *, end_us: int | None) -> Frame:
    """The last `sessions` complete rows up to an instant (None: all), with what lies between them."""
    window = frame.between(None, past(end_us))
    count = max(window.pairs, MIN_SESSIONS) if sessions is None else sessions
    return window.last(count, until_us=end_us)


def past(last_us: int | None) -> int | None:
    """The excluded end after a last instant: a bare date (00:00 UTC) takes that day with the midnight that ends it."""
    if last_us is None:
        return None
    return last_us + 1 if last_us % DAY_US else last_us + DAY_US + 1


def _check(sessions: int | None, method: str, names: Sequence[str]) -> None:
    if sessions is not None and sessions < MIN_SESSIONS:
        raise InputError(f"a window of {sessions} sessions is too short for a beta; ask for {MIN_SESSIONS} or more")
    if len(names) > 1 and method != Method.MULTI:
        raise InputError(f'method "{method}" takes one benchmark and {len(names)} are named; use method "multi"')


@dataclass(frozen=True, slots=True)
class BetaHistory:
    """Beta over time, arrays (T,), NaN where there is none.

    `rolling.se` is the error of each row's beta: as in `compute_beta` the larger of the OLS and the Newey-West one,
    for a Kalman path the state's standard deviation.

    `kind` rolling: the window of `sessions` intervals that ends at `times_us[t]`. ewma, kalman: what was known
    then. kalman_smoothed is `hindsight`: each row uses the whole sample and must not be read as known then.
    """

    index_id: str
    benchmark: str
    sessions: int
    times_us: I64
    rolling: RollingBeta
    kind: str = BetaPath.ROLLING
    hindsight: bool = False
    newest_us: int = 0

    @property
    def span(self) -> dict[str, Any]:
        """`first_session`, `last_session` and `n` of the rows that have a beta, and how old the last one is."""
        times = self.times_us[np.isfinite(self.rolling.beta)]
        first, last = (int(times[0]), int(times[-1])) if len(times) else (None, None)
        stale = None if last is None else self.newest_us // DAY_US - last // DAY_US
        ends = {"first_session": first and iso(first), "last_session": last and iso(last)}
        return {**ends, "n": len(times), "stale_days": stale}

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
    kind: str = BetaPath.ROLLING,
    clock: str = Clock.AT_CLOSE,
    tau: float = 0.5,
) -> BetaHistory:
    """Beta at every interval end in [start, end), windows reaching back before `start` as they need.

    Raises NotFoundError for an unknown name, InputError for a window, kind or clock that does not exist, and
    NotEnoughDataError saying how many returns there are and are needed.
    """
    if sessions < MIN_SESSIONS:
        raise InputError(f"a window of {sessions} sessions is too short for a beta; ask for {MIN_SESSIONS} or more")
    if kind not in tuple(BetaPath):
        raise InputError(f'"{kind}" is not a path.{did_you_mean(kind, BetaPath)} Use one of {", ".join(BetaPath)}')
    if not 0.0 < tau < 1.0:
        raise InputError(f"tau {tau} must lie between 0 and 1, e.g. 0.1 for the lower tail")
    _, [other], frame = _read_frame(store, subject, [benchmark], clock=clock)
    frame = frame.between(None, end_us)
    if len(frame.y) < sessions:
        raise NotEnoughDataError(
            f"{subject} and {benchmark} have {len(frame.y)} {unit_of(clock)} returns in common; {sessions} are needed"
        )
    path = _path(frame, kind, sessions=sessions, tau=tau)
    # A window reaches back before `start`, so that the rows are cut after their betas are known.
    keep = np.ones(len(frame.y), dtype=np.bool_) if start_us is None else frame.times_us >= start_us
    cut = RollingBeta(sessions, path.beta[keep], path.alpha[keep], path.r2[keep], path.se[keep])
    hindsight = kind == BetaPath.KALMAN_SMOOTHED
    hindsight = kind == BetaPath.KALMAN_SMOOTHED
    return BetaHistory(subject, other.name, sessions, frame.times_us[keep], cut, kind, hindsight, frame.newest_us)


def _path(frame: Frame, kind: str, *, sessions: int, tau: float) -> RollingBeta:
    x, y, nothing = frame.x[:, 0], frame.y, np.full(len(frame.y), np.nan)
    if kind == BetaPath.ROLLING:
        rolled = rolling_beta(x, y, [sessions])[sessions]
        se = np.maximum(rolled.se[:, 0], rolling_hac(x, y, window=sessions)[:, 0])
        return RollingBeta(sessions, rolled.beta[:, 0], rolled.alpha[:, 0], rolled.r2[:, 0], se)
    if kind == BetaPath.EWMA:
        return RollingBeta(sessions, ewma_path(x, y, decay=Options().decay), nothing, nothing, nothing)
    if kind == BetaPath.QUANTILE:
        beta, se = rolling_quantile(x, y, window=sessions, tau=tau)
        return RollingBeta(sessions, beta, nothing, nothing, se)
    if kind in (BetaPath.UPSIDE, BetaPath.DOWNSIDE):
        beta, se = rolling_asymmetric(x, y, window=sessions, side=kind.removesuffix("side"))
        return RollingBeta(sessions, beta, nothing, nothing, se)
    fit = kalman_fit(x, y)
    path = fit.smoothed if kind == BetaPath.KALMAN_SMOOTHED else fit.filtered
    if path is None:
        raise NotEnoughDataError(f"{frame.subject} and {frame.benchmarks[0]}: no Kalman beta, {fit.reason}")
    # The first pairs only set the level; until there are as many as a window needs, their spread says nothing.
    early = np.cumsum(frame.complete) < MIN_SESSIONS
    columns = (np.where(early, np.nan, column) for column in (path.beta, path.alpha, nothing, path.sd_beta))
    return RollingBeta(sessions, *columns)


NUMBERS = [field.name for field in fields(BetaResult) if field.name != "warnings"]
ALIGNMENT = ("clock", "calendar", "naive", "pairs_used", "pairs_dropped", "reasons")
COMMON = ("n", "beta", "se", "ci_low", "ci_high", "r2", "alpha_annualised", "confidence", "reason")


def flat_beta(beta: IndexBeta) -> dict[str, Any]:
    """Every number of least squares, null where the method has none; how it was paired; the method's own `detail`."""
    wire = to_json(beta, wire=True)
    estimate = wire["estimate"]
    detail = estimate["detail"]
    return {
        "benchmark": beta.benchmark,
        "method": estimate["method"],
        **{name: wire[name] for name in ("benchmarks", "sessions", "first_session", "stale_days", "perpetual_weight")},
        "last_session": wire["last"],
        "first_time": wire["first"],
        "last_time": wire["last"],
        **{name: detail.get(name) for name in NUMBERS},
        **{name: estimate[name] for name in (*COMMON, "warnings")},
        **{name: wire[name] for name in ("periods_per_year", "sentinel", "blume", "bootstrap")},
        "alignment": {
            **{name: wire[name] for name in ALIGNMENT},
            "price_basis": ", ".join(dict.fromkeys(beta.price_basis)),
        },
        "detail": None if estimate["method"] == Method.OLS else detail,
    }
