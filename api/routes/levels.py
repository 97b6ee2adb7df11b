"""The history of an index: levels by page as JSON rows or columns or CSV, as whole files, and as one bare number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from api.answers import encode, params
from api.answers.answer import CSV, Answer, as_file, csv_answer, csv_table, file_of, lasting, table_answer
from api.answers.problems import declared
from api.answers.schemas import TERMS, OfIndex, Wire, columns_of
from api.answers.services import Services, ServicesDep, StoreDep
from api.routes.indices import LevelPoint, latest_of
from indexer.analytics.candles import Candles, candles_of, whole_from
from indexer.client.models import LevelStatus
from indexer.engine.market import STATUS_NAMES
from indexer.errors import InputError, NotFoundError
from indexer.levels.lifecycle import REASONS
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.levels import LevelPage, page_of, read_level_page, read_levels, unpublished
from indexer.store.rows import IndexRow
from indexer.store.runs import read_version
from indexer.store.seals import chain_of
from indexer.studies.series import read_level_closes, session_dates
from indexer.times import DAY_US, INTERVAL_US, to_us

router = APIRouter(prefix="/v1/indices/{index_id}", tags=["levels"], responses=declared("not_found"))
files = APIRouter(prefix="/v1/indices/{index_id}", tags=["files"], responses=declared("not_found"))
Spacing = Annotated[params.Interval, Query(description="Spacing, on the grid from 00:00 UTC")]
PIECE = 100_000  # rows of CSV held at once


LevelColumns = columns_of(LevelPoint, name="LevelColumns")


class LevelAt(StrEnum):
    """Instants other than a grid's."""

    CLOSE = "close"


class Calendar(StrEnum):
    """An exchange whose sessions end at known instants, by its ISO 10383 code."""

    NEW_YORK = "XNYS"
    LONDON = "XLON"
    FRANKFURT = "XETR"
    TOKYO = "XTKS"
    HONG_KONG = "XHKG"


class SessionLevel(Wire):
    """The level at the close of an exchange's session; nulls where there is none at that instant."""

    date: str = Field(description="The session's own date, which joins with prices by date")
    time: datetime = Field(description="Instant of the close")
    level: float | None = Field(description="Index points")
    status: LevelStatus | None
    carried_weight: float | None = Field(description=TERMS["carried_weight"])
    perpetual_weight: float | None = Field(description=TERMS["perpetual_weight"])
    constituents: int | None = Field(description="How many are held")


SessionColumns = columns_of(SessionLevel, name="SessionColumns")


class Levels(OfIndex):
    """A page of levels, oldest first."""

    interval: str = Field(description="1m, 5m, 1h, 1d, or close")
    shape: str
    count: int = Field(description="Rows in this answer")
    reasons: dict[str, str] = Field(description="What each status in this answer that is not final means")
    next: str | None = Field(description="Cursor of the next page; null on the last")
    next_url: str | None = Field(description="Address of the next page; null on the last")
    data: list[LevelPoint] | LevelColumns | list[SessionLevel] | SessionColumns  # type: ignore[valid-type]  # made


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelQuery:
    """Which levels: [start, end) on the interval's grid or at a calendar's closes, at most `limit`, or the `last`."""

    start: params.Start = None
    end: params.End = None
    interval: Annotated[
        params.Interval | None, Query(description="Spacing, on the grid from 00:00 UTC; 1d when not given")
    ] = None
    at: Annotated[
        LevelAt | None, Query(description="close: one row for each session of the calendar, at its close")
    ] = None
    calendar: Annotated[Calendar, Query(description="For at=close: whose sessions")] = Calendar.NEW_YORK
    as_of: params.AsOf = None
    limit: params.PageLimit = None
    last: Annotated[int | None, Query(ge=1, le=100_000, description="Only the newest so many, oldest first")] = None
    cursor: params.Cursor = None

    def __post_init__(self) -> None:
        if self.at is not None and self.interval is not None:
            raise InputError("at=close has one level for each session; give it without interval")
        params.Window(self.start, self.end)  # or it ends before it starts

    @property
    def spacing(self) -> params.Interval:
        """The grid of the levels."""
        return self.interval or params.Interval.DAY

    @property
    def first_us(self) -> int | None:
        """Where the page begins: a cursor moves the start."""
        return self.start if self.cursor is None else params.decode_cursor(self.cursor)

    @property
    def exchange(self) -> Calendar | None:
        """Whose closes are asked for, if any."""
        return None if self.at is None else self.calendar


