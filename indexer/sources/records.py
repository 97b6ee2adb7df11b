"""What a source's answer becomes: columnar, frozen records. Pure; sources make them, the pipeline takes them.

Bulk series are equal-length arrays, ascending by `time_us` without repeats. NaN means not known.
A record says nothing of where it is stored and keeps the provider's own identifier of the asset (`symbol`):
turning that into an asset of ours is `sources.base.Mapped`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64, I64
from indexer.errors import InputError
from indexer.times import HOUR_US


class Columns:
    """Equal-length arrays of one instrument, ascending by `time_us` (N,) without repeats, else InputError."""

    time_us: I64

    def __post_init__(self) -> None:
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        lengths = {name: len(value) for name, value in arrays.items() if isinstance(value, np.ndarray)}
        if len(set(lengths.values())) > 1:
            raise InputError(f"{type(self).__name__}: columns differ in length: {lengths}")
        if not bool((np.diff(self.time_us) > 0).all()):
            raise InputError(f"{type(self).__name__}: instants must ascend without repeats")

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, eq=False)
class Bars(Columns):
    """Price bars of one instrument. `time_us` (N,) is the instant each bar CLOSES; all other arrays are (N,).

    Prices and `volume_usd` (the traded value) are in `quote`; anything but USD goes through `in_usd` before it
    is stored or enters a rate.
    """

    time_us: I64
    open: F64
    high: F64
    low: F64
    close: F64
    volume_base: F64
    volume_usd: F64
    quote: str = "USD"

    def between(self, after_us: int, until_us: int) -> Bars:
        """The bars that close in (after_us, until_us]."""
        first, last = np.searchsorted(self.time_us, [after_us, until_us], side="right")
        return self.take(np.arange(first, last))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Bars:
        """The chosen rows, in the given order (which must ascend)."""
        chosen = {name: getattr(self, name)[rows] for name in COLUMNS}
        return Bars(**chosen, quote=self.quote)


COLUMNS = ("time_us", "open", "high", "low", "close", "volume_base", "volume_usd")


def no_bars(quote: str = "USD") -> Bars:
    """An empty set of bars."""
    empty = np.empty(0, dtype=np.float64)
    return Bars(np.empty(0, dtype=np.int64), empty, empty, empty, empty, empty, empty, quote)


def join_bars(parts: list[Bars]) -> Bars:
    """One set of bars from several of one instrument, in time order; of equal instants the first part's wins.

    Raises InputError when the parts have different quote currencies.
    """
    parts = [part for part in parts if len(part)] or parts[:1]
    if not parts:
        return no_bars()
    quotes = {part.quote for part in parts}
    if len(quotes) > 1:
        raise InputError(f"bars in {' and '.join(sorted(quotes))} cannot be joined; convert them with in_usd first")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
    _, rows = np.unique(columns["time_us"], return_index=True)
    return Bars(**{name: column[rows] for name, column in columns.items()}, quote=parts[0].quote)


def in_usd(bars: Bars, rate: Bars) -> Bars:
    """The bars in USD, by our own rate of their quote currency (USDT, USDC, BTC); never assumes a peg.

    Every bar is multiplied by the rate's close at the same instant; bars without a rate are left out, because
    a price in an unknown currency value is not a price. `rate` must be in USD (else InputError).
    """
    if bars.quote == "USD":
        return bars
    if rate.quote != "USD":
        raise InputError(f"the rate of {bars.quote} is itself in {rate.quote}; give it in USD")
    at, here, there = np.intersect1d(bars.time_us, rate.time_us, assume_unique=True, return_indices=True)
    known = np.isfinite(rate.close[there])
    factor = rate.close[there][known]
    same = bars.take(here[known])
    return Bars(
        at[known],
        same.open * factor,
        same.high * factor,
        same.low * factor,
        same.close * factor,
        same.volume_base,
        same.volume_usd * factor,
    )


@dataclass(frozen=True, eq=False)
class BenchmarkBars(Columns):
    """Closes of an equity, index or future: raw and adjusted kept apart. All arrays (N,), NaN = not given.

    `adjusted_close` is for splits and dividends; `close` is as the source gives it, which `price_basis` names.
    """

    symbol: str
    time_us: I64
    close: F64
    adjusted_close: F64
    volume: F64
    price_basis: str


@dataclass(frozen=True, slots=True)
class Quote:
    """One price at one instant. `observed_us` is None when the source does not say when it was true."""

    symbol: str
    price: float
    quote: str
    observed_us: int | None = None


@dataclass(frozen=True, slots=True)
class Instrument:
    """A spot pair in a venue's own list. `state`: trading, ending (its end is announced, or only orders of a kind are
    taken) or closed."""

    symbol: str
    base: str
    quote: str
    state: str


@dataclass(frozen=True, slots=True)
class SupplyObservation:
    """A supply as a provider reports it, in tokens. `kind`: circulating, total or max."""

    symbol: str
    kind: str
    tokens: float
    observed_us: int


@dataclass(frozen=True, eq=False)
class Series(Columns):
    """Values of one named quantity over instants: funding rate, open interest in USD, a sentiment index.

    `name` is the quantity with its unit (`funding_rate`, `open_interest_usd`, `fear_greed_0_100`, …).
    """

    symbol: str
    name: str
    time_us: I64
    value: F64


@dataclass(frozen=True, slots=True, eq=False)
class Liquidations:
    """Forced closures of positions, one row an order. `long` is true where a long position was closed.

    Rows may share an instant, so `time_us` ascends but may repeat.
    """

    symbol: str
    time_us: I64
    long: NDArray[np.bool_]
    usd: F64

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, eq=False)
class HourlyLiquidations(Columns):
    """Forced closures per hour. `time_us` (N,) is the hour's end; USD by side; hours without any are absent.

    `long_share` = long / (long + short): near 1 in a fall, near 0 in a squeeze.
    """

    time_us: I64
    long_usd: F64
    short_usd: F64
    long_share: F64


def hourly_liquidations(orders: Sequence[Liquidations]) -> HourlyLiquidations:
    """The totals per hour over all the venues' and symbols' orders given; each order once."""
    at = np.concatenate([part.time_us for part in orders]) if orders else np.empty(0, dtype=np.int64)
    usd = np.concatenate([part.usd for part in orders]) if orders else np.empty(0)
    long = np.concatenate([part.long for part in orders]) if orders else np.empty(0, dtype=np.bool_)
    ends, hour = np.unique(-(-at // HOUR_US) * HOUR_US, return_inverse=True)
    long_usd = np.bincount(hour, weights=np.where(long, usd, 0.0), minlength=len(ends)).astype(np.float64)
    short_usd = np.bincount(hour, weights=np.where(long, 0.0, usd), minlength=len(ends)).astype(np.float64)
    return HourlyLiquidations(ends, long_usd, short_usd, long_usd / (long_usd + short_usd))


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not taken: a stable reason (see `sources.rows`), what it said, and where it stood."""

    reason: str
    row: str
    position: int = -1
