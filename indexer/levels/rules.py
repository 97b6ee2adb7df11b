"""Everything that an update obeys beside the methodologies: policy, corporate actions, decisions of people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.engine.history import BasketEvent
from indexer.levels.event_effects import SupplyEffect, basket_events, supply_effects
from indexer.methodology.actions import EventLog, load_event_log
from indexer.methodology.policy import Policy, load_policy
from indexer.registry import Registry


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


def load_rules(registry: Registry, *, folder: Path | None = None) -> Rules:
    """The rules shipped with the program, with the user's own from their methodology folder."""
    policy, log = load_policy(folder), load_event_log(registry, folder=folder)
    return Rules(
        policy,
        log,
        basket_events(log.events, registry, emergency_change=policy.emergency_supply_change),
        supply_effects(log.events),
    )
