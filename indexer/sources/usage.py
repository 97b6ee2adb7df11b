"""What networks are used for, a day at a time, from keyless services: the series of each are a table of `usage.toml`.

A symbol is `series:id`, e.g. `defillama_fees:akash-network`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from typing import Annotated, Any, Final

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.errors import ConfigError, InputError, SourceCorrupt
from indexer.sources.base import Ask, Call, Dataset, Parsed, Request, RestSource
from indexer.sources.http import Answer
from indexer.sources.records import Series
from indexer.sources.rows import json_of, number, rejects_of, stamps_us
from indexer.times import DAY_US, to_us
from onchain.strict_toml import one_of, parse_toml, read_table, refuse

GRADES: Final = ("estimated", "stated")


@dataclass(frozen=True, slots=True)
class Value:
    """Where a metric stands in a row, and the factor to its unit. `running`: a total, whose steps are the days'."""

    at: str | int
    factor: float = 1.0
    running: bool = False


@dataclass(frozen=True, kw_only=True)
class UsageSeries(Request):
    """One address of a service: whose it is, where its rows are and what they hold.

    Without `asset` it is of every asset that has an identifier of the series' name in the registry.
    """

    time: str | int
    values: dict[str, Value]
    asset: str = ""
    rows: tuple[str, ...] = ()
    split: str = "none"


@dataclass(frozen=True, slots=True)
class UsageService:
    """One service. `grade` says who counted, `seen` where its shape was read."""

    grade: Annotated[str, one_of(GRADES)]
    seen: str
    series: dict[str, UsageSeries]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is: its unit, and its meaning in words."""

    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Absent:
    """What no keyless source was found for: of which asset, what it would be, and why."""

    asset: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class UsageFile:
    """The services, what metrics are, and what is absent."""

    services: dict[str, UsageService]
    metrics: dict[str, Metric] = field(default_factory=dict)
    absent: tuple[Absent, ...] = ()


def _shipped() -> UsageFile:
    text = resources.files("indexer.sources").joinpath("usage.toml").read_text(encoding="utf-8")
    problems: list[str] = []
    usage = read_table(UsageFile, parse_toml(text, source="usage.toml", error=ConfigError), problems)
    refuse(problems, source="usage.toml", error=ConfigError)
    assert usage is not None, "a file without a record has problems"
    return usage


USAGE: Final = _shipped()


class DailyUsage(RestSource):
    """Histories of days as JSON. A row is named by its day; records carry the day's end, and a day that is not over
    yet is left out, as it is still being counted."""

    def request(self, ask: Ask) -> Request | None:
        return self._series(ask.symbol.partition(":")[0]) if ask.dataset is Dataset.USAGE else None

    def place(self, name: str, ask: Ask) -> object:
        return ask.symbol.partition(":")[2] if name == "id" else super().place(name, ask)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        series = self._series(call.ask.symbol.partition(":")[0])
        rows = json_of(answer, self.about.name)
        for key in series.rows:
            rows = rows.get(key) if isinstance(rows, dict) else None
        if not isinstance(rows, list):
            raise SourceCorrupt(f"{self.about.name} answered without a history of days")
        day = _days([_cell(row, series.time) for row in rows], name=self.about.name)
        late = (day > 0) & (day + DAY_US > answer.fetched_us)
        whole = (day > 0) & (day % DAY_US == 0) & ~late
        records, refused = [], ~whole & ~late
        for metric, value in series.values.items():
            amounts = np.array([number(_cell(row, value.at)) for row in rows])
            good = whole & np.isfinite(amounts) & (amounts >= 0.0)
            refused |= whole & ~good
            times, amounts = _steps(day, amounts, good) if value.running else _once(day, amounts, good)
            asked = (times > call.ask.start_us) & (times <= call.ask.end_us)
            records.append(Series(call.ask.symbol, metric, times[asked], amounts[asked] * value.factor))
        return Parsed(series=tuple(records), rejects=rejects_of(rows, refused, "not an amount of a whole day"))

    def _series(self, name: str) -> UsageSeries:
        series = USAGE.services[self.about.name].series
        if name not in series:
            raise InputError(f'{self.about.name} has no series "{name}"; it has {", ".join(series)}')
        return series[name]


def usage_sources() -> tuple[type[DailyUsage], ...]:
    """A source for each service of the file."""
    return tuple(type(f"Usage_{name}", (DailyUsage,), {}, name=name) for name in USAGE.services)


def _cell(row: Any, at: str | int) -> Any:
    if isinstance(row, dict):
        return row.get(at)
    return row[at] if isinstance(row, list) and isinstance(at, int) and len(row) > at else None


def _days(stamps: list[Any], *, name: str) -> I64:
    """The start of each row's day (us), from seconds or an ISO text; −1 where it is none."""
    texts = [stamp for stamp in stamps if isinstance(stamp, str) and not stamp.isdigit()]
    if texts:
        return np.array([_iso_us(stamp) for stamp in stamps], dtype=np.int64)
    return stamps_us(np.array([number(stamp) for stamp in stamps]), 1_000_000, name=name)


def _iso_us(stamp: Any) -> int:
    try:
        instant = datetime.fromisoformat(stamp)
    except (TypeError, ValueError):
        return -1
    return to_us(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


def _once(day: I64, amounts: F64, good: Bools) -> tuple[I64, F64]:
    """Day ends and values of the good rows, each day once."""
    times, first = np.unique(day[good] + DAY_US, return_index=True)
    return times, amounts[good][first]


def _steps(day: I64, amounts: F64, good: Bools) -> tuple[I64, F64]:
    """What a running total rose by on each day whose day before is there too; a fall is no amount."""
    times, totals = _once(day, amounts, good)
    step = np.diff(totals)
    known = (np.diff(times) == DAY_US) & (step >= 0.0)
    return times[1:][known], step[known]
