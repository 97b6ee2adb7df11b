"""What goes into and comes out of the store: columns of numpy for bulk, frozen rows for the rest.

Instants are int64 microseconds ("us") in columns and aware datetimes in rows; missing is NaN in columns and
None in rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64, I64
from indexer.reference.rates import ListedBars

R = TypeVar("R")


def as_row(row: type[R], model: Any, **others: Any) -> R:
    """A frozen row from a model of its table, its columns or another record; `others` are the fields it lacks."""
    names: tuple[str, ...] = tuple(row.__dataclass_fields__)  # type: ignore[attr-defined]
    return row(**{name: getattr(model, name) for name in names if name not in others}, **others)


def as_values(row: Any, **others: Any) -> dict[str, Any]:
    """A row's fields to write, without its `id`, which the store gives; `others` are added."""
    return {name: getattr(row, name) for name in row.__dataclass_fields__ if name != "id"} | others


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows were new, how many became a new revision, and how many were there already."""

    new: int = 0
    revised: int = 0
    unchanged: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(self.new + other.new, self.revised + other.revised, self.unchanged + other.unchanged)


@dataclass(frozen=True, slots=True)
class AssetRow:
    """An asset as the registry has it; identity is (chain, contract), `slug` our name for it."""

    slug: str
    name: str
    symbol: str
    chain: str
    contract: str
    decimals: int
    sub_sector: str
    status: str
    line: str
    line_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class StoredAsset(AssetRow):
    """An asset with its id in this store."""

    id: int = 0


@dataclass(frozen=True, slots=True)
class ListingRow:
    """Where an asset's price is seen. `asset` is a slug; (asset, venue, interval, source) is the identity."""

    asset: str
    venue: str
    source: str
    symbol: str
    interval: str
    stamp: str
    quote: str = "USD"
    price_basis: str = "trade"
    id: int | None = None
    asset_id: int | None = None


@dataclass(frozen=True, slots=True)
class BarColumns:
    """Bars to write, all (R,): `time_us` is the end of the bar; prices and volume_usd in USD, NaN unknown."""

    listing_id: I64
    time_us: I64
    open: F64
    high: F64
    low: F64
    close: F64
    volume_base: F64
    volume_usd: F64


@dataclass(frozen=True, slots=True)
class BarSeries(ListedBars):
    """Bars read, all (R,), ordered by listing then time, one revision each: the latest known then."""

    volume_usd: F64


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """A benchmark; `kind` is equity, etf, equity_index, future or token; `calendar` an exchange_calendars name."""

    symbol: str
    name: str
    kind: str
    calendar: str = "XNYS"
    id: int | None = None


@dataclass(frozen=True, slots=True)
class BenchmarkColumns:
    """Benchmark bars to write, all (R,); `time_us` is the instant of the close. Basis and source per row."""

    benchmark_id: I64
    time_us: I64
    close: F64
    adjusted_close: F64
    volume: F64
    price_basis: list[str]
    source: list[str]
    interval: str = "1d"


@dataclass(frozen=True, slots=True)
class SupplyRow:
    """One supply reading in base units (exact). `asset` is a slug; origin is on_chain, reported or imported."""

    asset: str
    kind: str
    origin: str
    source: str
    observed_at: datetime
    amount: int
    chain: str | None = None
    block_number: int | None = None
    block_hash: str | None = None
    finality: str | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """Values of one quantity from one source: instants and values (N,), ascending. `name` carries the unit."""

    subject: str
    name: str
    source: str
    time_us: I64
    value: F64


@dataclass(frozen=True, slots=True)
class PayloadRow:
    """A raw answer in the archive: hash, source, address without keys, when it came, and its size in bytes."""

    sha256: str
    source: str
    url: str
    fetched_at: datetime
    bytes: int


@dataclass(frozen=True, slots=True)
class RejectRow:
    """A row that was not taken: where, why, and the row itself."""

    file: str
    file_sha256: str
    line: int
    reason: str
    row: str


@dataclass(frozen=True, slots=True)
class QualityRow:
    """Something the data lacked or disagreed about; open while `closed_at` is None. `detail` is JSON."""

    kind: str
    subject: str
    opened_at: datetime
    closed_at: datetime | None = None
    detail: str = "{}"