Asked = Annotated[LevelQuery, Depends()]


def read_page(services: Services, index_id: str, asked: LevelQuery, *, limit: int) -> LevelPage:
    """The page of levels that was asked for. Daily histories are short: a page is cut from the whole, read once."""
    store = services.store
    if reason := unpublished(store, index_id, as_of_us=asked.as_of):
        raise NotFoundError(reason)
    step, start, end, known = INTERVAL_US[asked.spacing], asked.first_us, asked.end, asked.as_of
    if asked.exchange is not None or (asked.spacing is params.Interval.DAY and known is None):
        return _slice(_whole(services, index_id, asked), asked, limit=limit)
    if asked.last is None:
        return read_level_page(store, index_id, start_us=start, end_us=end, as_of_us=known, step_us=step, limit=limit)
    rows = read_levels(store, index_id, start_us=start, end_us=end, as_of_us=known, step_us=step, limit=asked.last)
    return page_of(rows)


def level_columns(page: LevelPage, calendar: str | None = None) -> dict[str, Any]:
    """A page of levels as it is written to JSON, one sequence for each column; with the sessions of a calendar."""
    columns: dict[str, Any] = {
        "time": encode.as_json_times(page.times_us),
        "level": page.levels,
        "status": encode.status_names(page.status),
        "carried_weight": page.carried_weight,
        "perpetual_weight": page.perpetual_weight,
        "constituents": encode.counts_of(page.constituents),
    }
    if calendar is None:
        return columns
    known = np.isfinite(page.levels).tolist()
    columns["status"] = [word if there else None for word, there in zip(columns["status"], known, strict=True)]
    return {"date": session_dates(page.times_us, exchange=calendar), **columns}


def _whole(services: Services, index_id: str, asked: LevelQuery) -> LevelPage:
    """The daily history, or the one at a calendar's closes, as known now (read once) or at an instant."""
    store, calendar, known = services.store, asked.exchange, asked.as_of

    def read() -> LevelPage:
        if calendar is not None:
            return read_level_closes(store, index_id, exchange=calendar, as_of_us=known)
        return page_of(read_levels(store, index_id, step_us=DAY_US))

    return read() if known is not None else services.cache.read_once(("daily", index_id, calendar), read)


def _slice(whole: LevelPage, asked: LevelQuery, *, limit: int) -> LevelPage:
    """The levels of a history in [start, end): the newest `last`, or the oldest `limit` and where the next begin."""
    times, start, end = whole.times_us, asked.first_us, asked.end
    first = 0 if start is None else int(np.searchsorted(times, start))
    stop = len(whole) if end is None else max(first, int(np.searchsorted(times, end)))
    first, last = (max(first, stop - asked.last), stop) if asked.last else (first, min(stop, first + limit))
    span, following = slice(first, last), int(times[last]) if last < stop else None
    columns = {field.name: getattr(whole, field.name) for field in fields(whole) if field.name != "next_us"}
    return LevelPage(**{name: column[span] for name, column in columns.items()}, next_us=following)


