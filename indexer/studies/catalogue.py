"""The one catalogue of events: shipped, of the store, and the operator's own; page, REST and commands read it here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from indexer.analytics.catalogue import Event, decision_events, packaged_text, parse_decisions, parse_events
from indexer.analytics.event_study import event_row
from indexer.arrays import I64
from indexer.errors import MethodologyError
from indexer.store.administration import read_events
from indexer.store.db import Store
from indexer.times import DAY_US, from_us, iso, parse_instant, to_us

OWN_FILE = "events.toml"


def load_events(store: Store | None = None, data_dir: Path | None = None) -> dict[str, Event]:
    """Events by id, in order of time: every FOMC decision, the shipped ones, those of the store, then those of

    `events.toml` in the data directory (the store's folder, if none is given); a later one takes the place of its
    namesake. Raises MethodologyError naming the file, the entry and what is wrong with it.
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


@cache
def _shipped() -> dict[str, Event]:
    decisions = parse_decisions(packaged_text("fomc.toml"))
    return decision_events(decisions) | parse_events(packaged_text("events.toml"))


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


def event_at(at_us: int, *, until_us: int | None = None) -> Event:
    """Any date as an event of its own: no claim that something happened then. A bare date is that whole day."""
    bare = at_us % DAY_US == 0
    name = f"{from_us(at_us):%Y-%m-%d}" if bare else iso(at_us)
    until_us = at_us if until_us is None else until_us + DAY_US * (until_us % DAY_US == 0)
    return Event(f"at-{name}", name, at_us, "day" if bare else "instant", "asked", (), "", until_us)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Another catalogued event `step` intervals from the one studied."""

    id: str
    name: str
    at_us: int
    step: int


def other_events(events: Iterable[Event], event: Event, times_us: I64) -> list[Overlap]:
    """The catalogue's other events on these interval ends, a row for each interval that one touches."""
    own = event_row(times_us, at_us=event.first_us)
    overlaps = []
    for other in events:
        first = event_row(times_us, at_us=other.first_us)
        if own is None or first is None or other.id == event.id:
            continue
        last = event_row(times_us, at_us=max(other.first_us, other.until_us))
        rows = range(first, (first if last is None else last) + 1)
        overlaps += [Overlap(other.id, other.name, other.at_us, row - own) for row in rows]
    return overlaps
