"""The fixing job: an hour of minutes from every venue → hourly bars, reference rates, and the quality log.

A rate is written only where a venue stood behind it (final, indicative, degraded); a carried, suspended or missing
one is an entry in the quality log, never a row. What the next fixing remembers of it is in the run's manifest, in the
archive beside the answers, so that the fixing can be computed again from there (`replay_fixing`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson

from indexer.errors import InputError, NotFoundError, SourceError, SourceUnavailable, VerificationError
from indexer.live.asking import Answered, exchanges_of, failing_sources, reasons_of
from indexer.live.audit import keep_answers, keep_manifest, read_exchange
from indexer.live.bars import hour_of, write_missing
from indexer.live.collect import Collected, collect_bars, constant_bars, hour_before, in_dollars, markets_of
from indexer.live.context import Live
from indexer.live.mapping import quote_fillers, quote_mappings
from indexer.live.quality_log import SOURCE_DOWN, settle
from indexer.reference.fixing import Fixings, Memory, fixing_rates, minute_cube
from indexer.reference.rules import FixingRules, Method, RateStatus, Verdict
from indexer.sources.base import Mapped
from indexer.sources.http import reason_of
from indexer.sources.records import Bars
from indexer.sources.registry import REGISTRY
from indexer.store.archive import Archive
from indexer.store.db import Store
from indexer.store.rates import write_rates
from indexer.store.runs import last_run_before
from indexer.times import HOUR_US, from_us, to_us

KIND: Final = "fixing"
PUBLISHED: Final = (RateStatus.FINAL, RateStatus.INDICATIVE, RateStatus.DEGRADED)
ENTRIES: Final = {Verdict.STALE: "stale", Verdict.OUTLIER: "outlier", Verdict.NO_DATA: "no_data"}


@dataclass(frozen=True, slots=True)
class AssetMemory:
    """One asset at a fixing: venues that were outliers, the partition medians, the last rate and its age then.

    What was not known is NaN, or None where it came back from JSON.
    """

    out: Sequence[str]
    recent: Sequence[float | None]
    rate: float | None
    age_s: float | None


NEW: Final = AssetMemory((), (None,) * FixingRules().partitions, None, None)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A fixing's instant, its assets by slug, and the last dollar rate of each quote currency with its instant.

    By name, so that it survives a restart and a changed registry.
    """

    at_us: int | None = None
    assets: Mapping[str, AssetMemory] = field(default_factory=dict)
    quotes: Mapping[str, tuple[int, float]] = field(default_factory=dict)

    def memory(self, assets: Sequence[str], venues: Sequence[str], *, at_us: int) -> Memory | None:
        """The memory for a fixing of these assets and venues at an instant; None when nothing is remembered."""
        if self.at_us is None or not self.assets:
            return None
        known = [self.assets.get(slug, NEW) for slug in assets]
        return Memory(
            out=np.array([[venue in asset.out for venue in venues] for asset in known], dtype=np.bool_),
            recent=np.array([asset.recent for asset in known], dtype=np.float64),
            rate=np.array([asset.rate for asset in known], dtype=np.float64),
            age_s=np.array([asset.age_s for asset in known], dtype=np.float64) + (at_us - self.at_us) / 1e6,
        )

    def last_rates(self) -> dict[str, Bars]:
        """The quote currencies' last rates, as `collect_bars` carries them."""
        return {quote: constant_bars(rate, np.array([at_us])) for quote, (at_us, rate) in self.quotes.items()}


def from_plain(plain: Mapping[str, Any]) -> Remembered:
    """The memory as JSON gave it back."""
    assets = {slug: AssetMemory(**asset) for slug, asset in plain["assets"].items()}
    return Remembered(plain["at_us"], assets, plain["quotes"])


