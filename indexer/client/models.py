"""What a client gives back: frozen records with the names of the wire, instants aware UTC; tables are `Frame`s too.

Unknown keys of newer servers are ignored. The API makes its schemas of these records: text in `Annotated` is what its
documentation says of a field.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from indexer.arrays import F64, I64
from indexer.client.frames import Frame, columns_of
from indexer.times import from_us, to_us

if TYPE_CHECKING:
    from indexer.methodology.spec import Methodology

T = TypeVar("T")
Instant = Annotated[datetime, AfterValidator(lambda instant: instant.astimezone(UTC))]
"""An aware instant in UTC."""


class LevelStatus(StrEnum):
    """How good a number is: final, indicative or degraded as three, two or one venue price 90 % of the weight; carried
    when a price is an older one; impaired when too much is, or too few are held; suspended when there are no levels;
    provisional while a fresh store is filled for the first time: it will be computed again."""

    FINAL = "final"
    INDICATIVE = "indicative"
    DEGRADED = "degraded"
    CARRIED = "carried"
    SUSPENDED = "suspended"
    IMPAIRED = "impaired"
    PROVISIONAL = "provisional"


StatusWord = Annotated[str, LevelStatus]
"""A word of LevelStatus; a newer server may know more of them."""
LevelPoints = Annotated[float, "Index points"]
Perpetual = Annotated[float, "Share of the index value whose price is of perpetual futures, there being no spot bar"]
Held = Annotated[int | None, "How many are held; null for levels of older programs"]


@dataclass(frozen=True, slots=True)
class MethodologyRef:
    """Which rules: version and content hash."""

    version: str
    hash: Annotated[str, "SHA-256 of the methodology's content"]


@dataclass(frozen=True, slots=True)
class LevelPoint:
    """A level at an instant."""

    time: Instant
    level: LevelPoints
    status: StatusWord
    carried_weight: float
    perpetual_weight: Perpetual
    constituents: Held = None


@dataclass(frozen=True, slots=True)
class Changes:
    """Relative change against the level exactly that long before; null when there is none at that instant."""

    h1: float | None
    d1: float | None
    d7: float | None
    d30: float | None
    d365: float | None


@dataclass(frozen=True, slots=True)
class ChainHeads:
    """The heads of the hash chains: kept by somebody else, they hold us to all that was published and sealed."""

    levels: Annotated[int, "Rows of the chain of published levels, revisions included"]
    hash: Annotated[str, "Hash of the last of them, hex"]
    seals: Annotated[int, "Seals of what runs wrote, of all indices"]
    seal: Annotated[str, "Hash of the last of them, hex; empty before the first"]


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest level, flat, for widgets and sensors."""

    index: str
    simulated: bool
    name: str
    level: LevelPoints
    time: Annotated[Instant, "Instant the level holds for"]
    status: StatusWord
    carried_weight: float
    perpetual_weight: Perpetual
    revision: int
    published_at: Instant
    fresh_until: Annotated[
        Instant, "Past this instant treat the level as stale: two spacings of levels and three minutes"
    ]
    methodology: MethodologyRef
    change: Changes
    chain: ChainHeads
    constituents: Held = None
    reason: Annotated[str, "Why the status is not final; empty when it is"] = ""


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
        columns = {"time": self.times_us.astype("datetime64[us]"), "level": self.levels, "status": self.status.tolist()}
        names = ("carried_weight", "perpetual_weight", "constituents")
        return columns | {name: getattr(self, name) for name in names}


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
    """An index and where it stands."""

    id: str
    name: str
    description: str
    state: Annotated[str, "proposed, active, suspended or terminated"]
    simulated: bool
    methodology: MethodologyRef
    first_time: Annotated[Instant | None, "Instant of the first level; null while there is none"]
    latest: Annotated[LevelPoint | None, "The newest level; null while there is none"]


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
    """A constituent at an instant."""

    asset: str
    symbol: str
    name: str
    sub_sector: str
    weight: Annotated[float | None, "Share of the index value now; null without a reference rate"]
    weight_target: Annotated[float, "Share given at the last rebalancing"]
    drift: Annotated[float | None, "weight - weight_target"]
    units: float
    rate: Annotated[float | None, "Reference rate in USD"]
    rate_at: Annotated[Instant | None, "Instant of that rate"]
    rate_status: StatusWord | None
    change_since_rebalance: Annotated[float | None, "Price change since the last rebalancing"]
    contribution: Annotated[float | None, "Share of the index's move since the last rebalancing, fraction"]
    supply_source: Annotated[str | None, "Where the supply behind the weight came from"]
    supply_observed_at: Annotated[Instant | None, "When that supply was true; null without a stored reading"] = None
    supply_age_days: Annotated[float | None, "How old that supply is at the instant asked for"] = None
    supply_block: Annotated[int | None, "The block it was read at; null for what no chain gave"] = None
    supply_link: Annotated[str | None, "That block at a public explorer"] = None


