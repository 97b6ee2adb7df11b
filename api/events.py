"""Events to mark and study: the shipped, sourced catalogue and those of the store."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from indexer.analytics.catalogue import Event, packaged_text, parse_events
from indexer.store.db import Store
from indexer.store.read import read_events
from indexer.times import from_us


@cache
def shipped_events() -> dict[str, Event]:
    """The catalogue that comes with the program, read once."""
    return parse_events(packaged_text("events.toml"))


def known_events(store: Store) -> list[dict[str, Any]]:
    """Every event as it goes over the wire, oldest first; the store's take the place of shipped namesakes."""
    found: dict[str, dict[str, Any]] = {
        one.id: {
            "slug": one.id,
            "kind": one.kind,
            "time": from_us(one.at_us),
            "title": one.name,
            "source": "; ".join(one.sources),
            "precision": one.precision,
            "note": one.note,
        }
        for one in shipped_events().values()
    }
    for row in read_events(store):
        detail = json.loads(row.detail)
        found[row.slug] = {
            "slug": row.slug,
            "kind": row.kind,
            "time": row.time,
            "title": row.title,
            "source": row.source,
            "precision": str(detail.get("precision", "instant")),
            "note": str(detail.get("note", "")),
        }
    return sorted(found.values(), key=lambda one: (one["time"], one["slug"]))
