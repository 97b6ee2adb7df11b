"""A known layout → the manifest of a file, with what its name, its cells and the options say; or what is to be asked.

What a file cannot tell is asked for by name, with the command that answers it.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from indexer.errors import ImportFileError, InputError
from indexer.files.columns import date_and_clock
from indexer.files.containers import Table
from indexer.files.gates import on_the_minute
from indexer.files.layouts import (
    Head,
    Layout,
    Match,
    best_match,
    column_words,
    columns_of,
    head_of,
    key_of,
    shipped_layouts,
)
from indexer.files.manifest import STAMPS, Column, Manifest, parse_manifest, to_toml
from indexer.files.rows import FEW_STEPS
from indexer.files.stamps import NO_TIME, NOT_A_TIME, date_order, day_orders, instants
from indexer.registry import Registry
from indexer.registry.records import AT_PAR, DOLLAR, currency, split_pair
from indexer.times import DAY_US, INTERVAL_US, MINUTE_US

MINUTES = {"s": 1 / 60, "m": 1, "h": 60, "d": 1_440, "w": 10_080}
ASKED = {
    "symbol": "the token or benchmark", "venue": "the exchange (or market) that the prices are of",
    "interval": "the length of a bar (1m, 5m, 1h, 1d)", "quote": "the currency of the prices",
    "timezone": "the time zone of the stamps (UTC, America/New_York, …)",
    "date_format": "which of the numbers in a date is the month (%d/%m/%Y or %m/%d/%Y)",
    "stamp": "when a price is true: at its stamp (instant), or an interval later (bar_open)",
    "kind": "whether the symbol is a token's or a share's (tokens, benchmarks)",
}  # fmt: skip
LONGEST_WEEKEND_US = 4 * DAY_US  # with a holiday: dates of sessions are not further apart
CONSTANTS = ("symbol", "venue", "quote", "source")
OPTIONS = (*ASKED, "market", "source", "decimal", "thousands", "sheet")
"""What may be said of a file beside it, on the command line and on the page."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """The manifest in force, the layout that it came from, by what it was told, and what is still to be asked."""

    manifest: Manifest | None
    layout: str
    by: tuple[str, ...]
    asked: tuple[str, ...]
    certain: bool


def recognise(table: Table, registry: Registry, options: Mapping[str, str]) -> Recognised | None:
    """The layout of a table and the manifest it gives with the options; None for a table that no layout fits."""
    head = head_of(table)
    kind = options.get("kind", "") or _kind(head, registry, options.get("symbol", ""))
    match = best_match(head, kind=kind, symbols=registry.symbols())
    if match is None:
        return None
    layout = match.layout
    if not head.rows and layout.tables.get("header", True):
        raise ImportFileError(f"{table.name} has a header and no rows")
    facts = _facts(match, head, registry=registry, options=options)
    columns = columns_of(layout, head, symbol=facts.get("symbol", ""))
    open_ends = [*layout.recognise.ask, *(name for name in ("date_format", "timezone", "kind") if name in facts)]
    answers = {**columns, **options, **facts}
    asked = tuple(name for name in dict.fromkeys(open_ends) if not answers.get(name))
    asked = ("kind",) if "kind" in asked else asked  # what else is needed hangs on it
    title = layout.recognise.title or layout.name
    tables = _filled(match, head, facts, columns)
    manifest = None if asked else parse_manifest(to_toml(tables), name=f"{layout.name}.toml")
    return Recognised(manifest, title, match.by, asked, layout.recognise.certain)


class Unsaid(ImportFileError):  # noqa: N818 - a question, not a fault
    """What a file does not say, in a sentence, with the command that says it; `asked` are the names of the options."""

    def __init__(self, text: str, asked: tuple[str, ...]) -> None:
        super().__init__(text)
        self.asked = asked


def question(table: Table, recognised: Recognised, options: Mapping[str, str], registry: Registry) -> Unsaid:
    """The question for what a file does not say; with what to do where its token is none of the registry."""
    needs = "; ".join(f"{name}: {ASKED[name]}" for name in recognised.asked)
    words = ["deai import", shlex.quote(str(table.path))]
    stated = {**options, "sheet": table.sheet or options.get("sheet", "")}
    words += [f"--{_option(name)} {shlex.quote(value)}" for name, value in stated.items() if value]
    words += [f"--{_option(name)} {name.upper()}" for name in recognised.asked]
    text = f"{table.name} ({recognised.layout}) does not say {needs}. Say it:\n  {' '.join(words)}"
    if {"symbol", "kind"} & {*recognised.asked} and (token := _lacking(table, options, registry)):
        where = 'DEAI_REGISTRY; "Tokens of your own" in docs/methodology.md'
        text = f"the registry has no token {token}: if it is one, add it first to one of your own ({where}). {text}"
    return Unsaid(text, recognised.asked)


def _lacking(table: Table, options: Mapping[str, str], registry: Registry) -> str:
    """The token that the option, or a dollar pair in the file's name, says and the registry lacks; '' for none."""
    symbols = registry.symbols()
    if symbol := options.get("symbol", ""):
        token = symbol if symbol_of(symbol, registry) else split_pair(symbol, symbols)[0] or symbol
        return "" if symbol_of(token, registry) else token
    pairs = (split_pair(word, symbols) for word in re.findall(r"[A-Z0-9]{5,}", table.own_name))
    return next((token for token, quote in pairs if quote in (DOLLAR, *AT_PAR) and token not in symbols), "")


