"""Well-known downloads recognised by their columns, name and stamps, and turned into the manifest that fits.

Place in the flow: for files without a manifest. A layout is data: a manifest with a table [recognise], one TOML a
download in `layouts/`. What a file cannot tell is asked for by name, with the command that answers it.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from indexer.errors import ImportFileError, InputError
from indexer.files.columns import sample_of, shape_of
from indexer.files.containers import Table
from indexer.files.manifest import Lines, Manifest, parse_manifest, to_toml
from indexer.files.stamps import NO_TIME, instants
from indexer.files.text import head_lines, split
from indexer.registry import Registry
from indexer.registry.currencies import currency, split_pair
from indexer.times import INTERVAL_US
from onchain.strict_toml import Flag, read_table, refuse

SHIPPED = Path(__file__).with_name("layouts")
INTERVALS = {
    "1": "1m", "1m": "1m", "1min": "1m", "minute": "1m", "60s": "1m", "m1": "1m", "5": "5m", "5m": "5m", "m5": "5m",
    "60": "1h", "1h": "1h", "60m": "1h", "h1": "1h", "hour": "1h", "1hour": "1h", "3600": "1h",
    "1440": "1d", "1d": "1d", "d": "1d", "d1": "1d", "day": "1d", "daily": "1d", "1day": "1d", "86400": "1d",
}  # fmt: skip
OPTIONS = ("symbol", "venue", "interval", "quote", "timezone", "market", "source", "kind")
ASKED = {
    "symbol": "the token or benchmark", "venue": "the exchange (or market) that the prices are of",
    "interval": "the length of a bar (1m, 5m, 1h, 1d)", "quote": "the currency of the prices",
    "timezone": "the time zone of the stamps (UTC, America/New_York, …)",
}  # fmt: skip


@dataclass(frozen=True)
class Recognise:
    """What tells a download: `header` are columns it has (any letter case; alternatives parted by |), `columns` how
    many there are where it has no header, `cells` patterns of the first row's cells, `first_line` and `name` patterns
    of the first line and of the file's name (with its folder). Groups of `name`, `first_line` or of a `cells` pattern
    called pair, symbol, quote, venue, interval say these; `words` translates what they say. `ask` lists what has to be
    asked for where nothing says it. A layout that is not `certain` fits many tables: in a folder nothing is asked."""

    header: tuple[str, ...] = ()
    exact: Flag = False
    columns: tuple[int, ...] = ()
    cells: Mapping[str, str] = field(default_factory=dict)
    first_line: str = ""
    name: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    ask: tuple[str, ...] = ()
    title: str = ""
    certain: Flag = True
    skip: Lines = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """One known download: how it is told, and the manifest's tables with its columns still by alternatives."""

    name: str
    recognise: Recognise
    tables: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a table as far as a layout needs it: name with folder, first line, header, first rows."""

    table: Table
    name: str
    first_line: str
    header: list[str]
    rows: list[list[str]]
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Recognised:
    """The manifest in force, the layout that it came from, by what it was told, and what is still to be asked."""

    manifest: Manifest | None
    layout: str
    by: tuple[str, ...]
    asked: tuple[str, ...]
    certain: bool


@cache
def shipped_layouts() -> tuple[Layout, ...]:
    """The layouts that come with the program, by name."""
    layouts = []
    for path in sorted(SHIPPED.glob("*.toml")):
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        problems: list[str] = []
        rule = read_table(Recognise, tables.pop("recognise"), problems)
        refuse(problems, source=path.name, error=ImportFileError)
        assert rule is not None  # refused above
        layouts.append(Layout(path.stem, rule, tables))
    return tuple(layouts)


def recognise(table: Table, registry: Registry, options: Mapping[str, str]) -> Recognised | None:
    """The layout of a table and the manifest it gives with the options; None for a table that no layout fits."""
    best: tuple[int, Layout, Head, dict[str, str], tuple[str, ...]] | None = None
    heads: dict[int, Head | None] = {}
    for layout in shipped_layouts():
        skip = layout.recognise.skip
        if skip not in heads:
            heads[skip] = _head(table, skip)
        head = heads[skip]
        told = _fits(layout, head) if head else None
        if head and told is not None and (best is None or told[0] > best[0]):
            best = (told[0], layout, head, told[1], told[2])
    if best is None:
        return None
    _, layout, head, groups, by = best
    facts = _facts(layout, head, groups, registry=registry, options=options)
    known = {*facts, *_columns(layout, head, facts)} - {name for name, fact in facts.items() if not fact}
    asked = tuple(name for name in layout.recognise.ask if name not in known)
    title = layout.recognise.title or layout.name
    manifest = None if asked else parse_manifest(to_toml(_filled(layout, head, facts)), name=f"{layout.name}.toml")
    return Recognised(manifest, title, by, asked, layout.recognise.certain)


def question(table: Table, recognised: Recognised, options: Mapping[str, str]) -> str:
    """What a file does not say, in a sentence, and the command that says it."""
    needs = "; ".join(f"{name}: {ASKED[name]}" for name in recognised.asked)
    words = ["deai import", shlex.quote(str(table.path))]
    words += [f"--{name} {shlex.quote(value)}" for name, value in options.items() if value]
    words += [f"--{name} <{name}>" for name in recognised.asked]
    return f"{table.name} ({recognised.layout}) does not say {needs}. Say it:\n  {' '.join(words)}"


def with_options(manifest: Manifest, options: Mapping[str, str]) -> Manifest:
    """A manifest with what was said on the command line in the place of its own."""
    given = {name: value for name, value in options.items() if value}
    if not given:
        return manifest
    tables = tomllib.loads(manifest.text)
    constants, columns = dict(tables.get("constants", {})), dict(tables.get("columns", {}))
    for name, value in given.items():
        if name in ("symbol", "venue", "quote", "source"):
            constants[name] = value
            columns.pop(name, None)
        else:
            tables[name] = value
    if "quote" in given:
        tables.pop("quotes", None)
    tables |= {"constants": constants, "columns": columns}
    return parse_manifest(to_toml(tables), name=manifest.name)


def _head(table: Table, skip: int) -> Head | None:
    """The beginning of a table after some lines; None where there is nothing."""
    name = f"{table.path.parent.name}/{table.own_name}"
    if table.form != "text":
        return None if skip else Head(table, name, "", *sample_of(table))
    lines = head_lines(table)
    inner = [line for line in lines[skip:] if line.strip()]
    if not inner:
        return None
    mark = shape_of(table, parse_manifest(_PROBE.format(skip=skip), name="probe")).delimiter
    rows = [[cell.strip() for cell in split(line, mark)] for line in inner]
    return Head(table, name, lines[0], rows[0], rows[1:], skip)


_PROBE = 'kind = "supply"\nskip = {skip}\n[columns]\ntime = 1\nsupply = 1\n[constants]\nsymbol = "x"\nsource = "x"\n'


def _fits(layout: Layout, head: Head) -> tuple[int, dict[str, str], tuple[str, ...]] | None:
    """How sure, what its patterns say, and by what it is told; None where it is another download."""
    told, groups, by = 0, dict[str, str](), list[str]()
    rule = layout.recognise
    if rule.header:
        lower = [name.lower() for name in head.header]
        if any(not set(wanted.lower().split("|")) & set(lower) for wanted in rule.header):
            return None
        if rule.exact and len(lower) != len(rule.header):
            return None
        told, by = told + 2 * len(rule.header) + 5 * rule.exact, [*by, "columns"]
    if rule.columns:
        if len(head.header) not in rule.columns or layout.tables.get("header", True):
            return None
        told, by = told + 2, [*by, "number of columns"]
    name = head.name if "/" in rule.name else head.name.rpartition("/")[2]
    patterns = [("first line", rule.first_line, head.first_line), ("name", rule.name, name)]
    patterns += [("cells", pattern, _cell(layout, head, place)) for place, pattern in rule.cells.items()]
    for what, pattern, text in patterns:
        if not pattern:
            continue
        match = re.search(pattern, text, re.IGNORECASE)
        if match is None:
            return None
        groups |= {key: value for key, value in match.groupdict().items() if value}
        told, by = told + 4, [*by, what]
    return told, groups, tuple(dict.fromkeys(by))


def _cell(layout: Layout, head: Head, place: str) -> str:
    """The cell at "line,column" from 1 (the header is line 1), or at "line,role"; '' where there is none."""
    line, column = place.split(",")
    rows = [head.header, *head.rows]
    name = column if column.isdigit() else _columns(layout, head, {}).get(column, "")
    number = int(name) if str(name).isdigit() else head.header.index(name) + 1 if name in head.header else 0
    row = rows[int(line) - 1] if len(rows) >= int(line) else []
    return row[number - 1] if 0 < number <= len(row) else ""


def _facts(
    layout: Layout, head: Head, groups: Mapping[str, str], *, registry: Registry, options: Mapping[str, str]
) -> dict[str, str]:
    """What options, patterns and stamps say of a table: symbol, venue, interval, quote, zone."""
    words = {key.lower(): value for key, value in layout.recognise.words.items()}
    facts = {key: words.get(value.lower(), value) for key, value in groups.items()}
    if pair := facts.pop("pair", ""):
        symbol, quote = split_pair(pair)
        facts |= {"symbol": symbol, "quote": quote} if symbol else {"symbol": pair}
    if "venue" in facts:
        facts["venue"] = facts["venue"].lower()
    if facts.get("quote"):
        facts["quote"] = currency(facts["quote"])
    tokens = options.get("kind", layout.tables.get("kind")) == "tokens"
    if "symbol" in facts and tokens:
        facts["symbol"] = _symbol(facts["symbol"], registry)
    elif "symbol" in facts:
        facts["symbol"] = facts["symbol"].upper()
    if "interval" in facts:
        facts["interval"] = _interval(facts["interval"], head.table)
    facts |= {name: value for name, value in options.items() if value}
    symbol = options.get("symbol", "")
    if symbol and tokens and not _symbol(symbol, registry) and (half := split_pair(symbol))[0]:
        facts["symbol"] = half[0]
        facts.setdefault("quote", half[1])
    if not facts.get("interval") and "interval" not in layout.tables:
        facts["interval"] = _step(layout, head)
    return facts


def _symbol(word: str, registry: Registry) -> str:
    """The symbol of the asset that a word names: by symbol, name, slug or a provider's id; '' when none is known."""
    text = word.strip().lower().replace("_", " ")
    for asset in registry.assets:
        names = {asset.name, asset.slug, *asset.ids.values(), *(label.symbol for label in asset.symbols)}
        if text in {name.lower() for name in names} or text.replace(" ", "-") in {name.lower() for name in names}:
            own = [label.symbol for label in asset.symbols if label.symbol.lower() == text]
            return own[0] if own else asset.symbol
    return ""


