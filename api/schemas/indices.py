"""Indices and their levels on the wire."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api.schemas.base import SIMULATED, LevelStatus, OfIndex, Wire


class LevelPoint(Wire):
    """A level at an instant."""

    time: datetime
    level: float = Field(description="Index points")
    status: LevelStatus
    carried_weight: float = Field(description="Share of the index value whose price was carried")


class MethodologyRef(Wire):
    """Which rules: version and content hash."""

    version: str
    hash: str = Field(description="SHA-256 of the methodology's content")


class IndexSummary(Wire):
    """An index and where it stands."""

    id: str
    name: str
    description: str
    state: str = Field(description="proposed, active, suspended or terminated")
    simulated: bool = Field(description=SIMULATED)
    methodology: MethodologyRef
    first_time: datetime | None = Field(description="Instant of the first level; null while there is none")
    latest: LevelPoint | None = Field(description="The newest level; null while there is none")


class IndexList(Wire):
    """All indices."""

    count: int
    data: list[IndexSummary]


class IndexDetail(IndexSummary):
    """An index with the addresses of everything about it."""

    links: dict[str, str]


class Changes(Wire):
    """Relative change against the level exactly that long before; null when there is none at that instant."""

    h1: float | None
    d1: float | None
    d7: float | None
    d30: float | None
    d365: float | None


class Latest(OfIndex):
    """The newest level, flat, for widgets and sensors."""

    name: str
    level: float = Field(description="Index points")
    time: datetime = Field(description="Instant the level holds for")
    status: LevelStatus
    carried_weight: float
    revision: int
    published_at: datetime
    fresh_until: datetime = Field(description="Past this instant without a newer level, treat the level as stale")
    methodology: MethodologyRef
    change: Changes


class LevelColumns(Wire):
    """Levels, one list for each column."""

    time: list[datetime]
    level: list[float]
    status: list[LevelStatus]
    carried_weight: list[float]


class Levels(OfIndex):
    """A page of levels, oldest first."""

    interval: str
    shape: str
    count: int = Field(description="Rows in this answer")
    next: str | None = Field(description="Cursor of the next page; null on the last")
    next_url: str | None = Field(description="Address of the next page; null on the last")
    data: list[LevelPoint] | LevelColumns
