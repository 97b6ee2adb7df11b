"""The benchmark job: daily and hourly closes, each from the first two sources that give them, and policy rates.

Closes come from the first source of the list that answers; the second fills the sessions that it lacks, and where
both have one and differ, the data-quality log says so. A split or a dividend changes all earlier closes of a source:
when they differ from what is stored, the whole history is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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

DAILY, HOURLY = INTERVALS = ("1d", "1h")
INTRADAY: Final = ("yahoo", "yfinance")
SOURCES: Final = {  # of daily closes by kind, in the order they are asked
    "equity": ("cboe", "nasdaq", *INTRADAY),
    "etf": ("cboe", "nasdaq", *INTRADAY),
    "equity_index": ("cboe", "fred", *INTRADAY),
    "future": INTRADAY,
}
AT_FRED: Final = {"^NDX": "NASDAQ100", "^GSPC": "SP500", "^VIX": "VIXCLS", "^IXIC": "NASDAQCOM"}
FOLLOWED: Final = (
    BenchmarkRow("QQQ", "Invesco QQQ Trust", "etf"),
    BenchmarkRow("^NDX", "Nasdaq-100", "equity_index"),
    BenchmarkRow("NVDA", "NVIDIA", "equity"),
    BenchmarkRow("SMH", "VanEck Semiconductor ETF", "etf"),
    BenchmarkRow("^GSPC", "S&P 500", "equity_index"),
    BenchmarkRow("^VIX", "Cboe Volatility Index", "equity_index"),
    BenchmarkRow("^IXIC", "Nasdaq Composite", "equity_index"),
    BenchmarkRow("SPY", "SPDR S&P 500 ETF Trust", "etf"),
    BenchmarkRow("SOXX", "iShares Semiconductor ETF", "etf"),
    BenchmarkRow("MSFT", "Microsoft", "equity"),
    BenchmarkRow("GOOGL", "Alphabet", "equity"),
    BenchmarkRow("META", "Meta Platforms", "equity"),
    BenchmarkRow("AMZN", "Amazon", "equity"),
    BenchmarkRow("AMD", "Advanced Micro Devices", "equity"),
    BenchmarkRow("AVGO", "Broadcom", "equity"),
    BenchmarkRow("TSM", "Taiwan Semiconductor", "equity"),
    BenchmarkRow("NQ=F", "E-mini Nasdaq-100 future", "future"),
)
# Rates a year in percent at FRED, kept as metrics of `us`: they are not prices.
POLICY_RATES: Final = {"DFF": "fed_funds_percent", "DGS10": "treasury_10y_percent"}

SINCE_US: Final = parse_instant("2022-10-01")  # a quarter before the index's base
REACH_US: Final = {"1d": 50 * 365 * DAY_US, "1h": 59 * DAY_US}  # how far back a first question goes
OVERLAP_US: Final = 10 * DAY_US  # asked for again each time: late corrections, and adjusted closes to compare
APART: Final = 0.002  # index closes of two sources
SAME: Final = 1e-5  # below, a difference is the provider's rounding
SPLIT: Final = 0.01  # above, a stored close is stated otherwise now
COLUMNS: Final = ("time_us", "close", "adjusted_close", "volume")
AT_ONCE: Final = 2  # sources a benchmark: one is taken, the other checks it

Key = tuple[str, str]
"""Symbol and interval of a benchmark."""
Closes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Stored instants, closes and adjusted closes."""
Answers = dict[str, BenchmarkBars]
"""Source → its bars, in the order of preference."""
Stored = Mapping[Key, Closes]


def _symbols(row: BenchmarkRow, interval: str) -> dict[str, str]:
    """Source → symbol there, of the closes of a benchmark, in the order they are asked."""
    names = SOURCES[row.kind] if interval == DAILY else INTRADAY
    symbols = {name: AT_FRED[row.symbol] if name == "fred" else row.symbol for name in names}
    return {name: symbol for name, symbol in symbols.items() if (name, symbol) != ("cboe", "^IXIC")}


ASKED: Final = {(row.symbol, interval): _symbols(row, interval) for row in FOLLOWED for interval in INTERVALS}


