"""The usage job: what each network earns and holds, day by day, into the metrics.

DefiLlama gives a whole history at once and revises it, so all of it is asked each day; only what changed is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from indexer.live.asking import Question, ask_all, keep_replies, series_of
from indexer.live.context import Live
from indexer.live.mapping import ids_at
from indexer.sources.base import Ask, Dataset
from indexer.sources.defillama_usage import NAME, PATHS
from indexer.store.metrics import write_metrics
from indexer.times import parse_instant, to_us

KIND: Final = "usage"
SINCE_US: Final = parse_instant("2022-10-01T00:00:00Z")  # a quarter before the base date


def read_usage(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Write what is new or was revised; the counts. Raises SourceUnavailable when nothing was answered."""
    now_us = to_us(live.clock())
    questions = [
        Question(asset.slug, NAME, Ask(Dataset.USAGE, (f"{provider}:{name}",), SINCE_US, to_us(due), now_us, "1d"))
        for provider in PATHS
        for name, asset in ids_at(live.registry, provider).items()
    ]
    replies = ask_all(live, questions)
    series = series_of(replies)
    written = write_metrics(live.store, run_id, series)
    down = keep_replies(live, run_id, replies, what="any network's usage")
    return {"values": written.new + written.revised, "series": len(series), "failed_sources": sorted(down)}
