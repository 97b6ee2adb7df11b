"""The venues' minutes before an instant, in dollars: a venue that fails costs its own verdict, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from indexer.arrays import I64
from indexer.live.asking import Answered, Question, Reply, ask_each
from indexer.live.mapping import QUOTE_MARKETS
from indexer.reference.bars import conversion_rate
from indexer.registry.records import AT_PAR, DOLLAR
from indexer.sources.base import Answering, Ask, Dataset, Mapped
from indexer.sources.http import HttpClient
from indexer.sources.records import Bars, in_usd, join_bars
from indexer.times import HOUR_US, MINUTE_US

MAX_CARRIED_US: Final = 2 * HOUR_US
AGGREGATORS: Final = ("defillama", "coingecko")  # they contain the markets, so they stand in and never beside them
Markets = Sequence[tuple[Mapped, Bars]]


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """Dollar bars by asset and source, and our own dollar rates of the quote currencies used.

    `stale` says of a quote currency why its rate is a stand-in, `unpriced` of a `source/asset` that it has none.
    """

    bars: Mapping[str, Mapping[str, Bars]]
    rates: Mapping[str, Bars]
    stale: Mapping[str, str]
    unpriced: Mapping[str, str]
    replies: tuple[Reply, ...] = ()


async def collect_bars(
    mapped: Sequence[Mapped],
    sources: Mapping[str, Answering],
    http: HttpClient,
    *,
    at_us: int,
    last_rates: Mapping[str, Bars],
) -> Collected:
    """The last 60 minutes before an instant from every source of every mapped asset, in dollars (`in_dollars`).

    Aggregators mapped to a quote currency are asked one after the other while none of its markets answered. Never
    raises for a source that fails.
    """
    known = [row for row in mapped if row.source in sources]
    rows = [row for row in known if row.source not in AGGREGATORS]
    replies = await ask_each([_question(row, at_us - HOUR_US, at_us, "1m") for row in rows], sources, http)
    markets = markets_of(rows, [reply.parsed for reply in replies])
    for row in known:
        priced = {market.asset for market, _ in markets if market.quote == DOLLAR}
        if row.source in AGGREGATORS and row.asset not in priced:
            replies += await ask_each([_question(row, at_us - MAX_CARRIED_US, at_us, "1h")], sources, http)
            markets += markets_of([row], [replies[-1].parsed])
    return replace(in_dollars(markets, hour_before(at_us), last=last_rates), replies=tuple(replies))


def in_dollars(markets: Markets, grid: I64, *, last: Mapping[str, Bars]) -> Collected:
    """Bars at the instants of `grid` in dollars, by our own rates of the quote currencies. Pure.

    A currency's rate is made of the markets in USD of its own asset, which is called like it. Where there is none, an
    aggregator's price of the currency stands in, then the `last` rate of a dollar coin (the `rates` of the hour before)
    for two hours. Bars without any rate are left out.
    """
    venues = [(row, bars) for row, bars in markets if row.source not in AGGREGATORS]
    quotes = QUOTE_MARKETS.keys() & {name for row, _ in venues for name in (row.quote, row.asset)}
    rates = _quote_rates(venues, quotes, grid)
    stale: dict[str, str] = {}
    for row, bars in markets:
        if row.source in AGGREGATORS and row.asset not in rates:
            rates[row.asset], price = constant_bars(bars.close[-1], grid), f"{row.source}'s price of it"
            stale[row.asset] = f"{row.asset} at {price}, {bars.close[-1]:.6g}: none of its markets answered"
    carried = {
        quote: last[quote]
        for quote in sorted((quotes & AT_PAR & last.keys()) - rates.keys())
        if int(grid[-1]) - last[quote].time_us[-1] <= MAX_CARRIED_US
    }
    stale |= {quote: f"{quote} at our last rate of it, {bars.close[-1]:.6g}" for quote, bars in carried.items()}
    used = rates | {quote: constant_bars(bars.close[-1], grid) for quote, bars in carried.items()}
    dollars: dict[str, dict[str, Bars]] = {}
    unpriced: dict[str, str] = {}
    for row, bars in venues:
        if row.quote == DOLLAR or row.quote in used:
            usd = bars if row.quote == DOLLAR else in_usd(bars, used[row.quote])
            dollars.setdefault(row.asset, {})[row.source] = usd
        else:
            text = f"{row.symbol} is in {row.quote}, of which there is no rate of ours in this hour"
            unpriced[f"{row.source}/{row.asset}"] = text
    return Collected(dollars, rates | carried, stale, unpriced)  # the carried keep their age


def hour_before(at_us: int) -> I64:
    """The 60 minutes that close up to an instant."""
    return np.arange(at_us - HOUR_US, at_us, MINUTE_US) + MINUTE_US


def markets_of(rows: Sequence[Mapped], answers: Sequence[Sequence[Answered]]) -> list[tuple[Mapped, Bars]]:
    """The bars of each row whose answers, in the same order, brought any."""
    parts = [[bars for _, _, parsed in own if (bars := parsed.bars) is not None] for own in answers]
    joined = [(row, join_bars(own)) for row, own in zip(rows, parts, strict=True) if own]
    return [(row, bars) for row, bars in joined if len(bars)]


def _question(row: Mapped, start_us: int, at_us: int, interval: str) -> Question:
    ask = Ask(Dataset.BARS, (row.symbol,), start_us, at_us, at_us, interval, row.quote)
    return Question(row.asset, row.source, ask)


def _quote_rates(markets: Markets, quotes: Iterable[str], grid: I64) -> dict[str, Bars]:
    """Our own rate of each currency that has markets in dollars."""
    by_quote = {
        quote: {row.source: bars for row, bars in markets if row.asset == quote and row.quote == DOLLAR}
        for quote in quotes
    }
    return {quote: conversion_rate(by_source, grid) for quote, by_source in by_quote.items() if by_source}


def constant_bars(rate: float, grid: I64) -> Bars:
    """One rate held at the instants of `grid`. Such bars never enter a rate themselves: they only convert."""
    close, nothing = np.full(len(grid), rate), np.full(len(grid), np.nan)
    return Bars(grid, close, close, close, close, nothing, nothing)
