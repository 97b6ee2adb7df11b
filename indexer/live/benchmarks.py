"""The benchmark job: daily and hourly closes, each from the first two sources that give them, and policy rates.

Closes come from the first source of the list that answers; the second fills the sessions that it lacks, and where
both have one and differ, the data-quality log says so. A split or a dividend changes all earlier closes of a source:
when they differ from what is stored, the whole history is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from indexer.errors import SourceCorrupt, SourceUnavailable
from indexer.live.asking import Question, Reply, ask_all, keep_replies
from indexer.live.context import Live
from indexer.live.quality_log import settle
from indexer.sources.base import Ask, Dataset
from indexer.sources.records import BenchmarkBars
from indexer.store.assets import ensure_benchmarks
from indexer.store.bars import read_benchmark_closes, write_benchmark_bars, write_metrics
from indexer.store.db import Store
from indexer.store.rows import BenchmarkColumns, BenchmarkRow, MetricSeries
from indexer.times import DAY_US, parse_instant, to_us


@dataclass(frozen=True, slots=True)
class Followed:
    """A benchmark with the sources of its closes in the order they are asked, and its symbol at each."""

    row: BenchmarkRow
    daily: Mapping[str, str]
    hourly: Mapping[str, str]

    def sources(self, interval: str) -> Mapping[str, str]:
        """Source → symbol there, for daily or hourly closes."""
        return self.daily if interval == "1d" else self.hourly


def _equity(symbol: str, name: str, kind: str = "equity") -> Followed:
    row = BenchmarkRow(symbol, name, kind)
    return Followed(row, dict.fromkeys(("cboe", "nasdaq", "yahoo", "yfinance"), symbol), _intraday(symbol))


def _index(symbol: str, name: str, series: str, *, cboe: bool = True) -> Followed:
    first = {"cboe": symbol} if cboe else {}
    return Followed(
        BenchmarkRow(symbol, name, "equity_index"),
        {**first, "fred": series, "yahoo": symbol, "yfinance": symbol},
        _intraday(symbol),
    )


def _future(symbol: str, name: str) -> Followed:
    return Followed(BenchmarkRow(symbol, name, "future"), _intraday(symbol), _intraday(symbol))


def _intraday(symbol: str) -> Mapping[str, str]:
    return {"yahoo": symbol, "yfinance": symbol}


FOLLOWED: Final = (
    _equity("QQQ", "Invesco QQQ Trust", "etf"),
    _index("^NDX", "Nasdaq-100", "NASDAQ100"),
    _equity("NVDA", "NVIDIA"),
    _equity("SMH", "VanEck Semiconductor ETF", "etf"),
    _index("^GSPC", "S&P 500", "SP500"),
    _index("^VIX", "Cboe Volatility Index", "VIXCLS"),
    _index("^IXIC", "Nasdaq Composite", "NASDAQCOM", cboe=False),
    _equity("SPY", "SPDR S&P 500 ETF Trust", "etf"),
    _equity("SOXX", "iShares Semiconductor ETF", "etf"),
    _equity("MSFT", "Microsoft"),
    _equity("GOOGL", "Alphabet"),
    _equity("META", "Meta Platforms"),
    _equity("AMZN", "Amazon"),
    _equity("AMD", "Advanced Micro Devices"),
    _equity("AVGO", "Broadcom"),
    _equity("TSM", "Taiwan Semiconductor"),
    _future("NQ=F", "E-mini Nasdaq-100 future"),
)
# Rates a year in percent at FRED, kept as metrics of `us`: they are not prices.
POLICY_RATES: Final = {"DFF": "fed_funds_percent", "DGS10": "treasury_10y_percent"}

SINCE_US: Final = parse_instant("2022-10-01")  # a quarter before the index's base
REACH_US: Final = {"1d": 50 * 365 * DAY_US, "1h": 59 * DAY_US}  # how far back a first question goes
DAILY, HOURLY = INTERVALS = ("1d", "1h")
OVERLAP_US: Final = 10 * DAY_US  # asked for again each time: late corrections, and adjusted closes to compare
APART: Final = 0.002  # index closes of two sources
SAME: Final = 1e-5  # below, a difference is the provider's rounding

SPLIT: Final = 0.01  # above, a stored close is stated otherwise now
AT_ONCE: Final = 2  # sources a benchmark: one is taken, the other checks it

Key = tuple[str, str]
"""Symbol and interval of a benchmark."""
Closes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Stored instants, closes and adjusted closes."""
Answers = dict[str, BenchmarkBars]
"""Source → its bars, in the order of preference."""
Stored = Mapping[Key, Closes]


