"""A fixing's entries in the quality ledger: sources that failed, venues not used, assets without a rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from indexer.live.collect import Collected
from indexer.live.context import Live
from indexer.live.fixed import Fixed
from indexer.live.quality_log import settle, write_rejects_noted
from indexer.reference import RateStatus, Verdict
from indexer.sources.identity import Mapped
from indexer.times import from_us

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
    found: dict[str, str] = {}
    for a, v in np.argwhere(fixed.rates.verdicts == verdict).tolist():
        subject = f"{fixed.venues[v]}/{fixed.assets[a]}"
        if subject in judged:
            price, rate = fixed.rates.venue_price[a, v], fixed.rates.rate[a]
            found[subject] = f"venue {price:.8g}, rate {rate:.8g}"
    return found


def _without_rate(fixed: Fixed) -> dict[str, str]:
    """Asset → status, for each that no venue stands behind."""
    found: dict[str, str] = {}
    for a, slug in enumerate(fixed.assets):
        status = RateStatus(int(fixed.rates.status[a]))
        if status >= RateStatus.CARRIED:
            age_h = fixed.rates.age_s[a] / 3600.0
            last = f"the last rate is {age_h:.1f} h old" if age_h > 0 else "there is no earlier rate"
            found[slug] = f"{status.name.lower()}: no venue gave a usable price; {last}"
    return found