def _interval(word: str, table: Table) -> str:
    known = INTERVALS.get(word.strip().lower().replace(" ", ""), "")
    if not known:
        raise ImportFileError(f"{table.name}: bars of {word} are not kept; download 1m, 5m, 1h or 1d")
    return known


def _step(layout: Layout, head: Head) -> str:
    """The interval that most stamps of the first rows are apart, '' where they do not tell."""
    import pyarrow as pa

    columns = _columns(layout, head, {})
    wanted = columns.get("time")
    if wanted is None or not head.rows:
        return ""
    place = wanted - 1 if isinstance(wanted, int) else head.header.index(wanted)
    clock = columns.get("clock")
    other = head.header.index(clock) if isinstance(clock, str) else None
    cells = [" ".join(row[n] for n in (place, other) if n is not None and n < len(row)) for row in head.rows]
    stamps = instants(pa.chunked_array([pa.array(cells)]), date_format=layout.tables.get("date_format", "")).wall_us
    steps = np.abs(np.diff(np.unique(stamps[stamps != NO_TIME])))
    if not len(steps):
        return ""
    sizes, counts = np.unique(steps, return_counts=True)
    usual = int(sizes[np.argmax(counts)])
    return next((name for name, size in INTERVAL_US.items() if size == usual), "")


