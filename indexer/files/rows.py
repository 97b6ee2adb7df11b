"""One table through stamps and gates, part by part: the rows that are taken, in order, and those that are not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import astuple, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import numpy as np

from indexer.arrays import I64, Bools
from indexer.errors import ImportFileError, did_you_mean
from indexer.files import gates
from indexer.files.columns import FileColumns, Words, read_parts
from indexer.files.containers import Table
from indexer.files.gates import Occupied, Verdicts
from indexer.files.manifest import TEXTS, Manifest
from indexer.files.numbers import Numbers
from indexer.files.records import FileRows, Measure
from indexer.files.stamps import (
    NO_SESSION,
    NO_TIME,
    NOT_A_DATE,
    Stamps,
    clipped_to_session,
    period_ends,
    session_closes,
    session_days,
)
from indexer.registry import Asset, Registry
from indexer.registry.records import AT_PAR, DOLLAR, MARKETS, currency, split_pair
from indexer.store.rows import BenchmarkRow, ListingRow
from indexer.times import DAY_US, INTERVAL_US, MINUTE_US, to_us

T = TypeVar("T")
MOST_DIGITS = 48  # of whole tokens: with 30 decimals still the 78 digits of a uint256
PRICES = ("open", "high", "low", "close", "adjusted_close")
MARKET = "market"
FEW_STEPS = 5  # fewer do not tell the length of the bars of a series
MOST_REFUSED = 1_000_000  # of a long file, where they are nine of ten rows: it is not what it is taken for
PERPETUAL = r"(?i)([-_]?(SWAP|PERP)|\.P)$"


def gated(table: Table, manifest: Manifest, *, registry: Registry, now_us: int) -> Iterator[FileRows]:
    """The rows of a table, judged, part by part. Raises ImportFileError when it cannot be read as described.

    Rows that come twice, contradict each other or jump are judged within a part; a row whose stamp an earlier part has
    is rejected, since nothing tells any more whether it agrees with that. Of a long file that is mostly refused the
    rest is not read.
    """
    bars = manifest.stamp != "instant" and manifest.kind in ("tokens", "benchmarks")
    earlier = Occupied(INTERVAL_US[manifest.interval] if bars else MINUTE_US)
    total = refused = 0
    for part in read_parts(table, manifest):
        rows = _judged(part, manifest, registry=registry, now_us=now_us, earlier=earlier)
        yield rows
        total, refused = total + rows.total, refused + len(rows.rejects)
        if refused > MOST_REFUSED and refused > 0.9 * total:
            raise ImportFileError(
                f"{table.name}: {refused:,} of the first {total:,} rows are refused, "
                f"line {rows.rejects[-1][0]:,}: {rows.rejects[-1][1]}; "
                "correct the manifest, or take some rows only by [keep]"
            )


def _judged(read: FileColumns, manifest: Manifest, *, registry: Registry, now_us: int, earlier: Occupied) -> FileRows:
    verdicts, chosen = Verdicts(len(read.lines)), _chosen(read, manifest)
    words = {role: _role_words(read, manifest, role) for role in (*TEXTS, "supply")}
    if manifest.kind == "tokens":
        words |= _pairs(manifest, words, registry.symbols())
    benchmarks = _benchmarks(manifest, words["symbol"])
    time_us = _times(read, manifest, verdicts, words, benchmarks, now_us=now_us)
    assets, series = _assets(manifest, registry, words, time_us, verdicts, chosen=chosen)
    _gate_values(manifest, verdicts, read.numbers, words)
    verdicts.good &= chosen
    listings, measures, series = _subjects(manifest, words, assets, series)
    keys = [*listings, *benchmarks, *measures] or [asset.slug for asset in assets]
    _reject_repeated(verdicts, series, time_us, keys, earlier)
    _check_steps(manifest, verdicts.good, series, time_us)
    judged = _sequenced(read, verdicts, series, time_us, supply=words["supply"].codes)
    rejects = ((int(read.lines[row]), reason) for row, reason in verdicts.reasons.items() if chosen[row])
    return FileRows(
        manifest=manifest,
        read=read,
        total=len(read.lines) + len(read.malformed),
        time_us=time_us,
        series=series,
        words=words,
        order=judged.order,
        outside=verdicts.outside,
        rejects=sorted([*rejects, *read.malformed]),
        duplicates=judged.duplicates,
        out_of_order=judged.out_of_order,
        filtered=int((~chosen).sum()),
        left_out=_left_out(manifest, words["metric"]),
        listings=listings,
        benchmarks=benchmarks,
        assets=assets,
        measures=measures,
    )


def _subjects(
    manifest: Manifest, words: Mapping[str, Words], assets: Sequence[Asset], asset: I64
) -> tuple[list[ListingRow], list[Measure], I64]:
    """The listings of a file of tokens, the measures of one of metrics, and each row's position among them."""
    if manifest.kind == "tokens":
        listings, series = _listings(manifest, words, assets, asset)
        return listings, [], series
    measures, series = _measures(manifest, words, assets, asset) if manifest.kind == "metrics" else ([], asset)
    return [], measures, series


