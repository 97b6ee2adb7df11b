"""What a client gives back: frozen records with the names of the wire, instants aware UTC.

Unknown keys of newer servers are ignored, as the API's promise asks. Tables also are `Frame`s. What the program
computes or stores in the form of the wire is the same record here.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from indexer.analytics.bootstrap import BootstrapInterval as Bootstrap
from indexer.analytics.correlation import LagScan as Sentinel
from indexer.arrays import F64, I64
from indexer.client.frames import Frame, columns_of, instants
from indexer.store.rows import RebalancingItemRow as RebalanceItem
from indexer.times import from_us, to_us

if TYPE_CHECKING:
    from indexer.methodology.spec import Methodology

T = TypeVar("T")
Instant = Annotated[datetime, AfterValidator(lambda instant: instant.astimezone(UTC))]
"""An aware instant in UTC."""


@dataclass(frozen=True, slots=True)
class MethodologyRef:
    """Which rules: version and content hash."""

    version: str
    hash: str


@dataclass(frozen=True, slots=True)
class LevelPoint:
    """A level at an instant. `status` is final, indicative, degraded, carried or impaired; `constituents` how many."""

    time: Instant
    level: float
    status: str
    carried_weight: float
    perpetual_weight: float | None
    constituents: int | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """Relative change against the level exactly that long before; None when there is none."""

    h1: float | None
    d1: float | None
    d7: float | None
    d30: float | None
    d365: float | None


@dataclass(frozen=True, slots=True)
class ChainHeads:
    """The heads of the hash chains: rows of levels ever published and the last one's hash, and the same of seals."""

    levels: int
    hash: str
    seals: int
    seal: str


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest level, with the `reason` of a status that is not final. Past `fresh_until`, treat it as stale."""

    index: str
    simulated: bool
    name: str
    level: float
    time: Instant
    status: str
    carried_weight: float
    perpetual_weight: float
    revision: int
    published_at: Instant
    fresh_until: Instant
    methodology: MethodologyRef
    change: Changes
    constituents: int | None = None
    reason: str = ""
    chain: ChainHeads | None = None


@dataclass(frozen=True, slots=True)
class LevelEvent:
    """A level as it was published. `id` goes into `stream(after=…)` to go on after it."""

    id: str
    index: str
    simulated: bool
    time: Instant
    level: float
    status: str
    carried_weight: float
    revision: int
    published_at: Instant


@dataclass(frozen=True, slots=True)
class Levels(Frame):
    """Levels (T,) oldest first, in index points; `interval` is their spacing.

    times_us int64 microseconds UTC; status (T,) text; carried_weight (T,) share of the value with a carried price,
    perpetual_weight (T,) with one of perpetual futures;
    constituents (T,) how many are held, 0 where the service does not know.
    """

    index: str
    simulated: bool
    interval: str
    times_us: I64 = field(repr=False)
    levels: F64 = field(repr=False)
    status: NDArray[np.str_] = field(repr=False)
    carried_weight: F64 = field(repr=False)
    perpetual_weight: F64 = field(repr=False)
    constituents: I64 = field(repr=False)

    def __len__(self) -> int:
        return len(self.times_us)

    def __iter__(self) -> Iterator[LevelPoint]:
        return (self[n] for n in range(len(self)))

    def __getitem__(self, n: int) -> LevelPoint:
        time, level = from_us(int(self.times_us[n])), float(self.levels[n])
        count = int(self.constituents[n]) or None
        weights = float(self.carried_weight[n]), float(self.perpetual_weight[n])
        return LevelPoint(time, level, str(self.status[n]), *weights, count)

    def columns(self) -> dict[str, Any]:
        """time, level, status, carried_weight, perpetual_weight, constituents."""
        return {
            "time": instants(self.times_us),
            "level": self.levels,
            "status": self.status.tolist(),
            "carried_weight": self.carried_weight,
            "perpetual_weight": self.perpetual_weight,
            "constituents": self.constituents,
        }


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as SVG text; a notebook shows it."""

    svg: str = field(repr=False)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Writes the SVG to a file and gives back its path."""
        Path(path).write_text(self.svg, encoding="utf-8")
        return Path(path)


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """An index and where it stands; `latest` is None while it has no level."""

    id: str
    name: str
    description: str
    state: str
    simulated: bool
    methodology: MethodologyRef
    first_time: Instant | None
    latest: LevelPoint | None


@dataclass(frozen=True, slots=True)
class Index:
    """One index with its chart, which a notebook shows. `chart` is None while there is nothing to draw."""

    summary: IndexSummary
    chart: Chart | None

    @property
    def id(self) -> str:
        """Its id."""
        return self.summary.id

    def __str__(self) -> str:
        name, latest = self.summary.name, self.summary.latest
        kind = "SIMULATED, " if self.summary.simulated else ""
        if latest is None:
            return f"{name} ({kind}no levels yet)"
        return f"{name} {latest.level:,.2f} ({kind}{latest.status}, as of {latest.time:%Y-%m-%d %H:%M} UTC)"

    def _repr_html_(self) -> str:
        return f"<p><strong>{html.escape(str(self))}</strong></p>{self.chart.svg if self.chart else ''}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle = {"text/plain": str(self), "text/html": self._repr_html_()}
        return bundle | ({"image/svg+xml": self.chart.svg} if self.chart else {})


@dataclass(frozen=True, slots=True)
class Table(Frame, Generic[T]):
    """Records that share one form. `index` and `simulated` are those of the index they are about, if any."""

    rows: tuple[T, ...] = field(repr=False)
    index: str | None = None
    simulated: bool | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[T]:
        return iter(self.rows)

    def __getitem__(self, n: int) -> T:
        return self.rows[n]

    def columns(self) -> dict[str, Any]:
        """One column for each field of the records."""
        names = [column.name for column in fields(cast("Any", self.rows[0]))] if self.rows else []
        return columns_of(self.rows, names)


@dataclass(frozen=True, slots=True)
class Constituent:
    """A constituent at an instant. Weights, drift and contribution are fractions; `rate` is in USD."""

    asset: str
    symbol: str
    name: str
    sub_sector: str
    weight: float | None
    weight_target: float
    drift: float | None
    units: float
    rate: float | None
    rate_at: Instant | None
    rate_status: str | None
    change_since_rebalance: float | None
    contribution: float | None
    supply_source: str | None
    supply_observed_at: Instant | None = None
    supply_age_days: float | None = None
    supply_block: int | None = None
    supply_link: str | None = None


@dataclass(frozen=True, slots=True)
class Constituents(Table[Constituent]):
    """The constituents at an instant, heaviest first."""

    at: Instant | None = None
    rebalanced_at: Instant | None = None
    effective_number: float | None = None

    def columns(self) -> dict[str, Any]:
        """time (the instant asked for, in each row), then one column for each field of a constituent."""
        time = np.full(len(self), np.datetime64("NaT") if self.at is None else to_us(self.at), "datetime64[us]")
        return {"time": time, **super(Constituents, self).columns()}


@dataclass(frozen=True, slots=True)
class Rebalance:
    """One change of units at equal value. `kind`: base, rebalance, reconstitution, suspension or event."""

    kind: str
    reference_at: Instant
    effective_at: Instant
    revision: int
    level: float
    divisor_before: float | None
    divisor_after: float | None
    turnover: float | None
    entered: tuple[str, ...]
    left: tuple[str, ...]
    items: tuple[RebalanceItem, ...]


@dataclass(frozen=True, slots=True)
class MethodologyFile:
    """The rules in force as file text and as data, with the hash that levels carry."""

    index: str
    simulated: bool
    version: str
    hash: str
    loaded_at: Instant
    text: str = field(repr=False)
    rules: dict[str, Any] = field(repr=False)
    versions: tuple[MethodologyRef, ...] = field(repr=False)

    def parsed(self) -> Methodology:
        """The same as the engine takes it. Raises MethodologyError when this program cannot read that file."""
        from indexer.methodology.load import load_methodology

        return load_methodology(self.text, source=f"{self.index} {self.version}")


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the two series were brought together; `naive` when their intervals do not match."""

    clock: str
    calendar: str
    price_basis: str
    naive: bool
    pairs_used: int
    pairs_dropped: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beta(Frame):
    """Beta with its errors. A number that does not exist is None, and `reason` says why.

    `se` is the larger of se_ols and se_hac and carries the interval, t and p; alpha is per session. The first return
    ends at `first_session`, the last one at `last_session`, `stale_days` before the index's newest level.
    """

    index: str
    simulated: bool
    benchmark: str
    benchmarks: tuple[str, ...]
    method: str
    sessions: int
    first_session: Instant
    last_session: Instant
    stale_days: int
    perpetual_weight: float
    first_time: Instant
    last_time: Instant
    n: int
    beta: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    t: float | None
    p: float | None
    r2: float | None
    r2_adj: float | None
    correlation: float | None
    correlation_low: float | None
    correlation_high: float | None
    alpha: float | None
    alpha_annualised: float | None
    se_alpha: float | None
    se_ols: float | None
    se_hac: float | None
    se_hc3: float | None
    hac_lag: int | None
    residual_sd: float | None
    durbin_watson: float | None
    confidence: float
    periods_per_year: float
    reason: str | None
    warnings: tuple[str, ...]
    alignment: Alignment
    sentinel: Sentinel
    blume: float | None
    bootstrap: Bootstrap | None
    detail: dict[str, Any] | None

    def columns(self) -> dict[str, Any]:
        """time (the last close of the window), then one column for each field; one row."""
        names = [column.name for column in fields(self) if column.name not in ("index", "simulated")]
        return {"time": np.array([to_us(self.last_time)], "datetime64[us]"), **columns_of([self], names)}

    def __str__(self) -> str:
        if self.beta is None or self.se is None:
            return f"beta {self.index} ~ {self.benchmark}: none, {self.reason}"
        quality = "" if self.r2 is None else f", R² {self.r2:.2f}"
        return (
            f"beta {self.index} ~ {self.benchmark}: {self.beta:.2f} ± {self.se:.2f}{quality}, n {self.n}{self._age()}"
        )

    def _age(self) -> str:
        """When the window ends, where that is not the index's newest day."""
        return f", to {self.last_session:%Y-%m-%d}, {self.stale_days} days old" if self.stale_days else ""


