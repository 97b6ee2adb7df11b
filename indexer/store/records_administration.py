"""Rows of what the administrator says and decides: announcements, overrides, challenges, seals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AnnouncementRow:
    """Something users are told. `key` makes it one announcement; `detail` is JSON; `index_id` None is all indices."""

    key: str
    kind: str
    title: str
    published_at: datetime
    index_id: str | None = None
    effective_at: datetime | None = None
    detail: str = "{}"
    id: int | None = None


@dataclass(frozen=True, slots=True)
class OverrideRow:
    """A decision of people over a value, a membership or an event; it acts from its approval to its expiry."""

    kind: str
    asset: str
    starts_at: datetime
    expires_at: datetime
    reason: str
    proposed_by: str
    proposed_at: datetime
    index_id: str | None = None
    detail: str = "{}"
    approved_by: str | None = None
    approved_at: datetime | None = None
    withdrawn_by: str | None = None
    withdrawn_at: datetime | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class ChallengeRow:
    """A doubt about a level, with its inputs frozen (JSON) and their SHA-256; open while `closed_at` is None."""

    index_id: str
    time: datetime
    revision: int
    reason: str
    opened_by: str
    opened_at: datetime
    frozen: str
    sha256: str
    closed_at: datetime | None = None
    outcome: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class SealRow:
    """What one run wrote into one table: how many rows, their digest, 8 bytes each, their keys (packed), and the
    place in the chain."""

    run_id: int
    about: str
    rows: int
    digest: bytes
    marks: bytes
    keys: bytes
    prev_hash: bytes
    hash: bytes
    id: int | None = None
