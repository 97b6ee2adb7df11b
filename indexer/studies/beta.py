"""Beta of an index (or a token) to benchmarks over the last so many sessions, by any method, with its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from indexer.analytics.align import AT_CLOSE
from indexer.analytics.beta import BetaResult
from indexer.analytics.bootstrap import BootstrapInterval, bootstrap_beta
from indexer.analytics.correlation import LagScan, lag_scan
from indexer.analytics.shrinkage import blume_beta
from indexer.errors import InputError
from indexer.store.db import Store
from indexer.store.read import read_memberships
from indexer.studies.frame import HOURLY_CLOCKS, Frame, make_frame
from indexer.studies.methods import HAYASHI_YOSHIDA, Estimate, Options, estimate, intraday
from indexer.studies.series import INDEX, TOKEN, Series, benchmark_series, subject_series
from indexer.times import DAY_US

WINDOWS = (30, 60, 90, 180, 250)
MIN_SESSIONS = 20
DEFAULT_SESSIONS = 90
BOOTSTRAP_SEED = 20_250_127
LEAD_LAG = ("dimson", "scholes_williams")


@dataclass(frozen=True, slots=True)
class IndexBeta:
    """Beta over the last `sessions` returns that end at or before an instant; None asks for all there are.

    `first_us` is where the first return starts. `pairs_used` and `pairs_dropped` count inside the window.
    `naive` marks a join whose intervals do not match. `sentinel` warns of a shifted time stamp; `blume` pulls
    beta towards 1 by a third; `bootstrap` is there when asked for.
    """

    index_id: str
    benchmarks: tuple[str, ...]
    sessions: int
    first_us: int
    last_us: int
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
    method: str = "ols",
    clock: str = AT_CLOSE,
    sessions: int | None = DEFAULT_SESSIONS,
    end_us: int | None = None,
    options: Options | None = None,
    bootstrap: bool = False,
) -> IndexBeta:
    """The beta of a subject (index id or token slug) to one benchmark, or to several at once by method "multi".

    A bare date as `end_us` means that whole day. `sessions` counts intervals of the clock. Raises NotFoundError for
    an unknown name, InputError for an impossible window, method or clock, and NotEnoughDataError saying how many
    returns there are and are needed.
    """
    names = [benchmark] if isinstance(benchmark, str) else list(benchmark)
    _check(sessions, method, names)
    own = subject_series(store, subject)
    interval = "1h" if clock in HOURLY_CLOCKS else "1d"
    others = [benchmark_series(store, name, interval=interval) for name in names]
    frame = make_frame(store, own, others, clock=clock)
    hourly = method == HAYASHI_YOSHIDA
    made = windowed_beta(
        frame,
        method="ols" if hourly else method,
        sessions=sessions,
        end_us=end_us,
        options=options,
        bootstrap=bootstrap,
    )
    if hourly:
        made = _by_the_hour(store, made, own, options or Options())
    return replace(made, reasons=(*made.reasons, *_cautions(store, own, others)))


def windowed_beta(
    frame: Frame,
    *,
    method: str = "ols",
    sessions: int | None = DEFAULT_SESSIONS,
    end_us: int | None = None,
    options: Options | None = None,
    bootstrap: bool = False,
) -> IndexBeta:
    """The same from a frame that is there already, for many windows or methods on one reading."""
    window = frame.between(None, inclusive(end_us))
    count = max(window.pairs, MIN_SESSIONS) if sessions is None else sessions
    window = window.last(count, until_us=end_us)
    found = estimate(window, method, options=options or Options())
    x, y = window.x[:, 0], window.y
    scan = lag_scan(x, y)
    # A lead-lag method is the remedy for what the sentinel finds, and the other clocks are marked already.
    said = (scan.message,) if scan.message and method not in LEAD_LAG else ()
    return IndexBeta(
        index_id=frame.subject,
        benchmarks=frame.benchmarks,
        sessions=window.pairs,
        first_us=int(window.starts_us[0]),
        last_us=int(window.times_us[-1]),
        pairs_used=found.n,
        pairs_dropped=window.dropped,
        clock=frame.clock,
        calendar=frame.calendar,
        price_basis=frame.price_basis,
        periods_per_year=frame.periods_per_year,
        naive=frame.naive,
        reasons=window.reasons,
        estimate=replace(found, warnings=(*found.warnings, *said)),
        sentinel=scan,
        blume=None if found.beta is None else blume_beta(found.beta),
        bootstrap=bootstrap_beta(x, y, seed=BOOTSTRAP_SEED) if bootstrap else None,
    )


def inclusive(end_us: int | None) -> int | None:
    """The end to compare with: a bare date (00:00 UTC) means up to the end of that day, anything else itself."""
    if end_us is None:
        return None
    return end_us + DAY_US if end_us % DAY_US == 0 else end_us


def _by_the_hour(store: Store, made: IndexBeta, own: Series, options: Options) -> IndexBeta:
    """The same window with the estimate from hourly observations at their own instants."""
    other = benchmark_series(store, made.benchmark, interval="1h")
    found = intraday(other, own, first_us=made.first_us, last_us=made.last_us, options=options)
    blume = None if found.beta is None else blume_beta(found.beta)
    return replace(made, estimate=found, blume=blume, pairs_used=found.n)


def _check(sessions: int | None, method: str, names: Sequence[str]) -> None:
    if sessions is not None and sessions < MIN_SESSIONS:
        raise InputError(f"a window of {sessions} sessions is too short for a beta; ask for {MIN_SESSIONS} or more")
    if len(names) > 1 and method != "multi":
        raise InputError(f'method "{method}" takes one benchmark and {len(names)} are named; use method "multi"')


def _cautions(store: Store, own: Series, others: Sequence[Series]) -> tuple[str, ...]:
    """A benchmark token that the index itself has held: the regression is partly one on itself."""
    if own.kind != INDEX:
        return ()
    held = {row.asset for row in read_memberships(store, own.name)}
    return tuple(
        f"{one.name} is or was a constituent of {own.name}: this is partly a regression on itself"
        for one in others
        if one.kind == TOKEN and one.name in held
    )
