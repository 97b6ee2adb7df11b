"""The fixing job: an hour of minutes from every venue → hourly bars, reference rates, and the quality log.

A rate is written only where a venue stood behind it (final, indicative, degraded); a carried, suspended or missing
one is an entry in the quality log, never a row. The memory for the next fixing is in the run's manifest, in the
archive beside the answers, so that the fixing can be computed again from there (`live.replay`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson

from indexer.errors import NotFoundError, SourceUnavailable, VerificationError
from indexer.live.audit import keep_answers, keep_manifest
from indexer.live.bars import joined, listing_ids, write_missing
from indexer.live.collect import Collected, collect_bars
from indexer.live.context import Live
from indexer.live.mapping import quote_fillers, quote_mappings
from indexer.live.memory import Remembered, from_plain, remember
from indexer.live.quality_log import settle, write_rejects_noted
from indexer.reference.fixing import Fixings, fixing_rates, minute_cube
from indexer.reference.rules import FixingRules, RateStatus, Verdict
from indexer.sources.base import Mapped, Source
from indexer.sources.records import Bars
from indexer.store.bars import read_bars
from indexer.store.db import Store
from indexer.store.rates import write_rates
from indexer.store.runs import last_run_before
from indexer.times import HOUR_US, from_us, to_us


@dataclass(frozen=True, slots=True)
class Fixed:
    """One fixing: which assets and venues (the axes), and what came of them."""

    at_us: int
    assets: tuple[str, ...]
    venues: tuple[str, ...]
    rates: Fixings


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


KIND: Final = "fixing"
PUBLISHED: Final = (RateStatus.FINAL, RateStatus.INDICATIVE, RateStatus.DEGRADED)


def fix(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Make the fixing due at an instant; what the run log keeps of it.

    Raises SourceUnavailable when no venue gave anything for any asset, naming each and why.
    """
    at_us = to_us(due)
    rows = live.venues()
    quotes = sorted({row.quote for row in rows})
    asked = (*rows, *quote_mappings(quotes, live.sources))
    all_asked = (*asked, *quote_fillers(quotes, live.sources))
    before = remembered_before(live, due)
    last = before.last_rates()
    got = live.upstream.run(lambda http: collect_bars(all_asked, live.sources, http, at_us=at_us, last_rates=last))
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
    assets_of = {(row.source, row.symbol): row.asset for row in all_asked}
    answers = [(assets_of[call.source, call.ask.symbol], call, answer) for call, answer in got.answers]
    manifest = {
        "kind": KIND,
        "at_us": at_us,
        "mapped": all_asked,
        "rules": live.rules,
        "before": before,
        "after": after,
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
    stored = rate_rows(fixed, rows)
    if stored:
        write_rates(
            store,
            run_id,
            asset_id=np.array([ids[one.asset] for one in stored], dtype=np.int64),
            time_us=np.full(len(stored), fixed.at_us, dtype=np.int64),
            rate=np.array([one.rate for one in stored]),
            status=np.array([one.status for one in stored], dtype=np.int8),
            method=fixed.rates.method,
            verdicts=[one.verdicts for one in stored],
        )
    return len(stored)


def _verdicts(fixed: Fixed, asset: int, listed: set[tuple[str, str]]) -> str:
    words = {
        venue: Verdict(int(fixed.rates.verdicts[asset, v])).name.lower()
        for v, venue in enumerate(fixed.venues)
        if (fixed.assets[asset], venue) in listed
    }
    return json.dumps(words, separators=(",", ":"))


WORDS: Final = {Verdict.STALE: "stale", Verdict.OUTLIER: "outlier", Verdict.NO_DATA: "no_data"}


@dataclass(frozen=True, slots=True)
class Failures:
    """What could not be had: whole sources, and single symbols of sources that answered otherwise; with reasons."""

    sources: Mapping[str, str]
    symbols: Mapping[str, str]


def failures_of(asked: Sequence[Mapped], got: Collected) -> Failures:
    """Which sources gave nothing at all, and which `source/asset` failed alone.

    `collect_bars` notes one failure for each row that failed, in the order asked.
    """
    answered = {(call.source, call.ask.symbol) for call, _ in got.answers}
    texts: dict[str, list[str]] = {}
    for note in got.notes:
        if note.kind == "source_down" and "/" not in note.subject:
            texts.setdefault(note.subject, []).append(note.detail)
    alive = {source for source, _ in answered}
    sources = {source: said[0] for source, said in texts.items() if source not in alive}
    symbols: dict[str, str] = {}
    for row in asked:
        said = texts.get(row.source, [])
        if row.source in alive and (row.source, row.symbol) not in answered and said:
            symbols[f"{row.source}/{row.asset}"] = said.pop(0)
    unpriced = {note.subject: note.detail for note in got.notes if note.kind == "source_down" and "/" in note.subject}
    return Failures(sources, {**symbols, **unpriced})


def note_sources(live: Live, run_id: int, asked: Sequence[Mapped], failures: Failures) -> None:
    """Open what is down now, close what answers again. The instant is when we noticed, whatever was due."""
    venues = {row.source for row in asked}
    now = {**failures.sources, **failures.symbols}
    settle(
        live.store,
        run_id,
        kind="source_down",
        now=now,
        at=live.clock(),
        concerns=lambda subject: subject.partition("/")[0] in venues,
    )


def note_fixing(live: Live, run_id: int, fixed: Fixed, *, got: Collected, asked: Sequence[Mapped]) -> None:
    """Settle the entries about venues and assets at this fixing, and enter the refused rows."""
    at = from_us(fixed.at_us)
    write_rejects_noted(live.store, run_id, got.notes)
    answered = {(call.source, call.ask.symbol) for call, _ in got.answers}
    judged = {f"{row.source}/{row.asset}" for row in asked if (row.source, row.symbol) in answered}
    known = {f"{venue}/{slug}" for slug in fixed.assets for venue in fixed.venues}
    for verdict, kind in WORDS.items():
        now = _with_verdict(fixed, verdict, judged=judged)
        if kind == "stale":
            now |= {note.subject: note.detail for note in got.notes if note.kind == "stale"}
        settle(
            live.store,
            run_id,
            kind=kind,
            now=now,
            at=at,
            concerns=lambda subject: subject in known or "/" not in subject,
        )
    settle(
        live.store,
        run_id,
        kind="no_rate",
        now=_without_rate(fixed),
        at=at,
        concerns=lambda subject: subject in fixed.assets,
    )


def _with_verdict(fixed: Fixed, verdict: Verdict, *, judged: set[str]) -> dict[str, str]:
    """`venue/asset` → what was seen, for each that got this verdict and answered at all."""
    texts: dict[str, str] = {}
    for a, v in np.argwhere(fixed.rates.verdicts == verdict).tolist():
        subject = f"{fixed.venues[v]}/{fixed.assets[a]}"
        if subject in judged:
            price, rate = fixed.rates.venue_price[a, v], fixed.rates.rate[a]
            texts[subject] = f"venue {price:.8g}, rate {rate:.8g}"
    return texts


def _without_rate(fixed: Fixed) -> dict[str, str]:
    """Asset → status, for each that no venue stands behind."""
    texts: dict[str, str] = {}
    for a, slug in enumerate(fixed.assets):
        status = RateStatus(int(fixed.rates.status[a]))
        if status >= RateStatus.CARRIED:
            age_h = fixed.rates.age_s[a] / 3600.0
            last = f"the last rate is {age_h:.1f} h old" if age_h > 0 else "there is no earlier rate"
            texts[slug] = f"{status.name.lower()}: no venue gave a usable price; {last}"
    return texts
