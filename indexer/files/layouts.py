"""Layouts of well-known downloads, and which of them a table has by its columns, its name and its first cells.

A layout is data: a manifest with a table [recognise], one TOML a download in `layouts/`.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from indexer.errors import ImportFileError
from indexer.files.columns import sample_of, shape_of
from indexer.files.containers import Table
from indexer.files.numbers import Style, parse_number
from indexer.files.text import split
from indexer.registry.records import split_pair
from onchain.strict_toml import Flag, one_of, read_table, refuse

SHIPPED = Path(__file__).with_name("layouts")
WORDS = Path(__file__).with_name("words.toml")
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Recognise:
    """What tells a download: `header` are columns it has (any letter case, alternatives parted by |), `columns` how
    many there are where it has no header, `cells` patterns of cells, `first_line` and `name` patterns of the first
    line and of the file's name, with folders where it has a slash. Groups of these called pair, symbol, quote, venue
    and interval say what they name; `words` translates it. Without `named` a file may have any name, and says less by
    it. `wide` is a table with a column for each symbol: by its header (symbols), or by two lines of header (levels).
    `ask` lists what has to be asked for where nothing says it. A layout that is not `certain` fits many tables: in a
    folder nothing is asked. One `by_kind` is tried only where the kind is known."""

    header: tuple[str, ...] = ()
    exact: Flag = False
    columns: tuple[int, ...] = ()
    cells: Mapping[str, str] = field(default_factory=dict)
    first_line: str = ""
    name: str = ""
    named: Flag = False
    wide: Annotated[str, one_of(("", "symbols", "levels"))] = ""
    words: Mapping[str, str] = field(default_factory=dict)
    ask: tuple[str, ...] = ()
    title: str = ""
    certain: Flag = True
    by_kind: Flag = False


@dataclass(frozen=True, slots=True)
class Layout:
    """One known download: how it is told, and the manifest's tables with its columns still by alternatives."""

    name: str
    recognise: Recognise
    tables: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a table: its name with two folders, the first line, the header and the first rows.

    `skip` lines stand before the header. Where there is no header, the first row stands in its place.
    """

    table: Table
    name: str
    first_line: str
    header: list[str]
    rows: list[list[str]]
    skip: int = 0

    def cells(self, column: str | int) -> list[str]:
        """The cells of a column below the header; of a column by number, from the first row."""
        place = column - 1 if isinstance(column, int) else self.header.index(column)
        rows = [self.header, *self.rows] if isinstance(column, int) else self.rows
        return [row[place] if place < len(row) else "" for row in rows]


@dataclass(frozen=True, slots=True)
class Match:
    """How well a layout fits (`score`), what its patterns say, by what it is told, and the columns of each symbol."""

    layout: Layout
    score: int
    groups: Mapping[str, str]
    by: tuple[str, ...]
    wide: Mapping[str, Mapping[str, int]]


@cache
def column_words() -> Mapping[str, tuple[str, ...]]:
    """What columns are called, by role."""
    return {role: tuple(words) for role, words in tomllib.loads(WORDS.read_text(encoding="utf-8")).items()}


@cache
def shipped_layouts() -> tuple[Layout, ...]:
    """The layouts that come with the program, by name."""
    layouts = []
    for path in sorted(SHIPPED.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        for role, words in column_words().items():
            text = text.replace(f"{{{role}}}", "|".join(words))
        tables = tomllib.loads(text)
        problems: list[str] = []
        rule = read_table(Recognise, tables.pop("recognise"), problems)
        refuse(problems, source=path.name, error=ImportFileError)
        assert rule is not None  # refused above
        layouts.append(Layout(path.stem, rule, tables))
    return tuple(layouts)


def head_of(table: Table) -> Head:
    """The beginning of a table."""
    name = "/".join([*table.path.parts[-3:-1], table.own_name])
    if table.form != "text":
        names, rows = sample_of(table)
        if rows and names == [str(n + 1) for n in range(len(names))]:
            return Head(table, name, "", rows[0], rows[1:])
        return Head(table, name, "", names, rows)
    shape = shape_of(table)
    lines = [line for line in shape.lines[shape.first - 1 :] if line.strip()]
    rows = [[cell.strip() for cell in split(line, shape.delimiter)] for line in lines]
    return Head(table, name, shape.lines[0], shape.header, rows, shape.first - 2)


def best_match(head: Head, *, kind: str, symbols: Set[str]) -> Match | None:
    """The layout that fits best, of a kind (tokens, benchmarks) if one is given; None where none does.

    `symbols` are those of known tokens: a table with a column for each symbol is told by them.
    """
    layouts = (
        layout
        for layout in shipped_layouts()
        if kind == layout.tables["kind"] or not (kind or layout.recognise.by_kind)
    )
    matches = [match for layout in layouts if (match := _match(layout, head, symbols))]
    return max(matches, key=lambda match: match.score, default=None)


def columns_of(layout: Layout, head: Head, *, symbol: str = "") -> dict[str, str | int]:
    """The layout's columns as this file calls them; a role whose column it does not have is left out."""
    known = {key_of(name): name for name in reversed(head.header)}
    columns: dict[str, str | int] = {}
    for role, wanted in layout.tables.get("columns", {}).items():
        if isinstance(wanted, int):
            if wanted <= len(head.header):
                columns[role] = wanted
            continue
        options = [key_of(option) for option in wanted.replace("{own}", symbol).split("|")]
        named = [known[option] for option in options if option in known and known[option] not in columns.values()]
        if role == "time" and len(named) > 1:
            named.sort(key=lambda name: _unlike_times(head.cells(name)))
        if named and (
            role != "clock" or all(re.match(r"\d{1,2}:\d\d|\d{1,6}$", cell) for cell in head.cells(named[0]))
        ):
            columns[role] = named[0]
    return columns


