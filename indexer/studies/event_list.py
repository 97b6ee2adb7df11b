"""The events there are: the shipped, sourced ones, those of the store, and the user's own file beside it."""

from __future__ import annotations

import json
from pathlib import Path

from indexer.analytics.catalogue import Event, decision_events, packaged_text, parse_decisions, parse_events
from indexer.errors import MethodologyError
from indexer.store.db import Store
from indexer.store.read import read_events
from indexer.times import to_us

OWN_FILE = "events.toml"


def load_events(store: Store | None = None, data_dir: Path | None = None) -> dict[str, Event]:
    """Events by id, in order of time: every FOMC decision, the shipped ones, those of the store, then those of

    `events.toml` in the data directory; a later one takes the place of its namesake. Raises MethodologyError naming
    the file, the entry and what is wrong with it.
    """
    events = decision_events(parse_decisions(packaged_text("fomc.toml"))) | parse_events(packaged_text(OWN_FILE))
    if store is not None:
        events |= _stored(store)
    path = None if data_dir is None else data_dir / OWN_FILE
    if path is not None and path.exists():
        try:
            events |= parse_events(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, MethodologyError) as error:
            raise MethodologyError(f"{path}: {error}") from None
    return dict(sorted(events.items(), key=lambda item: item[1].at_us))


def _stored(store: Store) -> dict[str, Event]:
    found = {}
    for row in read_events(store):
        detail = json.loads(row.detail)
        precision, note = str(detail.get("precision", "instant")), str(detail.get("note", ""))
        found[row.slug] = Event(row.slug, row.title, to_us(row.time), precision, row.kind, (row.source,), note)
    return found