def _benchmarks(manifest: Manifest, symbols: Words) -> list[BenchmarkRow]:
    named = symbols.values if manifest.kind == "benchmarks" else []
    return [BenchmarkRow(symbol, *astuple(manifest.info(symbol))) for symbol in named]


def _sequenced(read: FileColumns, verdicts: Verdicts, series: I64, time_us: I64, *, supply: I64) -> gates.Sequenced:
    close = read.numbers["close"].values if "close" in read.numbers else None
    compared = [*(column.values for column in read.numbers.values()), supply.astype(np.float64)]
    return gates.gate_sequence(verdicts, series, time_us, close, compared=compared, lines=read.lines)


def _assets(
    manifest: Manifest,
    registry: Registry,
    words: Mapping[str, Words],
    time_us: I64,
    verdicts: Verdicts,
    *,
    chosen: Bools,
) -> tuple[list[Asset], I64]:
    """The assets that the rows are about and each row's position among them; of benchmarks that of its symbol."""
    symbols = words["symbol"]
    if manifest.kind == "benchmarks":
        return [], symbols.codes
    market = symbols.where(lambda symbol: manifest.kind == "metrics" and symbol == manifest.market != "")
    at_us = time_us - (manifest.kind == "tokens")  # a bar is of what its symbol meant just before its end
    return _resolve(registry, symbols, at_us, verdicts, known=market | ~chosen)


def _check_steps(manifest: Manifest, good: Bools, series: I64, time_us: I64) -> None:
    """Raises ImportFileError for bars that are longer or shorter than what is said of them."""
    if manifest.kind == "tokens" and manifest.stamp in ("bar_open", "bar_close"):
        _check_interval(manifest, _apart(good, series, time_us))
    if manifest.kind == "benchmarks" and manifest.interval == "1d":
        apart = _apart(good, series, time_us)
        if len(apart) >= FEW_STEPS and apart.min() >= 5 * DAY_US:  # weeks would be closes of their first day
            raise ImportFileError("closes of days are said, and all are a week apart or more; download daily closes")


def _check_interval(manifest: Manifest, apart: I64) -> None:
    """Raises ImportFileError where most bars of a series begin before the one before ends, or all far behind it."""
    step = INTERVAL_US[manifest.interval]
    if len(apart) > 1 and np.median(apart) < step:
        raise ImportFileError(
            f"bars of {manifest.interval} are said, and most stamps are {np.median(apart) / MINUTE_US:g} minutes "
            "apart; correct the interval (--interval)"
        )
    if len(apart) >= FEW_STEPS and apart.min() == apart.max() >= 2 * step:
        raise ImportFileError(
            f"bars of {manifest.interval} are said, and all stamps are {apart.min() / MINUTE_US:g} minutes apart: "
            "these are longer bars; download 1m, 5m, 1h or 1d"
        )


