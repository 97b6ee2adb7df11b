"""Dated, sourced events and policy decisions as data: the parser takes text, `packaged_text` gives the shipped one.

A user's own events use the same format; a file without a source for an event is refused.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from indexer.errors import MethodologyError, NotEnoughDataError, NotFoundError, did_you_mean
from indexer.times import DAY_US, from_us, to_us

if TYPE_CHECKING:
    from collections.abc import Sequence

PRECISIONS = ("instant", "day")
EVENT_KEYS = {"id", "name", "at", "until", "precision", "kind", "sources", "note", "benchmark", "claim"}


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure that was told of an event, a fraction or in dollars, and how to measure it (`studies.claims`)."""

    text: str
    told: float
    measure: str


@dataclass(frozen=True, slots=True)
class Event:
    """`at_us` is when the news could first move the market, `until_us` when it had; the two are one where the news

    is an instant. `precision` says whether `at_us` is known to the hour or to the day only. `benchmark` is the share
    whose return in that session the event vouches for.
    """

    id: str
    name: str
    at_us: int
    precision: str
    kind: str
    sources: tuple[str, ...]
    note: str
    until_us: int
    benchmark: str = ""
    claims: tuple[Claim, ...] = ()

    @property
    def first_us(self) -> int:
        """The first instant that shows it: a date is the whole day, which begins just after its midnight."""
        return self.at_us + (self.precision == "day" and self.at_us % DAY_US == 0)


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """One FOMC decision: statement instant, and the target range it set as fractions; None where not sourced yet."""

    at_us: int
    low: float | None
    high: float | None


def packaged_text(name: str) -> str:
    """The text of a data file of this package, `events.toml` or `fomc.toml`."""
    from importlib.resources import files

    return files("indexer.analytics").joinpath(name).read_text(encoding="utf-8")


def parse_events(text: str) -> dict[str, Event]:
    """Events by id, in order of time. Raises MethodologyError that names the entry and what is wrong with it."""
    events: dict[str, Event] = {}
    for place, entry in enumerate(_entries(text, "event"), start=1):
        event = _event(entry, where=f"event {entry.get('id', place)}")
        if event.id in events:
            raise MethodologyError(f'event id "{event.id}" is used twice; ids must be unique')
        events[event.id] = event
    return dict(sorted(events.items(), key=lambda item: item[1].at_us))


def find_event(events: dict[str, Event], event_id: str) -> Event:
    """The event of this id. Raises NotFoundError with the closest known id."""
    if event_id not in events:
        raise NotFoundError(f'no event "{event_id}".{did_you_mean(event_id, events)}')
    return events[event_id]


def parse_decisions(text: str) -> list[PolicyDecision]:
    """FOMC decisions in order of time. Raises MethodologyError on a missing instant or an impossible range."""
    rows = []
    for place, entry in enumerate(_entries(text, "decision"), start=1):
        where = f"decision {place}"
        low, high = entry.get("low"), entry.get("high")
        if not (low is high is None or (low is not None and high is not None and 0.0 <= low <= high < 1.0)):
            raise MethodologyError(f"{where}: low and high must be fractions with low <= high, e.g. 0.0425 and 0.045")
        rows.append(PolicyDecision(_instant(entry, where=where), low, high))
    if any(later.at_us <= earlier.at_us for earlier, later in pairwise(rows)):
        raise MethodologyError("decisions must be in order of time, each once")
    return rows


def decision_events(decisions: list[PolicyDecision]) -> dict[str, Event]:
    """Every FOMC decision as an event `fomc-2024-09`, named by what it did to the range where both are sourced."""
    events = {}
    for before, decision in zip([None, *decisions], decisions, strict=False):
        slug = f"fomc-{from_us(decision.at_us):%Y-%m}"
        source = "fomc.toml, whose head names the source of each date and range"
        name, at_us = _decision_name(before, decision), decision.at_us
        events[slug] = Event(slug, name, at_us, "instant", "fomc", (source,), "", at_us)
    return events


