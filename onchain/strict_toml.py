"""TOML that people write, read strictly into frozen dataclasses: every problem of a file in one error.

The dataclass is the schema: its annotations say types and bounds, pydantic checks them, and an unknown key is a problem
that names the closest known one. What a file must not say (a hash, what is computed) is a field with `COMPUTED`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Strict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from onchain.errors import did_you_mean

T = TypeVar("T")
COMPUTED = {"computed": True}
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
YEARS = (2000, 2199)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
KINDS = {str: "text", bool: "true/false", int: "a number", float: "a number", list: "a list", dict: "a table"}
WORDS = {
    str: 'text, e.g. "…"',
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    datetime: "a date without quotes, e.g. 2023-01-01T00:00:00Z",
    date: "a date without quotes, e.g. 2023-01-01",
}
BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}
MOST_TOML = 4_000_000
PLURALS = {str: "texts", int: "whole numbers", float: "numbers"}


def toml_text(path: Path, *, error: Callable[[str], Exception], what: str = "the file") -> str:
    """The text of a TOML file of somebody's own. Raises `error` where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"{path}: {what} cannot be read ({cause}); give a TOML file in UTF-8") from None


def parse_toml(text: str, *, source: str, error: Callable[[str], Exception]) -> dict[str, Any]:
    """The tables of a TOML text. Raises `error` with line and column when it is not TOML."""
    if len(text) > MOST_TOML:
        raise error(f"{source}: {len(text):,} characters are no file of rules; at most {MOST_TOML:,} are read")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise error(f"{source}: tables or lists are nested too deep to be read") from None
    except ValueError as fault:  # a TOMLDecodeError, or a number of too many digits
        raise error(f"{source}: this is not TOML: {fault}. Correct that place and load it again.") from None


def refuse(problems: Sequence[str], *, source: str, error: Callable[[str], Exception]) -> None:
    """Raises `error` listing every problem of a file; returns when there is none."""
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise error(f"{source}: {count}\n" + "\n".join(f"  {problem}" for problem in problems))


def read_table(kind: type[T], raw: Mapping[str, Any], problems: list[str], *, at: str = "") -> T | None:
    """The record of `kind` that a table holds, or None after every problem in it is noted.

    `kind` is a frozen dataclass; `at` is where the table stands in the file (`asset "fet"`).
    """
    computed = [key for key in raw if key in _computed(kind)]
    problems.extend(f"{_place((key,), at)}: there is no such key here; leave it out" for key in computed)
    try:
        record: T = _adapter(kind).validate_python(dict(raw))  # type: ignore[arg-type]
    except ValidationError as refusal:
        problems.extend(_problem(kind, fault, at) for fault in refusal.errors(include_url=False))
        return None
    return None if computed else record


def read_tables(
    kind: type[T], entries: Iterable[Mapping[str, Any]], problems: list[str], *, word: str, name: str
) -> list[T]:
    """The records of those entries of a `[[word]]` that hold; `name` is the key that an entry is called by."""
    records = [
        read_table(kind, entry, problems, at=f'{word} "{entry[name]}"' if entry.get(name) else f"{word}[{number}]")
        for number, entry in enumerate(entries, 1)
    ]
    return [record for record in records if record is not None]


def one_of(known: Iterable[str]) -> AfterValidator:
    """Marks a text that must be one of these words: `Annotated[str, one_of(STATUSES)]`."""
    words = tuple(known)
    return AfterValidator(lambda word: _member(word, words))


def member_of(kind: type[StrEnum]) -> BeforeValidator:
    """Marks an enumeration that a file gives by its word: `Annotated[Scheme, member_of(Scheme)]`."""
    return BeforeValidator(lambda word: kind(_member(word, tuple(kind))))


def matching(pattern: str, wanted: str, *, secret: bool = False) -> AfterValidator:
    """Marks a text of a certain form; `wanted` says it in words. What may be secret is not repeated in the error."""
    form = TypeAdapter(Annotated[str, StringConstraints(pattern=f"^(?:{pattern})$")])

    def check(value: str) -> str:
        try:
            return form.validate_python(value)
        except ValidationError:
            what = "it" if secret else f'"{value}"'
            raise ValueError(f"{what} must be {wanted}") from None

    return AfterValidator(check)


