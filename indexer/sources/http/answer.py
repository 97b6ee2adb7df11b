"""An answer as it came: bytes, status, headers, when. What the archive keeps and the parsers read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from indexer.times import to_us


class Expects(StrEnum):
    """What a good body is; the detectors refuse anything else."""

    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer. `url` and `headers` are already free of keys; `fetched_at` is aware UTC."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    fetched_at: datetime
    elapsed_s: float = 0.0
    attempts: int = 1

    @property
    def fetched_us(self) -> int:
        """`fetched_at` in microseconds since the epoch."""
        return to_us(self.fetched_at)

    @property
    def sha256(self) -> str:
        """The hash of the body: its name in the archive."""
        return sha256(self.body).hexdigest()
