"""The history of an index: levels by page as JSON rows or columns or CSV, as whole files, and as one bare number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.answers.answer import CLOSED, OPEN, PINNED, Answer, FileAnswer, as_file, csv_answer
from api.answers.encode import as_decimal_text, as_json_times, as_rows, iso_times, status_names
from api.answers.exports import MEDIA_TYPES, FileKind, export_levels
from api.answers.params import (
    AsOf,
    Cursor,
    Decimals,
    DecimalsParam,
    End,
    FormatParam,
    IndexId,
    Interval,
    Limit,
    Shape,
    ShapeParam,
    Start,
    TableFormat,
    decode_cursor,
    encode_cursor,
    link_header,
    next_url,
    wants_csv,
    window_of,
)
from api.answers.problems import declared
from api.answers.schemas import OfIndex, columns_of
from api.answers.services import Services, ServicesDep, StoreDep
from api.routes.indices import LevelPoint, latest_of
from indexer.store.db import Store
from indexer.store.levels import LevelPage, read_level_page
from indexer.store.read import read_index, read_levels
from indexer.store.runs import read_version
from indexer.times import DAY_US, HOUR_US, INTERVAL_US, to_us

router = APIRouter(prefix="/v1/indices/{index_id}", tags=["levels"], responses=declared("not_found"))
files = APIRouter(prefix="/v1/indices/{index_id}", tags=["files"], responses=declared("not_found"))
Spacing = Annotated[Interval, Query(description="Spacing, on the grid from 00:00 UTC")]


LevelColumns = columns_of(LevelPoint, name="LevelColumns")


class Levels(OfIndex):
    """A page of levels, oldest first."""

    interval: str
    shape: str
    count: int = Field(description="Rows in this answer")
    next: str | None = Field(description="Cursor of the next page; null on the last")
    next_url: str | None = Field(description="Address of the next page; null on the last")
    data: list[LevelPoint] | LevelColumns  # type: ignore[valid-type]  # made from the points


@dataclass(frozen=True, slots=True)
class LevelQuery:
    """Which levels: [start, end) on the interval's grid, at most `limit`, or the `last` ones."""

    interval: Interval
    start_us: int | None
    end_us: int | None
    as_of_us: int | None
    limit: int
    last: int | None


async def level_query(
    *,
    start: Start = None,
    end: End = None,
    interval: Spacing = Interval.DAY,
    as_of: AsOf = None,
    limit: Limit = 10_000,
    last: Annotated[int | None, Query(ge=1, le=10_000, description="Only the newest so many, oldest first")] = None,
    cursor: Cursor = None,
) -> LevelQuery:
    """The levels asked for; a cursor moves the start."""
    window = window_of(start, end)
    first = decode_cursor(cursor) if cursor is not None else window.start_us
    return LevelQuery(interval, first, window.end_us, as_of, limit, last)


Asked = Annotated[LevelQuery, Depends(level_query)]


def read_page(services: Services, index_id: str, asked: LevelQuery) -> LevelPage:
    """The page of levels that was asked for. Daily histories are short: a page is cut from the whole, read once."""
    store = services.store
    step, start, end, known = INTERVAL_US[asked.interval], asked.start_us, asked.end_us, asked.as_of_us
    if asked.interval is Interval.DAY and known is None:
        return _slice(services.cache.read_once(("daily", index_id), lambda: _all_daily(store, index_id)), asked)
    if asked.last is None:
        return read_level_page(
            store, index_id, start_us=start, end_us=end, as_of_us=known, step_us=step, limit=asked.limit
        )
    rows = read_levels(store, index_id, start_us=start, end_us=end, as_of_us=known, step_us=step, limit=asked.last)
    return LevelPage(rows.times_us, rows.levels, rows.status, rows.carried_weight, None)


def level_columns(page: LevelPage) -> dict[str, Any]:
    """A page of levels as it is written to JSON, one sequence for each column."""
    return {
        "time": as_json_times(page.times_us),
        "level": page.levels,
        "status": status_names(page.status),
        "carried_weight": page.carried_weight,
    }


def _all_daily(store: Store, index_id: str) -> LevelPage:
    rows = read_levels(store, index_id, step_us=DAY_US)
    return LevelPage(rows.times_us, rows.levels, rows.status, rows.carried_weight, None)


def _slice(whole: LevelPage, asked: LevelQuery) -> LevelPage:
    """The levels of a history in [start, end): the newest `last`, or the oldest `limit` and where the next begin."""
    times, start, end = whole.times_us, asked.start_us, asked.end_us
    first = 0 if start is None else int(np.searchsorted(times, start))
    stop = len(whole) if end is None else max(first, int(np.searchsorted(times, end)))
    first, last = (max(first, stop - asked.last), stop) if asked.last else (first, min(stop, first + asked.limit))
    span, following = slice(first, last), int(times[last]) if last < stop else None
    return LevelPage(times[span], whole.levels[span], whole.status[span], whole.carried_weight[span], following)


