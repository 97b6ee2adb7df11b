"""What an update obeys beside the methodologies: the policy, what logged events do, and decisions of people.

Lines are spliced by the registry before the engine sees them, so a rename, a migration or a redenomination has
nothing left to change in a basket; a merger, a fork, a large unlock or burn, and a delisting have.

A decision (override) is by a named person, with a reason and an expiry; public, and never a rule. kind `value`: the
official rate of an asset in a window (detail: value). kind `membership`: a line may not be a member at reviews in the
window (detail: none). kind `event`: a change of the basket at the start of the window (detail: effect, ratio, into);
only this can write a token off at zero.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from indexer.config import program_version
from indexer.engine.history import BasketEvent, Effect
from indexer.engine.known import SupplyTokens
from indexer.errors import InputError, did_you_mean
from indexer.methodology.actions import CorporateAction, EventLog, Kind, load_event_log
from indexer.methodology.policy import Policy, load_policy
from indexer.methodology.spec import Methodology, universe_lines
from indexer.registry import Registry
from indexer.store.administration import (
    read_override,
    read_overrides,
    withdraw_override,
    write_announcements,
    write_override,
)
from indexer.store.db import Store
from indexer.store.indices import read_indices
from indexer.store.rows import AnnouncementRow, OverrideRow, Written
from indexer.store.runs import finish_run, start_run
from indexer.times import iso, to_us

KINDS = ("value", "membership", "event")
EVENT_EFFECTS = tuple(effect.value for effect in Effect if effect is not Effect.BAR)


def decide(store: Store, row: OverrideRow, *, registry: Registry, now: datetime) -> int:
    """The number of an override that is in force from now on; it is announced with its reason and its person.

    Raises InputError for what is missing or cannot be: no reason, no name, no expiry, an unknown asset, a membership
    without index, an event that would not be one.
    """
    problems = _problems(row, registry)
    if row.expires_at <= now:
        problems.append(f"expires_at {row.expires_at.isoformat()} is not in the future")
    if problems:
        raise InputError("this override cannot be made: " + "; ".join(problems))
    number = write_override(store, replace(row, approved_by=row.proposed_by, approved_at=now))
    _announce(store, row, number=number, event="made", by=row.proposed_by, now=now)
    return number


def withdraw(store: Store, number: int, *, by: str, now: datetime) -> OverrideRow:
    """The override, out of force from now on; what it did before stays."""
    row = read_override(store, number)
    withdraw_override(store, number, by=by, at=now)
    _announce(store, row, number=number, event="withdrawn", by=by, now=now)
    return read_override(store, number)


def in_force(store: Store, *, now: datetime) -> list[OverrideRow]:
    """The overrides that are in force: made by then and not withdrawn; each acts in its own window only."""
    return read_overrides(store, as_of_us=to_us(now))


def events_of(rows: Sequence[OverrideRow], index_id: str) -> tuple[BasketEvent, ...]:
    """What the membership and event overrides among them do to an index."""
    events = []
    for row in rows:
        if row.kind == "value" or row.index_id not in (None, index_id):
            continue
        detail: dict[str, Any] = json.loads(row.detail)
        effect = Effect.BAR if row.kind == "membership" else Effect(detail["effect"])
        events.append(
            BasketEvent(
                at_us=to_us(row.starts_at),
                slug=row.asset,
                effect=effect,
                ratio=float(detail.get("ratio", 1.0)),
                into=str(detail.get("into", "")),
                reason=f"override {row.id}: {row.reason}",
                until_us=to_us(row.expires_at),
            )
        )
    return tuple(events)


def _problems(row: OverrideRow, registry: Registry) -> list[str]:
    problems = []
    if row.kind not in KINDS:
        problems.append(f'kind "{row.kind}" is not one of {", ".join(KINDS)}')
    problems += unexplained(row.reason, row.proposed_by, who="the override")
    if row.expires_at <= row.starts_at:
        problems.append("expires_at must be after starts_at")
    if row.asset not in registry.by_slug:
        problems.append(f'there is no asset "{row.asset}".{did_you_mean(row.asset, registry.by_slug)}')
    detail = json.loads(row.detail)
    value = detail.get("value")
    if row.kind == "value" and not (isinstance(value, int | float) and 0 < value < 1e300):
        problems.append('detail must give a positive "value" in USD')
    if row.kind == "membership" and row.index_id is None:
        problems.append("a membership override must name its index")
    if row.kind == "event" and detail.get("effect") not in EVENT_EFFECTS:
        problems.append(f'detail must give an "effect": {", ".join(EVENT_EFFECTS)}')
    return problems


def unexplained(reason: str, by: str, *, who: str) -> Iterator[str]:
    """What a decision lacks: a reason, and the name of the person."""
    if len(reason.strip()) < 10:
        yield "the reason must say why, in 10 characters or more"
    if not by.strip():
        yield f"{who} must name the person who decides"


def _announce(store: Store, row: OverrideRow, *, number: int, event: str, by: str, now: datetime) -> None:
    key = f"override:{number}:{event}"
    detail = {"override": number, "kind": row.kind, "asset": row.asset, "index": row.index_id, "reason": row.reason}
    detail |= {"by": by, "starts_at": iso(to_us(row.starts_at)), "expires_at": iso(to_us(row.expires_at))}
    title = (
        f"Override {number} {event} by {by}: {row.kind} of {row.asset} until {row.expires_at:%Y-%m-%d}: {row.reason}"
    )
    announcement = AnnouncementRow(key, "override", title, now, row.index_id, row.starts_at, json.dumps(detail))
    record_decision(store, announcement, key=f"{key}:{iso(to_us(now))}", now=now, detail=detail)


def record_decision(
    store: Store, announcement: AnnouncementRow, *, key: str, now: datetime, detail: Mapping[str, Any]
) -> None:
    """Everyone is told of a decision, once, and its run makes the next update compute with it."""
    run_id = start_run(store, kind="decision", key=key, now=now)
    if run_id is not None:
        write_announcements(store, run_id, [announcement])
        finish_run(store, run_id, now=now, detail=dict(detail))


EXPLAINING = (Kind.MERGER, Kind.PARTIAL_MIGRATION, Kind.DEPARTURE, Kind.UNLOCK, Kind.BURN, Kind.DEFINITION)
FLOAT_KINDS = ("circulating", "free_float")


def basket_events(
    events: Sequence[CorporateAction], registry: Registry, *, emergency_change: float
) -> tuple[BasketEvent, ...]:
    """The changes of baskets that events bring, in the units of the lines' own tokens."""
    effects = (_basket_event(event, registry, emergency_change=emergency_change) for event in events)
    return tuple(effect for effect in effects if effect is not None)