def refresh(
    live: Live, due: datetime, run_id: int, *, intervals: Sequence[str] = INTERVALS, only: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Bring the benchmarks of these intervals up to date, and with daily ones the policy rates; what the run log keeps.

    `only` some symbols where they are named. `owed` are those that no source gave, although one may another time.
    Raises SourceUnavailable when no source answered.
    """
    end_us = to_us(due)
    stored = {key: known for key, known in _stored(live.store, intervals).items() if not only or key[0] in only}
    wanted = [series for series in POLICY_RATES if DAILY in intervals and (not only or series in only)]
    rates = ask_all(
        live, [Question("us", "fred", _ask(series, DAILY, end_us - 40 * DAY_US, end_us)) for series in wanted]
    )
    replies = list(rates)
    answers = _ask_in_turn(
        live, {key: _start_us(known, key[1], end_us) for key, known in stored.items()}, end_us, replies
    )
    restated = {key: SINCE_US for key, bars in answers.items() if _restated(bars, stored[key])}
    _ask_in_turn(live, restated, end_us, replies)
    written, apart = write_answers(live.store, run_id, replies)
    down = keep_replies(live, run_id, replies, what="any benchmark")
    if DAILY in intervals:
        _note_differences(live, run_id, apart)
    return {"written": written, "failed_sources": sorted(down), "owed": _owed(replies)}


def _owed(replies: Sequence[Reply]) -> list[str]:
    """The symbols of which no source gave a close, where one failed that may give it another time."""
    given = {_name(reply) for reply in replies if any(_closes(reply))}
    failed = {_name(reply) for reply in replies if isinstance(reply.error, SourceUnavailable | SourceCorrupt)}
    return sorted(failed - given)


def _name(reply: Reply) -> str:
    """What a reply is about: a policy rate by its series, else the benchmark."""
    series = reply.question.ask.symbol
    return series if series in POLICY_RATES else reply.question.subject


def write_answers(store: Store, run_id: int, replies: Sequence[Reply]) -> tuple[int, dict[str, str]]:
    """Write the closes and policy rates that are new or differ; how many, and what differs by `source/symbol`."""
    ids = ensure_benchmarks(store, [followed.row for followed in FOLLOWED])
    stored = _stored(store)
    written = 0
    apart: dict[str, str] = {}
    for (symbol, interval), answers in _answers_of(replies, stored).items():
        known = stored[symbol, interval]
        there = known[0]
        for source, bars in answers.items():
            fresh = bars if source == next(iter(answers)) else _take(bars, ~np.isin(bars.time_us, there))
            written += _write(store, run_id, fresh, number=ids[symbol], interval=interval, source=source, known=known)
            there = np.union1d(there, bars.time_us)
        apart |= {f"{source}/{symbol}": text for source, text in _differences(answers)}
    return written + write_metrics(store, run_id, _policy_rates(replies)).new, apart


def _stored(store: Store, intervals: Sequence[str] = INTERVALS) -> Stored:
    return {
        (followed.row.symbol, interval): read_benchmark_closes(store, followed.row.symbol, interval=interval)
        for followed in FOLLOWED
        for interval in intervals
    }


def _answers_of(replies: Sequence[Reply], stored: Stored) -> dict[Key, Answers]:
    """The closes of each benchmark and interval by source, in the order of preference.

    A benchmark asked for twice was restated: what the longer question brought counts, and stored closes from before it
    go on its terms.
    """
    found: dict[Key, Answers] = {}
    for followed in FOLLOWED:
        for interval in REACH_US:
            symbol, sources = followed.row.symbol, followed.sources(interval)
            own = [reply for reply in replies if _about(reply) == (symbol, interval) and any(_closes(reply))]
            begins = {reply.question.ask.start_us for reply in own}
            longest = [reply for reply in own if reply.question.ask.start_us == min(begins)]
            answers = {
                source: bars for source in sources if (bars := _bars(longest, symbol, source, interval)) is not None
            }
            if len(begins) > 1:
                first = next(iter(answers))
                answers[first] = with_older(answers[first], stored[symbol, interval])
            if answers:
                found[symbol, interval] = answers
    return found


def _about(reply: Reply) -> Key:
    return reply.question.subject, reply.question.ask.interval


def _closes(reply: Reply) -> Iterator[BenchmarkBars]:
    return (bars for _, _, parsed in reply.parsed if (bars := parsed.benchmark) is not None and len(bars))


def _ask_in_turn(live: Live, starts: Mapping[Key, int], end_us: int, replies: list[Reply]) -> dict[Key, Answers]:
    """Closes of each benchmark and interval by the first two sources that give them, in the order of the list.

    Two are asked at once, so that one is checked against the other; a source that gives nothing gives its turn to the
    next. `starts` are the first instants asked for; all replies are added to `replies`, for the archive.
    """
    waiting = {
        (followed.row.symbol, interval): [
            (source, symbol) for source, symbol in followed.sources(interval).items() if source in live.sources
        ]
        for followed in FOLLOWED
        for interval in REACH_US
        if (followed.row.symbol, interval) in starts
    }
    given: dict[Key, Answers] = {key: {} for key in waiting}
    while any(waiting.values()):
        turn: dict[Key, list[tuple[str, str]]] = {}
        for key, sources in waiting.items():
            missing = AT_ONCE - len(given[key])
            turn[key], waiting[key] = sources[:missing], sources[missing:]
        questions = [
            Question(key[0], source, _ask(symbol, key[1], starts[key], end_us))
            for key, sources in turn.items()
            for source, symbol in sources
        ]
        asked = ask_all(live, questions)
        replies += asked
        for key, sources in turn.items():
            for source, _ in sources:
                bars = _bars(asked, key[0], source, key[1])
                if bars is not None:
                    given[key][source] = bars
            if len(given[key]) == AT_ONCE:
                waiting[key] = []
    return {key: answers for key, answers in given.items() if answers}


def _start_us(known: Closes, interval: str, end_us: int) -> int:
    """A little before the newest stored close; for a benchmark without any, as far back as it goes."""
    first = _first_us(interval, end_us)
    return max(min(int(known[0][-1]), end_us) - OVERLAP_US, first) if len(known[0]) else first


def _first_us(interval: str, end_us: int) -> int:
    return max(SINCE_US, end_us - REACH_US[interval])


def _ask(symbol: str, interval: str, start_us: int, end_us: int) -> Ask:
    return Ask(Dataset.BENCHMARK, (symbol,), start_us, end_us, end_us, interval)


def _restated(answers: Answers, known: Closes) -> bool:
    """Whether the first source now states stored closes otherwise: a split, or a dividend in adjusted closes."""
    times, close, adjusted = known
    bars = next(iter(answers.values()))
    _, here, there = np.intersect1d(bars.time_us, times, assume_unique=True, return_indices=True)
    with np.errstate(invalid="ignore"):
        split = np.abs(bars.close[here] / close[there] - 1.0) > SPLIT
        dividend = np.abs(bars.adjusted_close[here] / adjusted[there] - 1.0) > SAME
    return bool((split | dividend).any())


def with_older(bars: BenchmarkBars, known: Closes) -> BenchmarkBars:
    """A restated history with the stored closes of before its begin, which no source gives any more, on its terms.

    Hourly closes reach back two months only; without this a split would stay in them as a step for good.
    """
    times, close, adjusted = known
    _, here, there = np.intersect1d(bars.time_us, times, assume_unique=True, return_indices=True)
    older = times < bars.time_us[0]
    factor = float(bars.close[here[0]] / close[there[0]]) if len(here) else 1.0
    if abs(factor - 1.0) <= SPLIT or not older.any():
        return bars
    return replace(
        bars,
        time_us=np.concatenate([times[older], bars.time_us]),
        close=np.concatenate([close[older] * factor, bars.close]),
        adjusted_close=np.concatenate([adjusted[older] * factor, bars.adjusted_close]),
        volume=np.concatenate([np.full(int(older.sum()), np.nan), bars.volume]),
    )


def _bars(replies: Sequence[Reply], subject: str, source: str, interval: str) -> BenchmarkBars | None:
    """The answer of a source for a benchmark, its parts (a long history takes several calls) joined; or None."""
    parts = [
        bars
        for reply in replies
        if _about(reply) == (subject, interval) and reply.question.source == source
        for bars in _closes(reply)
    ]
    if not parts:
        return None
    names = ("time_us", "close", "adjusted_close", "volume")
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    whole = replace(parts[0], **columns)
    return _take(whole, np.unique(whole.time_us, return_index=True)[1])


def _take(bars: BenchmarkBars, rows: np.ndarray) -> BenchmarkBars:
    return replace(
        bars,
        time_us=bars.time_us[rows],
        close=bars.close[rows],
        adjusted_close=bars.adjusted_close[rows],
        volume=bars.volume[rows],
    )


def _differences(answers: Answers) -> Iterator[tuple[str, str]]:
    """(source, what differs) for each source that is apart from the first one."""
    (first, own), *others = answers.items()
    for source, bars in others:
        at, here, there = np.intersect1d(own.time_us, bars.time_us, assume_unique=True, return_indices=True)
        gap = bars.close[there] / own.close[here] - 1.0
        wide = np.abs(gap) > APART
        if wide.any():
            worst = float(gap[np.argmax(np.abs(gap))])
            yield source, f"{source} differs from {first} by up to {worst:+.2%} in {int(wide.sum())} of {len(at)} bars"


def _write(
    store: Store,
    run_id: int,
    bars: BenchmarkBars,
    *,
    number: int,
    interval: str,
    source: str,
    known: Closes,
) -> int:
    """Write what is new or differs by more than rounding; how many rows."""
    fresh = ~_same(bars, known)
    if not fresh.any():
        return 0
    bars = _take(bars, fresh)
    count = len(bars)
    columns = BenchmarkColumns(
        np.full(count, number, dtype=np.int64),
        bars.time_us,
        bars.close,
        bars.adjusted_close,
        bars.volume,
        [bars.price_basis] * count,
        [source] * count,
        interval,
    )
    written = write_benchmark_bars(store, run_id, columns)
    return written.new + written.revised


def _same(bars: BenchmarkBars, known: Closes) -> np.ndarray:
    """Which bars are stored already with these closes, but for rounding."""
    times, close, adjusted = known
    if not len(times):
        return np.zeros(len(bars), dtype=np.bool_)
    slot = np.minimum(np.searchsorted(times, bars.time_us), len(times) - 1)
    with np.errstate(invalid="ignore"):
        near = np.abs(bars.close / close[slot] - 1.0) <= SAME
        lost = ~np.isfinite(bars.adjusted_close)
        near &= lost | (np.abs(bars.adjusted_close / adjusted[slot] - 1.0) <= SAME)
    found: np.ndarray = (times[slot] == bars.time_us) & near
    return found


def _policy_rates(replies: Sequence[Reply]) -> list[MetricSeries]:
    return [
        MetricSeries("us", name, "fred", bars.time_us, bars.close)
        for series, name in POLICY_RATES.items()
        for reply in replies
        if reply.question.source == "fred" and reply.question.ask.symbols == (series,)
        for bars in _closes(reply)
    ]


def _note_differences(live: Live, run_id: int, apart: Mapping[str, str]) -> None:
    mine = {
        f"{source}/{followed.row.symbol}" for followed in FOLLOWED for source in (*followed.daily, *followed.hourly)
    }
    settle(live, run_id, "disagreement", apart, concerns=mine.__contains__)
