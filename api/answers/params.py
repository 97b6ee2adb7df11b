"""The query and path parameters that several routes share, validated once, described for OpenAPI, and the way on.

A cursor is the instant of the next row, so pages stay right while data is appended. Addresses of next pages are
path-absolute: they hold behind any host name, and an answer in the cache never carries a stranger's.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Path, Query
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, WithJsonSchema
from starlette.requests import HTTPConnection, Request

from indexer.arrays import I64
from indexer.errors import InputError, NotFoundError, did_you_mean
from indexer.times import iso, parse_instant

MAX_LIMIT = 10_000
STRICT = ("/v1/", "/charts/", "/badge/", "/embed/", "/og/")  # where an unknown parameter is refused
KEY_PARAMETER = "api_key"  # may stand in every address, where no header can be set
TIME_WORDS = "ISO 8601 (2025-01-27 or 2025-01-27T21:00:00Z), epoch seconds, or epoch milliseconds"
EARLIEST_US, LATEST_US = parse_instant("1970-01-01"), parse_instant("2200-01-01")
TIME_SCHEMA = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "integer", "minimum": 100_000_000, "maximum": 253_402_300_799_000},
    ]
}


class Interval(StrEnum):
    """Spacing of levels: those whose instant lies on the grid counted from 00:00 UTC."""

    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    HOUR = "1h"
    DAY = "1d"


class Shape(StrEnum):
    """Form of `data` in JSON: a list of rows, or one list for each column (smaller and faster)."""

    ROWS = "rows"
    COLUMNS = "columns"


class Decimals(StrEnum):
    """How JSON writes numbers that are not whole: as numbers, or as decimal text for those who must not round."""

    NUMBER = "number"
    STRING = "string"


class TableFormat(StrEnum):
    """Encoding of a table."""

    JSON = "json"
    CSV = "csv"


def to_instant(value: object) -> object:
    """Microseconds of a time parameter; raises InputError naming the accepted forms.

    What lies beyond all data (before 1970, after 2199) is brought to that bound: it asks for the same.
    """
    return max(EARLIEST_US, min(parse_instant(value), LATEST_US)) if isinstance(value, str) else value


InstantUs = Annotated[int, BeforeValidator(to_instant), WithJsonSchema(TIME_SCHEMA)]
IndexId = Annotated[str, Path(description="Id of an index, e.g. deai", max_length=64, examples=["deai"])]
# Of an index or event, where it becomes part of an address that is asked for here: nothing but such an id.
AskedId = Annotated[str, Query(max_length=64, pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
Start = Annotated[
    InstantUs | None, Query(description=f"First instant, included. {TIME_WORDS}", examples=["2025-01-01"])
]
End = Annotated[InstantUs | None, Query(description=f"End, excluded. {TIME_WORDS}", examples=["2025-02-01"])]
AsOf = Annotated[InstantUs | None, Query(description=f"What was known at this instant (revisions). {TIME_WORDS}")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows in one answer")]
PageLimit = Annotated[
    int | None,
    Query(ge=1, le=MAX_LIMIT, description="Rows in one answer; JSON has 10,000 and CSV the whole range unless you say"),
]
Cursor = Annotated[
    str | None, Query(max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="Opaque: `next` of the page before")
]
# Not in OpenAPI: it would make every level "number or text" in generated clients. The documentation names it.
DecimalsParam = Annotated[Decimals, Query(include_in_schema=False)]

ShapeParam = Annotated[Shape, Query(description="Form of data in JSON")]


def _table_format(value: object) -> object:
    if value in ("parquet", "arrow"):
        raise InputError(f"A table is json or csv; {value} is a file of its own: /v1/indices/<id>/levels.{value}")
    return value


FormatParam = Annotated[
    TableFormat | None,
    BeforeValidator(_table_format),
    Query(alias="format", description="json (default) or csv; Accept: text/csv works too"),
]
# Where the CSV has an address of its own: a second type of answer would change the types of generated clients.
QuietFormatParam = Annotated[
    TableFormat | None, BeforeValidator(_table_format), Query(alias="format", include_in_schema=False)
]


def wants_csv(request: Request, format: TableFormat | None) -> bool:
    """Whether a table goes out as CSV: `?format=` first, then Accept; JSON when it does not matter."""
    if format is not None:
        return format is TableFormat.CSV
    accept = request.headers.get("accept", "")
    return "text/csv" in accept and "application/json" not in accept


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open range [start, end) in microseconds; None is open. Raises InputError when it ends before it starts."""

    start: Start = None
    end: End = None

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.end < self.start:
            raise InputError(f"end {iso(self.end)} is before start {iso(self.start)}; the range is [start, end)")

    def __contains__(self, time_us: int) -> bool:
        return (self.start is None or time_us >= self.start) and (self.end is None or time_us < self.end)

    def of(self, times_us: I64, *, last: int | None = None) -> slice:
        """The places of ascending instants that lie in it; the newest `last` of them if given."""
        first = 0 if self.start is None else int(times_us.searchsorted(self.start))
        stop = len(times_us) if self.end is None else max(first, int(times_us.searchsorted(self.end)))
        return slice(first if last is None else max(first, stop - last), stop)


WindowParam = Annotated[Window, Depends()]


async def given_well(request: HTTPConnection) -> None:
    """Refuses a query parameter that is given twice, or that an address does not have.

    Which of two counts would be a guess, and a misspelt one would silently be another question. Pages keep their
    state in the address, and those who ask for oEmbed add parameters of their own.
    """
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise InputError(f'"{name[:40]}" is given twice; give it once')
        seen.add(name)
    route = request.scope.get("route")
    if isinstance(route, APIRoute) and route.path.startswith(STRICT):
        known = set(_parameters(route.dependant))
        for name in sorted(seen - known - {KEY_PARAMETER}):
            there = f"there are {', '.join(sorted(known))}" if known else "this address has none"
            raise InputError(f'there is no parameter "{name[:40]}": {there}.{did_you_mean(name[:40], known)}')


def _parameters(needs: Dependant) -> Iterator[str]:
    """The names of the query parameters of a route and of all that it depends on."""
    yield from (field.alias for field in needs.query_params)
    for dependency in needs.dependencies:
        yield from _parameters(dependency)


MARK = "t"


def encode_cursor(time_us: int) -> str:
    """The cursor that continues at this instant, included."""
    return urlsafe_b64encode(f"{MARK}{time_us}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """The instant a cursor continues at. Raises NotFoundError on anything we did not make."""
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        if not text.startswith(MARK) or encode_cursor(int(text[1:])) != cursor:
            raise ValueError(text)
        time_us = int(text[1:])
        if abs(time_us) > 2**62:
            raise ValueError(text)
    except ValueError:
        raise NotFoundError(f'No page "{cursor}": take `next` of the page before, unchanged') from None
    return time_us


def next_url(request: Request, cursor: str) -> str:
    """The address of the next page: this request's, with the cursor."""
    query = [(name, value) for name, value in parse_qsl(request.url.query) if name != "cursor"]
    return f"{public_path(request)}?{urlencode([*query, ('cursor', cursor)])}"


def public_path(request: Request) -> str:
    """The path as the client sees it, root path included."""
    path: str = request.scope["path"]
    return path


def link_header(request: Request, cursor: str | None) -> dict[str, str]:
    """`Link: <…>; rel="next"`, or nothing on the last page."""
    return {} if cursor is None else {"Link": f'<{next_url(request, cursor)}>; rel="next"'}
