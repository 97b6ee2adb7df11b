"""The benchmark job: daily and hourly closes from Yahoo, daily index levels from FRED, policy rates as metrics.

FRED fills the sessions that Yahoo did not give; where both have one and differ, the quality log says so. A dividend
changes all of Yahoo's earlier adjusted closes: when they differ from what is stored, the whole history is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from indexer.live.asking import Question, Reply, ask_all, keep_replies
from indexer.live.context import Live
from indexer.live.quality_log import settle
from indexer.sources.base import Ask, Dataset
from indexer.sources.records import BenchmarkBars
from indexer.store.read import read_benchmark_closes
from indexer.store.records import BenchmarkColumns, BenchmarkRow, MetricSeries
from indexer.store.write import ensure_benchmarks, write_benchmark_bars, write_metrics
from indexer.times import DAY_US, parse_instant, to_us


@dataclass(frozen=True, slots=True)
class Followed:
    """A benchmark with its symbol at Yahoo and its series at FRED; empty where a source does not have it."""

    row: BenchmarkRow
    yahoo: str = ""
    fred: str = ""


def _equity(symbol: str, name: str, kind: str = "equity") -> Followed:
    return Followed(BenchmarkRow(symbol, name, kind), yahoo=symbol)


FOLLOWED: Final = (
    _equity("QQQ", "Invesco QQQ Trust", "etf"),
    Followed(BenchmarkRow("^NDX", "Nasdaq-100", "equity_index"), yahoo="^NDX", fred="NASDAQ100"),
    Followed(BenchmarkRow("^IXIC", "Nasdaq Composite", "equity_index"), yahoo="^IXIC", fred="NASDAQCOM"),
    Followed(BenchmarkRow("^GSPC", "S&P 500", "equity_index"), yahoo="^GSPC", fred="SP500"),
    Followed(BenchmarkRow("^VIX", "Cboe Volatility Index", "equity_index"), yahoo="^VIX", fred="VIXCLS"),
    _equity("NQ=F", "E-mini Nasdaq-100 future", "future"),
    _equity("SPY", "SPDR S&P 500 ETF Trust", "etf"),
    _equity("SMH", "VanEck Semiconductor ETF", "etf"),
    _equity("SOXX", "iShares Semiconductor ETF", "etf"),
    _equity("NVDA", "NVIDIA"),
    _equity("MSFT", "Microsoft"),
    _equity("GOOGL", "Alphabet"),
    _equity("META", "Meta Platforms"),
    _equity("AMZN", "Amazon"),
    _equity("AMD", "Advanced Micro Devices"),
    _equity("AVGO", "Broadcom"),
    _equity("TSM", "Taiwan Semiconductor"),
)
# Rates a year in percent at FRED, kept as metrics of `us`: they are not prices.
POLICY_RATES: Final = {"DFF": "fed_funds_percent", "DGS10": "treasury_10y_percent"}


SINCE_US: Final = parse_instant("2022-10-01")  # a quarter before the index's base
REACH_US: Final = {"1d": 50 * 365 * DAY_US, "1h": 59 * DAY_US}  # how far back a first question goes
OVERLAP_US: Final = 10 * DAY_US  # asked for again each time: late corrections, and adjusted closes to compare
APART: Final = 0.002  # index closes of two sources
SAME: Final = 1e-5  # below, a difference is the provider's rounding

Stored = Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]


def refresh(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Bring the benchmarks up to date; what the run log keeps. Raises SourceUnavailable when no source answered."""
    end_us = to_us(due)
    ids = ensure_benchmarks(live.store, [one.row for one in FOLLOWED])
    stored: Stored = {
        (one.row.symbol, interval): read_benchmark_closes(live.store, one.row.symbol, interval=interval)
        for one in FOLLOWED
        for interval in REACH_US
    }
    replies = ask_all(live, _questions(stored, end_us))
    replies += ask_all(live, _whole_again(replies, stored, end_us))
    written = 0
    apart: dict[str, str] = {}
    for one in FOLLOWED:
        symbol = one.row.symbol
        for interval in REACH_US:
            yahoo = _bars(replies, symbol, "yahoo", interval)
            fred = _bars(replies, symbol, "fred", interval)
            text = _difference(yahoo, fred)
            if text:
                apart[f"fred/{symbol}"] = text
            known = stored[symbol, interval]
            for source, bars in (("yahoo", yahoo), ("fred", _only_missing(fred, yahoo, known[0]))):
                written += _write(live, run_id, bars, number=ids[symbol], interval=interval, source=source, known=known)
    written += write_metrics(live.store, run_id, _policy_rates(replies)).new
    down = keep_replies(live, run_id, replies, what="any benchmark")
    _note_differences(live, run_id, apart)
    return {"written": written, "failed_sources": sorted(down)}


def _questions(stored: Stored, end_us: int) -> list[Question]:
    questions: list[Question] = []
    for one in FOLLOWED:
        for interval, reach in REACH_US.items():
            known = stored[one.row.symbol, interval][0]
            newest = min(int(known[-1]), end_us) - OVERLAP_US if len(known) else SINCE_US
            start_us = max(newest, SINCE_US, end_us - reach)
            questions += _of(one, interval, start_us, end_us)
    for series in POLICY_RATES:
        questions.append(Question("us", "fred", _ask(series, "1d", end_us - 40 * DAY_US, end_us)))
    return questions