def with_options(manifest: Manifest, options: Mapping[str, str]) -> Manifest:
    """A manifest with what was said on the command line in the place of its own."""
    stated = {name: value for name, value in options.items() if value and name != "sheet"}
    if not stated:
        return manifest
    tables = tomllib.loads(manifest.text)
    constants, columns = dict(tables.get("constants", {})), dict(tables.get("columns", {}))
    for name, value in stated.items():
        if name in CONSTANTS:
            constants[name] = value
            columns.pop(name, None)
        else:
            tables[name] = value
    if "quote" in stated:
        tables.pop("quotes", None)
    tables |= {"constants": constants, "columns": columns}
    return parse_manifest(to_toml(tables), name=manifest.name)


WORDS: Mapping[str, Collection[str]] = {
    "interval": INTERVAL_US, "stamp": STAMPS, "kind": ("tokens", "benchmarks"),
    "decimal": (".", ","), "thousands": (",", ".", " ", "'"),
}  # fmt: skip


def check_options(options: Mapping[str, str]) -> None:
    """Raises InputError for an option whose word no file can have."""
    for name, words in WORDS.items():
        if options.get(name) and options[name] not in words:
            raise InputError(f'--{name} "{options[name]}" is not one of {", ".join(words)}')
    if options.get("quote") and not currency(options["quote"]):
        raise InputError(f'--quote "{options["quote"]}" is no currency known here, e.g. USD, USDT, EUR')


def _option(name: str) -> str:
    return name.replace("_", "-")


def _facts(match: Match, head: Head, *, registry: Registry, options: Mapping[str, str]) -> dict[str, str]:
    """What options, patterns and cells say of a table, by name; '' for what they name and nobody knows."""
    layout, symbols = match.layout, registry.symbols()
    words = {key.lower(): value for key, value in layout.recognise.words.items()}
    facts = {key: words.get(value.lower(), value) for key, value in match.groups.items()}
    tokens = layout.tables["kind"] == "tokens"
    if pair := facts.pop("pair", ""):
        symbol, quote = split_pair(pair, symbols)
        facts |= {"symbol": symbol, "quote": quote} if symbol else {"symbol": pair}
    if "venue" in facts:
        facts["venue"] = facts["venue"].lower()
    if facts.get("quote"):
        facts["quote"] = currency(facts["quote"])
    if "symbol" in facts:
        facts["symbol"] = symbol_of(facts["symbol"], registry) if tokens else facts["symbol"].upper()
    stated = {name: value for name, value in options.items() if value and name != "kind"}
    if "interval" in facts and "interval" not in stated:
        facts["interval"] = _interval(facts["interval"], head.table)
    facts |= stated
    if stated.get("date_format") in ("%d/%m/%Y", "%m/%d/%Y"):  # the order of day and month; the rest is seen
        stamps = _stamp_cells(head, columns_of(layout, head, symbol=facts.get("symbol", "")))
        orders = day_orders(stamps)
        facts["date_format"] = next((o for o in orders if o[:2] == stated["date_format"][:2]), stated["date_format"])
    symbol = stated.get("symbol", "")
    if tokens and symbol and not symbol_of(symbol, registry) and (half := split_pair(symbol, symbols))[0]:
        facts["symbol"] = half[0]
        facts.setdefault("quote", half[1])
    if tokens and not facts.get("symbol"):
        named = dict(zip(("symbol", "quote"), _of_name(head.table.own_name, symbols), strict=False))
        facts |= {name: word for name, word in named.items() if name not in stated}
    if not tokens and "symbol" in facts:
        facts["symbol"] = facts["symbol"].upper()
    unclear = layout.recognise.ask and not options.get("kind")
    shared = not tokens and facts.get("symbol", "") in symbols  # a share and a token may have one symbol
    if unclear and (shared or (symbol and tokens and not symbol_of(facts["symbol"], registry))):
        facts["kind"] = ""
    return _with_cells(layout, head, facts, symbols=symbols)