@router.get("/levels", response_model=Levels, responses=as_file("text/csv"), summary="Levels over time")
def list_levels(
    request: Request,
    services: ServicesDep,
    index_id: params.IndexId,
    *,
    asked: Asked,
    shape: params.ShapeParam = params.Shape.ROWS,
    format: params.FormatParam = None,
    decimals: params.DecimalsParam = params.Decimals.NUMBER,
) -> Response:
    """Levels in [start, end), oldest first, the latest revision of each.

    JSON comes by pages: follow `next`. CSV is the whole range unless a limit is given; then Link has the next page.
    """
    index = read_index(services.store, index_id)
    if params.wants_csv(request, format):
        return _as_csv(request, services, index, asked)
    page = read_page(services, index_id, asked, limit=asked.limit or params.MAX_LIMIT)
    cursor = None if page.next_us is None else params.encode_cursor(page.next_us)
    columns = level_columns(page, asked.exchange)
    columns = encode.as_decimal_text(columns) if decimals is params.Decimals.STRING else columns
    head: dict[str, Any] = {
        "index": index.id,
        "simulated": index.simulated,
        "interval": asked.spacing if asked.exchange is None else LevelAt.CLOSE,
        "shape": shape,
        "count": len(page),
        "reasons": {word: REASONS[word] for word in STATUS_NAMES if word in set(columns["status"]) & REASONS.keys()},
        "next": cursor,
        "next_url": None if cursor is None else params.next_url(request, cursor),
    }
    headers = {**params.link_header(request, cursor), "X-Count": str(len(page))}
    data = columns if shape is params.Shape.COLUMNS else encode.as_rows(columns)
    return Answer({**head, "data": data}, cache_control=_lasting(asked, services), headers=headers)


def _lasting(asked: LevelQuery, services: Services) -> str:
    return lasting(None if asked.last else asked.end, as_of_us=asked.as_of, now_us=to_us(services.clock()))


def _as_csv(request: Request, services: Services, index: IndexRow, asked: LevelQuery) -> Response:
    """The levels as CSV: a page where a limit is given, else all. A long history goes out while it is read."""
    page, kept = read_page(services, index.id, asked, limit=asked.limit or PIECE), _lasting(asked, services)
    if asked.limit is None and page.next_us is not None:
        pieces = _pieces(services, index, asked, page)
        return StreamingResponse(pieces, media_type=CSV, headers={"Cache-Control": kept})
    cursor = None if page.next_us is None else params.encode_cursor(page.next_us)
    table = {**level_columns(page, asked.exchange), "time": encode.iso_times(page.times_us)}
    headers = params.link_header(request, cursor)
    return csv_answer(table, simulated=index.simulated, headers=headers, cache_control=kept)


def _pieces(services: Services, index: IndexRow, asked: LevelQuery, page: LevelPage) -> Iterator[bytes]:
    header = True
    while True:
        columns = {**level_columns(page), "time": encode.iso_times(page.times_us)}
        yield encode.to_csv(csv_table(columns, simulated=index.simulated), header=header)
        if page.next_us is None:
            return
        header, asked = False, replace(asked, start=page.next_us, cursor=None)
        page = read_page(services, index.id, asked, limit=PIECE)


class CandleSpan(StrEnum):
    """How long a candle lasts, from 00:00 UTC; weeks from Monday."""

    HOUR = "1h"
    FOUR_HOURS = "4h"
    DAY = "1d"
    WEEK = "1w"


class Candle(Wire):
    """Levels over a span of time."""

    time: datetime = Field(description="Where the span begins")
    open: float = Field(description="The level there, or the first after it")
    high: float
    low: float
    close: float = Field(description="The level at the end, which opens the next candle, or the last there is")
    levels: int = Field(description="How many levels it is made of")
    complete: bool = Field(description="False while the level at its end is not there: it may still change")


CandleColumns = columns_of(Candle, name="CandleColumns")


class CandleList(OfIndex):
    """Candles of official levels, oldest first."""

    interval: CandleSpan
    shape: str
    count: int
    data: list[Candle] | CandleColumns  # type: ignore[valid-type]  # made


