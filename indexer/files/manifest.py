"""A manifest: the small TOML that says what a data file's columns, stamps and volumes mean.

Place in the flow: found for each file before it is read (files.py), used by the gates (file_gates.py) and by
importing.py. Unknown keys and wrong values are refused, all at once, with the closest known word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from indexer.errors import ImportFileError, MethodologyError, did_you_mean
from indexer.registry.strict_toml import Table, parse_toml
from indexer.times import INTERVAL_US

KINDS = ("tokens", "benchmarks", "supply", "metrics")
STAMPS = ("bar_open", "bar_close", "instant", "session_date")
VOLUME_UNITS = ("base", "usd", "none")
NUMBERS = ("open", "high", "low", "close", "adjusted_close", "volume", "value")
TEXTS = ("symbol", "venue", "source", "price_basis", "volume_kind", "metric")
ROLES = ("time", *NUMBERS, *TEXTS, "supply")
CONSTANTS = ("symbol", "venue", "source", "price_basis", "quote", "supply_kind")
BENCHMARK_KINDS = ("equity", "etf", "equity_index", "future", "token")
SHIPPED = Path(__file__).with_name("manifests")


@dataclass(frozen=True, slots=True)
class BenchmarkInfo:
    """What a manifest says of one benchmark symbol."""

    name: str
    kind: str
    calendar: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a file holds. `columns` maps a role (time, close, …) to the file's column, `constants` to one value.

    `stamp` is what the time column means; naive stamps are in `timezone`. `volume_unit` base is multiplied by the
    close for USD; usd counts as traded value only where `volume_kind` is among `usd_volume_kinds` (empty: always).
    `keep` lists, for a column of the file, the values to take; other rows are counted as filtered, not rejected.
    `metrics` maps the file's word for a quantity to the store's name of it (other rows are filtered); the symbol
    `market` stands for the market as a whole.
    """

    kind: str
    interval: str
    stamp: str
    columns: Mapping[str, str]
    constants: Mapping[str, str]
    volume_unit: str
    usd_volume_kinds: tuple[str, ...]
    quotes: Mapping[str, str]
    keep: Mapping[str, tuple[str, ...]]
    metrics: Mapping[str, str]
    market: str
    calendar: str
    timezone: str
    delimiter: str
    benchmarks: Mapping[str, BenchmarkInfo]
    files: tuple[str, ...]
    name: str
    hash: str = field(default="")
    text: str = field(default="", repr=False)

    def wanted(self) -> tuple[str, ...]:
        """The file's columns that are read, each once."""
        return tuple(dict.fromkeys((*self.columns.values(), *self.keep)))

    def missing_from(self, header: Sequence[str]) -> list[str]:
        """The columns the manifest names that a file does not have."""
        return [column for column in self.wanted() if column not in header]


