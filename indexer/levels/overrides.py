"""Judgement under control: overrides by a named person, with a reason and an expiry; public, and never a rule.

kind `value`: the official rate of an asset in a window (detail: value). kind `membership`: a line may not be a
member at reviews in the window (detail: none). kind `event`: a change of the basket at the start of the window
(detail: effect, ratio, into); only this can write a token off at zero. A methodology is never changed by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from indexer.engine.history import BasketEvent, Effect
from indexer.errors import InputError, did_you_mean
from indexer.registry import Registry
from indexer.store.administration import (
    read_override,
    read_overrides,
    withdraw_override,
    write_announcements,
    write_override,
)
from indexer.store.db import Store
from indexer.store.rows import AnnouncementRow, OverrideRow
from indexer.store.runs import finish_run, start_run
from indexer.times import iso, to_us

KINDS = ("value", "membership", "event")
EVENT_EFFECTS = tuple(effect.value for effect in Effect if effect is not Effect.BAR)


@dataclass(frozen=True, slots=True)
class ValueOverride:
    """A decided value of an asset's official rate (USD) for instants in [from, until)."""

    number: int
    asset_id: int
    from_us: int
    until_us: int
    value: float


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


def values_of(rows: Sequence[OverrideRow], *, ids: Mapping[str, int]) -> list[ValueOverride]:
    """The value overrides among them, by asset id."""
    return [
        ValueOverride(
            number=row.id or 0,
            asset_id=ids[row.asset],
            from_us=to_us(row.starts_at),
            until_us=to_us(row.expires_at),
            value=float(json.loads(row.detail)["value"]),
        )
        for row in rows
        if row.kind == "value" and row.asset in ids
    ]


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
    if len(row.reason.strip()) < 10:
        problems.append("the reason must say why, in 10 characters or more")
    if not row.proposed_by.strip():
        problems.append("the override must name the person who decides")
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


def _announce(store: Store, row: OverrideRow, *, number: int, event: str, by: str, now: datetime) -> None:
    """Everyone is told, and the run makes the next update compute with it."""
    key = f"override:{number}:{event}"
    run_id = start_run(store, kind="decision", key=f"{key}:{iso(to_us(now))}", now=now)
    if run_id is None:
        return
    detail = {"override": number, "kind": row.kind, "asset": row.asset, "index": row.index_id, "reason": row.reason}
    detail |= {"by": by, "starts_at": iso(to_us(row.starts_at)), "expires_at": iso(to_us(row.expires_at))}
    title = (
        f"Override {number} {event} by {by}: {row.kind} of {row.asset} until {row.expires_at:%Y-%m-%d}: {row.reason}"
    )
    announcement = AnnouncementRow(key, "override", title, now, row.index_id, row.starts_at, json.dumps(detail))
    write_announcements(store, run_id, [announcement])
    finish_run(store, run_id, now=now, detail=detail)
