"""What a client gives back about an index: frozen records with the names of the wire, instants aware UTC.

Unknown keys of newer servers are ignored, as the API's promise asks. Tables also are `Frame`s.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from indexer.arrays import F64, I64
from indexer.client.frames import Frame, columns_of, instants
from indexer.times import from_us

T = TypeVar("T")
Instant = Annotated[datetime, AfterValidator(lambda instant: instant.astimezone(UTC))]
"""An aware instant in UTC."""


@dataclass(frozen=True, slots=True)
class MethodologyRef:
    """Which rules: version and content hash."""

    version: str
    hash: str


@dataclass(frozen=True, slots=True)
class LevelPoint:
    """A level at an instant. `status` is final, indicative, degraded, carried or suspended."""

    time: Instant
    level: float
    status: str
    carried_weight: float


@dataclass(frozen=True, slots=True)
class Changes:
    """Relative change against the level exactly that long before; None when there is none."""

    h1: float | None
    d1: float | None
    d7: float | None
    d30: float | None
    d365: float | None


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest level. Past `fresh_until` without a newer one, treat it as stale."""

    index: str
    simulated: bool
    name: str
    level: float
    time: Instant
    status: str
    carried_weight: float
    revision: int
    published_at: Instant
    fresh_until: Instant
    methodology: MethodologyRef
    change: Changes


@dataclass(frozen=True, slots=True)
class LevelEvent:
    """A level as it was published. `id` goes into `stream(after=…)` to go on after it."""

    id: str
    index: str
    simulated: bool
    time: Instant
    level: float
    status: str
    carried_weight: float
    revision: int
    published_at: Instant


@dataclass(frozen=True, slots=True)
class Levels(Frame):
    """Levels (T,) oldest first, in index points; `interval` is their spacing.

    times_us int64 microseconds UTC; status (T,) text; carried_weight (T,) share of the value with a carried price.
    """

    index: str
    simulated: bool
    interval: str
    times_us: I64 = field(repr=False)
    levels: F64 = field(repr=False)
    status: NDArray[np.str_] = field(repr=False)
    carried_weight: F64 = field(repr=False)

    def __len__(self) -> int:
        return len(self.times_us)

    def __iter__(self) -> Iterator[LevelPoint]:
        return (self[n] for n in range(len(self)))

    def __getitem__(self, n: int) -> LevelPoint:
        time, level = from_us(int(self.times_us[n])), float(self.levels[n])
        return LevelPoint(time, level, str(self.status[n]), float(self.carried_weight[n]))

    def columns(self) -> dict[str, Any]:
        """time, level, status, carried_weight."""
        numbers = {"level": self.levels, "status": self.status.tolist(), "carried_weight": self.carried_weight}
        return {"time": instants(self.times_us), **numbers}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as SVG text; a notebook shows it."""

    svg: str = field(repr=False)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Writes the SVG to a file and gives back its path."""
        Path(path).write_text(self.svg, encoding="utf-8")
        return Path(path)


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """An index and where it stands; `latest` is None while it has no level."""

    id: str
    name: str
    description: str
    state: str
    simulated: bool
    methodology: MethodologyRef
    first_time: Instant | None
    latest: LevelPoint | None


@dataclass(frozen=True, slots=True)
class Index:
    """One index with its chart, which a notebook shows. `chart` is None while there is nothing to draw."""

    summary: IndexSummary
    chart: Chart | None

    @property
    def id(self) -> str:
        """Its id."""
        return self.summary.id

    def __str__(self) -> str:
        one, latest = self.summary, self.summary.latest
        kind = "SIMULATED, " if one.simulated else ""
        if latest is None:
            return f"{one.name} ({kind}no levels yet)"
        return f"{one.name} {latest.level:,.2f} ({kind}{latest.status}, as of {latest.time:%Y-%m-%d %H:%M} UTC)"

    def _repr_html_(self) -> str:
        return f"<p><strong>{html.escape(str(self))}</strong></p>{self.chart.svg if self.chart else ''}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle = {"text/plain": str(self), "text/html": self._repr_html_()}
        return bundle | ({"image/svg+xml": self.chart.svg} if self.chart else {})


@dataclass(frozen=True, slots=True)
class Table(Frame, Generic[T]):
    """Records that share one form. `index` and `simulated` are those of the index they are about, if any."""

    rows: tuple[T, ...] = field(repr=False)
    index: str | None = None
    simulated: bool | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[T]:
        return iter(self.rows)

    def __getitem__(self, n: int) -> T:
        return self.rows[n]

    def columns(self) -> dict[str, Any]:
        """One column for each field of the records."""
        names = [one.name for one in fields(cast("Any", self.rows[0]))] if self.rows else []
        return columns_of(self.rows, names)