def read_manifest(path: Path) -> Manifest:
    """The manifest in a TOML file. Raises ImportFileError with every problem found in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportFileError(f"{path.name}: the manifest cannot be read ({error})") from None
    return parse_manifest(text, name=path.name)


def parse_manifest(text: str, *, name: str) -> Manifest:
    """The manifest in a TOML text; `name` is what errors call it."""
    problems: list[str] = []
    try:
        top = Table(parse_toml(text, source=name), "", problems)
    except MethodologyError as error:
        raise ImportFileError(str(error)) from None
    kind = top.choice("kind", KINDS)
    columns = _roles(top, "columns", ROLES)
    calendar = top.text("calendar", "XNYS")
    manifest = Manifest(
        kind=kind,
        interval=top.choice("interval", tuple(INTERVAL_US), "1d"),
        stamp=top.choice("stamp", STAMPS, "instant" if kind in ("supply", "metrics") else None),
        columns=columns,
        constants=_roles(top, "constants", CONSTANTS),
        volume_unit=top.choice("volume_unit", VOLUME_UNITS, "none"),
        usd_volume_kinds=top.texts("usd_volume_kinds"),
        quotes=top.strings("quotes"),
        keep=_keep(top),
        metrics=top.strings("metrics"),
        market=top.text("market", ""),
        calendar=calendar,
        timezone=top.text("timezone", "UTC"),
        delimiter=top.text("delimiter", ","),
        benchmarks=_benchmarks(top, calendar),
        files=top.texts("files"),
        name=name,
        hash=hashlib.sha256(text.encode()).hexdigest(),
        text=text,
    )
    _check_complete(manifest, top)
    top.finish()
    if problems:
        raise ImportFileError(f"{name}: the manifest does not hold\n" + "\n".join(f"  {line}" for line in problems))
    return manifest


@cache
def shipped_manifests() -> tuple[Manifest, ...]:
    """The manifests that come with the program, by name."""
    return tuple(read_manifest(path) for path in sorted(SHIPPED.glob("*.toml")))


def manifest_for(path: Path, header: Sequence[str]) -> Manifest | None:
    """The manifest of a file: the TOML of its name beside it, else a shipped one for that name and header."""
    stem = path.name.split(".")[0]
    for candidate in (f"{path.name}.toml", f"{stem}.toml"):
        beside = path.with_name(candidate)
        if beside.is_file():
            return read_manifest(beside)
    known = (one for one in shipped_manifests() if path.name in one.files)
    return next((one for one in known if not one.missing_from(header)), None)


def _roles(top: Table, key: str, known: Sequence[str]) -> dict[str, str]:
    table = top.table(key)
    for role in table.raw:
        if role not in known:
            table.note(role, f"there is no such key here.{did_you_mean(role, known)}")
    return {role: table.text(role) for role in table.raw if role in known}


def _keep(top: Table) -> dict[str, tuple[str, ...]]:
    table = top.table("keep")
    return {column: table.texts(column) for column in table.raw}


def _benchmarks(top: Table, calendar: str) -> dict[str, BenchmarkInfo]:
    table = top.table("benchmarks")
    found = {}
    for symbol in table.raw:
        inner = table.table(symbol)
        found[symbol] = BenchmarkInfo(
            name=inner.text("name", symbol),
            kind=inner.choice("kind", BENCHMARK_KINDS, "equity"),
            calendar=inner.text("calendar", calendar),
        )
        inner.finish()
    return found


def _check_complete(manifest: Manifest, top: Table) -> None:
    """Notes what the kind of file needs and the manifest does not name."""
    given = {*manifest.columns, *manifest.constants}
    values = {"supply": ("time", "supply"), "metrics": ("time", "metric", "value")}
    for role in values.get(manifest.kind, ("time", "close")):
        if role not in manifest.columns:
            top.note(f"columns.{role}", f'is missing; give the name of the column, e.g. {role} = "{role}"')
    needed = {"tokens": ("symbol", "venue", "source"), "benchmarks": ("symbol", "source", "price_basis")}
    for role in needed.get(manifest.kind, ("symbol", "source")):
        if role not in given:
            top.note(f"columns.{role}", "is missing; name a column, or one value for all rows under [constants]")
    for role in sorted(set(manifest.columns) & set(manifest.constants)):
        top.note(f"constants.{role}", "is also under [columns]; keep one of the two")
    if len(manifest.delimiter) != 1 or not manifest.delimiter.isascii() or manifest.delimiter in '"\r\n':
        top.note("delimiter", f'"{manifest.delimiter}" is not one character between columns, e.g. ";" or "\\t"')
    if manifest.stamp == "session_date" and manifest.kind != "benchmarks":
        top.note("stamp", "session_date is for benchmarks; tokens trade round the clock: use bar_open with 1d")
    if manifest.kind == "metrics" and not manifest.metrics:
        top.note("metrics", 'is missing; name the quantities to take, e.g. fear_greed_index = "fear_greed_0_100"')
    if "volume" in manifest.columns and manifest.kind == "tokens" and manifest.volume_unit == "none":
        top.note("volume_unit", "is missing; say whether the volume column is in base units (base) or USD (usd)")
