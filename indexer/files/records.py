"""The rows of a file once they are judged: the good ones as what the store writes, and what should be looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.files.columns import FileColumns, Words
from indexer.files.gates import MOST_STEPS, find_steps
from indexer.files.manifest import Manifest
from indexer.files.numbers import Numbers
from indexer.registry import Asset
from indexer.registry.records import AT_PAR, DOLLAR
from indexer.store.rows import BarColumns, BenchmarkColumns, BenchmarkRow, ListingRow, MetricSeries, SupplyRow
from indexer.times import from_us, iso

Measure = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows that were `read` (R,), `order` (K,) the good ones sorted by series and time, `rejects` (line, reason).

    `series` (R,) is the position in `listings`, `benchmarks`, `measures` (subject, name, source) or `assets`, whichever
    the kind of file has. `outside` (R,) are bars that no session of their exchange has.
    """

    manifest: Manifest
    read: FileColumns
    total: int
    time_us: I64
    series: I64
    words: dict[str, Words]
    order: I64
    outside: Bools
    rejects: list[tuple[int, str]]
    duplicates: int
    out_of_order: int
    filtered: int
    left_out: Counter[str]
    listings: list[ListingRow]
    benchmarks: list[BenchmarkRow]
    assets: list[Asset]
    measures: list[Measure]

    @property
    def numbers(self) -> dict[str, Numbers]:
        """The number columns (R,) by role."""
        return self.read.numbers

    def notes(self) -> list[str]:
        """Sentences on what should be looked at in rows that are taken: quotes that wait for a rate, steps, splits."""
        return [*_waiting(self), *_steps(self), *_out_of_hours(self)]


def bars_of(rows: FileRows, listing_ids: I64) -> BarColumns:
    """The good rows as bars, with the ids of the listings by their position.

    Closes and volumes are as the file has them; a volume in USD is known only where the quote is a dollar or at par.
    """
    index = rows.order
    close = _number(rows, "close", index)
    volume = _number(rows, "volume", index) * rows.manifest.volume_scale
    unknown = np.full(len(index), np.nan)
    unit = rows.manifest.volume_unit
    if unit in ("base", "quote"):
        at_par = [listing.quote in (DOLLAR, *AT_PAR) for listing in rows.listings] or [False]
        dollars = np.array(at_par)[rows.series[index]]
        with np.errstate(over="ignore"):
            base, traded = (volume, volume * close) if unit == "base" else (volume / close, volume)
        usd = np.where(np.isfinite(traded) & dollars, traded, np.nan)
    else:
        base, usd = unknown, np.where(_comparable(rows, index), volume, np.nan)
    return BarColumns(
        listing_id=listing_ids[rows.series[index]],
        time_us=rows.time_us[index],
        open=_number(rows, "open", index),
        high=_number(rows, "high", index),
        low=_number(rows, "low", index),
        close=close,
        volume_base=base,
        volume_usd=usd,
    )


def benchmarks_of(rows: FileRows, benchmark_ids: I64) -> BenchmarkColumns:
    """The good rows as benchmark bars, with the ids of the benchmarks by their position."""
    index = rows.order
    return BenchmarkColumns(
        benchmark_id=benchmark_ids[rows.series[index]],
        time_us=rows.time_us[index],
        close=_number(rows, "close", index),
        adjusted_close=_number(rows, "adjusted_close", index),
        volume=_number(rows, "volume", index),
        price_basis=rows.words["price_basis"].rows(index),
        source=rows.words["source"].rows(index),
        interval=rows.manifest.interval,
    )


def supplies_of(rows: FileRows) -> list[SupplyRow]:
    """The good rows as supply readings in exact base units."""
    kind = rows.manifest.constants.get("supply_kind", "circulating")
    sources = rows.words["source"].rows(rows.order)
    amounts = rows.words["supply"].rows(rows.order)
    supplies = []
    for row, source, amount in zip(rows.order.tolist(), sources, amounts, strict=True):
        asset = rows.assets[rows.series[row]]
        units = int((Decimal(amount) * 10**asset.decimals).to_integral_value())
        observed = from_us(int(rows.time_us[row]))
        supplies.append(SupplyRow(asset.slug, kind, "imported", source, observed, units, chain=asset.chain))
    return supplies


def metrics_of(rows: FileRows) -> list[MetricSeries]:
    """The good rows as series of one quantity from one source."""
    series, metrics = rows.series[rows.order], []
    for place in np.unique(series).tolist():
        index = rows.order[series == place]
        subject, name, source = rows.measures[place]
        metrics.append(MetricSeries(subject, name, source, rows.time_us[index], _number(rows, "value", index)))
    return metrics


def _number(rows: FileRows, role: str, index: I64) -> F64:
    return rows.numbers[role].values[index] if role in rows.numbers else np.full(len(index), np.nan)


def _comparable(rows: FileRows, index: I64) -> Bools:
    accepted = rows.manifest.usd_volume_kinds
    if rows.manifest.volume_unit != "usd":
        return np.zeros(len(index), dtype=np.bool_)
    return rows.words["volume_kind"].where(lambda kind: not accepted or kind in accepted)[index]


def _waiting(rows: FileRows) -> list[str]:
    """Currencies whose prices need a rate."""
    return [
        f"bars in {quote} are priced by a {quote}/USD rate of their instant alone, and wait where there is none: "
        f'import one as the benchmark "{quote}-USD"'
        for quote in sorted({listing.quote for listing in rows.listings} - {DOLLAR, *AT_PAR})
    ]


def _steps(rows: FileRows) -> list[str]:
    """Lasting steps of a power of ten, and splits that are not adjusted for."""
    if "close" not in rows.numbers:
        return []
    notes = []
    shares = rows.manifest.kind == "benchmarks"
    role = "adjusted_close" if shares and "adjusted_close" in rows.numbers else "close"
    closes = rows.numbers[role].values[rows.order]
    labels = [series.symbol for series in (rows.benchmarks if shares else rows.listings)]
    steps = find_steps(rows.series[rows.order], closes, shares=shares)
    for place, factor in steps[:MOST_STEPS]:
        row = int(rows.order[place])
        size = f"×{factor:,.4g}" if factor > 1 else f"×1/{1 / factor:,.4g}"
        reason = "a split that is not adjusted for?" if shares else "a redenomination, or another unit?"
        notes.append(
            f"line {int(rows.read.lines[row]):,}: {labels[int(rows.series[row])]} changes by {size} for good at "
            f"{iso(int(rows.time_us[row]))}: {reason}"
        )
    return notes


def _out_of_hours(rows: FileRows) -> list[str]:
    """For each benchmark, its bars that lie outside of its exchange's sessions: they are taken, and named."""
    bars = rows.order[rows.outside[rows.order]]
    notes = []
    for place in np.unique(rows.series[bars]).tolist():
        mine, of = bars[rows.series[bars] == place], rows.benchmarks[place]
        notes.append(
            f"line {int(rows.read.lines[mine[0]]):,}: {len(mine):,} bars of {of.symbol} lie outside of the sessions of "
            f"{of.calendar}, the first at {iso(int(rows.time_us[mine[0]]))}"
        )
    return notes
