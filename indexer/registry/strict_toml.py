"""Reads TOML tables strictly: every key, type and range that does not hold is collected, none stops the reading.

Place in the flow: below the files a person writes (asset registry, methodology). A reader takes what it needs
from a `Table`; whatever it did not ask for is reported as unknown. The caller raises once, with all problems.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, TypeVar

from indexer.errors import MethodologyError, did_you_mean

T = TypeVar("T")
YEARS = (2000, 2199)
MOST = 1e300
MISSING_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)


def parse_toml(text: str, *, source: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises MethodologyError with file, line and column when it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MethodologyError(f"{source}: this is not TOML: {error}. Correct that place and load it again.") from None


def refuse(problems: list[str], *, source: str) -> None:
    """Raises MethodologyError listing every problem of a file; returns when there is none."""
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise MethodologyError(f"{source}: {count}\n" + "\n".join(f"  {problem}" for problem in problems))


@dataclass
class Table:
    """One table of a file. A getter returns the value, or the default (or an empty value) after noting a problem.

    `path` is where it stands in the file (`caps`, `asset "fet"`); `problems` is shared by all tables of one file.
    """

    raw: Mapping[str, Any]
    path: str
    problems: list[str]
    _asked: set[str] = field(default_factory=set)

    def note(self, key: str, problem: str) -> None:
        """Adds a problem, with its place in front."""
        self.problems.append(f"{self._at(key)}: {problem}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, required=default is None, example='text, e.g. "…"')
        if value is None:
            return default or ""
        if not isinstance(value, str) or not value.strip():
            return self._wrong(key, value, "text that is not empty", default or "")
        return value

    def choice(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        value = self.text(key, default)
        if value and value not in known:
            self.note(key, f'"{value}" is not one of {", ".join(known)}.{did_you_mean(value, known)}')
            return default or known[0]
        return value

    def integer(self, key: str, default: int | None = None, *, low: int, high: int) -> int:
        value = self._get(key, required=default is None, example=f"a whole number from {low} to {high}")
        fallback = low if default is None else default
        if value is None:
            return fallback
        if isinstance(value, bool) or not isinstance(value, int):
            return self._wrong(key, value, "a whole number", fallback)
        if not low <= value <= high:
            self.note(key, f"{value} is not from {low} to {high}")
            return fallback
        return value

    def number(self, key: str, default: float | None = None, *, low: float = 0.0, high: float = math.inf) -> float:
        value = self._get(key, required=default is None, example="a number")
        fallback = low if default is None else default
        return fallback if value is None else self._finite(key, value, low, high, fallback)

    def optional_number(self, key: str, *, low: float = 0.0, high: float = math.inf) -> float | None:
        value = self._get(key)
        return None if value is None else self._finite(key, value, low, high, None)

    def flag(self, key: str, default: bool) -> bool:
        value = self._get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        return self._wrong(key, value, "true or false", default)

    def instant(self, key: str, default: datetime | None = None) -> datetime:
        value = self._get(key, required=default is None, example="a date, e.g. 2023-01-01T00:00:00Z")
        fallback = default or MISSING_INSTANT
        return fallback if value is None else self._aware(key, value) or fallback

    def optional_instant(self, key: str) -> datetime | None:
        value = self._get(key)
        return None if value is None else self._aware(key, value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            return self._wrong(key, value, 'a list of texts, e.g. ["fet", "tao"]', ())
        for item in sorted({item for item in value if value.count(item) > 1}):
            self.note(key, f'"{item}" is there twice; name it once')
        return tuple(value)

    def integers(self, key: str, default: tuple[int, ...], *, low: int, high: int) -> tuple[int, ...]:
        value = self._get(key)
        if value is None:
            return default
        whole = isinstance(value, list) and all(isinstance(item, int) and not isinstance(item, bool) for item in value)
        if not whole or not value:
            return self._wrong(key, value, "a list of whole numbers, e.g. [1, 4, 7, 10]", default)
        if any(not low <= item <= high for item in value):
            self.note(key, f"{value} has numbers that are not from {low} to {high}")
            return default
        if sorted(set(value)) != value:
            self.note(key, f"{value} must be ascending, each once")
            return default
        return tuple(value)

    def numbers(self, key: str, *, low: float = 0.0, high: float = math.inf) -> dict[str, float]:
        """A table of name = number, e.g. per-asset caps."""
        inner = self.table(key)
        kept = {name: inner._finite(name, value, low, high, None) for name, value in inner.raw.items()}
        return {name: value for name, value in kept.items() if value is not None}

    def strings(self, key: str) -> dict[str, str]:
        """A table of name = text, e.g. the identifiers of an asset at its providers."""
        inner = self.table(key)
        return {name: inner.text(name) for name in inner.raw}

    def table(self, key: str) -> Table:
        value = self._get(key)
        if value is not None and not isinstance(value, dict):
            value = self._wrong(key, value, f"a table, written [{self._at(key)}]", {})
        return Table(value or {}, self._at(key), self.problems)

    def tables(self, key: str) -> list[Table]:
        """The entries of an array of tables, each with its number (from 1) in the path."""
        value = self._get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            value = self._wrong(key, value, f"a list of tables, written [[{self._at(key)}]]", [])
        return [Table(item, f"{self._at(key)}[{n}]", self.problems) for n, item in enumerate(value, 1)]

    def finish(self) -> None:
        """Notes every key that nobody asked for, with the closest key there is."""
        for key in self.raw:
            if key not in self._asked:
                self.note(key, f"there is no such key here.{did_you_mean(key, sorted(self._asked))}")

    def _get(self, key: str, *, required: bool = False, example: str = "") -> Any:
        self._asked.add(key)
        if required and key not in self.raw:
            self.note(key, f"is missing; give {example}")
        return self.raw.get(key)

    def _wrong(self, key: str, value: object, wanted: str, fallback: T) -> T:
        self.note(key, f"{value!r} is {_kind(value)}, not {wanted}")
        return fallback

    def _finite(self, key: str, value: object, low: float, high: float, fallback: T) -> float | T:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self._wrong(key, value, "a number", fallback)
        # Compared before it is converted: TOML's whole numbers may be too large for a float.
        if value in (math.inf, -math.inf) or not low <= value <= min(high, MOST):
            bounds = f"from {low:g} to {high:g}" if high < math.inf else f"at least {low:g} and finite"
            self.note(key, f"{value} must be {bounds}")
            return fallback
        return float(value)

    def _aware(self, key: str, value: object) -> datetime | None:
        if isinstance(value, date) and not YEARS[0] <= value.year <= YEARS[1]:
            self.note(key, f"{value.isoformat()} is not from {YEARS[0]} to {YEARS[1]}")
            return None
        if isinstance(value, datetime):
            if value.tzinfo is None:
                self.note(key, f"{value.isoformat()} has no time zone; write {value.isoformat()}Z")
                return None
            return value.astimezone(UTC)
        if isinstance(value, date):
            return datetime.combine(value, time(), tzinfo=UTC)
        return self._wrong(key, value, "a date without quotes, e.g. 2023-01-01T00:00:00Z", None)

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _kind(value: object) -> str:
    kinds = {str: "text", bool: "true/false", int: "a number", float: "a number", list: "a list", dict: "a table"}
    if value == "":
        return "empty"
    return kinds.get(type(value), "a date")