def _of(one: Followed, interval: str, start_us: int, end_us: int) -> list[Question]:
    questions = [Question(one.row.symbol, "yahoo", _ask(one.yahoo, interval, start_us, end_us))] if one.yahoo else []
    if one.fred and interval == "1d":
        questions.append(Question(one.row.symbol, "fred", _ask(one.fred, interval, start_us, end_us)))
    return questions


def _ask(symbol: str, interval: str, start_us: int, end_us: int) -> Ask:
    return Ask(Dataset.BENCHMARK, (symbol,), start_us, end_us, end_us, interval)


def _whole_again(replies: Sequence[Reply], stored: Stored, end_us: int) -> list[Question]:
    """Yahoo symbols whose adjusted closes changed since they were stored: their history is asked for anew."""
    questions: list[Question] = []
    for one in FOLLOWED:
        times, _, adjusted = stored[one.row.symbol, "1d"]
        bars = _bars(replies, one.row.symbol, "yahoo", "1d")
        if bars is None or not len(times):
            continue
        _, here, there = np.intersect1d(bars.time_us, times, assume_unique=True, return_indices=True)
        with np.errstate(invalid="ignore"):
            if (np.abs(bars.adjusted_close[here] / adjusted[there] - 1.0) > SAME).any():
                questions.append(Question(one.row.symbol, "yahoo", _ask(one.yahoo, "1d", SINCE_US, end_us)))
    return questions


def _bars(replies: Sequence[Reply], subject: str, source: str, interval: str) -> BenchmarkBars | None:
    """The longest answer of a source for a benchmark, or None."""
    answers = [
        parsed.benchmark
        for reply in replies
        if (reply.question.subject, reply.question.source, reply.question.ask.interval) == (subject, source, interval)
        for _, _, parsed in reply.parsed
        if parsed.benchmark is not None and len(parsed.benchmark)
    ]
    return max(answers, key=len, default=None)


def _take(bars: BenchmarkBars, rows: np.ndarray) -> BenchmarkBars:
    return replace(
        bars,
        time_us=bars.time_us[rows],
        close=bars.close[rows],
        adjusted_close=bars.adjusted_close[rows],
        volume=bars.volume[rows],
    )


def _only_missing(fred: BenchmarkBars | None, yahoo: BenchmarkBars | None, known: np.ndarray) -> BenchmarkBars | None:
    """FRED's sessions that neither Yahoo just gave nor the store has."""
    if fred is None:
        return None
    there = known if yahoo is None else np.concatenate([known, yahoo.time_us])
    return _take(fred, ~np.isin(fred.time_us, there))


def _difference(yahoo: BenchmarkBars | None, fred: BenchmarkBars | None) -> str:
    if yahoo is None or fred is None:
        return ""
    at, here, there = np.intersect1d(yahoo.time_us, fred.time_us, assume_unique=True, return_indices=True)
    gap = fred.close[there] / yahoo.close[here] - 1.0
    if not len(at) or np.abs(gap).max() <= APART:
        return ""
    worst = float(gap[np.argmax(np.abs(gap))])
    return f"fred differs from yahoo by up to {worst:+.2%} in {int((np.abs(gap) > APART).sum())} of {len(at)} sessions"


def _write(
    live: Live,
    run_id: int,
    bars: BenchmarkBars | None,
    *,
    number: int,
    interval: str,
    source: str,
    known: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> int:
    """Write what is new or differs by more than rounding; how many rows."""
    if bars is None:
        return 0
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
    written = write_benchmark_bars(live.store, run_id, columns)
    return written.new + written.revised


def _same(bars: BenchmarkBars, known: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Which bars are stored already with these closes, but for rounding."""
    times, close, adjusted = known
    if not len(times):
        return np.zeros(len(bars), dtype=np.bool_)
    slot = np.minimum(np.searchsorted(times, bars.time_us), len(times) - 1)
    with np.errstate(invalid="ignore"):
        near = np.abs(bars.close / close[slot] - 1.0) <= SAME
        lost = ~np.isfinite(bars.adjusted_close)
        near &= lost | (np.abs(bars.adjusted_close / adjusted[slot] - 1.0) <= SAME)
    stored: np.ndarray = (times[slot] == bars.time_us) & near
    return stored


def _policy_rates(replies: Sequence[Reply]) -> list[MetricSeries]:
    series_of_rates: list[MetricSeries] = []
    for series, name in POLICY_RATES.items():
        for reply in replies:
            if reply.question.source == "fred" and reply.question.ask.symbols == (series,):
                for _, _, parsed in reply.parsed:
                    if parsed.benchmark is not None and len(parsed.benchmark):
                        bars = parsed.benchmark
                        series_of_rates.append(MetricSeries("us", name, "fred", bars.time_us, bars.close))
    return series_of_rates


def _note_differences(live: Live, run_id: int, apart: Mapping[str, str]) -> None:
    mine = {f"fred/{one.row.symbol}" for one in FOLLOWED}
    settle(
        live.store, run_id, kind="disagreement", now=apart, at=live.clock(), concerns=lambda subject: subject in mine
    )
