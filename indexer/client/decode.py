"""JSON of the API → records and arrays. What cannot be what it claims is SourceCorrupt, said with the place."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np
from pydantic import TypeAdapter, ValidationError

from indexer.arrays import F64, I64
from indexer.client.models import BetaSeries, Levels
from indexer.errors import InputError, SourceCorrupt
from indexer.times import iso, to_us

T = TypeVar("T")
NUMBERS = ("beta", "se", "low", "high", "r2", "alpha")
When = str | int | date | datetime
"""An instant: ISO 8601 text, epoch seconds or milliseconds, a date (00:00 UTC) or an aware datetime."""


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def record(kind: type[T], data: object, *, where: str) -> T:
    """The record in a JSON object; keys it does not know are ignored."""
    try:
        adapter: TypeAdapter[T] = _adapter(cast("Hashable", kind))
        made: T = adapter.validate_python(data)
        return made
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(map(str, first["loc"])) or "the answer"
        raise SourceCorrupt(f"{where} is not what this program reads: {place}: {first['msg']}") from None


def records(kind: type[T], body: Mapping[str, Any], *, where: str) -> tuple[T, ...]:
    """The records under `data`."""
    return tuple(record(kind, row, where=where) for row in member(body, "data", where=where))


def member(body: Mapping[str, Any], name: str, *, where: str) -> Any:
    """One member of an answer. Raises SourceCorrupt when it is not there."""
    try:
        return body[name]
    except (KeyError, TypeError):
        raise SourceCorrupt(f'{where} has no "{name}"; is it an API of this index?') from None


def times(values: list[str]) -> I64:
    """Microseconds of instants as the API writes them, `2025-01-27T21:00:00Z`."""
    found: I64 = np.array([value.removesuffix("Z") for value in values], "datetime64[us]").astype(np.int64)
    return found


def floats(values: list[float | None]) -> F64:
    """Numbers with NaN for null."""
    return np.array(values, np.float64)


def levels(pages: list[Mapping[str, Any]], *, where: str) -> Levels:
    """The levels of pages in the shape of columns."""
    columns = [member(page, "data", where=where) for page in pages]
    try:
        return Levels(
            index=str(pages[0]["index"]),
            simulated=bool(pages[0]["simulated"]),
            interval=str(pages[0]["interval"]),
            times_us=np.concatenate([times(page["time"]) for page in columns]),
            levels=np.concatenate([floats(page["level"]) for page in columns]),
            status=np.concatenate([np.array(page["status"], np.str_) for page in columns]),
            carried_weight=np.concatenate([floats(page["carried_weight"]) for page in columns]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SourceCorrupt(f"{where} is not what this program reads: {error}") from None


def query(**given: object) -> dict[str, str]:
    """Parameters as the API takes them; None is left out. Raises InputError for a naive datetime."""
    return {name: _text(value) for name, value in given.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(to_us(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(f"{value!r} is not a value for a query: give text, a number, a date or an aware datetime")


def beta_series(body: Mapping[str, Any], *, where: str) -> BetaSeries:
    """Rolling beta in the shape of columns."""
    columns = member(body, "data", where=where)
    try:
        head: dict[str, Any] = {name: body[name] for name in ("index", "simulated", "benchmark", "sessions", "kind")}
        numbers: dict[str, Any] = {name: floats(columns[name]) for name in NUMBERS}
        return BetaSeries(**head, hindsight=bool(body["hindsight"]), times_us=times(columns["time"]), **numbers)
    except (KeyError, TypeError, ValueError) as error:
        raise SourceCorrupt(f"{where} is not what this program reads: {error}") from None