@dataclass(frozen=True, slots=True)
class Fixed:
    """One fixing: which assets and venues (the axes), and what came of them."""

    at_us: int
    assets: tuple[str, ...]
    venues: tuple[str, ...]
    rates: Fixings

    def remember(self, quotes: Mapping[str, Bars]) -> Remembered:
        """What the next fixing is to know, with the quote currencies' rates."""
        rates = self.rates
        assets = {
            slug: AssetMemory(
                out=[venue for v, venue in enumerate(self.venues) if rates.out[a, v]],
                recent=rates.partitions[a].tolist(),
                rate=float(rates.rate[a]),
                age_s=float(rates.age_s[a]),
            )
            for a, slug in enumerate(self.assets)
        }
        last = {quote: (int(bars.time_us[-1]), float(bars.close[-1])) for quote, bars in quotes.items() if len(bars)}
        return Remembered(self.at_us, assets, last)


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


def fix(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Make the fixing due at an instant; what the run log keeps of it.

    Raises SourceUnavailable when no venue gave anything for any asset, naming each and why.
    """
    at_us, rows = to_us(due), live.venues()
    quotes = sorted({row.quote for row in rows})
    asked = (*rows, *quote_mappings(quotes, live.sources), *quote_fillers(quotes, live.sources))
    before = remembered_before(live, due)
    last = before.last_rates()
    got = live.upstream.run(lambda http: collect_bars(asked, live.sources, http, at_us=at_us, last_rates=last))
    down = _note_sources(live, run_id, got)
    if not got.bars.keys() - {row.quote for row in rows}:
        raise SourceUnavailable(f"no venue gave a price for the fixing. {reasons_of(down) or 'No minute was traded.'}")
    fixed = compute(rows, got.bars, memory=before, at_us=at_us, rules=live.rules)
    ids = live.asset_ids()
    bars = evidence(rows, got, at_us=at_us)
    write_missing(live.store, run_id, bars, live.sources, interval="1h")
    rates = write_fixed(live.store, run_id, fixed, rows, ids=ids)
    _note_fixing(live, run_id, fixed, got)
    exchanges = exchanges_of(got.replies)
    manifest = {
        "kind": KIND,
        "at_us": at_us,
        "mapped": asked,
        "rules": live.rules,
        "before": before,
        "after": fixed.remember(got.rates),
        "exchanges": keep_answers(live, run_id, exchanges),
    }
    return {
        "manifest": keep_manifest(live, run_id, manifest),
        "rates": rates,
        "bars": len(bars),
        "answers": len(exchanges),
        "failed_sources": sorted(down),
    }


@dataclass(frozen=True, slots=True)
class Refixed:
    """A fixing computed again, with what it was computed from: rows asked for, minutes, rules."""

    fixed: Fixed
    rows: tuple[Mapped, ...]
    got: Collected
    rules: FixingRules


def replay_fixing(archive: Archive, manifest: str) -> Refixed:
    """The fixing whose manifest has this hash, computed again from the archived answers of the day.

    The same code reads the same bytes, so the rates are the same to the last bit. Raises NotFoundError or
    VerificationError when bytes are gone or damaged, InputError for another kind of manifest.
    """
    record = orjson.loads(archive.get(manifest))
    if record.get("kind") != KIND:
        raise InputError(f"{manifest[:12]}… is not the manifest of a fixing but of {record.get('kind')!r}")
    asked = [Mapped(**row) for row in record["mapped"]]
    sources = {row.source: REGISTRY[row.source]() for row in asked}
    answers: dict[tuple[str, str], list[Answered]] = {}
    for exchange in record["exchanges"]:
        with suppress(SourceError):  # refused by today's parser: the rates will differ
            call, answer, parsed = read_exchange(exchange, archive, sources)
            answers.setdefault((call.source, call.ask.symbol), []).append((call, answer, parsed))
    before, at_us = from_plain(record["before"]), record["at_us"]
    markets = markets_of(asked, [answers.get((row.source, row.symbol), []) for row in asked])
    got = in_dollars(markets, hour_before(at_us), last=before.last_rates())
    quotes = {row.quote for row in asked}
    rows = tuple(row for row in asked if row.asset not in quotes)
    then = {"pair_theta": record["rules"]["theta"], "aligned": False, **record["rules"]}  # neither was there at first
    rules = FixingRules(**{**then, "method": Method(then["method"])})
    return Refixed(compute(rows, got.bars, memory=before, at_us=at_us, rules=rules), rows, got, rules)


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
    hours = [(row, got.bars.get(row.asset, {}).get(row.source)) for row in rows]
    return [(row, hour_of(minutes, at_us)) for row, minutes in hours if minutes is not None and len(minutes)]


def write_fixed(store: Store, run_id: int, fixed: Fixed, rows: Sequence[Mapped], *, ids: Mapping[str, int]) -> int:
    """Write the rates that a venue stands behind, each with its verdicts; how many. `ids` are the assets' by slug."""
    rates = fixed.rates
    listed = {(row.asset, row.source) for row in rows}
    stored = np.flatnonzero(np.isin(rates.status, PUBLISHED) & np.isfinite(rates.rate))
    if len(stored):
        write_rates(
            store,
            run_id,
            asset_id=np.array([ids[fixed.assets[a]] for a in stored], dtype=np.int64),
            time_us=np.full(len(stored), fixed.at_us, dtype=np.int64),
            rate=rates.rate[stored],
            status=rates.status[stored].astype(np.int8),
            method=rates.method,
            verdicts=[_verdicts(fixed, a, listed) for a in stored.tolist()],
        )
    return len(stored)


def _verdicts(fixed: Fixed, asset: int, listed: set[tuple[str, str]]) -> str:
    words = {
        venue: Verdict(int(fixed.rates.verdicts[asset, v])).name.lower()
        for v, venue in enumerate(fixed.venues)
        if (fixed.assets[asset], venue) in listed
    }
    return json.dumps(words, separators=(",", ":"))


def _note_sources(live: Live, run_id: int, got: Collected) -> dict[str, str]:
    """Open what could not be had, close what answers again; the sources that gave nothing at all, with why.

    Of a source that answered otherwise, the symbols that failed are entered. The instant is when we noticed.
    """
    down = failing_sources(got.replies)
    symbols = {
        f"{reply.question.source}/{reply.question.subject}": reason_of(reply.error)
        for reply in got.replies
        if reply.error is not None and not reply.parsed and reply.question.source not in down
    }
    asked = {reply.question.source for reply in got.replies}
    wrong = {**down, **symbols, **got.unpriced}
    settle(live, run_id, SOURCE_DOWN, wrong, concerns=lambda subject: subject.partition("/")[0] in asked)
    return down


def _note_fixing(live: Live, run_id: int, fixed: Fixed, got: Collected) -> None:
    """Settle the entries about venues and assets at this fixing."""
    at = from_us(fixed.at_us)
    answered = {(reply.question.source, reply.question.subject) for reply in got.replies if reply.parsed}
    known = {f"{venue}/{slug}" for slug in fixed.assets for venue in fixed.venues}
    for verdict, kind in ENTRIES.items():
        wrong = _with_verdict(fixed, verdict, answered) | dict(got.stale if kind == "stale" else {})
        settle(live, run_id, kind, wrong, concerns=lambda subject: subject in known or "/" not in subject, at=at)
    settle(live, run_id, "no_rate", _without_rate(fixed), concerns=fixed.assets.__contains__, at=at)


def _with_verdict(fixed: Fixed, verdict: Verdict, answered: set[tuple[str, str]]) -> dict[str, str]:
    """`venue/asset` → what was seen, for each that got this verdict and answered at all."""
    texts: dict[str, str] = {}
    for a, v in np.argwhere(fixed.rates.verdicts == verdict).tolist():
        venue, asset = fixed.venues[v], fixed.assets[a]
        if (venue, asset) in answered:
            texts[f"{venue}/{asset}"] = f"venue {fixed.rates.venue_price[a, v]:.8g}, rate {fixed.rates.rate[a]:.8g}"
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
