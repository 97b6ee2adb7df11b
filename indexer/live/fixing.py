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
from indexer.live.collect import Collected, collect_bars
from indexer.live.context import Live
from indexer.live.evidence import keep_answers, keep_manifest
from indexer.live.fixed import Fixed, compute
from indexer.live.fixing_ledger import failures_of, note_fixing, note_sources
from indexer.live.mapping import quote_mappings, venue_mappings
from indexer.live.memory import Remembered, from_plain, remember, to_plain
from indexer.reference import RateStatus, Verdict
from indexer.sources.base import Source
from indexer.sources.identity import Mapped
from indexer.sources.records import Bars
from indexer.store.db import Store
from indexer.store.read import last_run_before, read_bars
from indexer.store.write import write_rates
from indexer.times import HOUR_US, to_us

KIND: Final = "fixing"
PUBLISHED: Final = (RateStatus.FINAL, RateStatus.INDICATIVE, RateStatus.DEGRADED)


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
    fixed = compute(rows, got.bars, memory=before, at_us=at_us, rules=live.rules)
    ids = live.asset_ids()
    bars = write_evidence(live.store, run_id, evidence(rows, got, at_us=at_us), sources=live.sources, at_us=at_us)
    rates = write_fixed(live.store, run_id, fixed, rows, ids=ids)
    note_fixing(live, run_id, fixed, got=got, asked=asked)
    after = remember(fixed.rates, fixed.assets, fixed.venues, at_us=at_us, rates=got.rates)
    assets_of = {(row.source, row.symbol): row.asset for row in asked}
    answers = [(assets_of[call.source, call.ask.symbol], call, answer) for call, answer in got.answers]
    manifest = {
        "kind": KIND,
        "at_us": at_us,
        "mapped": [asdict(row) for row in asked],
        "rules": asdict(live.rules),
        "before": to_plain(before),
        "after": to_plain(after),
        "exchanges": keep_answers(live, run_id, answers),
    }
    return {
        "manifest": keep_manifest(live, run_id, manifest),
        "rates": rates,
        "bars": bars,
        "answers": len(got.answers),
        "failed_sources": sorted(failures.sources),
    }


def remembered_before(live: Live, due: datetime) -> Remembered:
    """What the newest fixing before an instant left; nothing when there was none or its manifest is gone."""
    run = last_run_before(live.store, KIND, due)
    if run is None or "manifest" not in run.detail:
        return Remembered()
    try:
        return from_plain(orjson.loads(live.archive.get(run.detail["manifest"]))["after"])
    except (NotFoundError, VerificationError):
        return Remembered()


def evidence(rows: Sequence[Mapped], got: Collected, *, at_us: int) -> list[tuple[Mapped, Bars]]:
    """Each venue's hour as one bar, at whole hours only."""
    if at_us % HOUR_US:
        return []
    seen = [row for row in rows if len(got.bars.get(row.asset, {}).get(row.source, ()))]
    return [(row, _closing_at(joined(got.bars[row.asset][row.source]), at_us)) for row in seen]


def write_evidence(
    store: Store, run_id: int, bars: Sequence[tuple[Mapped, Bars]], *, sources: Mapping[str, Source], at_us: int
) -> int:
    """Write the bars that are not there yet; how many there are."""
    if not bars:
        return 0
    ids = listing_ids(store, [row for row, _ in bars], sources, interval="1h")
    parts = [(ids[row.asset, row.source], bar) for row, bar in bars]
    there = read_bars(store, listing_ids=list(ids.values()), since_us=at_us, until_us=at_us + 1)
    have = {int(number): np.array([at_us], dtype=np.int64) for number in there.listing_id}
    write_missing(store, run_id, parts, have)
    return len(parts)


def _closing_at(bar: Bars, at_us: int) -> Bars:
    """The bar of the whole hour: its close is the last trade's, true until the hour ends."""
    return Bars(
        np.array([at_us], dtype=np.int64), bar.open, bar.high, bar.low, bar.close, bar.volume_base, bar.volume_usd
    )


@dataclass(frozen=True, slots=True)
class FixedRow:
    """One rate of a fixing as it is stored."""

    asset: str
    rate: float
    status: int
    verdicts: str


def rate_rows(fixed: Fixed, rows: Sequence[Mapped]) -> list[FixedRow]:
    """The rates that a venue stands behind, with the verdict on each venue that lists the asset."""
    listed = {(row.asset, row.source) for row in rows}
    rate, status = fixed.rates.rate, fixed.rates.status
    return [
        FixedRow(slug, float(rate[a]), int(status[a]), _verdicts(fixed, a, listed))
        for a, slug in enumerate(fixed.assets)
        if status[a] in PUBLISHED and np.isfinite(rate[a])
    ]


def write_fixed(store: Store, run_id: int, fixed: Fixed, rows: Sequence[Mapped], *, ids: Mapping[str, int]) -> int:
    """Write the rates that a venue stands behind; how many. `ids` are the assets' by slug."""
    made = rate_rows(fixed, rows)
    if made:
        write_rates(
            store,
            run_id,
            asset_id=np.array([ids[one.asset] for one in made], dtype=np.int64),
            time_us=np.full(len(made), fixed.at_us, dtype=np.int64),
            rate=np.array([one.rate for one in made]),
            status=np.array([one.status for one in made], dtype=np.int8),
            method=fixed.rates.method,
            verdicts=[one.verdicts for one in made],
        )
    return len(made)


def _verdicts(fixed: Fixed, asset: int, listed: set[tuple[str, str]]) -> str:
    words = {
        venue: Verdict(int(fixed.rates.verdicts[asset, v])).name.lower()
        for v, venue in enumerate(fixed.venues)
        if (fixed.assets[asset], venue) in listed
    }
    return json.dumps(words, separators=(",", ":"))
