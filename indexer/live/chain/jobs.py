"""The scheduled chain work: supplies four times a day, prices as often, activity once a day has settled everywhere.

These jobs wait for public nodes, some for minutes, so they have a scheduler of their own (`chain_scheduler`): the
fixing never waits for them. A job that got nothing at all fails and is tried again; one that got something is done,
and what a day of activity lacks is asked for again with the next three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from indexer.config import Settings
from indexer.errors import SourceError, SourceUnavailable
from indexer.live.chain.activity import KIND, read_activity_of_day
from indexer.live.chain.configured import chain_work, is_on
from indexer.live.chain.context import ChainWork
from indexer.live.chain.owed import owed_days
from indexer.live.chain.prices import check_prices
from indexer.live.chain.recheck import recheck_supplies
from indexer.live.chain.snapshots import take_snapshot
from indexer.live.scheduler import Job, Scheduler
from indexer.registry import Registry
from indexer.store.db import Store
from indexer.times import Clock

SUPPLY, ACTIVITY, PRICES = "onchain-supply", "onchain-activity", "onchain-prices"
LEASE: Final = "onchain"
SIX_HOURS: Final = timedelta(hours=6)
DAY: Final = timedelta(days=1)


Progress = Callable[[int, int], None]  # blocks done, blocks in all, of one ledger's day


def chain_scheduler(
    store: Store, settings: Settings, *, registry: Registry, clock: Clock, progress: Progress | None = None
) -> Scheduler | None:
    """The scheduler of chain work for these settings, None when chains are not to be read. Nothing is read here."""
    if not is_on(settings):
        return None
    work = chain_work(store, settings, registry=registry, clock=clock)
    return Scheduler(store, onchain_jobs(work, progress=progress), clock=clock, lease=LEASE, closing=work.waiting.close)


def onchain_jobs(work: ChainWork, *, progress: Progress | None = None) -> list[Job]:
    """The jobs of this chain work, in the order of work."""
    return [
        Job(SUPPLY, SIX_HOURS, timedelta(minutes=5), _of(work, supplies)),
        Job(PRICES, SIX_HOURS, timedelta(minutes=35), _of(work, prices)),
        Job(ACTIVITY, DAY, timedelta(minutes=40), _of(work, partial(activity, progress=progress)), singly=7),
    ]


def supplies(work: ChainWork, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Recheck what is provisional, then take a snapshot of every token; the counts.

    Raises SourceUnavailable when no chain gave a number, after its reasons are in the ledger.
    """
    try:
        again = asdict(recheck_supplies(work, run_id))
    except SourceError as error:  # the new snapshot does not depend on it
        again = {"recheck": str(error)}
    made = take_snapshot(work, run_id)
    if made.readings and not made.on_chain:
        raise SourceUnavailable(f"no chain gave a supply ({made.first_reason}); the index goes on with others")
    return {**again, "on_chain": made.on_chain, "of": len(made.readings), "proof": made.proof}


def prices(work: ChainWork, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Hold pool and oracle prices against our rates; the counts."""
    made = check_prices(work, run_id)
    return {"checks": len(made.checks), "beyond": made.beyond, "without_rate": len(made.unpriced)}


def activity(work: ChainWork, due: datetime, run_id: int, *, progress: Progress | None = None) -> Mapping[str, Any]:
    """Read the activity of the day that ended at `due`, and before it what earlier days owe; the counts.

    Raises SourceUnavailable when no ledger's day was read.
    """
    tell = None if progress is None else lambda symbol, chain, done, total: progress(done, total)
    owed = [
        read_activity_of_day(work, run_id, end=end, symbols=symbols, progress=tell)
        for end, symbols in owed_days(work, due, kind=KIND)
    ]
    made = read_activity_of_day(work, run_id, end=due, progress=tell)
    if made.ledgers and not made.read:
        raise SourceUnavailable(f"no ledger's transfers could be read ({made.ledgers[0].reason})")
    return {
        "ledgers": made.read,
        "of": len(made.ledgers),
        "made_up_for": sum(one.read for one in owed),
        "metrics": sum(one.written.new + one.written.revised for one in (made, *owed)),
    }


def _of(
    work: ChainWork, piece: Callable[[ChainWork, datetime, int], Mapping[str, Any]]
) -> Callable[[datetime, int], Mapping[str, Any]]:
    return lambda due, run_id: piece(work, due, run_id)