def _kind(head: Head, registry: Registry, symbol: str) -> str:
    """The kind that a table's symbols say, which are those of known shares: benchmarks; '' where they say none."""
    shares = {share for layout in shipped_layouts() for share in layout.tables.get("benchmarks", {})}
    columns = [name for name in head.header if key_of(name) in map(key_of, column_words()["symbol"])]
    words = {symbol} if symbol else {cell for name in columns[:1] for cell in head.cells(name) if cell}
    words = words or {re.split(r"[ _.(]", head.table.own_name)[0]}
    known = {word.upper() for word in words}
    return "benchmarks" if known & shares and not known & registry.symbols() else ""


def _of_name(name: str, symbols: frozenset[str]) -> tuple[str, ...]:
    """Symbol and quote of a pair in a file's name, or the symbol that the name is; () where it says none."""
    words = re.findall(r"[A-Za-z0-9]+", name.partition(".")[0])
    beside = [f"{first}-{second}" for first, second in pairwise(words) if len(first) > 2]
    pairs = (split_pair(word, symbols) for word in [*words, *beside])
    alone = tuple(word for word in words[:1] if len(words) == 1 and word in symbols)
    return next((pair for pair in pairs if pair[0] in symbols), alone)


def _with_cells(layout: Layout, head: Head, facts: dict[str, str], *, symbols: frozenset[str]) -> dict[str, str]:
    """The facts with what the first cells say: pairs, the order of day and month, the interval."""
    columns = columns_of(layout, head, symbol=facts.get("symbol", ""))
    if "symbol" in columns and layout.tables["kind"] == "tokens" and not facts.get("symbol"):
        words = {word for word in head.cells(columns["symbol"]) if word}
        if words and all(split_pair(word, symbols)[0] and word.upper() not in symbols for word in words):
            facts = {"quote": "by pair", "pairs": "yes", **facts}
    step = INTERVAL_US.get(facts.get("interval", "") or layout.tables.get("interval", ""), 0)
    stamps = _stamp_cells(head, columns)
    if stamps and not facts.get("date_format") and "date_format" not in layout.tables:
        form = date_order(stamps, step_us=step)
        facts |= {} if form is None else {"date_format": form}
    form = facts.get("date_format") or layout.tables.get("date_format", "")
    if not facts.get("timezone") and "timezone" not in layout.tables and _naive(stamps, form):
        name = str(columns.get("time", "")).lower()
        facts["timezone"] = "UTC" if re.search(r"\b(utc|gmt)\b", name) else ""
    if not facts.get("interval") and "interval" not in layout.tables and facts.get("date_format") != "":
        facts["interval"] = _step(head, stamps, form, tables=layout.tables)
    return facts


def _naive(stamps: list[str], date_format: str) -> bool:
    """Whether stamps are times of day of a clock whose zone they do not name; the last second of a day is its end."""
    import pyarrow as pa

    cells = pa.chunked_array([pa.array(stamps, pa.string())])
    here, there = (instants(cells, timezone=zone, date_format=date_format) for zone in ("UTC", "Etc/GMT+5"))
    naive = (here.us != there.us) & (here.us != NO_TIME)
    return bool((on_the_minute(here.wall_us[naive]) % DAY_US).any())


def symbol_of(word: str, registry: Registry) -> str:
    """The symbol of the asset that a word names: by symbol, name, slug or a provider's id; '' when none is known."""
    text = word.strip().lower().replace("_", " ")
    for asset in registry.assets:
        names = {asset.name, asset.slug, *asset.ids.values(), *(label.symbol for label in asset.symbols)}
        if text in {name.lower() for name in names} or text.replace(" ", "-") in {name.lower() for name in names}:
            own = [label.symbol for label in asset.symbols if label.symbol.lower() == text]
            return own[0] if own else asset.symbol
    return ""