def key_of(name: str) -> str:
    """A column's name without what is written in several ways: letter case, accents, spaces, underscores, stars, and
    the dollars that a price is in."""
    plain = unicodedata.normalize("NFKD", name.lower()).replace("ı", "i")  # of Turkish I there are two
    plain = re.sub(r"^((open|high|low|close|price)\b.*)\((usd[ct]?|\$)\)$", r"\1", plain)
    return re.sub(r"[\s_*\u0300-\u036f]+", "", plain)


def _unlike_times(cells: list[str]) -> int:
    """0 for stamps that need no zone (epochs, with an offset), 1 for other dates, 2 for what can be no stamps."""
    texts = [cell for cell in cells if cell]
    dates = bool(texts) and all(len(re.findall(r"\d", cell.partition(".")[0])) >= 5 for cell in texts)
    exact = r"\d{9,10}(\.\d+)?|\d{13}|\d{16}|\d{19}|.*(Z|UTC|\d[+-]\d\d:?\d\d)"
    return 2 - dates - (dates and all(re.fullmatch(exact, cell) for cell in texts))


def _match(layout: Layout, head: Head, symbols: Set[str]) -> Match | None:
    """How the layout fits; None where it is another download."""
    score, groups, by = 0, dict[str, str](), list[str]()
    rule, keys = layout.recognise, {key_of(name) for name in head.header}
    if rule.header:
        if any(not set(map(key_of, wanted.split("|"))) & keys for wanted in rule.header):
            return None
        if rule.exact and len(head.header) != len(rule.header):
            return None
        score, by = score + 2 * len(rule.header) + 5 * rule.exact, [*by, "columns"]
    if rule.columns:
        if len(head.header) not in rule.columns or not _in_order(layout, head):
            return None
        score, by = score + 2, [*by, "number of columns"]
    name = head.name if "/" in rule.name else head.name.rpartition("/")[2]
    patterns = [("first line", rule.first_line, head.first_line, False), ("name", rule.name, name, rule.named)]
    patterns += [("cells", pattern, _cell(layout, head, place), True) for place, pattern in rule.cells.items()]
    for what, pattern, text, needed in patterns:
        match = re.search(pattern, text, re.IGNORECASE) if pattern else None
        if match is None and pattern and needed:
            return None
        if pattern and not match:
            score -= 1
        if match:
            groups |= {key: value for key, value in match.groupdict().items() if value}
            score, by = score + 4, [*by, what]
    wide = _wide(layout, head, symbols)
    score += 10 * bool(wide and rule.words)
    return None if rule.wide and not wide else Match(layout, score, groups, tuple(dict.fromkeys(by)), wide)


