"""The one catalogue of dated, sourced events: shipped, of the store, and the operator's own; and FOMC decisions.

A user's own events use the format of the shipped file; an event without a source is refused.
"""

from __future__ import annotations

import json
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from indexer.analytics.event_study import event_row
from indexer.arrays import I64
from indexer.errors import MethodologyError, NotFoundError, did_you_mean
from indexer.store.administration import read_events
from indexer.store.db import Store
from indexer.times import DAY_US, from_us, iso, parse_instant, to_us

OWN_FILE = "events.toml"
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
    """`at_us` is when the news could first move the market, `until_us` when it had; one where the news is an instant.

    `precision` says whether `at_us` is known to the hour or to the day only. `benchmark` is the share whose return in
    that session the event vouches for.
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
class Overlap:
    """Another catalogued event `step` intervals from the one studied."""

    id: str
    name: str
    at_us: int
    step: int


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """One FOMC decision: statement instant, and the target range it set as fractions; None where not sourced yet."""

    at_us: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PolicyDistance:
    """Days (fractional, never negative) since the last FOMC decision and until the next; target range in force.

    None where the table does not reach, or where the range in force is not sourced.
    """

    at_us: int
    days_since: float | None
    days_until: float | None
    low: float | None
    high: float | None


def load_events(store: Store | None = None, data_dir: Path | None = None) -> dict[str, Event]:
    """Events by id, in order of time: FOMC decisions, the shipped ones, those of the store, then one's own.

    Those are of `events.toml` in the data directory (the store's folder, if none is given); a later one takes the place
    of its namesake. Raises MethodologyError naming the file, the entry and what is wrong with it.
    """
    events = dict(_shipped())
    if store is not None:
        events |= _stored(store)
        data_dir = data_dir or (store.path.parent if store.path else None)
    path = None if data_dir is None else data_dir / OWN_FILE
    if path is not None and path.exists():
        try:
            events |= parse_events(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, MethodologyError) as error:
            raise MethodologyError(f"{path}: {error}") from None
    return dict(sorted(events.items(), key=lambda item: (item[1].at_us, item[0])))


def find_event(events: Mapping[str, Event], event_id: str) -> Event:
    """The event of this id. Raises NotFoundError with the closest known id."""
    if event_id not in events:
        raise NotFoundError(f'no event "{event_id}".{did_you_mean(event_id, events)}')
    return events[event_id]


def event_at(at_us: int, *, until_us: int | None = None) -> Event:
    """Any date as an event of its own: no claim that something happened then. A bare date is that whole day."""
    bare = at_us % DAY_US == 0
    name = f"{from_us(at_us):%Y-%m-%d}" if bare else iso(at_us)
    until_us = at_us if until_us is None else until_us + DAY_US * (until_us % DAY_US == 0)
    return Event(f"at-{name}", name, at_us, "day" if bare else "instant", "asked", (), "", until_us)


def other_events(events: Iterable[Event], event: Event, times_us: I64) -> list[Overlap]:
    """The catalogue's other events on these interval ends, a row for each interval that one touches."""
    own = event_row(times_us, at_us=event.first_us)
    if own is None:
        return []
    others = [other for other in events if other.id != event.id and times_us[0] <= other.first_us <= times_us[-1]]
    begins = [other.first_us for other in others]
    ends = [other.until_us if other.until_us <= times_us[-1] else other.first_us for other in others]
    first, last = (np.searchsorted(times_us, np.array(at, dtype=np.int64)).tolist() for at in (begins, ends))
    return [
        Overlap(other.id, other.name, other.at_us, row - own)
        for other, begin, end in zip(others, first, last, strict=True)
        for row in range(begin, max(begin, end) + 1)
    ]


def policy_distance(at_us: int) -> PolicyDistance:
    """Distance of an instant to the FOMC decisions around it; a decision counts from its own instant on."""
    decisions = fomc_decisions()
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


@cache
def fomc_decisions() -> tuple[PolicyDecision, ...]:
    """The shipped FOMC decisions in order of time."""
    rows = tomllib.loads(Path(__file__).with_name("fomc.toml").read_text(encoding="utf-8"))["decision"]
    return tuple(PolicyDecision(to_us(row["at"]), row.get("low"), row.get("high")) for row in rows)


@cache
def _shipped() -> Mapping[str, Event]:
    events = {}
    for before, decision in zip([None, *fomc_decisions()], fomc_decisions(), strict=False):
        slug, name = f"fomc-{from_us(decision.at_us):%Y-%m}", _decision_name(before, decision)
        source = "fomc.toml, whose head names the source of each date and range"
        events[slug] = Event(slug, name, decision.at_us, "instant", "fomc", (source,), "", decision.at_us)
    return events | parse_events(Path(__file__).with_name(OWN_FILE).read_text(encoding="utf-8"))


def _decision_name(before: PolicyDecision | None, decision: PolicyDecision) -> str:
    """What a decision did to the range, where both are sourced."""
    if decision.low is None or decision.high is None:
        return "FOMC decision, range not sourced"
    span = f"{decision.low * 100:.2f}-{decision.high * 100:.2f} %"
    if before is None or before.high is None:
        return f"FOMC decision: {span}"
    if decision.high == before.high:
        return f"FOMC holds at {span}"
    return f"FOMC {'raises' if decision.high > before.high else 'cuts'} to {span}"


def _stored(store: Store) -> dict[str, Event]:
    events = {}
    for row in read_events(store):
        detail = json.loads(row.detail)
        precision, note = str(detail.get("precision", "instant")), str(detail.get("note", ""))
        at_us, benchmark = to_us(row.time), str(detail.get("benchmark", ""))
        until_us = parse_instant(detail["until"]) if "until" in detail else at_us
        events[row.slug] = Event(
            row.slug, row.title, at_us, precision, row.kind, (row.source,), note, until_us, benchmark
        )
    return events


def parse_events(text: str) -> dict[str, Event]:
    """Events by id, in order of time. Raises MethodologyError that names the entry and what is wrong with it."""
    try:
        entries = tomllib.loads(text).get("event")
    except (ValueError, RecursionError) as error:  # not TOML, a number of too many digits, nested too deep
        raise MethodologyError(f"not a TOML file: {error}") from None
    if not isinstance(entries, list) or not entries:
        raise MethodologyError("no [[event]] in the file")
    events: dict[str, Event] = {}
    for place, entry in enumerate(entries, start=1):
        event = _event(entry, where=f"event {entry.get('id', place)}")
        if event.id in events:
            raise MethodologyError(f'event id "{event.id}" is used twice; ids must be unique')
        events[event.id] = event
    return dict(sorted(events.items(), key=lambda item: item[1].at_us))


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
    at_us = _instant(entry, "at", where=where)
    until_us = _instant(entry, "until", where=where) if "until" in entry else at_us
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


def _instant(entry: dict[str, Any], key: str, *, where: str) -> int:
    at = entry.get(key)
    if isinstance(at, datetime) and at.tzinfo is not None:
        return to_us(at)
    text = at.isoformat() if isinstance(at, date) else repr(at)
    raise MethodologyError(f"{where}: {key} = {text} must be an instant with an offset, e.g. 2025-01-27T14:30:00Z")