def _apart(good: Bools, series: I64, time_us: I64) -> I64:
    """How far each good row is from the one before it in its series, in microseconds."""
    rows = np.flatnonzero(good)
    order = rows[np.lexsort((time_us[rows], series[rows]))]
    apart = np.diff(time_us[order])[np.diff(series[order]) == 0]
    positive: I64 = apart[apart > 0]
    return positive


def _chosen(read: FileColumns, manifest: Manifest) -> Bools:
    """Rows that the manifest asks for: by `keep`, and for metrics by their word."""
    chosen = np.ones(len(read.lines), dtype=np.bool_)
    choices = [(read.keep[column], set(values)) for column, values in manifest.keep.items()]
    if manifest.kind == "metrics":
        choices.append((read.words["metric"], set(manifest.metrics)))
    for words, values in choices:
        chosen &= words.where(values.__contains__)
    return chosen


def _role_words(read: FileColumns, manifest: Manifest, role: str) -> Words:
    constant = Words(np.zeros(len(read.lines), dtype=np.int64), [manifest.constants.get(role, "")])
    return read.words.get(role, constant)


def _pairs(manifest: Manifest, words: Mapping[str, Words], known: Set[str]) -> dict[str, Words]:
    """Symbol and quote of each row: pairs split in two, and quotes as the codes of currencies ('' for none).

    What marks a perpetual (-SWAP, -PERP, .P) is no part of the pair where the manifest says that it is one.
    """
    symbols, quotes, venues = words["symbol"], words["quote"], words["venue"]
    if manifest.pairs:
        mark = PERPETUAL if manifest.market == "perpetual" else ""
        halves = [split_pair(re.sub(mark, "", word), known) for word in symbols.values]
        named = [half[0] or word for half, word in zip(halves, symbols.values, strict=True)]
        return {"symbol": Words(symbols.codes, named), "quote": Words(symbols.codes, [half[1] for half in halves])}
    if "quote" in manifest.columns:
        return {"quote": Words(quotes.codes, [currency(word) for word in quotes.values])}
    usual = manifest.constants.get("quote", DOLLAR)
    return {"quote": Words(venues.codes, [currency(manifest.quotes.get(venue, usual)) for venue in venues.values])}


def _times(
    read: FileColumns,
    manifest: Manifest,
    verdicts: Verdicts,
    words: Mapping[str, Words],
    benchmarks: list[BenchmarkRow],
    *,
    now_us: int,
) -> I64:
    """When each row was true, by what its stamp means; rows without an instant, off the grid or ahead are rejected."""
    stamps = read.stamps
    verdicts.reject_each(stamps.reasons)
    verdicts.reject((stamps.us != NO_TIME) & (stamps.us < 0), gates.BEFORE_1970)
    verdicts.reject(stamps.us > now_us, gates.FUTURE)  # before any calendar is asked for the year 9999
    if manifest.kind == "tokens" and manifest.stamp in ("bar_close", "instant"):
        stamps = replace(stamps, us=gates.on_the_minute(stamps.us), wall_us=gates.on_the_minute(stamps.wall_us))
    time_us = _ends(manifest, stamps, verdicts, words["symbol"], benchmarks)
    verdicts.reject(time_us > now_us, gates.FUTURE)
    if manifest.kind == "tokens":
        gates.gate_grid(verdicts, stamps.wall_us, step_us=INTERVAL_US[manifest.interval])
    if manifest.periods:
        periods = [manifest.periods.get(word, "") for word in words["metric"].values]
        time_us = period_ends(time_us, np.array(periods)[words["metric"].codes])
    return time_us


