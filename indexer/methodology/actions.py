"""The dated log of corporate actions: TOML in, checked events out, each with its treatment (docs/administration.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from indexer.errors import MethodologyError, did_you_mean
from indexer.registry import Registry
from onchain.strict_toml import (
    Instant,
    Number,
    Text,
    member_of,
    one_of,
    parse_toml,
    read_table,
    read_tables,
    refuse,
    toml_text,
)

SHIPPED = Path(__file__).with_name("events")


class Kind(StrEnum):
    """What happened to a token."""

    RENAME = "rename"
    MIGRATION = "migration"
    REDENOMINATION = "redenomination"
    MERGER = "merger"
    PARTIAL_MIGRATION = "partial_migration"
    DEPARTURE = "departure"
    FORK = "fork"
    AIRDROP = "airdrop"
    UNLOCK = "unlock"
    BURN = "burn"
    DEFINITION = "definition"
    HALT = "halt"
    FRAUDULENT_MINT = "fraudulent_mint"
    DELISTING = "delisting"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What an event of a kind does, in words: to prices, units, divisor and supply."""

    price: str
    units: str
    divisor: str
    supply: str


TREATMENTS: dict[Kind, Treatment] = {
    Kind.RENAME: Treatment("none", "none", "none", "none"),
    Kind.MIGRATION: Treatment("spliced at the effective fixing", "x 1", "none", "old and new counted once"),
    Kind.REDENOMINATION: Treatment("back-history divided by the ratio", "x ratio", "none", "issuance is separate"),
    Kind.MERGER: Treatment("last price at the effective instant", "absorbed at the ratio, or leave", "absorbs", "mint"),
    Kind.PARTIAL_MIGRATION: Treatment("both series live", "none", "none", "unclaimed inventory out of the float"),
    Kind.DEPARTURE: Treatment("both series live", "none", "none", "unclaimed inventory out of the successor's float"),
    Kind.FORK: Treatment("both series live", "child added at the ratio", "absorbs", "child's own"),
    Kind.AIRDROP: Treatment("none in the price index", "none", "none", "none"),
    Kind.UNLOCK: Treatment("none", "next review, at once beyond the threshold", "absorbs", "as observed"),
    Kind.BURN: Treatment("none", "next review, at once beyond the threshold", "absorbs", "as observed"),
    Kind.DEFINITION: Treatment("none", "none", "none", "counted otherwise from then on; nothing was issued"),
    Kind.HALT: Treatment("last price carried and flagged", "none", "none", "last known"),
    Kind.FRAUDULENT_MINT: Treatment("as quoted", "frozen", "none", "observations in the window ignored"),
    Kind.DELISTING: Treatment("last price, or the stated value; zero only by a decision", "leave", "absorbs", "none"),
}
SUCCESSIONS = (Kind.MIGRATION, Kind.REDENOMINATION, Kind.MERGER)
Tokens = Annotated[Number, Field(ge=0)]
TWO_TOKENS = (*SUCCESSIONS, Kind.PARTIAL_MIGRATION, Kind.DEPARTURE, Kind.FORK)


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """One event. Token amounts are whole tokens; `ratio` is units of `into` for one of `asset`; None is unknown.

    `value` is what a delisted token leaves at, in USD, where that is not its last traded price."""

    id: Text
    kind: Annotated[Kind, member_of(Kind)]
    asset: Text
    effective: Instant
    source: Text
    announced: Instant | None = None
    into: str = ""
    ratio: Annotated[Number, Field(ge=1e-12)] = 1.0
    treatment: Annotated[str, one_of(("absorb", "remove"))] = "absorb"
    unconverted: Tokens | None = None
    issuance: Tokens | None = None
    supply_before: Tokens | None = None
    supply_after: Tokens | None = None
    until: Instant | None = None
    value: Annotated[Number, Field(gt=0)] | None = None
    note: str = ""

    @property
    def treated(self) -> Treatment:
        """What its kind does."""
        return TREATMENTS[self.kind]


@dataclass(frozen=True, slots=True)
class EventFile:
    """A file of events as it stands; its entries are read one by one."""

    event: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class EventLog:
    """Events in order of effect, and the hash of the files they came from."""

    events: tuple[CorporateAction, ...]
    hash: str


