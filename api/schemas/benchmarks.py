"""Benchmarks, events, the quality ledger and the state of the service on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from api.schemas.base import Wire


class BenchmarkItem(Wire):
    """Something to hold the index against."""

    symbol: str
    name: str
    kind: str
    calendar: str
    first_time: datetime | None
    latest_time: datetime | None
    sessions: int


class BenchmarkList(Wire):
    """All benchmarks with data or known by name."""

    count: int
    data: list[BenchmarkItem]


class Health(Wire):
    """The process answers."""

    status: str
    version: str


class IndexReadiness(Wire):
    """Whether an index has levels, and whether the newest is fresh."""

    id: str
    latest: datetime | None
    fresh: bool


class Readiness(Wire):
    """The store answers; each index says whether it has levels and whether they are fresh."""

    status: str
    store: str = Field(description="sqlite or postgresql")
    indices: list[IndexReadiness]


class ClosePoint(Wire):
    """A close fit for returns."""

    time: datetime
    close: float | None


class CloseColumns(Wire):
    """Closes, one list for each column."""

    time: list[datetime]
    close: list[float | None]


class Closes(Wire):
    """Closes of a benchmark at the instants of the exchange's closes."""

    symbol: str
    basis: str = Field(description="adjusted_close, or the price basis of the closes")
    shape: str
    count: int
    data: list[ClosePoint] | CloseColumns


class EventItem(Wire):
    """Something dated that charts refer to."""

    slug: str
    kind: str
    time: datetime
    title: str
    source: str
    precision: str = Field(description="instant: the hour is known; day: only the day")
    note: str


class EventList(Wire):
    """Events, oldest first."""

    count: int
    data: list[EventItem]


class QualityItem(Wire):
    """Something the data lacked or disagreed about; open while `closed_at` is null."""

    kind: str
    subject: str
    opened_at: datetime
    closed_at: datetime | None
    detail: dict[str, Any] = Field(description="What was seen; `text` says it in words")


class QualityList(Wire):
    """The quality ledger, newest first; `open` counts all that are still open."""

    count: int
    open: int
    data: list[QualityItem]


class RunItem(Wire):
    """One piece of work, done at most once."""

    id: int
    kind: str
    key: str
    due_at: datetime | None
    started_at: datetime
    finished_at: datetime | None
    outcome: str = Field(description="running, done, failed or interrupted")
    detail: dict[str, Any]


class RunList(Wire):
    """Runs, newest first."""

    count: int
    data: list[RunItem]


class Dropped(Wire):
    """How many answers were forgotten, and at whose wish."""

    dropped: int
    by: str