def _ends(
    manifest: Manifest, stamps: Stamps, verdicts: Verdicts, symbols: Words, benchmarks: list[BenchmarkRow]
) -> I64:
    known = stamps.us != NO_TIME
    if manifest.stamp == "bar_open":
        ends = np.where(known, stamps.us + INTERVAL_US[manifest.interval], NO_TIME)
        if manifest.kind == "tokens":  # no bar opens at 23:59:59.999: that is its close
            closes = gates.on_the_minute(stamps.us)
            ends = np.where(known & (closes != stamps.us), closes, ends)
    elif manifest.stamp == "session_date":
        ends = np.where(verdicts.good, stamps.us, NO_TIME)
    else:
        return stamps.us
    calendars = [(benchmark.calendar, benchmark.kind == "future") for benchmark in benchmarks]
    for calendar, future in dict.fromkeys(calendars):
        of = np.array([pair == (calendar, future) for pair in calendars], dtype=np.bool_)[symbols.codes]
        rows = np.flatnonzero(of & verdicts.good & known)
        if manifest.stamp == "session_date":
            days = session_days(Stamps(stamps.us[rows], stamps.wall_us[rows], {}), calendar=calendar)
            verdicts.reject_each(dict.fromkeys(rows[days == NO_TIME].tolist(), NOT_A_DATE))
            ends[rows] = session_closes(days, calendar=calendar, future=future)
            verdicts.reject(of & (ends == NO_TIME), f"{NO_SESSION}: {calendar}")
        elif not future and manifest.interval != "1d":
            ends[rows], outside = clipped_to_session(stamps.us[rows], ends[rows], calendar=calendar)
            verdicts.outside[rows] = outside
    return ends


def _measures(
    manifest: Manifest, words: Mapping[str, Words], assets: Sequence[Asset], asset: I64
) -> tuple[list[Measure], I64]:
    """For files of metrics, the distinct (subject, name, source) and each row's position among them."""
    subjects = [*(asset.slug for asset in assets), MARKET]
    metric, source = words["metric"], words["source"]

    def measure(row: int) -> Measure:
        name = manifest.metrics.get(metric.of(row), "")
        return subjects[asset[row]], name, source.of(row)

    return _grouped([asset + 1, metric.codes, source.codes], np.ones(len(asset), dtype=np.bool_), measure)


def _grouped(codes: Sequence[I64], known: Bools, named: Callable[[int], T]) -> tuple[list[T], I64]:
    """The distinct names of rows that are known, one for each combination of codes, and each row's position among them.

    Rows that are not known have -1.
    """
    rows = np.flatnonzero(known)
    joint = np.zeros(len(rows), dtype=np.int64)
    for part in codes:
        joint = joint * (int(part.max(initial=0)) + 1) + part[rows]
    _, first, which = np.unique(joint, return_index=True, return_inverse=True)
    names = [named(row) for row in rows[first].tolist()]
    distinct = list(dict.fromkeys(names))  # two combinations may be one: NEARUSDT and NEAR-USDT
    series = np.full(len(known), -1, dtype=np.int64)
    series[rows] = np.array([distinct.index(name) for name in names], dtype=np.int64)[which]
    return distinct, series


def _left_out(manifest: Manifest, metrics: Words) -> Counter[str]:
    """How many rows are of each quantity that the manifest leaves out, by its name and the reason."""
    rows = np.bincount(metrics.codes, minlength=len(metrics.values)).tolist()
    counts = dict(zip(metrics.values, rows, strict=True))
    return Counter({f"{word}: {why}": counts[word] for word, why in manifest.left_out.items() if word in counts})


def _reject_repeated(verdicts: Verdicts, series: I64, time_us: I64, keys: Sequence[object], earlier: Occupied) -> None:
    """Rejects rows whose place an earlier part of the file has taken, and takes the places of this one."""
    rows = np.flatnonzero(verdicts.good & (series >= 0))
    order = rows[np.argsort(series[rows], kind="stable")]
    edges = np.flatnonzero(np.diff(series[order])) + 1
    for mine in np.split(order, edges) if len(order) else []:
        taken = earlier.take(keys[int(series[mine[0]])], time_us[mine])
        verdicts.reject_each(dict.fromkeys(mine[taken].tolist(), gates.APART))