def _basket_event(event: CorporateAction, registry: Registry, *, emergency_change: float) -> BasketEvent | None:
    asset = registry.by_slug[event.asset]
    other = registry.by_slug[event.into] if event.into else None
    # line units per unit of each token: units are held in the line's token
    ratio = event.ratio * (other.line_ratio if other else 1.0) / asset.line_ratio
    effect = BasketEvent(
        at_us=to_us(event.effective),
        slug=asset.line,
        effect=Effect.REMOVE,
        into=other.line if other else "",
        ratio=ratio,
        reason=f"{event.kind.value.replace('_', ' ')}: {event.id} ({event.source})",
    )
    match event.kind:
        case Kind.MERGER:
            return replace(effect, effect=Effect.ABSORB if event.treatment == "absorb" else Effect.REMOVE)
        case Kind.FORK:
            return replace(effect, effect=Effect.ADD)
        case Kind.DELISTING:
            return replace(effect, value=None if event.value is None else event.value / asset.line_ratio)
        case Kind.UNLOCK | Kind.BURN:
            change = (event.supply_after or 1.0) / (event.supply_before or 1.0)
            return replace(effect, effect=Effect.SCALE, ratio=change) if abs(change - 1.0) > emergency_change else None
        case _:
            return None


@dataclass(frozen=True, slots=True)
class SupplyEffect:
    """A correction of an asset's observations from an instant on, until another (None: for good).

    `subtract` tokens are taken off the float; with `ignore` the observations in the window do not count at all. With
    `explains` it is why the supply steps: then, or within the window.
    """

    asset: str
    from_us: int
    until_us: int | None
    subtract: float = 0.0
    ignore: bool = False
    explains: bool = False

    def holds(self, at_us: int) -> bool:
        """Whether it acts on an observation of an instant."""
        return self.from_us <= at_us and (self.until_us is None or at_us < self.until_us)


def supply_effects(events: Sequence[CorporateAction]) -> tuple[SupplyEffect, ...]:
    """What events do to supplies: unclaimed inventory off the successor's float, fraudulent mints ignored."""
    effects = []
    for event in events:
        until = to_us(event.until) if event.until else None
        if event.kind in (Kind.PARTIAL_MIGRATION, Kind.DEPARTURE):
            unclaimed = (event.unconverted or 0.0) * event.ratio  # minted for holders who have not converted
            effects.append(SupplyEffect(event.into, to_us(event.effective), until, subtract=unclaimed))
        elif event.kind is Kind.FRAUDULENT_MINT:
            effects.append(SupplyEffect(event.asset, to_us(event.effective), until, ignore=True))
        if event.kind in EXPLAINING or event.issuance:
            effects.append(SupplyEffect(event.into or event.asset, to_us(event.effective), until, explains=True))
    return tuple(effects)