@router.get("/levels", response_model=Levels, responses=as_file("text/csv"), summary="Levels over time")
def list_levels(
    request: Request,
    services: ServicesDep,
    index_id: IndexId,
    *,
    asked: Asked,
    shape: ShapeParam = Shape.ROWS,
    format: FormatParam = None,
    decimals: DecimalsParam = Decimals.NUMBER,
) -> Response:
    """Levels in [start, end), oldest first, the latest revision of each. Follow `next` (JSON) or Link for more."""
    index = read_index(services.store, index_id)
    page = read_page(services, index_id, asked)
    cursor = None if page.next_us is None else encode_cursor(page.next_us)
    headers = {**link_header(request, cursor), "X-Count": str(len(page))}
    lasting = finality(asked, now_us=to_us(services.clock()))
    columns = level_columns(page)
    if wants_csv(request, format):
        table = {**columns, "time": iso_times(page.times_us)}
        return csv_answer(table, simulated=index.simulated, headers=headers, cache_control=lasting)
    columns = as_decimal_text(columns) if decimals is Decimals.STRING else columns
    head: dict[str, Any] = {
        "index": index.id,
        "simulated": index.simulated,
        "interval": asked.interval,
        "shape": shape,
        "count": len(page),
        "next": cursor,
        "next_url": None if cursor is None else next_url(request, cursor),
    }
    data = columns if shape is Shape.COLUMNS else as_rows(columns)
    return Answer({**head, "data": data}, cache_control=lasting, headers=headers)


@router.get(
    "/levels.csv",
    response_class=Response,
    responses=as_file("text/csv", description="time,level,status,carried_weight"),
    summary="Levels as CSV, for sheets",
)
def levels_csv(request: Request, services: ServicesDep, index_id: IndexId, asked: Asked) -> Response:
    """The same as /levels?format=csv under an address that sheets and frames take without more."""
    return list_levels(request, services, index_id, asked=asked, format=TableFormat.CSV)


def finality(asked: LevelQuery, *, now_us: int) -> str:
    """How long an answer may be kept: pinned to what was known, closed long ago, or still open."""
    if asked.as_of_us is not None and asked.as_of_us < now_us - HOUR_US:
        return PINNED
    if asked.end_us is not None and asked.end_us < now_us - 7 * DAY_US and asked.last is None:
        return CLOSED
    return OPEN


@files.get(
    "/levels.parquet",
    response_class=Response,
    responses=as_file(MEDIA_TYPES[FileKind.PARQUET], description="The file", binary=True),
    summary="All levels as a Parquet file",
)
def levels_parquet(
    request: Request, services: ServicesDep, index_id: IndexId, interval: Spacing = Interval.DAY
) -> Response:
    """The whole history on a grid, with revision and publication time. Answers Range; the ETag is strong."""
    return _file(request, services, index_id, interval=interval, kind=FileKind.PARQUET)


@files.get(
    "/levels.arrow",
    response_class=Response,
    responses=as_file(MEDIA_TYPES[FileKind.ARROW], description="The file", binary=True),
    summary="All levels as an Arrow IPC file",
)
def levels_arrow(
    request: Request, services: ServicesDep, index_id: IndexId, interval: Spacing = Interval.DAY
) -> Response:
    """The whole history on a grid, as Arrow IPC (Feather). Answers Range; the ETag is strong."""
    return _file(request, services, index_id, interval=interval, kind=FileKind.ARROW)


def _file(request: Request, services: Services, index_id: str, *, interval: Interval, kind: FileKind) -> Response:
    index = read_index(services.store, index_id)
    folder = services.settings.data_dir / "exports"
    version = read_version(services.store)
    export = export_levels(services.store, index, interval=interval, kind=kind, version=version, folder=folder)
    headers = {"ETag": export.etag, "Cache-Control": OPEN, "X-Simulated": str(index.simulated).lower()}
    if export.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    name = f"{index.id}-levels-{interval}.{kind}"
    return FileAnswer(export.path, media_type=MEDIA_TYPES[kind], filename=name, headers=headers)


@files.get(
    "/level.txt",
    response_class=Response,
    responses=as_file("text/plain", description="1042.17") | declared("not_enough_data"),
    summary="The newest level as a bare number",
)
def level_txt(store: StoreDep, index_id: IndexId) -> Response:
    """One number with a point and nothing else, for a cell (WEBSERVICE, IMPORTDATA), a shell or a small display."""
    latest = latest_of(store, index_id)
    headers = {"X-Status": latest["status"], "X-Simulated": str(latest["simulated"]).lower()}
    return Answer(repr(latest["level"]).encode(), media_type="text/plain; charset=utf-8", headers=headers)