def refresh(
    live: Live, due: datetime, run_id: int, *, intervals: Sequence[str] = INTERVALS, only: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Bring the benchmarks of these intervals up to date, and with daily ones the policy rates; what the run log keeps.

    `only` some symbols where they are named. `owed` are those that no source gave, although one may another time.
    Raises SourceUnavailable when no source answered.
    """
    end_us = to_us(due)
    keys = [key for key in ASKED if key[1] in intervals and (not only or key[0] in only)]
    stored = _stored(live.store, keys)
    wanted = [series for series in POLICY_RATES if DAILY in intervals and (not only or series in only)]
    questions = [Question("us", "fred", _ask(series, DAILY, end_us - 40 * DAY_US, end_us)) for series in wanted]
    replies = ask_all(live, questions)
    starts = {key: _start_us(closes, key[1], end_us) for key, closes in stored.items()}
    answers = _ask_in_turn(live, starts, end_us, replies)
    restated = {key: SINCE_US for key, bars in answers.items() if _restated(bars, stored[key])}
    _ask_in_turn(live, restated, end_us, replies)
    written, apart = write_answers(live.store, run_id, replies)
    down = keep_replies(live, run_id, replies, what="any benchmark")
    if DAILY in intervals:
        subjects = {f"{source}/{symbol}" for (symbol, _), sources in ASKED.items() for source in sources}
        settle(live, run_id, "disagreement", apart, concerns=subjects.__contains__)
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
    ids = ensure_benchmarks(store, FOLLOWED)
    stored = _stored(store, list(ASKED))
    written = write_metrics(store, run_id, _policy_rates(replies)).new
    apart: dict[str, str] = {}
    for key in ASKED:
        answers, known = _answers_of(replies, key, stored[key]), stored[key]
        if not answers:
            continue
        there = known[0]
        for number, (source, bars) in enumerate(answers.items()):
            fresh = _take(bars, ~np.isin(bars.time_us, there)) if number else bars
            fresh = _take(fresh, ~_same(fresh, known))
            written += _write(store, run_id, fresh, number=ids[key[0]], interval=key[1], source=source)
            there = np.union1d(there, bars.time_us)
        apart |= {f"{source}/{key[0]}": text for source, text in _differences(answers)}
    return written, apart


def _stored(store: Store, keys: Sequence[Key]) -> Stored:
    return {key: read_benchmark_closes(store, key[0], interval=key[1]) for key in keys}


def _answers_of(replies: Sequence[Reply], key: Key, known: Closes) -> Answers:
    """The closes of a benchmark by source, in the order of preference.

    One asked for twice was restated: what the longer question brought counts, and stored closes from before it go on
    its terms.
    """
    own = [reply for reply in replies if _about(reply) == key and any(_closes(reply))]
    begins = {reply.question.ask.start_us for reply in own}
    longest = [reply for reply in own if reply.question.ask.start_us == min(begins)]
    answers = {source: bars for source in ASKED[key] if (bars := _bars(longest, key, source)) is not None}
    if len(begins) > 1:
        first = next(iter(answers))
        answers[first] = with_older(answers[first], known)
    return answers


def _about(reply: Reply) -> Key:
    return reply.question.subject, reply.question.ask.interval


def _closes(reply: Reply) -> Iterator[BenchmarkBars]:
    return (bars for _, _, parsed in reply.parsed if (bars := parsed.benchmark) is not None and len(bars))


def _ask_in_turn(live: Live, starts: Mapping[Key, int], end_us: int, replies: list[Reply]) -> dict[Key, Answers]:
    """Closes of each benchmark and interval by the first two sources that give them, in the order of the list.

    Two are asked at once, so that one is checked against the other; a source that gives nothing gives its turn to the
    next. `starts` are the first instants asked for; all replies are added to `replies`, for the archive.
    """
    waiting = {key: [source for source in ASKED[key] if source in live.sources] for key in starts}
    answers: dict[Key, Answers] = {key: {} for key in starts}
    while any(waiting.values()):
        turn = {key: sources[: AT_ONCE - len(answers[key])] for key, sources in waiting.items()}
        questions = [
            Question(key[0], source, _ask(ASKED[key][source], key[1], starts[key], end_us))
            for key, sources in turn.items()
            for source in sources
        ]
        asked = ask_all(live, questions)
        replies += asked
        for key, sources in turn.items():
            answers[key] |= {source: bars for source in sources if (bars := _bars(asked, key, source)) is not None}
            waiting[key] = waiting[key][len(sources) :] if len(answers[key]) < AT_ONCE else []
    return {key: by_source for key, by_source in answers.items() if by_source}


def _start_us(known: Closes, interval: str, end_us: int) -> int:
    """A little before the newest stored close; for a benchmark without any, as far back as it goes."""
    first = max(SINCE_US, end_us - REACH_US[interval])
    return max(min(int(known[0][-1]), end_us) - OVERLAP_US, first) if len(known[0]) else first


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
    unknown = np.full(int(older.sum()), np.nan)
    before = replace(bars, **_columns(times[older], close[older] * factor, adjusted[older] * factor, unknown))
    return _joined([before, bars])


def _bars(replies: Sequence[Reply], key: Key, source: str) -> BenchmarkBars | None:
    """The answer of a source for a benchmark, its parts (a long history takes several calls) joined; or None."""
    parts = [
        bars for reply in replies if _about(reply) == key and reply.question.source == source for bars in _closes(reply)
    ]
    if not parts:
        return None
    whole = _joined(parts)
    return _take(whole, np.unique(whole.time_us, return_index=True)[1])


def _joined(parts: Sequence[BenchmarkBars]) -> BenchmarkBars:
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS]
    return replace(parts[0], **_columns(*columns))


def _take(bars: BenchmarkBars, rows: np.ndarray) -> BenchmarkBars:
    return replace(bars, **_columns(*(getattr(bars, name)[rows] for name in COLUMNS)))


def _columns(*arrays: np.ndarray) -> dict[str, Any]:
    return dict(zip(COLUMNS, arrays, strict=True))


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


def _write(store: Store, run_id: int, bars: BenchmarkBars, *, number: int, interval: str, source: str) -> int:
    """Write closes of one source; how many rows were new or revised."""
    count = len(bars)
    if not count:
        return 0
    ids, bases, sources = np.full(count, number, dtype=np.int64), [bars.price_basis] * count, [source] * count
    values = bars.time_us, bars.close, bars.adjusted_close, bars.volume
    written = write_benchmark_bars(store, run_id, BenchmarkColumns(ids, *values, bases, sources, interval))
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
    return np.asarray((times[slot] == bars.time_us) & near)


def _policy_rates(replies: Sequence[Reply]) -> list[MetricSeries]:
    return [
        MetricSeries("us", POLICY_RATES[reply.question.ask.symbol], "fred", bars.time_us, bars.close)
        for reply in replies
        if reply.question.source == "fred" and reply.question.ask.symbol in POLICY_RATES
        for bars in _closes(reply)
    ]
