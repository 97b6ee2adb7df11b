"""One file through manifest, stamps and gates: the rows that are taken, in order, and those that are not.

Place in the flow: called by importing.py, which writes what comes out. Pure but for reading the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from indexer.arrays import I64, Bools
from indexer.errors import did_you_mean
from indexer.files.columns import FileColumns, Numbers, Words, read_columns
from indexer.files.gates import (
    BEFORE_1970,
    FUTURE,
    Verdicts,
    gate_prices,
    gate_sequence,
    gate_value,
    gate_volume,
)
from indexer.files.manifest import NUMBERS, TEXTS, BenchmarkInfo, Manifest
from indexer.files.measures import market_rows, measures_of
from indexer.files.stamps import (
    NO_SESSION,
    NO_TIME,
    NOT_A_DATE,
    clipped_to_session,
    instants,
    session_closes,
)
from indexer.registry import Asset, Registry
from indexer.store.records import BenchmarkRow, ListingRow
from indexer.times import DAY_US, INTERVAL_US, to_us

MOST_DIGITS = 48  # of whole tokens: with 30 decimals still the 78 digits of a uint256
PRICES = ("open", "high", "low", "close", "adjusted_close")


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows of a file (R,) by role, `order` (K,) the good ones sorted by series and time, `rejects` (line, reason).

    `series` (R,) is the position in `listings`, `benchmarks`, `measures` (subject, name, source) or `assets`, whichever
    the kind of file has.
    """

    manifest: Manifest
    total: int
    time_us: I64
    series: I64
    numbers: dict[str, Numbers]
    words: dict[str, Words]
    order: I64
    rejects: list[tuple[int, str]]
    duplicates: int
    out_of_order: int
    filtered: int
    listings: list[ListingRow]
    benchmarks: list[BenchmarkRow]
    assets: list[Asset]
    measures: list[tuple[str, str, str]]


def gated(path: Path, manifest: Manifest, *, registry: Registry, now_us: int) -> FileRows:
    """The rows of a file, judged. Raises ImportFileError when the file as a whole cannot be read."""
    read = _read(path, manifest)
    rows = len(read.lines)
    verdicts = Verdicts(rows)
    kept = _kept(read, manifest)
    numbers = {role: read.numbers[manifest.columns[role]] for role in NUMBERS if role in manifest.columns}
    words = {role: _role_words(read, manifest, role, rows) for role in (*TEXTS, "supply")}
    stamps, problems = instants(read.time, timezone=manifest.timezone)
    verdicts.reject_each(problems)
    verdicts.reject((stamps != NO_TIME) & (stamps < 0), BEFORE_1970)
    verdicts.reject(stamps > now_us, FUTURE)  # before any calendar is asked for the year 9999
    benchmarks, info = _benchmark_rows(manifest, words["symbol"])
    time_us = _ends(manifest, stamps, verdicts, words["symbol"], info)
    verdicts.reject(time_us > now_us, FUTURE)
    market = market_rows(manifest, words["symbol"])
    assets, asset = (
        ([], words["symbol"].codes)
        if info
        else _resolve(registry, words["symbol"], time_us, verdicts, known=market | ~kept)
    )
    _gate_values(manifest, verdicts, numbers, words)
    verdicts.good &= kept
    listings, series = _series(manifest, words, assets, asset)
    measures, series = measures_of(manifest, words, assets, asset) if manifest.kind == "metrics" else ([], series)
    close = numbers["close"].values if "close" in numbers else np.ones(rows)
    compared = [column.values for column in numbers.values()] + [words["supply"].codes]
    found = gate_sequence(verdicts, series, time_us, close, compared=compared, lines=read.lines)
    rejects = [(int(read.lines[row]), reason) for row, reason in verdicts.reasons.items() if kept[row]]
    return FileRows(
        manifest=manifest,
        total=rows + len(read.malformed),
        time_us=time_us,
        series=series,
        numbers=numbers,
        words=words,
        order=found.order,
        rejects=sorted([*rejects, *read.malformed]),
        duplicates=found.duplicates,
        out_of_order=found.out_of_order,
        filtered=int((~kept).sum()),
        listings=listings,
        benchmarks=benchmarks,
        assets=assets,
        measures=measures,
    )


