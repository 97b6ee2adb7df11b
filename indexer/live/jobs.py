"""The list of scheduled jobs: what is due how often, and how long after. The order is the order of work in a tick.

A job whose sources are all switched off is not made. Jobs of the chains wait for public nodes, some for minutes, so
they have a scheduler of their own (`chain_scheduler`) and the fixing never waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from indexer.config import Settings
from indexer.errors import SourceUnavailable
from indexer.live import benchmarks, crosscheck, fixing, history, listings, measures, supply
from indexer.live.audit import pack_answers
from indexer.live.chain.activity import KIND, owed_days, read_activity_of_day, read_events
from indexer.live.chain.configured import is_on
from indexer.live.chain.prices import check_prices
from indexer.live.chain.recheck import recheck_first
from indexer.live.chain.snapshots import take_snapshot
from indexer.live.clock import ClockWatch
from indexer.live.context import LISTINGS, Live, chain_work
from indexer.live.mapping import venue_mappings
from indexer.live.scheduler import Job, Owing, Scheduler
from indexer.registry import Registry
from indexer.sources.base import Dataset
from indexer.store.archive import forget_payloads, kept_for_good
from indexer.store.db import Store
from indexer.store.runs import HISTORY, last_run_before, read_run
from indexer.times import Clock

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BAR_DELAY: Final = 2 * MINUTE  # venues publish a closed hour within seconds; two minutes forgives a slow one
PACKED_AGAIN: Final = timedelta(days=8)  # a week without the job is made up for; older files by `deai archive pack`
SINGLY: Final = 12  # hours of minutes that every venue still serves (Kraken: 720); older hours come as hourly bars
TRIES: Final = 5  # over a quarter of an hour; then a part that nobody gives waits for the next due instant
SUPPLY, ACTIVITY, PRICES, EVENTS = "onchain-supply", "onchain-activity", "onchain-prices", "onchain-events"
LEASE: Final = "onchain"
Progress = Callable[[int, int], None]  # blocks done, blocks in all, of one network's day


def live_jobs(live: Live, *, update_minutes: int = 60, history_beside: bool = False) -> list[Job]:
    """The jobs that the sources in use make possible, in the order of work.

    `history_beside`: without the history, which a scheduler of its own does meanwhile (`history_scheduler`).
    """
    venues, gives = bool(venue_mappings(live.registry, live.sources)), _datasets(live)
    supplies, equities = supply.SOURCE in live.sources, Dataset.BENCHMARK in gives
    stress = bool({Dataset.FUNDING, Dataset.SENTIMENT} & gives)
    others = bool({"defillama", "coingecko", "ccxt"} & live.sources.keys())
    daily, hourly = (with_rest(live, partial(benchmarks.refresh, intervals=(name,))) for name in benchmarks.INTERVALS)
    every = update_minutes * MINUTE
    jobs = (
        (venues, Job("supply-facts", DAY, 0 * MINUTE, partial(supply.write_facts, live))),
        # before the fixing at the first start only: it is due at another minute
        (equities, Job("benchmarks", 6 * HOUR, 15 * MINUTE, daily)),
        (venues and not history_beside, _listings(live)),
        (venues, Job(fixing.KIND, every, BAR_DELAY, partial(fixing.fix, live), singly=SINGLY, urgent=True)),
        (venues and not history_beside, Job(HISTORY, HOUR, 4 * MINUTE, partial(history.catch_up, live))),
        (supplies, Job("supply", DAY, 10 * MINUTE, with_rest(live, supply.read_reported))),
        (equities, Job("benchmark-hours", 6 * HOUR, 15 * MINUTE, hourly)),
        (stress, Job(measures.STRESS, HOUR, 5 * MINUTE, partial(measures.read_stress, live))),
        (venues and others, Job("cross-check", HOUR, 3 * MINUTE, partial(crosscheck.check, live))),
        (True, Job("retention", DAY, 30 * MINUTE, partial(sweep, live))),
    )
    return [job for wanted, job in jobs if wanted]


def _listings(live: Live) -> Job:
    return Job(LISTINGS, DAY, 0 * MINUTE, partial(listings.check_listings, live))


def _datasets(live: Live) -> set[Dataset]:
    return {dataset for source in live.sources.values() for dataset in source.capabilities.datasets}


def history_scheduler(live: Live, beside: Scheduler, *, watch: ClockWatch | None = None) -> Scheduler:
    """The history beside everything else: it asks again what failed, and computes levels when a step is complete.

    The venues' lists come before it, because they say which series there are.
    """
    jobs = [_listings(live), Job(HISTORY, HOUR, 0 * MINUTE, partial(history.catch_up, live, patient=True))]
    closing = live.upstream.close
    return Scheduler(
        live.store, jobs, clock=live.clock, afterwards=live.compute, closing=closing, watch=watch, beside=beside
    )


def sweep(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Remove what is over its time and pack the answers of past days; how much.

    Imported files stay, as nobody can be asked for them again, and so does the newest fixing's manifest, which the next
    one needs. `before` lets `verify` tell an answer whose time was over from one that was taken away.
    """
    before = live.clock() - timedelta(days=live.archive_days)
    newest = last_run_before(live.store, fixing.KIND, live.clock() + timedelta(days=1))
    keep = {newest.detail["manifest"]} if newest and "manifest" in newest.detail else set()
    keep |= kept_for_good(live.store)
    swept = live.archive.sweep(before_s=before.timestamp(), keep=keep)
    links = forget_payloads(live.store, before=before)
    packed = pack_answers(live.store, live.archive, before=live.clock(), since=live.clock() - PACKED_AGAIN)
    gone = {"before": before.isoformat(), "files": swept.answers, "bytes": swept.kept_bytes, "links": links}
    return {**gone, "packed": packed.answers}


