"""Records about members, rules, statistics and benchmarks, with the names of the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from indexer.arrays import F64, I64
from indexer.client.frames import Frame, instants
from indexer.client.results import Instant, MethodologyRef, Table

if TYPE_CHECKING:
    from indexer.methodology.spec import Methodology


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
    supply_block: int | None = None
    supply_link: str | None = None


@dataclass(frozen=True, slots=True)
class Constituents(Table[Constituent]):
    """The constituents at an instant, heaviest first."""

    at: Instant | None = None
    rebalanced_at: Instant | None = None
    effective_number: float | None = None


@dataclass(frozen=True, slots=True)
class RebalanceItem:
    """One candidate of a rebalancing, with the evidence."""

    asset: str
    symbol: str
    sub_sector: str
    units_before: float
    units_after: float
    weight_drifted: float
    weight_target: float
    price: float | None
    supply: float | None
    supply_source: str | None
    free_float_cap_usd: float | None
    median_adv_usd: float | None
    rank: int | None
    reason: str


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
class Sentinel:
    """Correlation with the benchmark's neighbouring intervals; `shifted` when a neighbour is the strongest."""

    lag: float | None
    contemporaneous: float | None
    lead: float | None
    n: int
    shifted: bool
    message: str | None


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Percentile intervals from a stationary bootstrap on pairs."""

    n: int
    repetitions: int
    block: float | None
    beta: float | None
    beta_low: float | None
    beta_high: float | None
    se: float | None
    correlation_low: float | None
    correlation_high: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Beta:
    """Beta with its errors. A number that does not exist is None, and `reason` says why.

    `se` is the larger of se_ols and se_hac and carries the interval, t and p; alpha is per session.
    """

    index: str
    simulated: bool
    benchmark: str
    benchmarks: tuple[str, ...]
    method: str
    sessions: int
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

    def __str__(self) -> str:
        if self.beta is None or self.se is None:
            return f"beta {self.index} ~ {self.benchmark}: none, {self.reason}"
        quality = "" if self.r2 is None else f", R² {self.r2:.2f}"
        return f"beta {self.index} ~ {self.benchmark}: {self.beta:.2f} ± {self.se:.2f}{quality}, n {self.n}"


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
class Benchmark:
    """Something to hold the index against; `sessions` is 0 while it has no closes."""

    symbol: str
    name: str
    kind: str
    calendar: str
    first_time: Instant | None
    latest_time: Instant | None
    sessions: int
