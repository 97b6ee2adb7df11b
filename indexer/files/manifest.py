"""A manifest: the small TOML that says what a data file's columns, stamps and volumes mean.

Unknown keys and wrong values are refused, all at once, with the closest known word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, Strict

from indexer.errors import ImportFileError, did_you_mean
from indexer.registry.records import MARKETS
from indexer.times import INTERVAL_US
from onchain.strict_toml import COMPUTED, Flag, Text, Texts, one_of, parse_toml, read_table, refuse

KINDS = ("tokens", "benchmarks", "supply", "metrics")
STAMPS = ("bar_open", "bar_close", "instant", "session_date")
VOLUME_UNITS = ("base", "quote", "usd", "none")
BENCHMARK_KINDS = ("equity", "etf", "equity_index", "future", "token")
NUMBERS = ("open", "high", "low", "close", "adjusted_close", "volume", "value")
TEXTS = ("symbol", "venue", "source", "price_basis", "volume_kind", "metric", "quote")
ROLES = ("time", "clock", *NUMBERS, *TEXTS, "supply")
CONSTANTS = ("symbol", "venue", "source", "price_basis", "quote", "supply_kind")
Number = Annotated[int, Strict(), Field(ge=1)]
Lines = Annotated[int, Strict(), Field(ge=0, le=1_000)]
Column = str | Number


@dataclass(frozen=True)
class BenchmarkInfo:
    """What a manifest says of one benchmark symbol."""

    name: str = ""
    kind: Annotated[str, one_of(BENCHMARK_KINDS)] = "equity"
    calendar: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a file holds. `columns` maps a role (time, close, …) to the file's column, `constants` to one value.

    A column is named by its header, or by its number from 1; "" is the column without a name. `skip` lines stand
    before the header and `skip_after` lines after it; `header = false` is a file without one. `stamp` is what the
    time column means; naive stamps are in `timezone`, those that ISO 8601 does not cover are read by `date_format`;
    a time of day in a column of its own has the role `clock`. `decimal` and `thousands` are the marks in numbers, and
    `missing` lists words that stand for no number.

    `volume_unit` base is in tokens, quote in the quote currency; usd counts as traded value only where `volume_kind`
    is among `usd_volume_kinds` (empty: always). The volume is multiplied by `volume_scale`. `keep` lists, for a
    column of the file, the values to take; other rows are counted as filtered, not rejected. With `pairs` a symbol
    is a pair such as NEARUSDT, which names the quote too. `wide` gives for each symbol its own columns, where these
    stand side by side: an empty place is no row. `market` is the kind of the venues' market for tokens; for
    metrics it is the symbol that stands for the market as a whole, and `metrics` maps the file's word to the store's;
    `periods` names those whose stamp begins the day or month they describe, `left_out` why others are not taken.
    """

    kind: Annotated[str, one_of(KINDS)]
    interval: Annotated[str, one_of(INTERVAL_US)] = "1d"
    stamp: Annotated[str, one_of(STAMPS)] = "instant"
    columns: Mapping[str, Column] = field(default_factory=dict)
    constants: Mapping[str, Text] = field(default_factory=dict)
    volume_unit: Annotated[str, one_of(VOLUME_UNITS)] = "none"
    volume_scale: Annotated[float, Field(gt=0)] = 1.0
    usd_volume_kinds: Texts = ()
    quotes: Mapping[str, Text] = field(default_factory=dict)
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metrics: Mapping[str, Text] = field(default_factory=dict)
    periods: Mapping[str, Annotated[str, one_of(("day", "month"))]] = field(default_factory=dict)
    left_out: Mapping[str, Text] = field(default_factory=dict)
    market: str = ""
    pairs: Flag = False
    wide: Mapping[str, Mapping[str, Column]] = field(default_factory=dict)
    calendar: str = "XNYS"
    timezone: str = "UTC"
    date_format: str = ""
    decimal: Annotated[str, one_of((".", ",", ""))] = ""
    thousands: Annotated[str, one_of((",", ".", " ", "'", ""))] = ""
    missing: tuple[str, ...] = ()
    delimiter: str = ""
    header: Flag = True
    skip: Lines = 0
    skip_after: Lines = 0
    benchmarks: Mapping[str, BenchmarkInfo] = field(default_factory=dict)
    name: str = field(default="", metadata=COMPUTED)
    text: str = field(default="", metadata=COMPUTED, repr=False)

    @property
    def hash(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def wanted(self) -> tuple[Column, ...]:
        """The file's columns that are read, each once."""
        beside = (column for columns in self.wide.values() for column in columns.values())
        return tuple(dict.fromkeys((*self.columns.values(), *beside, *self.keep)))

    def columns_by_symbol(self) -> dict[str, Mapping[str, Column]]:
        """The columns of each symbol by role; under '' those of a table whose rows say their symbol."""
        return {symbol: {**self.columns, **own} for symbol, own in self.wide.items()} or {"": self.columns}

    def info(self, symbol: str) -> BenchmarkInfo:
        """What is said of a benchmark, its name and calendar filled in."""
        stated = self.benchmarks.get(symbol, BenchmarkInfo())
        return replace(stated, name=stated.name or symbol, calendar=stated.calendar or self.calendar)


def read_manifest(path: Path) -> Manifest:
    """The manifest in a TOML file. Raises ImportFileError with every problem found in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportFileError(f"{path.name}: the manifest cannot be read ({error})") from None
    return parse_manifest(text, name=path.name)


def parse_manifest(text: str, *, name: str) -> Manifest:
    """The manifest in a TOML text; `name` is what errors call it."""
    tables = parse_toml(text, source=name, error=ImportFileError)
    problems: list[str] = []
    if tables.get("kind") in ("tokens", "benchmarks") and "stamp" not in tables:
        problems.append(f"stamp: is missing; give text: one of {', '.join(STAMPS)}")
    manifest = read_table(Manifest, tables, problems)
    if manifest is not None:
        problems += [*_unknown_roles(manifest), *_incomplete(manifest)]
    refuse(problems, source=name, error=ImportFileError)
    assert manifest is not None  # refused above
    return replace(manifest, name=name, text=text)


def beside(path: Path) -> Path | None:
    """The TOML of a file's name beside it, if there is one."""
    stem = path.name.split(".")[0]
    candidates = (f"{path.name}.toml", f"{path.stem}.toml", f"{stem}.toml")
    return next((path.with_name(name) for name in candidates if path.with_name(name).is_file()), None)


def to_toml(tables: Mapping[str, Any]) -> str:
    """Tables of a manifest as TOML text: plain keys first, then tables; no empty table."""
    import tomlkit

    return tomlkit.dumps({key: item for key, item in tables.items() if not isinstance(item, Mapping) or item})


def _unknown_roles(manifest: Manifest) -> list[str]:
    stated = [("columns", manifest.columns, ROLES), ("constants", manifest.constants, CONSTANTS)]
    stated += [(f"wide.{symbol}", columns, NUMBERS) for symbol, columns in manifest.wide.items()]
    return [
        f"{table}.{role}: there is no such key here.{did_you_mean(role, roles)}"
        for table, words, roles in stated
        for role in words
        if role not in roles
    ]


def _incomplete(manifest: Manifest) -> list[str]:
    """What the kind of file needs and the manifest does not name, and what contradicts itself."""
    kind, problems = manifest.kind, list[str]()
    columns = {role for roles in manifest.columns_by_symbol().values() for role in roles}
    stated = {*columns, *manifest.constants, *(["symbol"] if manifest.wide else [])}
    values = {"supply": ("time", "supply"), "metrics": ("time", "metric", "value")}
    for role in values.get(kind, ("time", "close")):
        if role not in columns:
            problems.append(f'columns.{role}: is missing; give the name of the column, e.g. {role} = "{role}"')
    needed = {"tokens": ("symbol", "venue", "source"), "benchmarks": ("symbol", "source", "price_basis")}
    for role in needed.get(kind, ("symbol", "source")):
        if role not in stated:
            problems.append(f"columns.{role}: is missing; name a column, or one value for all rows under [constants]")
    for role in sorted({*columns} & {*manifest.constants}):
        problems.append(f"constants.{role}: is also under [columns]; keep one of the two")
    mark = manifest.delimiter
    if mark and (len(mark) != 1 or not mark.isascii() or mark in '"\r\n'):
        problems.append(f'delimiter: "{mark}" is not one character between columns, e.g. ";" or "\\t"')
    if manifest.decimal and manifest.decimal == manifest.thousands:
        problems.append(f'thousands: "{manifest.thousands}" is the decimal mark too; give two different marks')
    if manifest.stamp == "session_date" and kind != "benchmarks":
        problems.append("stamp: session_date is for benchmarks; tokens trade round the clock: use bar_open with 1d")
    if kind == "metrics" and not manifest.metrics:
        problems.append('metrics: is missing; name the quantities to take, e.g. fear_greed_index = "fear_greed_0_100"')
    if kind == "tokens" and manifest.market not in ("", *MARKETS):
        problems.append(f'market: "{manifest.market}" is not one of {", ".join(MARKETS)}.')
    if "volume" in columns and kind == "tokens" and manifest.volume_unit == "none":
        problems.append("volume_unit: is missing; say whether the volume column is in base units (base) or USD (usd)")
    return problems