def _interval(word: str, table: Table) -> str:
    """The interval that a word such as 60, 1h, H1, 15min or daily names. Raises ImportFileError for other lengths."""
    text = re.sub(r"[ _-]", "", word)
    parts = re.fullmatch(r"(\d*)([A-Za-z]*)|([MmHhDd])(\d+)", text)
    number, unit = (int(parts[1] or parts[4] or 1), parts[2] or parts[3] or "") if parts else (0, "")
    months = unit.lower().startswith("mo") or (unit == "M" and not (parts and parts[3]) and number in (1, 3, 6, 12))
    minutes = 0 if months else number * MINUTES.get(unit[:1].lower(), 1 if number <= 1_440 else 1 / 60)
    known = next((name for name, size in INTERVAL_US.items() if size == minutes * MINUTE_US), "")
    if not known:
        raise ImportFileError(f"{table.name}: bars of {word} are not kept; download 1m, 5m, 1h or 1d")
    return known


def _stamp_cells(head: Head, columns: Mapping[str, Column]) -> list[str]:
    """The stamps of the first rows as they are written, date and time of day joined."""
    import pyarrow as pa

    parts = [pa.array(head.cells(columns[role]), pa.string()) for role in ("time", "clock") if role in columns]
    stamps: list[str] = date_and_clock(*parts, name=columns["clock"]).to_pylist() if len(parts) > 1 else []
    return stamps or [cell for part in parts for cell in part.to_pylist()]


def _step(head: Head, stamps: list[str], date_format: str, *, tables: Mapping[str, Any]) -> str:
    """The interval that most stamps are apart, '' where they do not tell.

    Raises ImportFileError where none of the first ones is a time, or bars are of a length that is not kept.
    """
    import pyarrow as pa

    if not stamps:
        return ""
    read = instants(pa.chunked_array([pa.array(stamps)]), date_format=date_format)
    times = np.unique(read.wall_us[read.wall_us != NO_TIME])
    if not len(times):
        reason = next(iter(read.reasons.values()), NOT_A_TIME)
        raise ImportFileError(
            f'{head.table.name}: "{stamps[0]}" is {reason}; put a manifest beside the file that names the time column, '
            "and its date_format"
        )
    steps = np.diff(times)
    if not len(steps):
        return ""
    sizes, counts = np.unique(steps, return_counts=True)
    usual = int(sizes[np.argmax(counts)])
    longest = DAY_US if tables["kind"] == "tokens" else LONGEST_WEEKEND_US
    if not (times % DAY_US).any() and sizes[0] <= longest:
        return "1d"
    bars = tables.get("stamp") in ("bar_open", "bar_close")
    if bars and usual not in INTERVAL_US.values() and counts.max() * 2 > len(steps) >= FEW_STEPS:
        raise ImportFileError(
            f"{head.table.name}: bars of {usual / MINUTE_US:g} minutes are not kept; download 1m, 5m, 1h or 1d"
        )
    return next((name for name, size in INTERVAL_US.items() if size == usual), "")


def _filled(match: Match, head: Head, facts: Mapping[str, str], columns: Mapping[str, Column]) -> dict[str, Any]:
    """The layout's tables with the file's own columns and facts: a manifest."""
    layout = match.layout
    tables = {key: value for key, value in layout.tables.items() if key not in ("columns", "constants")}
    columns, constants = dict(columns), dict(layout.tables.get("constants", {}))
    pairs = "pairs" in facts
    for name in CONSTANTS:
        if facts.get(name) and not (pairs and name == "quote"):
            constants[name] = facts[name]
            columns.pop(name, None)
    for name in ("interval", "timezone", "market", "stamp", "date_format", "decimal", "thousands"):
        if facts.get(name):
            tables[name] = facts[name]
    if pairs:
        tables["pairs"] = True
    if tables["kind"] != "tokens":
        for name in ("venue", "quote"):
            constants.pop(name, None)
        if tables["stamp"] == "session_date" and tables.get("interval") != "1d":
            tables["stamp"] = "bar_open"
    if skip := head.skip + layout.tables.get("skip", 0):
        tables["skip"] = skip
    if match.wide:
        columns = {"time": columns["time"]}
    elif "volume" not in columns:
        tables.pop("volume_unit", None)
    constants = {name: value for name, value in constants.items() if name not in columns}
    return {**tables, "columns": columns, "constants": constants, "wide": match.wide}
