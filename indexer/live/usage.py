"""The usage job: what each network earns, holds and does, day by day, into the metrics.

The services give whole histories and revise them, so all of it is asked each day; only what changed is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from indexer.live.asking import Question, ask_all, keep_replies, series_of
from indexer.live.context import Live
from indexer.live.mapping import ids_at
from indexer.registry import Registry
from indexer.sources.base import Ask, Dataset
from indexer.sources.usage import USAGE
from indexer.store.metrics import write_metrics
from indexer.times import parse_instant, to_us

KIND: Final = "usage"
SINCE_US: Final = parse_instant("2022-10-01T00:00:00Z")  # a quarter before the base date


def read_usage(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Write what is new or was revised; the counts. Raises SourceUnavailable when nothing was answered."""
    now_us = to_us(live.clock())
    questions = [
        Question(asset, source, Ask(Dataset.USAGE, (symbol,), SINCE_US, to_us(due), now_us, "1d"))
        for source in live.sources
        for asset, symbol in _symbols(source, live.registry)
    ]
    replies = ask_all(live, questions)
    series = series_of(replies)
    written = write_metrics(live.store, run_id, series)
    down = keep_replies(live, run_id, replies, what="any network's usage")
    return {"values": written.new + written.revised, "series": len(series), "failed_sources": sorted(down)}


def _symbols(source: str, registry: Registry) -> Iterator[tuple[str, str]]:
    """The assets and symbols that a service is asked for; none of a source that is no service of usage."""
    service = USAGE.services.get(source)
    for name, series in service.series.items() if service else ():
        if not series.asset:
            yield from ((asset.slug, f"{name}:{known}") for known, asset in ids_at(registry, name).items())
        elif series.asset in registry.by_slug:
            yield series.asset, f"{name}:{series.asset}"
