"""What an update obeys beside the methodologies: the policy, and what logged events do to baskets and to supplies.

Lines are spliced by the registry before the engine sees them, so a rename, a migration or a redenomination has
nothing left to change in a basket; a merger, a fork, a large unlock or burn, and a delisting have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from indexer.engine.history import BasketEvent, Effect, unclaimed_inventory
from indexer.levels.assemble import SupplyTokens
from indexer.methodology.actions import CorporateAction, EventLog, Kind, load_event_log
from indexer.methodology.policy import Policy, load_policy
from indexer.methodology.spec import Methodology
from indexer.registry import Registry
from indexer.store.rows import OverrideRow
from indexer.times import to_us

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


def supply_effects(events: Sequence[CorporateAction]) -> tuple[SupplyEffect, ...]:
    """What events do to supplies: unclaimed inventory off the successor's float, fraudulent mints ignored."""
    effects = []
    for event in events:
        until = to_us(event.until) if event.until else None
        if event.kind in (Kind.PARTIAL_MIGRATION, Kind.DEPARTURE):
            tokens = unclaimed_inventory(event.unconverted or 0.0, event.ratio)
            effects.append(SupplyEffect(event.into, to_us(event.effective), until, subtract=tokens))
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
            effect for effect in effects if effect.asset == slugs.get(row.asset_id) and _within(effect, row.observed_us)
        ]
        if any(effect.ignore for effect in mine):
            continue
        taken = sum(effect.subtract for effect in mine) if row.kind in FLOAT_KINDS else 0.0
        if taken < row.tokens:
            counted.append(replace(row, tokens=row.tokens - taken) if taken else row)
    return counted


def _within(effect: SupplyEffect, at_us: int) -> bool:
    return effect.from_us <= at_us and (effect.until_us is None or at_us < effect.until_us)


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