@dataclass(frozen=True, slots=True)
class LevelColumns:
    """Levels of one index, all (K,): shares of weight with an older price and with one of perpetual futures, and how
    many constituents are held (0 where that was not stored)."""

    times_us: I64
    levels: F64
    status: NDArray[np.int8]
    carried_weight: F64
    perpetual_weight: F64
    constituents: I64

    def __len__(self) -> int:
        return len(self.times_us)


@dataclass(frozen=True, slots=True)
class LevelRows(LevelColumns):
    """Levels as they stand, oldest first; hashes are 32 bytes each."""

    revision: I64
    methodology_id: I64
    published_at_us: I64
    inputs_hash: list[bytes]
    prev_hash: list[bytes]
    hash: list[bytes]

    def rows(self, rows: I64) -> LevelRows:
        """Some of the rows, by number."""
        columns: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            column = getattr(self, name)
            columns[name] = [column[n] for n in rows] if isinstance(column, list) else column[rows]
        return LevelRows(**columns)


@dataclass(frozen=True, slots=True)
class ConstituentRow:
    """A constituent at an instant, with the weight that follows from the last reference rate (None unknown).

    Units are those held since the last rebalancing, `weight_target` and `price_effective` what they were then.
    """

    asset: str
    asset_id: int
    symbol: str
    name: str
    sub_sector: str
    units: float
    weight_target: float
    price_effective: float | None
    rate: float | None
    rate_at: datetime | None
    rate_status: int | None
    weight: float | None
    effective_at: datetime
    divisor: float


@dataclass(frozen=True, slots=True)
class RebalancingItemRow:
    """One candidate of a rebalancing, with the evidence; None where unknown."""

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
    supply_observed_at: datetime | None = None
    supply_stale_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RebalancingRow:
    """One change of units at equal value, with its items ordered by target weight, largest first."""

    id: int
    index_id: str
    kind: str
    reference_at: datetime
    effective_at: datetime
    revision: int
    methodology_id: int
    level: float
    divisor_before: float
    divisor_after: float
    turnover: float
    items: tuple[RebalancingItemRow, ...]


@dataclass(frozen=True, slots=True)
class NoteRow:
    """A review that was skipped or relaxed, or a spell in which an index was impaired or suspended, and why.

    The level at `start_at` of a suspension is the last one before `end_at`; `end_at` is None for a review, and for a
    spell that goes on. `reference_at` is of a review.
    """

    kind: str
    start_at: datetime
    end_at: datetime | None
    reference_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class MethodologyRow:
    """A stored version of an index's methodology file."""

    id: int
    index_id: str
    version: str
    hash: str
    text: str
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class IndexRow:
    """An index as registered, with the version and hash of its present methodology."""

    id: str
    name: str
    description: str
    simulated: bool
    state: str
    methodology_id: int
    version: str
    hash: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """One piece of work; `finished_at` is None while it runs or after it crashed."""

    id: int
    kind: str
    key: str
    due_at: datetime | None
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MembershipRow:
    """Who was a constituent from when to when (half-open), and why."""

    asset: str
    valid_from: datetime
    valid_to: datetime | None
    reason_in: str
    reason_out: str | None


@dataclass(frozen=True, slots=True)
class AnnouncementRow:
    """Something users are told. `key` makes it one announcement; `detail` is JSON; `index_id` None is all indices."""

    key: str
    kind: str
    title: str
    published_at: datetime
    index_id: str | None = None
    effective_at: datetime | None = None
    detail: str = "{}"
    id: int | None = None


@dataclass(frozen=True, slots=True)
class OverrideRow:
    """A decision of people over a value, a membership or an event; it acts from its approval to its expiry."""

    kind: str
    asset: str
    starts_at: datetime
    expires_at: datetime
    reason: str
    proposed_by: str
    proposed_at: datetime
    index_id: str | None = None
    detail: str = "{}"
    approved_by: str | None = None
    approved_at: datetime | None = None
    withdrawn_by: str | None = None
    withdrawn_at: datetime | None = None
    id: int | None = None