def with_rest(live: Live, piece: Callable[..., Mapping[str, Any]]) -> Callable[[datetime, int], Mapping[str, Any]]:
    """The work of a piece that may owe a part of it (`owed`): a few tries, minutes apart, each for what is missing."""

    def work(due: datetime, run_id: int) -> Mapping[str, Any]:
        before = read_run(live.store, run_id).detail
        brought = piece(live, due, run_id, only=before.get("owed", ()))
        detail = {**brought, "tries": before.get("tries", 0) + 1}
        if detail["owed"] and detail["tries"] < TRIES:
            raise Owing(detail)
        return detail

    return work


def chain_scheduler(
    store: Store,
    settings: Settings,
    *,
    registry: Registry,
    clock: Clock,
    progress: Progress | None = None,
    watch: ClockWatch | None = None,
) -> Scheduler | None:
    """The scheduler of chain work for these settings, None when chains are not to be read. Nothing is read here."""
    if not is_on(settings):
        return None
    live = chain_work(store, settings, registry=registry, clock=clock)
    jobs = onchain_jobs(live, transfers=settings.onchain_activity, progress=progress)
    return Scheduler(store, jobs, clock=clock, lease=LEASE, closing=live.upstream.close, watch=watch)


def onchain_jobs(live: Live, *, transfers: bool, progress: Progress | None = None) -> list[Job]:
    """The jobs that read chains, in the order of work; those of `transfers` cost thousands of requests a day."""
    reading = partial(activity, live, progress=progress)
    counted = any(token.events for token in live.tokens.values())
    jobs = (
        (True, Job(SUPPLY, 6 * HOUR, 5 * MINUTE, partial(supplies, live))),
        (True, Job(PRICES, 6 * HOUR, 35 * MINUTE, partial(prices, live))),
        (Dataset.USAGE in _datasets(live), Job(measures.USAGE, DAY, 3 * HOUR, partial(measures.read_usage, live))),
        (counted, Job(EVENTS, DAY, 50 * MINUTE, with_rest(live, read_events))),
        (transfers, Job(ACTIVITY, DAY, 40 * MINUTE, reading, singly=7)),
    )
    return [job for wanted, job in jobs if wanted]


def supplies(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Recheck what is provisional, then take a snapshot of every token; the counts.

    Raises SourceUnavailable when no chain gave a number, after its reasons are in the quality log.
    """
    again = recheck_first(live, run_id)
    made = take_snapshot(live, run_id)
    if made.readings and not made.on_chain:
        raise SourceUnavailable(f"no chain gave a supply ({made.first_reason}); the index goes on with others")
    return {**again, "on_chain": made.on_chain, "of": len(made.readings), "proof": made.proof}


def prices(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Hold pool and oracle prices against our rates; the counts."""
    checks, unpriced = check_prices(live, run_id)
    return {"checks": len(checks), "beyond": sum(check.beyond for check in checks), "without_rate": len(unpriced)}


def activity(live: Live, due: datetime, run_id: int, *, progress: Progress | None = None) -> Mapping[str, Any]:
    """Read the activity of the day that ended at `due`, and before it what earlier days owe; the counts.

    Raises SourceUnavailable when no network's day was read.
    """
    tell = None if progress is None else lambda symbol, chain, done, total: progress(done, total)
    owed = [
        read_activity_of_day(live, run_id, end=end, symbols=symbols, progress=tell)
        for end, symbols in owed_days(live, due, kind=KIND)
    ]
    made = read_activity_of_day(live, run_id, end=due, progress=tell)
    if made.ledgers and not made.read:
        raise SourceUnavailable(f"no ledger's transfers could be read ({made.ledgers[0].reason})")
    return {
        "ledgers": made.read,
        "of": len(made.ledgers),
        "made_up_for": sum(one.read for one in owed),
        "metrics": sum(one.written.new + one.written.revised for one in (made, *owed)),
    }