def _decision_name(before: PolicyDecision | None, decision: PolicyDecision) -> str:
    if decision.low is None or decision.high is None:
        return "FOMC decision, range not sourced"
    span = f"{decision.low * 100:.2f}-{decision.high * 100:.2f} %"
    if before is None or before.high is None:
        return f"FOMC decision: {span}"
    if decision.high == before.high:
        return f"FOMC holds at {span}"
    return f"FOMC {'raises' if decision.high > before.high else 'cuts'} to {span}"


def _event(entry: dict[str, Any], *, where: str) -> Event:
    for key in entry.keys() - EVENT_KEYS:
        raise MethodologyError(f'{where}: unknown key "{key}".{did_you_mean(key, EVENT_KEYS)}')
    for key in ("id", "name", "kind"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise MethodologyError(f'{where}: "{key}" must be a text that is not empty')
    precision = entry.get("precision", "instant")
    if precision not in PRECISIONS:
        raise MethodologyError(f'{where}: precision "{precision}" is not known; use "instant" or "day"')
    sources = entry.get("sources", [])
    if not isinstance(sources, list) or not sources or not all(isinstance(s, str) and s for s in sources):
        raise MethodologyError(f"{where}: at least one source is needed, so that anyone can check the date")
    at_us = _instant(entry, where=where)
    until_us = _instant(entry, where=where, key="until") if "until" in entry else at_us
    if until_us < at_us:
        raise MethodologyError(f"{where}: until must not be before at")
    return Event(
        entry["id"], entry["name"], at_us, precision, entry["kind"], tuple(sources), entry.get("note", ""), until_us,
        entry.get("benchmark", ""), tuple(_claim(claim, where=where) for claim in entry.get("claim", [])),
    )  # fmt: skip


def _claim(entry: dict[str, Any], *, where: str) -> Claim:
    try:
        return Claim(str(entry["text"]), float(entry["told"]), str(entry["measure"]))
    except (KeyError, TypeError, ValueError):
        raise MethodologyError(f"{where}: a claim has text, told (a number) and measure") from None


def _entries(text: str, table: str) -> list[dict[str, Any]]:
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not TOML, a number of too many digits, nested too deep
        raise MethodologyError(f"not a TOML file: {error}") from None
    entries = content.get(table)
    if not isinstance(entries, list) or not entries:
        raise MethodologyError(f"no [[{table}]] in the file")
    return entries


def _instant(entry: dict[str, Any], *, where: str, key: str = "at") -> int:
    at = entry.get(key)
    if isinstance(at, datetime) and at.tzinfo is not None:
        return to_us(at)
    text = at.isoformat() if isinstance(at, date) else repr(at)
    raise MethodologyError(f"{where}: {key} = {text} must be an instant with an offset, e.g. 2025-01-27T14:30:00Z")


@dataclass(frozen=True, slots=True)
class PolicyDistance:
    """Days (fractional, never negative) since the last decision and until the next; target range in force.

    None where the table does not reach, or where the range in force is not sourced.
    """

    at_us: int
    days_since: float | None
    days_until: float | None
    low: float | None
    high: float | None


def policy_distance(decisions: Sequence[PolicyDecision], at_us: int) -> PolicyDistance:
    """Distance of an instant to the decisions around it; a decision counts from its own instant on.

    Raises NotEnoughDataError without any decision.
    """
    if not decisions:
        raise NotEnoughDataError("no policy decisions are given; read fomc.toml or import a table")
    place = bisect_right(decisions, at_us, key=lambda decision: decision.at_us)
    last = decisions[place - 1] if place else None
    after = decisions[place] if place < len(decisions) else None
    return PolicyDistance(
        at_us,
        None if last is None else (at_us - last.at_us) / DAY_US,
        None if after is None else (after.at_us - at_us) / DAY_US,
        None if last is None else last.low,
        None if last is None else last.high,
    )