@dataclass(frozen=True, slots=True)
class BetaSeries(Frame):
    """Rolling beta (T,) oldest first, with its 95 % interval; NaN where the window is not complete.

    `hindsight` is True when a row uses data later than itself.
    """

    index: str
    simulated: bool
    benchmark: str
    sessions: int
    kind: str
    hindsight: bool
    first_session: Instant | None
    last_session: Instant | None
    n: int
    stale_days: int | None
    times_us: I64 = field(repr=False)
    beta: F64 = field(repr=False)
    se: F64 = field(repr=False)
    low: F64 = field(repr=False)
    high: F64 = field(repr=False)
    r2: F64 = field(repr=False)
    alpha: F64 = field(repr=False)

    def __len__(self) -> int:
        return len(self.times_us)

    def columns(self) -> dict[str, Any]:
        """time, beta, se, low, high, r2, alpha."""
        names = ("beta", "se", "low", "high", "r2", "alpha")
        return {"time": instants(self.times_us), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A value of a metric of an asset; `time` is the end of the day or hour it describes."""

    time: Instant
    metric: str
    source: str
    value: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Something to hold the index against; `sessions` is 0 while it has no closes."""

    symbol: str
    name: str
    kind: str
    calendar: str
    first_time: Instant | None
    latest_time: Instant | None
    sessions: int