def _instant(value: object) -> datetime:
    if not isinstance(value, date):
        raise ValueError(f"{_shown(value)} is {_kind(value)}, not {WORDS[datetime]}")
    if not YEARS[0] <= value.year <= YEARS[1]:
        raise ValueError(f"{value.isoformat()} is not from {YEARS[0]} to {YEARS[1]}")
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), tzinfo=UTC)
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone; write {value.isoformat()}Z")
    return value.astimezone(UTC)


def _member(word: object, known: Sequence[str]) -> str:
    if not isinstance(word, str) or word not in known:
        raise ValueError(f'"{word}" is not one of {", ".join(known)}.{did_you_mean(str(word), known)}')
    return word


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    if sorted(set(values)) != list(values):
        raise ValueError(f"{list(values)} must be ascending, each once")
    return values


def _printed(text: str) -> str:
    control = CONTROL.search(text)
    if control is not None:
        raise ValueError(f"{text!a} has {control[0]!a}, which pages and pictures cannot hold; leave it out")
    return text


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'"{twice[0]}" is there twice; name it once')
    return names


Text = Annotated[str, StringConstraints(pattern=r"\S"), AfterValidator(_printed)]
# Strict: neither "18" nor true is a number. Bounds are added by `Annotated[Whole, Field(ge=1, le=500)]`.
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
Day = Annotated[date, Strict()]
# An aware UTC instant; a date alone is its 00:00 UTC.
Instant = Annotated[datetime, BeforeValidator(_instant)]
Texts = Annotated[tuple[Text, ...], AfterValidator(_each_once)]
Ascending = AfterValidator(_ascending)


@lru_cache(maxsize=64)
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    kind.__pydantic_config__ = STRICT  # where pydantic looks for it on a dataclass
    return TypeAdapter(kind)


def _computed(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind) if field.metadata.get("computed"))


def _problem(kind: type[Any], fault: ErrorDetails, at: str) -> str:
    """One of pydantic's findings as `place: what is wrong and what to do`."""
    loc = tuple(step for step in fault["loc"] if step != "[key]")
    value, context, wanted = fault["input"], fault.get("ctx", {}), _words(_at(kind, loc))
    what = f"{_shown(value)} is {_kind(value)}, not {wanted}"
    if fault["type"] == "value_error":
        what = str(context["error"])
    elif fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        what = f"there is no such key here.{did_you_mean(str(loc[-1]), _keys(_at(kind, loc[:-1])))}"
    elif fault["type"] == "missing":
        what = f"is missing; give {wanted}"
    elif fault["type"] == "too_short":
        what = "is empty; give at least one"
    elif fault["type"] in BOUNDS:
        word, bound = BOUNDS[fault["type"]]
        what = f"{_shown(value)} must be {word} {context[bound]:g}"
    elif fault["type"] == "finite_number" or _kind(value) == wanted:
        what = f"{_shown(value)} must be finite"
    return f"{_place(loc, at)}: {what}"


def _place(loc: Sequence[int | str], at: str) -> str:
    """`("legs", 0, "role")` as `legs[1].role`: entries are counted from 1."""
    place = at
    for step in loc:
        place += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if place else step
    return place


def _at(kind: Any, loc: Sequence[int | str]) -> Any:
    """The annotated type at a place in a file."""
    for step in loc:
        kind = _bare(kind)
        if is_dataclass(kind):
            kind = _keys(kind).get(str(step), str)
        else:  # a list of one type, or a table of names
            kind = get_args(kind)[0 if isinstance(step, int) else -1]
    return _bare(kind)


def _bare(kind: Any) -> Any:
    """A type without its bounds, and without the None that only says that it may be left out."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _bare(next(member for member in get_args(kind) if member is not NoneType))
    return kind


def _keys(kind: Any) -> dict[str, Any]:
    """The keys that a table may have, by the name they have in the file, with their types."""
    if not is_dataclass(kind):
        return {}
    hints = get_type_hints(kind, include_extras=True)
    return {_alias(hint) or name: hint for name, hint in hints.items() if name not in _computed(kind)}


def _alias(hint: Any) -> str:
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((mark.alias for mark in marks if isinstance(mark, FieldInfo) and mark.alias), "")


def _words(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"a list of {PLURALS.get(_bare(get_args(kind)[0]), 'tables')}"
    return WORDS.get(kind, "text" if isinstance(kind, type) and issubclass(kind, StrEnum) else "a table")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _kind(value: object) -> str:
    return "empty" if isinstance(value, str) and not value.strip() else KINDS.get(type(value), "a date")
