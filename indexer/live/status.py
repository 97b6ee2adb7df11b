"""What is known of every source without asking it: capabilities, use, limits, and what the ledger says of it now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from indexer.config import Settings
from indexer.live.upstream import keys_of, sources_of
from indexer.sources.base import Capabilities
from indexer.sources.http.limits import DEFAULT_LIMIT, LIMITS
from indexer.sources.registry import capabilities
from indexer.store.db import Store
from indexer.store.read import read_last_answers, read_open_quality


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source. `state`: not_used, down (an open ledger entry, with since and what it said), answering, not_asked.

    `intervals` are those of its bars; `limit` what we keep to; `troubles` how many of its symbols fail alone.
    """

    name: str
    title: str
    kind: str
    datasets: tuple[str, ...]
    intervals: tuple[str, ...]
    licence: str
    fixing: bool
    in_use: bool
    opt_in: bool
    extra: str
    has_key: bool
    key_adds: str
    loses: str
    limit: str
    notes: str
    docs: str
    state: str
    down_since: datetime | None
    said: str
    troubles: int
    last_answer: datetime | None


def source_states(store: Store, settings: Settings) -> list[SourceStatus]:
    """Every known source, in the order of preference. Asks nobody."""
    used, keys = sources_of(settings), keys_of(settings)
    answers = read_last_answers(store)
    down = {row.subject: row for row in read_open_quality(store, ("source_down",))}
    found = []
    for about in capabilities():
        entry = down.get(about.name)
        in_use = about.name in used
        state = "not_used" if not in_use else "down" if entry else "answering" if about.name in answers else "not_asked"
        found.append(
            SourceStatus(
                name=about.name,
                title=about.title,
                kind=str(about.kind),
                datasets=tuple(sorted(map(str, about.datasets))),
                intervals=tuple(about.history),
                licence=str(about.licence),
                fixing=about.fixing,
                in_use=in_use,
                opt_in=about.opt_in,
                extra=about.extra,
                has_key=about.name in keys,
                key_adds=about.key_adds,
                loses=about.loses,
                limit=limit_text(about),
                notes=about.notes,
                docs=about.docs,
                state=state,
                down_since=entry.opened_at if entry and in_use else None,
                said=str(json.loads(entry.detail).get("text", "")) if entry and in_use else "",
                troubles=sum(subject.startswith(f"{about.name}/") for subject in down),
                last_answer=answers.get(about.name),
            )
        )
    return found


def limit_text(about: Capabilities) -> str:
    """The rate limit kept with a source, and why."""
    limit = LIMITS.get(about.limit or about.name, DEFAULT_LIMIT)
    return f"{limit.per_second:g} a second, {limit.burst:g} at once: {limit.why}"
