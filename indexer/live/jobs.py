"""The list of live jobs: what is due how often, and how long after. The order is the order of work in a tick.

The fixing comes first because it cannot wait; what follows fills, checks and complements. A job whose sources are
all switched off is not made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from indexer.live import benchmarks, crosscheck, fill, fixing, retention, stress, supply
from indexer.live.context import Live
from indexer.live.mapping import venue_mappings
from indexer.live.scheduler import Job
from indexer.sources.base import Dataset

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
BAR_DELAY: Final = timedelta(minutes=2)  # venues publish a closed hour within seconds; two minutes forgives a slow one
SINGLY: Final = 12  # hours of minutes that every venue still serves (Kraken: 720); older hours come as hourly bars

Piece = Callable[[Live, datetime, int], Mapping[str, Any]]


def live_jobs(live: Live, *, update_minutes: int = 60) -> list[Job]:
    """The jobs that the sources in use make possible, in the order of work."""
    jobs: list[Job] = []
    venues = venue_mappings(live.registry, live.sources)
    if venues:
        every = timedelta(minutes=update_minutes)
        jobs.append(Job(fixing.KIND, every, BAR_DELAY, _of(live, fixing.fix), singly=SINGLY))
        jobs.append(Job(fill.KIND, HOUR, timedelta(minutes=4), _of(live, fill.catch_up)))
    if supply.SOURCE in live.sources:
        jobs.append(Job("supply", DAY, timedelta(minutes=10), _of(live, supply.read_reported)))
    if _any(live, Dataset.BENCHMARK):
        jobs.append(Job("benchmarks", 6 * HOUR, timedelta(minutes=15), _of(live, benchmarks.refresh)))
    if _any(live, Dataset.FUNDING) or _any(live, Dataset.SENTIMENT):
        jobs.append(Job(stress.KIND, HOUR, timedelta(minutes=5), _of(live, stress.read_stress)))
    if venues and {"defillama", "coingecko"} & live.sources.keys():
        jobs.append(Job("cross-check", HOUR, timedelta(minutes=3), _of(live, crosscheck.check)))
    jobs.append(Job("retention", DAY, timedelta(minutes=30), _of(live, retention.sweep)))
    return jobs


def _of(live: Live, piece: Piece) -> Callable[[datetime, int], Mapping[str, Any]]:
    return lambda due, run_id: piece(live, due, run_id)


def _any(live: Live, dataset: Dataset) -> bool:
    return any(dataset in source.capabilities.datasets for source in live.sources.values())