def _resolve(
    registry: Registry, symbols: Words, at_us: I64, verdicts: Verdicts, *, known: Bools
) -> tuple[list[Asset], I64]:
    """The assets that the symbols named at each instant (of a bar: just before its end), and each row's position.

    Rows that are `known` already, or not wanted, are left at -1.
    """
    edges = _label_edges(registry)
    assets: dict[str, Asset] = {}
    place = np.full(len(at_us), -1, dtype=np.int64)
    for code, symbol in enumerate(symbols.values):
        rows = np.flatnonzero((symbols.codes == code) & verdicts.good & ~known)
        span = np.searchsorted(np.array(edges.get(symbol.strip().upper(), []), dtype=np.int64), at_us[rows], "right")
        for part in np.unique(span):
            inside = rows[span == part]
            asset = registry.resolve(symbol, int(at_us[inside[0]]))
            if asset is not None:
                assets.setdefault(asset.slug, asset)
                place[inside] = list(assets).index(asset.slug)
        unknown = rows[place[rows] < 0].tolist()
        verdicts.reject_each(dict.fromkeys(unknown, _unknown(symbol, edges)) if unknown else {})
    return list(assets.values()), place


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
    hint = did_you_mean(symbol.upper(), edges) or " Add it to one of your own (DEAI_REGISTRY)"
    return f'unknown symbol: "{symbol}" is not in the registry.{hint}'


def _gate_values(manifest: Manifest, verdicts: Verdicts, numbers: dict[str, Numbers], words: dict[str, Words]) -> None:
    gates.gate_prices(verdicts, {role: column for role, column in numbers.items() if role in PRICES})
    if "volume" in numbers:
        gates.gate_volume(verdicts, numbers["volume"])
    if manifest.kind == "metrics":
        gates.gate_value(verdicts, numbers["value"])
    elif manifest.kind == "supply":
        problems = [_supply_problem(value) for value in words["supply"].values]
        codes = enumerate(words["supply"].codes.tolist())
        verdicts.reject_each({row: problems[code] for row, code in codes if problems[code]})
    elif manifest.kind == "tokens":
        verdicts.reject(words["quote"].where(lambda quote: not quote), "the quote is no known currency")
    elif manifest.kind == "benchmarks":
        verdicts.reject(words["symbol"].where(lambda symbol: not symbol), "no symbol")


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


def _listings(
    manifest: Manifest, words: Mapping[str, Words], assets: Sequence[Asset], asset: I64
) -> tuple[list[ListingRow], I64]:
    """The listings (asset, venue, source, symbol) and each row's position among them."""
    codes = [asset, *(words[role].codes for role in ("venue", "source", "symbol", "quote"))]
    return _grouped(codes, asset >= 0, lambda row: _listing(manifest, words, assets[asset[row]], row))


def _listing(manifest: Manifest, words: Mapping[str, Words], asset: Asset, row: int) -> ListingRow:
    """Where a row's price is seen. A market of another kind is another venue, and a quote that is no dollar another
    source: one series never holds prices of two kinds."""
    roles = ("venue", "source", "symbol", "price_basis", "quote")
    venue, source, symbol, basis, quote = (words[role].of(row) for role in roles)
    if manifest.market in MARKETS[1:] and not venue.endswith(manifest.market):
        venue = f"{venue}_{manifest.market}"
    if quote not in (DOLLAR, *AT_PAR) or (manifest.pairs or "quote" in manifest.columns):
        source = f"{source} {quote}"
    return ListingRow(
        asset=asset.slug,
        venue=venue,
        source=source,
        symbol=symbol,
        interval=manifest.interval,
        stamp=manifest.stamp,
        quote=quote,
        price_basis=basis or "trade",
    )