@dataclass(frozen=True, slots=True)
class Constituents(Table[Constituent]):
    """The constituents at an instant, heaviest first."""

    at: Instant | None = None
    rebalanced_at: Instant | None = None
    effective_number: Annotated[float | None, "1 / sum of squared weights"] = None
    supply_age_days: float | None = None

    def columns(self) -> dict[str, Any]:
        """time (the instant asked for, in each row), then one column for each field of a constituent."""
        time = np.full(len(self), np.datetime64("NaT") if self.at is None else to_us(self.at), "datetime64[us]")
        return {"time": time, **super(Constituents, self).columns()}


@dataclass(frozen=True, slots=True)
class RebalanceItem:
    """One candidate of a rebalancing, with the evidence; None where unknown."""

    asset: str
    symbol: str
    sub_sector: str
    units_before: float | None
    units_after: float | None
    weight_drifted: float | None
    weight_target: float | None
    price: float | None
    supply: float | None
    supply_source: str | None
    free_float_cap_usd: float | None
    median_adv_usd: float | None
    rank: int | None
    reason: str
    supply_observed_at: Instant | None = None
    supply_stale_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Rebalance:
    """One change of units at equal value."""

    kind: Annotated[str, "base, rebalance, reconstitution, suspension, event or resumption"]
    reference_at: Instant
    effective_at: Instant
    revision: int
    level: float
    divisor_before: float | None
    divisor_after: float | None
    turnover: Annotated[float | None, "One way: half the sum of |target - drifted|"]
    entered: Annotated[tuple[str, ...], "Assets held after and not before"]
    left: Annotated[tuple[str, ...], "Assets held before and not after"]
    items: tuple[RebalanceItem, ...]


@dataclass(frozen=True, slots=True)
class MethodologyFile:
    """The rules in force: the file itself, its hash, which levels carry, and its content as data."""

    index: str
    simulated: bool
    version: str
    hash: str
    loaded_at: Instant
    text: Annotated[str, "The methodology file (TOML)"] = field(repr=False)
    rules: Annotated[dict[str, Any], "The same content as JSON"] = field(repr=False)
    versions: Annotated[tuple[MethodologyRef, ...], "All versions this index was computed by"] = field(repr=False)

    def parsed(self) -> Methodology:
        """The same as the engine takes it. Raises MethodologyError when this program cannot read that file."""
        from indexer.methodology.load import load_methodology

        return load_methodology(self.text, source=f"{self.index} {self.version}")


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the two series were brought together."""

    clock: str
    calendar: str
    price_basis: str
    naive: Annotated[bool, "True when the two sides' intervals do not match"]
    pairs_used: int
    pairs_dropped: Annotated[int, "Intervals inside the window without a pair"]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sentinel:
    """Correlation with the benchmark one interval earlier (`lag`), at the same time, one later (`lead`).

    `shifted` is true when a neighbour is the strongest: most likely a stamp taken for another; `message` says so.
    """

    lag: float | None
    contemporaneous: float | None
    lead: float | None
    n: int
    shifted: bool
    message: str | None


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Percentile interval of beta and of the correlation over `repetitions` resamples with mean block `block`."""

    n: int
    repetitions: int
    block: float | None = None
    beta: float | None = None
    beta_low: float | None = None
    beta_high: float | None = None
    se: float | None = None
    correlation_low: float | None = None
    correlation_high: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Beta(Frame):
    """Beta with its errors. A number that does not exist is null, and `reason` says why.

    `se` is the larger of se_ols and se_hac and carries the interval, t and p; alpha is per session. The first return
    ends at `first_session`, the last one at `last_session`, `stale_days` before the index's newest level.
    """

    index: str
    simulated: bool
    benchmark: str
    benchmarks: Annotated[tuple[str, ...], "All of them, for method multi; `beta` is that of the first"]
    method: str
    sessions: int
    first_session: Instant
    last_session: Instant
    stale_days: int
    perpetual_weight: float
    first_time: Annotated[Instant, "Close that the first return starts from"]
    last_time: Instant
    n: Annotated[int, "Pairs of returns used"]
    beta: float | None
    se: Annotated[float | None, "Larger of se_ols and se_hac; carries the interval, t and p"]
    ci_low: float | None
    ci_high: float | None
    t: float | None
    p: Annotated[float | None, "Two-sided, against beta = 0"]
    r2: float | None
    r2_adj: float | None
    correlation: float | None
    correlation_low: float | None
    correlation_high: float | None
    alpha: Annotated[float | None, "Per session"]
    alpha_annualised: float | None
    se_alpha: float | None
    se_ols: float | None
    se_hac: Annotated[float | None, "Newey-West with hac_lag lags"]
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
    blume: Annotated[float | None, "2/3 beta + 1/3"]
    bootstrap: Annotated[Bootstrap | None, "When asked for by bootstrap=true"]
    detail: Annotated[dict[str, Any] | None, "What only this method gives; null for ols, which is flat"]

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
class MetricValue:
    """A value of a metric of one source."""

    time: Annotated[Instant, "End of the day or hour, or the instant, it describes"]
    metric: Annotated[str, "The quantity with its unit, e.g. fees_usd"]
    source: Annotated[str, "Who counted it; onchain:<chain> for one network of the token"]
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