def _wide(layout: Layout, head: Head, symbols: Set[str]) -> dict[str, dict[str, int]]:
    """For each symbol of a table that has columns side by side, the numbers of its columns by role; {} for others."""
    rule, tokens = layout.recognise, layout.tables["kind"] == "tokens"
    roles = {key_of(word): role for role, words in layout.tables["columns"].items() if role != "time"
             for word in str(words).split("|")}  # fmt: skip
    names = {key.lower(): value for key, value in rule.words.items()}
    levels = _levels(head) if rule.wide == "levels" else [("close", name) for name in head.header if rule.wide]
    time = columns_of(layout, head).get("time")
    wide: dict[str, dict[str, int]] = {}
    for number, (first, second) in enumerate(levels, start=1):
        role, label = (first, second) if key_of(first) in roles else (second, first)
        if key_of(role) not in roles or not label or time in (number, label):
            continue
        pair = split_pair(re.sub(r"(?<=[A-Z])\d{4,5}-", "-", label), symbols)[0]  # Yahoo's TAO22974-USD
        token = label.upper() if label.upper() in symbols else pair if pair in symbols else ""
        share = "" if token or not re.fullmatch(r"\^?[A-Z0-9][A-Z0-9.=-]*(?<!-USD)", label) else label
        symbol = names.get(label.lower(), "") if names else token if tokens else share
        if symbol:
            wide.setdefault(symbol, {})[roles[key_of(role)]] = number
        elif not names and rule.wide == "symbols":
            return {}  # a column that is none: another kind of table
    return {symbol: columns for symbol, columns in wide.items() if "close" in columns}


def _levels(head: Head) -> list[tuple[str, str]]:
    """The two names of each column: of two header lines, or of pandas' ('Close', 'QQQ')."""
    pairs = [re.fullmatch(r"\('(.*)', '(.*)'\)", name) for name in head.header]
    if any(pairs):
        return [(pair[1], pair[2]) if pair else ("", "") for pair in pairs]
    above: list[str] = []
    for name in head.header:
        above.append(name or above[-1] if above else name)  # a merged cell of Excel stands once
    return list(zip(above, head.rows[0], strict=False)) if head.rows else []


def _in_order(layout: Layout, head: Head) -> bool:
    """Whether columns told by number alone hold what they should: most rows have open and close within low and high."""
    columns, style = columns_of(layout, head), Style(thousands="")
    if not {*PRICES} <= {*columns}:
        return True
    rows = zip(*(head.cells(columns[role]) for role in PRICES), strict=True)
    right = []
    for row in rows:
        prices = [parse_number(cell, style) for cell in row]
        known = [price for price in prices if price is not None]
        if len(known) < len(PRICES) or min(known) < max(known):  # a flat bar fits any order
            right.append(len(known) == len(PRICES) and known[2] == min(known) and known[1] == max(known))
    return 2 * sum(right) > len(right) or not right


def _cell(layout: Layout, head: Head, place: str) -> str:
    """The cell at "line,column" from 1 (the header is line 1), or at "line,role"; '' where there is none."""
    line, column = place.split(",")
    name = column if column.isdigit() else columns_of(layout, head).get(column, "")
    number = int(name) if str(name).isdigit() else head.header.index(str(name)) + 1 if name in head.header else 0
    rows = [head.header, *head.rows]
    row = rows[int(line) - 1] if len(rows) >= int(line) else []
    return row[number - 1] if 0 < number <= len(row) else ""
