"""The sources on the wire: what each gives, under which terms, and how it is now."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from api.schemas.base import Wire


class SourceState(StrEnum):
    """not_used by the settings; not_asked yet; answering; or down: an entry of the quality ledger is open."""

    NOT_USED = "not_used"
    NOT_ASKED = "not_asked"
    ANSWERING = "answering"
    DOWN = "down"


class SourceItem(Wire):
    """One upstream. `fixing` says whether it may enter a reference rate; aggregators never do."""

    name: str
    title: str
    kind: str = Field(description="venue, aggregator, market, derivatives or sentiment")
    datasets: list[str]
    intervals: list[str] = Field(description="Intervals of its bars")
    licence: str = Field(description="commercial-ok, non-commercial or display-only, as the provider states it")
    fixing: bool
    in_use: bool
    opt_in: bool = Field(description="Used only when named in the settings")
    extra: str = Field(description="The extra to install for it, or empty")
    has_key: bool = Field(description="Whether a key is set; the key itself is never shown")
    key_adds: str
    loses: str = Field(description="What the index lacks without it")
    limit: str = Field(description="The rate limit we keep to, and why")
    notes: str
    docs: str
    state: SourceState
    down_since: datetime | None
    said: str = Field(description="What it said when it failed, while it is down")
    troubles: int = Field(description="Symbols of it that fail while others answer")
    last_answer: datetime | None = Field(description="When it last gave something that was used")


class SourceList(Wire):
    """Every known source, in the order of preference; `down` counts those in use that are down."""

    count: int
    down: int
    data: list[SourceItem]
