"""Answers of the API → records, arrays and errors. What is not what it claims is SourceCorrupt, with the place."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np
import orjson
from pydantic import TypeAdapter, ValidationError

from indexer.client.frames import STUDIES, Study
from indexer.client.models import Levels
from indexer.errors import (
    BusyError,
    DeaiError,
    InputError,
    NotEnoughDataError,
    NotFoundError,
    SourceCorrupt,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    StoreError,
    VerificationError,
)
from indexer.times import iso, to_us

T = TypeVar("T")
When = str | int | date | datetime
"""An instant: ISO 8601 text, epoch seconds or milliseconds, a date (00:00 UTC) or an aware datetime."""


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def record(kind: type[T], data: object, *, where: str) -> T:
    """The record in a JSON object; keys it does not know are ignored."""
    try:
        adapter: TypeAdapter[T] = _adapter(cast("Hashable", kind))
        answer: T = adapter.validate_python(data)
        return answer
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


LATER = ("constituents", "perpetual_weight")


def levels(pages: list[Mapping[str, Any]], *, where: str) -> Levels:
    """The levels of pages in the shape of columns; 0 in a column that an older service does not give."""
    columns = [member(page, "data", where=where) for page in pages]

    def whole(name: str, kind: Any, absent: Any = None) -> Any:
        pages = (page.get(name, [0] * len(page["time"])) if name in LATER else page[name] for page in columns)
        return np.concatenate([np.array([absent if cell is None else cell for cell in page], kind) for page in pages])

    try:
        instants = [time.removesuffix("Z") for page in columns for time in page["time"]]
        return Levels(
            index=str(pages[0]["index"]),
            simulated=bool(pages[0]["simulated"]),
            interval=str(pages[0]["interval"]),
            times_us=np.array(instants, "datetime64[us]").astype(np.int64),
            levels=whole("level", np.float64),
            status=whole("status", np.str_, ""),
            carried_weight=whole("carried_weight", np.float64),
            perpetual_weight=whole("perpetual_weight", np.float64),
            constituents=whole("constituents", np.int64, 0),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SourceCorrupt(f"{where} is not what this program reads: {error}") from None


def query(**values: object) -> dict[str, str]:
    """Parameters as the API takes them; None is left out. Raises InputError for a naive datetime."""
    return {name: _text(value) for name, value in values.items() if value is not None}


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


def study(reply: Any, kind: str) -> Study:
    """The answer of a study: the rows of its table, and all the rest."""
    body = reply.json()
    table, measures = STUDIES[kind]
    where = reply.url.partition("?")[0]
    rows = record(list[dict[str, Any]], member(body, table, where=where), where=where)
    return Study({name: value for name, value in body.items() if name != table}, rows, measures)


MEDIA_TYPE = "application/problem+json"
BY_CODE: dict[str, type[DeaiError]] = {
    kind.code: kind
    for kind in (InputError, NotFoundError, NotEnoughDataError, StoreError, BusyError, VerificationError)
}
BY_STATUS = {401: SourceRefused, 403: SourceRefused, 410: NotFoundError, 429: SourceUnavailable}
PASSING = (429, 502, 503, 504)


def refusal(*, url: str, status: int, headers: Mapping[str, str], body: bytes) -> DeaiError:
    """The error that an answer means; `retryable` says whether asking again may help."""
    kind = headers.get("content-type", "").partition(";")[0]
    if kind == MEDIA_TYPE:
        error = _problem(body, status)
        if error is not None:
            return _passing(error, status, headers)
    if status in PASSING:
        error = SourceUnavailable(f"{url} answered {status}; it may be starting or overloaded")
        return _passing(error, status, headers)
    if status in (401, 403):
        return SourceRefused(f"{url} answered {status}: something before the API wants to know who you are")
    if 300 <= status < 400:
        return InputError(
            f'{url} sends on to "{headers.get("location", "")}"; give that address, redirects are not followed'
        )
    return SourceCorrupt(
        f"{url} answered {status} with {kind or 'no type'}, not like this API; give its root, e.g. http://127.0.0.1:8000"
    )


def _problem(body: bytes, status: int) -> DeaiError | None:
    try:
        problem: Any = orjson.loads(body)
        code, detail, trace = problem["code"], str(problem["detail"]), str(problem.get("trace_id", ""))
    except (ValueError, TypeError, KeyError):
        return None
    known: type[DeaiError] = BY_CODE.get(code) or BY_STATUS.get(status) or (InputError if status < 500 else SourceError)
    ours = issubclass(known, SourceError | StoreError | VerificationError) and known is not SourceRefused
    return known(f"{detail} (trace id {trace})" if ours and trace else detail)


def _passing(error: DeaiError, status: int, headers: Mapping[str, str]) -> DeaiError:
    error.retryable = error.retryable or status in PASSING
    wait = headers.get("retry-after", "")
    if isinstance(error, SourceUnavailable) and wait.isdigit():
        error.retry_after_s = float(wait)
    return error
