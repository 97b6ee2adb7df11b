"""What the engine sees of the world: aligned arrays, one column per line of tokens, no names of sources.

A *line* is a token through its renames and migrations (RNDR then RENDER): one column, spliced by the
succession ratio before it comes here, so that units never change for a change of label.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np

from indexer.arrays import F64, I8, I64, Bools
from indexer.errors import InputError
from indexer.times import iso

ACTIVE = "active_addresses"
VENUES = "venues"


class Status(IntEnum):
    """How good a published number is; higher is worse (docs/methodology.md)."""

    FINAL = 0
    INDICATIVE = 1
    DEGRADED = 2
    CARRIED = 3
    SUSPENDED = 4
    IMPAIRED = 6
    PROVISIONAL = 7  # of a first fill that is not complete: said of published levels only


STATUS_NAMES = (
    "final", "indicative", "degraded", "carried", "suspended", "missing", "impaired", "provisional",
)  # fmt: skip
"""The word for each number of a status."""


class SupplySource(IntEnum):
    """Where a supply came from, in the order of preference."""

    ON_CHAIN = 0
    REPORTED = 1
    IMPORTED = 2


@dataclass(frozen=True, slots=True)
class SupplyHistory:
    """Supply observations of one line, ascending by when they were true. Tokens, not base units.

    `free_float` and `total` (M,) are NaN where not known; `circulating` is as reported. `shipped` (M,) are facts of the
    package, not a provider's readings; None when none is.
    """

    times_us: I64
    circulating: F64
    free_float: F64
    total: F64
    source: I8
    shipped: Bools | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """The slow facts of one column: canonical slug, sub-sector, first price, qualified venues, supplies.

    `candidate_from_us` is the first reference date at which an index may choose the line, unless it names its tokens.
    """

    slug: str
    sub_sector: str
    first_price_us: int
    venues: int
    supply: SupplyHistory
    successor_since_us: int | None = None
    candidate_from_us: int = 0


@dataclass(frozen=True, slots=True)
class Market:
    """Prices and slow facts on one clock.

    times_us (T,) ascending instants, equally spaced or not; prices (T, N) USD, NaN where there is no reference
    rate at that instant; price_status (T, N) `Status` of each rate; perpetual (T, N) tells which are of perpetual
    futures, None when none is. day_us (D,) ascending 00:00 UTC day ends;
    volume_usd (D, N) traded value of the day that ends there, NaN unknown; fundamental (D, N) the chosen
    on-chain metric, or None; active_addresses (D, N) of that day, or None; `metrics` (D, N) by name are those that
    may be chosen (`measured`), and under VENUES how many venues had a bar on that day: without it a line has
    `Line.venues` of them throughout. The lines are the candidates of the index that is computed from it.
    """

    times_us: I64
    prices: F64
    price_status: I8
    lines: tuple[Line, ...]
    day_us: I64
    volume_usd: F64
    fundamental: F64 | None = None
    active_addresses: F64 | None = None
    metrics: Mapping[str, F64] = field(default_factory=dict)
    perpetual: Bools | None = None

    @property
    def slugs(self) -> tuple[str, ...]:
        """The slug of each column."""
        return tuple(line.slug for line in self.lines)

    def select(self, slugs: Collection[str]) -> Market:
        """The market of the given lines only, columns in their present order; slugs it does not have are ignored."""
        keep = [column for column, line in enumerate(self.lines) if line.slug in slugs]
        if len(keep) == len(self.lines):
            return self
        return replace(
            self,
            prices=np.ascontiguousarray(self.prices[:, keep]),
            price_status=np.ascontiguousarray(self.price_status[:, keep]),
            lines=tuple(self.lines[column] for column in keep),
            volume_usd=self.volume_usd[:, keep],
            fundamental=None if self.fundamental is None else self.fundamental[:, keep],
            active_addresses=None if self.active_addresses is None else self.active_addresses[:, keep],
            metrics={name: values[:, keep] for name, values in self.metrics.items()},
            perpetual=None if self.perpetual is None else self.perpetual[:, keep],
        )

    def rows(self, rows: slice | Bools) -> Market:
        """The market on some instants of its clock; days and lines stay."""
        return replace(
            self,
            times_us=self.times_us[rows],
            prices=self.prices[rows],
            price_status=self.price_status[rows],
            perpetual=None if self.perpetual is None else self.perpetual[rows],
        )

    def until(self, last_us: int) -> Market:
        """The market up to an instant, which is included."""
        return self.rows(slice(int(np.searchsorted(self.times_us, last_us, side="right"))))

    def measured(self, metric: str) -> Market:
        """The market with the metric an index weighs by as its fundamental one, and the activity it may ask for."""
        return replace(
            self,
            fundamental=self.metrics.get(metric, self.fundamental),
            active_addresses=self.metrics.get(ACTIVE, self.active_addresses),
        )

    def check(self) -> None:
        """Nothing when the arrays fit together; InputError naming the first thing that does not."""
        steps, columns = len(self.times_us), len(self.lines)
        days = len(self.day_us)
        shapes = {
            "prices": (self.prices.shape, (steps, columns)),
            "price_status": (self.price_status.shape, (steps, columns)),
            "volume_usd": (self.volume_usd.shape, (days, columns)),
        }
        daily = {"fundamental": self.fundamental, ACTIVE: self.active_addresses, **self.metrics}
        for name, values in daily.items():
            if values is not None:
                shapes[name] = (values.shape, (days, columns))
        for name, (shape, wanted) in shapes.items():
            if shape != wanted:
                raise InputError(f"market.{name} has shape {shape}, the clock and the lines need {wanted}")
        if len(set(self.slugs)) != columns:
            raise InputError("two columns of the market have the same slug; give each line one column")
        for name, clock in (("times_us", self.times_us), ("day_us", self.day_us)):
            if (back := clock[1:] <= clock[:-1]).any():
                at = int(back.argmax()) + 1
                raise InputError(f"market.{name} does not ascend at position {at} ({iso(int(clock[at]))})")

    def check_prices(self) -> None:
        """Nothing when every price is positive and finite, or NaN; InputError naming the first that is not.

        Reads the prices more than once: `carry` asks where the least one is not positive, `compute_index` where what
        it made of them is not finite.
        """
        bad = np.argwhere((self.prices <= 0) | np.isinf(self.prices))
        if len(bad):
            row, column = (int(i) for i in bad[0])
            raise InputError(
                f"price of {self.lines[column].slug} at {iso(int(self.times_us[row]))} is "
                f"{self.prices[row, column]}; a price is positive and finite, or NaN where not known"
            )


@dataclass(frozen=True, slots=True)
class Carried:
    """Prices without holes and the record of every hole.

    prices (T, N): the last known price, 0 before the first one (no units are ever held there).
    columns (G,): the columns with holes; missing (T, G): where their price was not there.
    stale: for each column the half-open row ranges [start, end) in which the last price is older than the
    limit, or there was none yet; ascending. worst: the worst status of any rate.
    """

    prices: F64
    columns: I64
    missing: Bools
    stale: tuple[tuple[list[int], list[int]], ...]
    worst: int

    @property
    def complete(self) -> bool:
        """Whether every price is a rate of its instant."""
        return not len(self.columns) and self.worst < Status.CARRIED

    def stale_at(self, row: int, columns: Iterable[int]) -> set[int]:
        """Those of the columns whose price is too old, or not known, at a row."""
        holed = set(self.columns.tolist()).intersection(columns)
        return {column for column in holed if self.next_stale(column, row)[0] == row}

    def next_stale(self, column: int, row: int) -> tuple[int, int]:
        """The first stale range of a column that ends after `row`, cut to begin at `row`; (T, T) when none."""
        starts, ends = self.stale[column]
        at = bisect_right(ends, row)
        if at == len(ends):
            return len(self.prices), len(self.prices)
        return max(starts[at], row), ends[at]


def carry(market: Market, max_carry_us: int) -> Carried:
    """Prices carried over their holes, for a limit of age in microseconds. Copies only when there are holes.

    Raises InputError for a price that is not positive.
    """
    steps = len(market.times_us)
    worst = int(market.price_status.max(initial=0))
    # The least price is NaN exactly when there is a hole, a column's sum when it is there: one read, no mask.
    holed = np.zeros(0, dtype=np.int64)
    if market.prices.size and not market.prices.min() > 0:
        market.check_prices()
        holed = np.flatnonzero(np.isnan(market.prices.sum(axis=0)))
    if not len(holed):
        return Carried(market.prices, holed, np.zeros((steps, 0), dtype=bool), (([], []),) * len(market.lines), worst)
    filled = market.prices.copy()
    missing = np.isnan(market.prices[:, holed])
    stale: list[tuple[list[int], list[int]]] = [([], [])] * len(market.lines)
    for place, column in enumerate(holed.tolist()):
        valid = np.flatnonzero(~missing[:, place])
        filled[:, column] = _hold(market.prices[:, column], valid)
        stale[column] = _stale(market.times_us, valid, max_carry_us=max_carry_us)
    return Carried(filled, holed.astype(np.int64), missing, tuple(stale), worst)


def _hold(prices: F64, valid: I64) -> F64:
    """The last valid price at each row, 0 before the first."""
    out = np.zeros(len(prices))
    if len(valid):
        out[valid[0] :] = np.repeat(prices[valid], np.diff(np.append(valid, len(prices))))
    return out


def _stale(times_us: I64, valid: I64, *, max_carry_us: int) -> tuple[list[int], list[int]]:
    """Row ranges in which the last price is older than the limit, or before the first price."""
    steps = len(times_us)
    starts = np.searchsorted(times_us, times_us[valid] + max_carry_us, side="right")
    starts, ends = np.append(0, starts), np.append(valid, steps) if len(valid) else np.array([steps])
    some = starts < ends
    return starts[some].tolist(), ends[some].tolist()