def read_candles(store: Store, index_id: str, interval: CandleSpan, window: params.Window) -> Candles:
    """The candles that begin in a window, each of all its levels: the one at its end closes it and opens the next."""
    start, end = (None if us is None else whole_from(us, interval=interval) for us in (window.start, window.end))
    rows = read_levels(store, index_id, start_us=start, end_us=None if end is None else end + 1)
    return candles_of(rows.times_us, rows.levels, interval=interval)


@router.get("/candles", response_model=CandleList, responses=as_file("text/csv"), summary="Open, high, low, close")
def list_candles(
    request: Request,
    services: ServicesDep,
    index_id: params.IndexId,
    *,
    interval: Annotated[CandleSpan, Query(description="How long a candle lasts")] = CandleSpan.DAY,
    window: params.WindowParam,
    shape: params.ShapeParam = params.Shape.ROWS,
    format: params.FormatParam = None,
) -> Response:
    """Candles of the official levels that begin in [start, end): all of them, for charts of open, high, low and close.

    Levels hold at instants, hourly or finer: the one on a boundary closes a candle and opens the next.
    """
    index = read_index(services.store, index_id)
    bars = read_candles(services.store, index_id, interval, window)
    values = {name: getattr(bars, name) for name in Candle.model_fields if name != "time"}
    head = {"index": index.id, "simulated": index.simulated, "interval": interval, "shape": shape}
    return table_answer(request, head, {"time": bars.time_us, **values}, format=format, shape=shape)


@router.get(
    "/levels.csv",
    **file_of("text/csv", "time,level,status,carried_weight,perpetual_weight,constituents"),
    summary="Levels as CSV, for sheets",
)
def levels_csv(request: Request, services: ServicesDep, index_id: params.IndexId, asked: Asked) -> Response:
    """The same as /levels?format=csv under an address that sheets and frames take without more."""
    return list_levels(request, services, index_id, asked=asked, format=params.TableFormat.CSV)


@files.get(
    "/levels.parquet",
    **file_of(encode.MEDIA_TYPES[encode.FileKind.PARQUET], "The file"),
    summary="All levels as a Parquet file",
)
def levels_parquet(store: StoreDep, index_id: params.IndexId, interval: Spacing = params.Interval.DAY) -> Response:
    """The whole history on a grid, with revision and publication time. Answers Range; the ETag is strong."""
    return _file(store, index_id, interval=interval, kind=encode.FileKind.PARQUET)


@files.get(
    "/levels.arrow",
    **file_of(encode.MEDIA_TYPES[encode.FileKind.ARROW], "The file"),
    summary="All levels as an Arrow IPC file",
)
def levels_arrow(store: StoreDep, index_id: params.IndexId, interval: Spacing = params.Interval.DAY) -> Response:
    """The whole history on a grid, as Arrow IPC (Feather). Answers Range; the ETag is strong."""
    return _file(store, index_id, interval=interval, kind=encode.FileKind.ARROW)


def _file(store: Store, index_id: str, *, interval: params.Interval, kind: encode.FileKind) -> Response:
    index, rows = read_index(store, index_id), read_levels(store, index_id, step_us=INTERVAL_US[interval])
    body = encode.levels_as(kind, index, rows, version=read_version(store), chain=chain_of(store, index_id))
    name = f'attachment; filename="{index.id}-levels-{interval}.{kind}"'
    headers = {"Content-Disposition": name, "X-Simulated": str(index.simulated).lower()}
    return Answer(body, media_type=encode.MEDIA_TYPES[kind], compress=False, headers=headers)


@files.get(
    "/level.txt", **file_of("text/plain", "1042.17", "not_enough_data"), summary="The newest level as a bare number"
)
def level_txt(store: StoreDep, index_id: params.IndexId) -> Response:
    """One number with a point and nothing else, for a cell (WEBSERVICE, IMPORTDATA), a shell or a small display."""
    latest = latest_of(store, index_id)
    headers = {"X-Status": latest["status"], "X-Simulated": str(latest["simulated"]).lower()}
    return Answer(repr(latest["level"]).encode(), media_type="text/plain; charset=utf-8", headers=headers)