def explained(effects: Sequence[SupplyEffect], *, lines: Mapping[str, str]) -> dict[str, list[tuple[int, int]]]:
    """When events explain a step of supply, (from, until) by line; `lines` gives the line of each token."""
    windows: dict[str, list[tuple[int, int]]] = {}
    for effect in effects:
        if effect.explains and effect.asset in lines:
            until = effect.from_us + 1 if effect.until_us is None else effect.until_us
            windows.setdefault(lines[effect.asset], []).append((effect.from_us, until))
    return windows


def adjusted(
    rows: Sequence[SupplyTokens], effects: Sequence[SupplyEffect], *, slugs: dict[int, str]
) -> list[SupplyTokens]:
    """Supplies as they count for an index; `slugs` names each asset id. What would fall to 0 or below is left out."""
    if not effects:
        return list(rows)
    counted: list[SupplyTokens] = []
    for row in rows:
        mine = [
            effect for effect in effects if effect.asset == slugs.get(row.asset_id) and effect.holds(row.observed_us)
        ]
        if any(effect.ignore for effect in mine):
            continue
        taken = sum(effect.subtract for effect in mine) if row.kind in FLOAT_KINDS else 0.0
        if taken < row.tokens:
            counted.append(replace(row, tokens=row.tokens - taken) if taken else row)
    return counted


@dataclass(frozen=True, slots=True)
class Rules:
    """Policy and event log, with what the log does to baskets and to supplies."""

    policy: Policy
    log: EventLog
    basket: tuple[BasketEvent, ...]
    supplies: tuple[SupplyEffect, ...]

    @property
    def hash(self) -> str:
        """Changes with the policy or the log."""
        return hashlib.sha256(f"{self.policy.hash}:{self.log.hash}".encode()).hexdigest()

    def events_of(self, slugs: Sequence[str]) -> tuple[BasketEvent, ...]:
        """The basket events of these lines."""
        return tuple(event for event in self.basket if event.slug in slugs)


def obeyed(
    registry: Registry, methodologies: Mapping[str, Methodology], rules: Rules, overrides: Sequence[OverrideRow]
) -> str:
    """A hash of everything that an update obeys: another one where the same facts may give other levels."""
    digest = hashlib.sha256(repr((registry.assets, registry.successions)).encode())
    digest.update(rules.hash.encode())
    digest.update(repr([(row.id, row.withdrawn_at) for row in overrides]).encode())
    for methodology in methodologies.values():
        digest.update(f"{methodology.id}:{methodology.hash}".encode())
    return digest.hexdigest()


def load_rules(registry: Registry, *, folder: Path | None = None) -> Rules:
    """The rules shipped with the program, with the user's own from their methodology folder."""
    policy, log = load_policy(folder), load_event_log(registry, folder=folder)
    return Rules(
        policy,
        log,
        basket_events(log.events, registry, emergency_change=policy.emergency_supply_change),
        supply_effects(log.events),
    )


@dataclass(slots=True)
class Walk:
    """What one update works with."""

    store: Store
    registry: Registry
    rules: Rules
    methodologies: Mapping[str, Methodology]
    overrides: list[OverrideRow]
    now: datetime  # of the whole update: what it writes is known from then on
    run_id: int
    anew: str  # why history is stated anew, or empty
    simulated: bool
    provisional: bool  # the first fill is not complete: nothing of this run lasts
    replaces: bool = False  # what is out is provisional, and this takes its place
    ids: dict[str, int] = field(default_factory=dict)
    began_us: int = 0  # the first publication of the youngest index
    waiting: tuple[str, ...] = ()
    deferred_us: int = 0  # up to then corrections were deferred
    written: Written = field(default_factory=Written)  # rates

    def events_of(self, methodology: Methodology) -> tuple[BasketEvent, ...]:
        """What corporate actions and decisions do to an index."""
        lines = universe_lines(methodology.universe, self.registry)
        return (*self.rules.events_of(lines), *events_of(self.overrides, methodology.id))

    def rules_hash(self) -> str:
        """Stands for all that levels depend on and that is no fact."""
        digest = hashlib.sha256(obeyed(self.registry, self.methodologies, self.rules, self.overrides).encode())
        states = [(row.id, row.state) for row in read_indices(self.store)]
        in_force = [methodology.eligibility_at(self.now) for methodology in self.methodologies.values()]
        digest.update(repr((states, in_force, program_version())).encode())
        return digest.hexdigest()
