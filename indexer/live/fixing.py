"""The fixing job: an hour of minutes from every venue → evidence, reference rates, and the ledger.

A rate is written only where a venue stood behind it (final, indicative, degraded); a carried, suspended or missing
one is an entry in the quality ledger, never a row. The memory for the next fixing is in the run's manifest, in the
archive beside the answers, so that the fixing can be computed again from there (`live.replay`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson

from indexer.errors import NotFoundError, SourceUnavailable, VerificationError
from indexer.live.bars import joined, listing_ids, write_missing
from indexer.live.context import Live
from indexer.live.evidence import keep_answers, keep_manifest
from indexer.live.fixing_ledger import failures_of, note_fixing, note_sources
from indexer.live.mapping import quote_mappings, venue_mappings
from indexer.live.memory import Remembered, from_plain, remember, to_plain
from indexer.records import Bars
from indexer.reference import FixingRules, Fixings, RateStatus, Verdict, fixing_rates, minute_cube
from indexer.sources.collect import Collected, collect_bars
from indexer.sources.identity import Mapped
from indexer.store.read import last_run_before, read_bars
from indexer.store.write import write_rates
from indexer.times import HOUR_US, to_us

KIND: Final = "fixing"
PUBLISHED: Final = (RateStatus.FINAL, RateStatus.INDICATIVE, RateStatus.DEGRADED)


@dataclass(frozen=True, slots=True)
class Fixed:
    """One fixing: which assets and venues (the axes), and what came of them."""

    at_us: int
    assets: tuple[str, ...]
    venues: tuple[str, ...]
    rates: Fixings


def fix(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Make the fixing due at an instant; what the ledger of runs keeps of it.

    Raises SourceUnavailable when no venue gave anything for any asset, naming each and why.
    """
    at_us = to_us(due)
    rows = venue_mappings(live.registry, live.sources)
    asked = (*rows, *quote_mappings(rows, live.sources))
    before = remembered_before(live, due)
    last = before.last_rates()
    got = live.upstream.run(lambda http: collect_bars(asked, live.sources, http, at_us=at_us, last_rates=last))
    failures = failures_of(asked, got)
    note_sources(live, run_id, asked, failures)
    if not got.bars.keys() - {row.quote for row in rows}:
        reasons = "; ".join(f"{source}: {text}" for source, text in sorted(failures.sources.items()))
        raise SourceUnavailable(f"no venue gave a price for the fixing. {reasons or 'No minute was traded.'}")
    fixed = compute(rows, got.bars, memory=before, at_us=at_us)
    bars = write_evidence(live, run_id, rows, got=got, at_us=at_us)
    rates = write_fixed(live, run_id, fixed, rows)
    note_fixing(live, run_id, fixed, got=got, asked=asked)
    after = remember(fixed.rates, fixed.assets, fixed.venues, at_us=at_us, rates=got.rates)
    manifest = {
        "kind": KIND,
        "at_us": at_us,
        "mapped": [asdict(row) for row in asked],
        "rules": asdict(FixingRules()),
        "before": to_plain(before),
        "after": to_plain(after),
        "exchanges": keep_answers(live, run_id, got.answers),
    }
    return {
        "manifest": keep_manifest(live, run_id, manifest),
        "rates": rates,
        "bars": bars,
        "answers": len(got.answers),
        "failed_sources": sorted(failures.sources),
    }


def compute(
    rows: Sequence[Mapped],
    bars: Mapping[str, Mapping[str, Bars]],
    *,
    memory: Remembered,
    at_us: int,
    rules: FixingRules = FixingRules(),
) -> Fixed:
    """The rates of every mapped asset from the venues' minutes. Pure."""
    assets = tuple(dict.fromkeys(row.asset for row in rows))
    venues = tuple(dict.fromkeys(row.source for row in rows))
    prices, values = minute_cube([bars.get(slug, {}) for slug in assets], venues, at_us=at_us)
    rates = fixing_rates(prices, values, rules=rules, memory=memory.memory(assets, venues, at_us=at_us))
    return Fixed(at_us, assets, venues, rates)


def remembered_before(live: Live, due: datetime) -> Remembered:
    """What the newest fixing before an instant left; nothing when there was none or its manifest is gone."""
    run = last_run_before(live.store, KIND, due)
    if run is None or "manifest" not in run.detail:
        return Remembered()
    try:
        return from_plain(orjson.loads(live.archive.get(run.detail["manifest"]))["after"])
    except (NotFoundError, VerificationError):
        return Remembered()


def write_evidence(live: Live, run_id: int, rows: Sequence[Mapped], *, got: Collected, at_us: int) -> int:
    """Write each venue's hour as one bar, at whole hours only; how many there are."""
    if at_us % HOUR_US:
        return 0
    live.asset_ids()
    seen = [row for row in rows if len(got.bars.get(row.asset, {}).get(row.source, ()))]
    ids = listing_ids(live.store, seen, live.sources, interval="1h")
    parts = []
    for row in seen:
        hour = joined(got.bars[row.asset][row.source])
        parts.append((ids[row.asset, row.source], _closing_at(hour, at_us)))
    there = read_bars(live.store, listing_ids=list(ids.values()), since_us=at_us, until_us=at_us + 1)
    have = {int(number): np.array([at_us], dtype=np.int64) for number in there.listing_id}
    write_missing(live.store, run_id, parts, have)
    return len(parts)


def _closing_at(bar: Bars, at_us: int) -> Bars:
    """The bar of the whole hour: its close is the last trade's, true until the hour ends."""
    return Bars(
        np.array([at_us], dtype=np.int64), bar.open, bar.high, bar.low, bar.close, bar.volume_base, bar.volume_usd
    )


def write_fixed(live: Live, run_id: int, fixed: Fixed, rows: Sequence[Mapped]) -> int:
    """Write the rates that a venue stands behind, with the verdict on each venue that lists the asset; how many."""
    ids = live.asset_ids()
    status = fixed.rates.status
    good = [a for a in range(len(fixed.assets)) if status[a] in PUBLISHED and np.isfinite(fixed.rates.rate[a])]
    if good:
        listed = {(row.asset, row.source) for row in rows}
        write_rates(
            live.store,
            run_id,
            asset_id=np.array([ids[fixed.assets[a]] for a in good], dtype=np.int64),
            time_us=np.full(len(good), fixed.at_us, dtype=np.int64),
            rate=fixed.rates.rate[good],
            status=status[good],
            method=fixed.rates.method,
            verdicts=[_verdicts(fixed, a, listed) for a in good],
        )
    return len(good)


def _verdicts(fixed: Fixed, asset: int, listed: set[tuple[str, str]]) -> str:
    words = {
        venue: Verdict(int(fixed.rates.verdicts[asset, v])).name.lower()
        for v, venue in enumerate(fixed.venues)
        if (fixed.assets[asset], venue) in listed
    }
    return json.dumps(words, separators=(",", ":"))