def _columns(layout: Layout, head: Head, facts: Mapping[str, str]) -> dict[str, str | int]:
    """The layout's columns as this file calls them; a role whose column it does not have is left out."""
    lower = {name.lower(): name for name in reversed(head.header)}
    columns: dict[str, str | int] = {}
    for role, wanted in layout.tables.get("columns", {}).items():
        if isinstance(wanted, int):
            if wanted <= len(head.header):
                columns[role] = wanted
            continue
        options = wanted.replace("{symbol}", facts.get("symbol", "")).lower().split("|")
        named = next((lower[option] for option in options if option in lower), None)
        if named is not None:
            columns[role] = named
    return columns


def _filled(layout: Layout, head: Head, facts: Mapping[str, str]) -> dict[str, Any]:
    """The layout's tables with the file's own columns and facts: a manifest."""
    tables = {key: value for key, value in layout.tables.items() if key not in ("columns", "constants")}
    columns = _columns(layout, head, facts)
    constants = dict(layout.tables.get("constants", {}))
    for name in ("symbol", "venue", "quote", "source"):
        if facts.get(name):
            constants[name] = facts[name]
            columns.pop(name, None)
    for name in ("interval", "timezone", "market", "kind"):
        if facts.get(name):
            tables[name] = facts[name]
    if tables["kind"] != "tokens":
        for name in ("venue", "quote"):
            constants.pop(name, None)
    constants = {name: value for name, value in constants.items() if name not in columns}
    if "volume" not in columns:
        tables.pop("volume_unit", None)
    return {**tables, "columns": columns, "constants": constants}


def check_options(options: Mapping[str, str]) -> None:
    """Raises InputError for an option whose word no file can have."""
    if options.get("interval") and options["interval"] not in INTERVAL_US:
        raise InputError(f'--interval "{options["interval"]}" is not one of {", ".join(INTERVAL_US)}')
    if options.get("quote") and not currency(options["quote"]):
        raise InputError(f'--quote "{options["quote"]}" is no currency known here, e.g. USD, USDT, EUR')
