"""All venues' minutes for one fixing, side by side: a venue that fails costs its own verdict, nothing else.

Place in the flow: scheduler → here → `reference.minute_cube` and `fixing_rates`. The caller archives the answers
and stores the notes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from indexer.arrays import I64
from indexer.errors import SourceError
from indexer.live.quality_log import reject_notes, source_note
from indexer.reference.bars import conversion_rate
from indexer.registry.records import AT_PAR
from indexer.sources.base import Answering, Ask, Call, Dataset, Mapped, ask_once
from indexer.sources.http import Answer, HttpClient
from indexer.sources.records import Bars, QualityNote, in_usd, join_bars
from indexer.times import HOUR_US, INTERVAL_US

MAX_CARRIED_US: Final = 2 * HOUR_US
AGGREGATORS: Final = ("defillama", "coingecko")  # they contain the markets, so they stand in and never beside them


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """What the venues gave: USD bars by asset and source, the answers they came in, and notes for the quality log.

    `rates` are our own USD rates of the quote currencies used.
    """

    bars: Mapping[str, Mapping[str, Bars]]
    rates: Mapping[str, Bars]
    answers: tuple[tuple[Call, Answer], ...]
    notes: tuple[QualityNote, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Got:
    mapped: Mapped
    bars: Bars | None
    answers: tuple[tuple[Call, Answer], ...]
    notes: tuple[QualityNote, ...]


async def collect_bars(
    mapped: Sequence[Mapped],
    sources: Mapping[str, Answering],
    http: HttpClient,
    *,
    at_us: int,
    bars: int = 60,
    interval: str = "1m",
    last_rates: Mapping[str, Bars] | None = None,
) -> Collected:
    """The last bars before an instant from every source of every mapped asset, converted to USD.

    A mapping in USDT (or another quote) is converted by our own rate, made of the mappings in USD of the quote's
    own asset, which is called like the quote.
    When none of those answers, aggregators mapped to the quote are asked, one after the other, for its price of the
    hour; then the last of `last_rates` (the `rates` of the hour before) serves for two hours. Both with a note; without
    any rate the bars are left out, with a note. Never raises for a source that fails.
    """
    start_us = at_us - bars * INTERVAL_US[interval]
    known = [row for row in mapped if row.source in sources]
    wanted = [
        (row, Ask(Dataset.BARS, (row.symbol,), start_us, at_us, at_us, interval, row.quote))
        for row in known
        if row.source not in AGGREGATORS
    ]
    got = list(await asyncio.gather(*(_one(row, ask, sources[row.source], http) for row, ask in wanted)))
    grid = np.arange(start_us, at_us + 1, INTERVAL_US[interval], dtype=np.int64)[1:]
    rates = _quote_rates(got, grid)
    notes = [note for one in got for note in one.notes]
    for row in known:
        if row.source in AGGREGATORS and row.asset not in rates:
            hours = Ask(Dataset.BARS, (row.symbol,), at_us - MAX_CARRIED_US, at_us, at_us, "1h", row.quote)
            got.append(stand_in := await _one(row, hours, sources[row.source], http))
            if stand_in.bars is not None:
                price = float(stand_in.bars.close[-1])
                rates[row.asset] = _constant(price, grid)
                text = f"{row.asset} at {row.source}'s price of it, {price:.6g}: none of its markets answered"
                notes.append(QualityNote("stale", row.asset, int(stand_in.bars.time_us[-1]), at_us, text))
    carried, stale = _carried_rates(rates, last_rates or {}, {one.mapped.quote for one in got}, grid)
    notes += stale
    used = rates | {quote: _constant(float(last.close[-1]), grid) for quote, last in carried.items()}
    in_dollars, without = _in_usd(got, used, start_us, at_us)
    notes += without
    answers = tuple(pair for one in got for pair in one.answers)
    return Collected(in_dollars, rates | carried, answers, tuple(notes))  # the carried keep their age


def _in_usd(
    got: Sequence[_Got], used: Mapping[str, Bars], start_us: int, at_us: int
) -> tuple[dict[str, dict[str, Bars]], list[QualityNote]]:
    """USD bars by asset and source; a note for each whose quote has no rate."""
    in_dollars: dict[str, dict[str, Bars]] = {}
    notes: list[QualityNote] = []
    for one in got:
        row = one.mapped
        if one.bars is None or row.source in AGGREGATORS:
            continue
        if row.quote != "USD" and row.quote not in used:
            text = f"{row.symbol} is in {row.quote}, of which there is no rate of ours in this hour"
            notes.append(QualityNote("source_down", f"{row.source}/{row.asset}", start_us, at_us, text))
            continue
        usd = one.bars if row.quote == "USD" else in_usd(one.bars, used[row.quote])
        in_dollars.setdefault(row.asset, {})[row.source] = usd
    return in_dollars, notes


def _carried_rates(
    rates: Mapping[str, Bars], last_rates: Mapping[str, Bars], quotes: set[str], grid: I64
) -> tuple[dict[str, Bars], list[QualityNote]]:
    """What an earlier hour knew of the dollar coins that have no rate now, with its own instants; and the notes."""
    carried: dict[str, Bars] = {}
    notes: list[QualityNote] = []
    at_us = int(grid[-1])
    for quote in sorted((quotes & AT_PAR) - rates.keys()):
        last = last_rates.get(quote)
        if last is not None and len(last) and at_us - last.time_us[-1] <= MAX_CARRIED_US:
            carried[quote] = last
            text = f"{quote} at our last rate of it, {last.close[-1]:.6g}"
            notes.append(QualityNote("stale", quote, int(last.time_us[-1]), at_us, text))
    return carried, notes


def _quote_rates(got: Sequence[_Got], grid: I64) -> dict[str, Bars]:
    rates: dict[str, Bars] = {}
    for quote in {one.mapped.quote for one in got} - {"USD"}:
        markets = {
            one.mapped.source: one.bars
            for one in got
            if one.mapped.asset == quote and one.mapped.quote == "USD" and one.bars is not None and len(one.bars)
        }
        if markets:
            rates[quote] = conversion_rate(markets, grid)
    return rates


def _constant(rate: float, grid: I64) -> Bars:
    """One carried rate over the hour. Its bars never enter a rate themselves: they only convert."""
    close, nothing = np.full(len(grid), rate), np.full(len(grid), np.nan)
    return Bars(grid, close, close, close, close, nothing, nothing)


async def _one(row: Mapped, ask: Ask, source: Answering, http: HttpClient) -> _Got:
    """One source's bars of one asset; a failed call leaves the others of the same range standing."""
    parts: list[Bars] = []
    answers: list[tuple[Call, Answer]] = []
    notes: list[QualityNote] = []
    for call in source.calls(ask):
        try:
            answer, parsed = await ask_once(source, call, http)
        except SourceError as cause:
            notes.append(source_note(call, cause))
            continue
        answers.append((call, answer))
        notes += reject_notes(row.asset, call, parsed, at_us=answer.fetched_us)
        if parsed.bars is not None and len(parsed.bars):
            parts.append(parsed.bars)
    return _Got(row, join_bars(parts) if parts else None, tuple(answers), tuple(notes))