def _read(path: Path, manifest: Manifest) -> FileColumns:
    columns = manifest.columns
    return read_columns(
        path,
        time=columns["time"],
        numbers=[columns[role] for role in NUMBERS if role in columns],
        words=list(dict.fromkeys([*(columns[role] for role in (*TEXTS, "supply") if role in columns), *manifest.keep])),
        delimiter=manifest.delimiter,
    )


def _kept(read: FileColumns, manifest: Manifest) -> Bools:
    kept = np.ones(len(read.lines), dtype=np.bool_)
    for column, values in manifest.keep.items():
        words = read.words[column]
        kept &= np.array([value in values for value in words.values] or [False], dtype=np.bool_)[words.codes]
    if manifest.kind == "metrics":
        words = read.words[manifest.columns["metric"]]
        kept &= np.array([value in manifest.metrics for value in words.values] or [False], dtype=np.bool_)[words.codes]
    return kept


def _role_words(read: FileColumns, manifest: Manifest, role: str, rows: int) -> Words:
    if role in manifest.columns:
        return read.words[manifest.columns[role]]
    return Words(np.zeros(rows, dtype=np.int64), [manifest.constants.get(role, "")])


def _ends(manifest: Manifest, stamps: I64, verdicts: Verdicts, symbols: Words, info: list[BenchmarkInfo]) -> I64:
    """When each close was true, by what the stamp means."""
    known = stamps != NO_TIME
    if manifest.stamp == "bar_open":
        ends = np.where(known, stamps + INTERVAL_US[manifest.interval], NO_TIME)
    elif manifest.stamp == "session_date":
        verdicts.reject(known & (stamps % DAY_US != 0), NOT_A_DATE)
        ends = np.where(verdicts.good, stamps, NO_TIME)
    else:
        return stamps
    calendars = [(one.calendar, one.kind == "future") for one in info]
    for calendar, future in set(calendars):
        of = np.array([pair == (calendar, future) for pair in calendars], dtype=np.bool_)[symbols.codes]
        rows = np.flatnonzero(of & verdicts.good & known)
        if manifest.stamp == "session_date":
            ends[rows] = session_closes(stamps[rows], calendar=calendar, future=future)
            verdicts.reject(of & (ends == NO_TIME), f"{NO_SESSION}: {calendar}")
        elif not future and manifest.interval != "1d":
            ends[rows] = clipped_to_session(stamps[rows], ends[rows], calendar=calendar)
    return ends


def _benchmark_rows(manifest: Manifest, symbols: Words) -> tuple[list[BenchmarkRow], list[BenchmarkInfo]]:
    if manifest.kind != "benchmarks":
        return [], []
    info = [manifest.benchmarks.get(one, BenchmarkInfo(one, "equity", manifest.calendar)) for one in symbols.values]
    named = zip(symbols.values, info, strict=True)
    return [BenchmarkRow(symbol, one.name, one.kind, one.calendar) for symbol, one in named], info


def _resolve(
    registry: Registry, symbols: Words, time_us: I64, verdicts: Verdicts, *, known: Bools
) -> tuple[list[Asset], I64]:
    """The assets that the symbols named just before each bar's end, and the position of each row's asset.

    Rows that are `known` already, or not wanted, are left at -1.
    """
    edges = _label_edges(registry)
    position: dict[str, int] = {}
    assets: list[Asset] = []
    found = np.full(len(time_us), -1, dtype=np.int64)
    for code, symbol in enumerate(symbols.values):
        rows = np.flatnonzero((symbols.codes == code) & verdicts.good & ~known)
        span = np.searchsorted(
            np.array(edges.get(symbol.strip().upper(), []), dtype=np.int64), time_us[rows] - 1, "right"
        )
        for part in np.unique(span):
            inside = rows[span == part]
            asset = registry.resolve(symbol, int(time_us[inside[0]]) - 1)
            if asset is None:
                continue
            if asset.slug not in position:
                position[asset.slug] = len(assets)
                assets.append(asset)
            found[inside] = position[asset.slug]
        unknown = np.zeros(len(time_us), dtype=np.bool_)
        unknown[rows[found[rows] < 0]] = True
        verdicts.reject(unknown, _unknown(symbol, edges))
    return assets, found


