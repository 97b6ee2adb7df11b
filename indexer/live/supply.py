"""The supply job: circulating, total and maximal supply as CoinGecko reports them, each kept apart.

An index by free float needs a supply at each reference date of the past. CoinGecko's chart gives market value and
price at the same instants; their quotient is the circulating supply that it reckoned with then, kept as reported under
a source name of its own, `coingecko-implied`. For the time before, and for a provider that refuses, the package ships
dated facts; they need no network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from indexer.live.asking import Question, Reply, ask_all, keep_replies
from indexer.live.context import Live
from indexer.live.mapping import ids_at
from indexer.registry import Asset, Registry, supply_facts
from indexer.sources.base import Ask, Dataset
from indexer.sources.coingecko import implied_supplies
from indexer.sources.records import SupplyObservation
from indexer.store.db import Store
from indexer.store.rows import SupplyRow
from indexer.store.supplies import read_supplies, write_supplies
from indexer.times import DAY_US, from_us, to_us

SOURCE: Final = "coingecko"
IMPLIED: Final = "coingecko-implied"
NEW_US: Final = 60 * DAY_US  # an asset whose first reading is younger than this has no history yet


def read_reported(live: Live, due: datetime, run_id: int, *, only: Sequence[str] = ()) -> Mapping[str, Any]:
    """Write today's supplies as reported, of the assets `only` where some are named; the counts, and whose are owed.

    Raises SourceUnavailable when the supplies of today could not be had.
    """
    now_us = to_us(live.clock())
    assets = {coin: one for coin, one in ids_at(live.registry, SOURCE).items() if not only or one.slug in only}
    live.asset_ids()
    ask = Ask(Dataset.SUPPLY, tuple(assets), to_us(due) - DAY_US, now_us, now_us)
    replies = ask_all(live, [Question("supply", SOURCE, ask)])
    keep_replies(live, run_id, replies, what="supplies")
    readings = write_reported(live.store, run_id, replies, registry=live.registry, due=due)
    answered = {one.symbol for reply in replies for _, _, parsed in reply.parsed for one in parsed.supplies}
    owed = sorted(asset.slug for coin, asset in assets.items() if coin not in answered)
    return {"readings": readings, "owed": owed}


def write_reported(store: Store, run_id: int, replies: Sequence[Reply], *, registry: Registry, due: datetime) -> int:
    """Write the supplies of replies that are not stored yet: those of that day, and those implied by charts."""
    assets = ids_at(registry, SOURCE)
    done = {(row.asset, row.kind) for row in read_supplies(store) if row.source == SOURCE and row.observed_at >= due}
    readings = [one for reply in replies for _, _, parsed in reply.parsed for one in parsed.supplies]
    rows = [
        _row(assets[one.symbol], one, source=SOURCE)
        for one in readings
        if one.symbol in assets and (assets[one.symbol].slug, one.kind) not in done
    ]
    charts = [reply for reply in replies if reply.question.ask.dataset is Dataset.BARS]
    rows += [
        _row(registry.by_slug[reply.question.subject], one, source=IMPLIED)
        for reply in charts
        for call, answer, _ in reply.parsed
        for one in implied_supplies(call, answer)
    ]
    return write_supplies(store, run_id, rows).new if rows else 0


def write_facts(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Write the shipped facts that are not stored yet, none of them later than `due`; how many."""
    ids = live.asset_ids()
    stored = {(row.asset, row.observed_at) for row in read_supplies(live.store) if row.source == supply_facts.SOURCE}
    rows = [
        SupplyRow(
            asset=entry.slug,
            kind="circulating",
            origin="reported",
            source=supply_facts.SOURCE,
            observed_at=fact.day,
            amount=fact.tokens * 10 ** live.registry.by_slug[entry.slug].decimals,
        )
        for entry in supply_facts.load_supply_facts().token
        if entry.slug in ids and entry.slug in live.registry.by_slug
        for fact in entry.facts
        if fact.day <= due and (entry.slug, fact.day) not in stored
    ]
    return {"facts": write_supplies(live.store, run_id, rows).new if rows else 0}


def without_past(live: Live, now_us: int) -> dict[str, Asset]:
    """The assets, by CoinGecko's id, that have no reported reading older than two months."""
    provided = [row for row in read_supplies(live.store) if row.source != supply_facts.SOURCE]
    old = {row.asset for row in provided if to_us(row.observed_at) < now_us - NEW_US}
    return {coin: asset for coin, asset in ids_at(live.registry, SOURCE).items() if asset.slug not in old}


def _row(asset: Asset, one: SupplyObservation, *, source: str) -> SupplyRow:
    """A reading in base units, exact to what was reported."""
    return SupplyRow(
        asset=asset.slug,
        kind=one.kind,
        origin="reported",
        source=source,
        observed_at=from_us(one.observed_us),
        amount=int(Decimal(repr(one.tokens)).scaleb(asset.decimals)),
    )