def load_event_log(registry: Registry, *, folder: Path | None = None) -> EventLog:
    """The shipped events, and those of every `<folder>/events/*.toml`; an id given again replaces the shipped one.

    Raises MethodologyError with every problem. Shipped events about tokens that the registry lacks are left out.
    """
    paths = sorted(SHIPPED.glob("*.toml"))
    own = sorted((folder / "events").glob("*.toml")) if folder is not None else []
    by_id: dict[str, CorporateAction] = {}
    digest = hashlib.sha256()
    for path in [*paths, *own]:
        text = toml_text(path, error=MethodologyError, what="the event file")
        digest.update(text.encode())
        events = read_events(text, source=path.name, registry=registry) if path in own else _shipped(text, path.name)
        by_id |= {event.id: event for event in events}
    known = [
        one for one in by_id.values() if one.asset in registry.by_slug and (one.into or one.asset) in registry.by_slug
    ]
    return EventLog(tuple(sorted(known, key=lambda one: (one.effective, one.id))), digest.hexdigest())


@lru_cache(maxsize=64)
def _shipped(text: str, name: str) -> tuple[CorporateAction, ...]:
    return read_events(text, source=name)


def read_events(text: str, *, source: str, registry: Registry | None = None) -> tuple[CorporateAction, ...]:
    """The events in a TOML text, checked against the registry when one is given. Raises MethodologyError."""
    problems: list[str] = []
    raw = parse_toml(text, source=source, error=MethodologyError)
    entries = (read_table(EventFile, raw, problems) or EventFile()).event
    events = read_tables(CorporateAction, entries, problems, word="event", name="id")
    for event in events:
        problems.extend(_crossed(event))
        if registry is not None:
            problems.extend(_against(registry, event))
    twice = sorted({one.id for one in events if [other.id for other in events].count(one.id) > 1})
    problems.extend(f'event "{name}": the id is there twice; give each its own' for name in twice)
    refuse(problems, source=source, error=MethodologyError)
    return tuple(event if event.kind is Kind.MERGER else replace(event, treatment="") for event in events)


def _crossed(event: CorporateAction) -> list[str]:
    """What does not hold between the fields of one event."""
    at, out = f'event "{event.id}"', []
    if event.kind in TWO_TOKENS and not event.into:
        out.append(f"{at}: into is missing; a {event.kind} needs the other token's slug")
    if event.kind not in TWO_TOKENS and event.into:
        out.append(f"{at}: into has no meaning for a {event.kind}; leave it out")
    if event.kind in (Kind.PARTIAL_MIGRATION, Kind.DEPARTURE) and event.unconverted is None:
        out.append(f"{at}: unconverted is missing; give the tokens whose holders have not converted")
    if event.kind in (Kind.UNLOCK, Kind.BURN) and not (event.supply_before and event.supply_after):
        out.append(f"{at}: supply_before and supply_after are needed, both above 0, to see how large the change is")
    if event.value is not None and event.kind is not Kind.DELISTING:
        out.append(f"{at}: value has no meaning for a {event.kind}; leave it out")
    if event.announced is not None and event.announced > event.effective:
        out.append(f"{at}: announced ({event.announced:%Y-%m-%d}) is after effective; correct one of them")
    if event.until is not None and event.until <= event.effective:
        out.append(f"{at}: until must be after effective ({event.effective:%Y-%m-%d})")
    return out


def _against(registry: Registry, event: CorporateAction) -> list[str]:
    """What does not agree with the asset registry."""
    at = f'event "{event.id}"'
    names = [name for name in (event.asset, event.into) if name and name not in registry.by_slug]
    if names:
        return [f'{at}: there is no asset "{names[0]}" in the registry.{did_you_mean(names[0], registry.by_slug)}']
    if event.kind not in SUCCESSIONS:
        return []
    step = next((one for one in registry.successions if (one.from_, one.to) == (event.asset, event.into)), None)
    if step is None:
        return [f"{at}: the registry has no succession {event.asset} -> {event.into}; add it there first"]
    disagreements = [
        f"{at}: {name} is {mine}, the registry says {theirs}; make them agree"
        for name, mine, theirs in (
            ("kind", event.kind.value, step.kind),
            ("ratio", event.ratio, step.ratio),
            ("effective", event.effective.isoformat(), step.effective.isoformat()),
        )
        if mine != theirs
    ]
    return disagreements


def of_assets(log: EventLog, slugs: Sequence[str]) -> list[CorporateAction]:
    """The events that are about any of these tokens, in order."""
    return [event for event in log.events if event.asset in slugs or event.into in slugs]