def _label_edges(registry: Registry) -> dict[str, list[int]]:
    """For each symbol, the instants at which its meaning may change."""
    edges: dict[str, list[int]] = {}
    for asset in registry.assets:
        for label in asset.symbols:
            bounds = [to_us(bound) for bound in (label.valid_from, label.valid_to) if isinstance(bound, datetime)]
            edges.setdefault(label.symbol.upper(), []).extend(bounds)
    return {symbol: sorted(bounds) for symbol, bounds in edges.items()}


def _unknown(symbol: str, edges: dict[str, list[int]]) -> str:
    if not symbol:
        return "no symbol"
    if symbol.strip().upper() in edges:
        return f'unknown symbol: "{symbol}" named no asset at that time'
    return f'unknown symbol: "{symbol}" is not in the registry.{did_you_mean(symbol.upper(), edges)}'


def _gate_values(manifest: Manifest, verdicts: Verdicts, numbers: dict[str, Numbers], words: dict[str, Words]) -> None:
    gate_prices(verdicts, {role: column for role, column in numbers.items() if role in PRICES})
    if "volume" in numbers:
        gate_volume(verdicts, numbers["volume"])
    if manifest.kind == "metrics":
        gate_value(verdicts, numbers["value"])
    elif manifest.kind == "supply":
        problems = [_supply_problem(value) for value in words["supply"].values]
        for reason in filter(None, set(problems)):
            bad = np.array([problem == reason for problem in problems], dtype=np.bool_)
            verdicts.reject(bad[words["supply"].codes], reason)
    elif manifest.kind == "benchmarks":
        blank = np.array([not value for value in words["symbol"].values], dtype=np.bool_)
        verdicts.reject(blank[words["symbol"].codes], "no symbol")


def _supply_problem(text: str) -> str:
    if not text:
        return "supply is empty"
    try:
        value = Decimal(text)
    except InvalidOperation:
        return "supply is not a number"
    if not value.is_finite():
        return "supply is not finite"
    if value.adjusted() > MOST_DIGITS:
        return "supply is too large"
    return "" if value > 0 else "supply is not positive"


def _series(
    manifest: Manifest, words: dict[str, Words], assets: list[Asset], asset: I64
) -> tuple[list[ListingRow], I64]:
    """For token files, the listings (asset, venue, source, symbol) and each row's position among them."""
    if manifest.kind != "tokens":
        return [], asset
    parts = [asset, *(words[role].codes for role in ("venue", "source", "symbol"))]
    sizes = [len(assets) + 1, *(len(words[role].values) for role in ("venue", "source", "symbol"))]
    code = np.zeros(len(asset), dtype=np.int64)
    for part, size in zip(parts, sizes, strict=True):
        code = code * size + part
    known = asset >= 0
    distinct, first, inverse = np.unique(code[known], return_index=True, return_inverse=True)
    rows = np.flatnonzero(known)[first]
    series = np.full(len(asset), -1, dtype=np.int64)
    series[known] = inverse
    return [_listing(manifest, words, assets[asset[row]], row) for row in rows.tolist()][: len(distinct)], series


def _listing(manifest: Manifest, words: dict[str, Words], asset: Asset, row: int) -> ListingRow:
    venue, source, symbol, basis = (
        words[role].values[words[role].codes[row]] for role in ("venue", "source", "symbol", "price_basis")
    )
    return ListingRow(
        asset=asset.slug,
        venue=venue,
        source=source,
        symbol=symbol,
        interval=manifest.interval,
        stamp=manifest.stamp,
        quote=manifest.quotes.get(venue, manifest.constants.get("quote", "USD")),
        price_basis=basis or "trade",
    )
