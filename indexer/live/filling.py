"""A plan carried out: every answer archived, converted to dollars and written as it comes; what is owed at the end.

The walk asks on the event loop; this writes, on the thread of its caller, so that neither waits for the other.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import numpy as np

from indexer.errors import SourceRefused, Stopped
from indexer.live.asking import Question, Reply
from indexer.live.audit import ANSWERS, keep_answers, keep_manifest
from indexer.live.bars import write_missing
from indexer.live.collect import AGGREGATORS
from indexer.live.context import Live
from indexer.live.mapping import quote_fillers
from indexer.live.plan import Plan, Quoted, Stage, join_near, missing_series
from indexer.live.supply import write_reported
from indexer.live.walk import NOTHING, Outcome, Piece, Role, Series, Walk
from indexer.reference.bars import conversion_rate
from indexer.registry.records import AT_PAR, DOLLAR
from indexer.sources.base import Mapped
from indexer.sources.http import HttpClient, reason_of
from indexer.sources.records import Bars, in_usd, join_bars, no_bars
from indexer.store.runs import HISTORY
from indexer.times import HOUR_US, INTERVAL_US, iso

T = TypeVar("T")
RATE_AGE_US: Final = 24 * HOUR_US  # a dollar coin's hourly rate may serve this long where its market was silent
KEEP_S: Final = 10.0  # of the calls of so many seconds a killed process loses the record
LOOK_S: Final = 2.0  # how long to wait for answers before looking at the time again
SOON_S: Final = 30.0  # how often levels are made of what came at most
SHARE: Final = 0.1  # of the time at most that making them may take


@dataclass(slots=True)
class Filled:
    """What a fill brought: calls answered, failed, and not sent because the series begins later (`unlisted`).

    Then bars written, rows refused, and why sources failed. `unpriced` counts bars left out because their quote
    currency had no dollar rate then, by quote. `owed` is the earliest instant (ISO, UTC) after which a series (by its
    key) may have bars that a failure kept from us; `refusing` are the sources that refuse this address.
    """

    calls: int = 0
    failed: int = 0
    unlisted: int = 0
    bars: int = 0
    rejects: int = 0
    unpriced: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    owed: dict[str, str] = field(default_factory=dict)
    refusing: list[str] = field(default_factory=list)

    @property
    def still_to_come(self) -> list[str]:
        """The series that are owed by sources that serve this address."""
        return [key for key in self.owed if key.partition("@")[2].partition("/")[0] not in self.refusing]

    def owes(self, series: Series, begin_us: int) -> None:
        """Note that bars of a series after an instant are still to be had."""
        begin = iso(begin_us)
        self.owed[series.key] = min(begin, self.owed.get(series.key, begin))


@dataclass(slots=True)
class _Quote:
    """A quote currency's dollar markets in one interval, and bars that wait for its rate, or have none so far.

    `spans` are parts of the plan's time, each with the aggregators that may still be asked for the rate then.
    """

    spans: list[tuple[int, int, list[Mapped]]] = field(default_factory=list)
    asked: list[Piece] = field(default_factory=list)
    markets: dict[str, list[Bars]] = field(default_factory=dict)
    waiting: list[tuple[Series, Bars]] = field(default_factory=list)
    without: list[tuple[Series, Bars]] = field(default_factory=list)
    late: dict[Piece, int] = field(default_factory=dict)  # before when an answer may still be used: see `_priced`


def hourly_rate(
    currency: str, by_source: Mapping[str, Sequence[Bars]], interval: str, *, start_us: int, end_us: int
) -> Bars:
    """A quote currency's dollar rate at every bar of a plan that has one: of its instant, of a dollar coin of its day.

    Where its own markets have none, aggregators stand in: they contain the markets, so never beside them. Pure.
    """
    step = INTERVAL_US[interval]
    grid = np.arange(-(-start_us // step) * step, end_us + step, step, dtype=np.int64)
    markets = {source: join_bars(list(parts)) for source, parts in by_source.items()}
    own = {source: bars for source, bars in markets.items() if source not in AGGREGATORS}
    max_age_us = max(RATE_AGE_US, step) if currency in AT_PAR else 0
    parts = []
    groups = [own, *({str(name): markets[name]} for name in AGGREGATORS if name in markets)]
    for group in groups:
        if group and len(grid):
            rate = conversion_rate(group, grid, max_age_us=max_age_us)
            parts.append(rate)
            grid = grid[~np.isin(grid, rate.time_us)]
    return join_bars(parts)


class Filling:
    """A plan under way, as a context manager: all is asked for from the start, each source at its own pace.

    `run` its stages one after the other, then `finish`. A `patient` one asks again what failed until it comes or its
    time is over; another asks each call once. `tell` hears of every batch of answers; `then` is called when a stage is
    over, and for what came meanwhile. `stage` is what is asked for now, empty when only what failed is. What comes is
    added to `filled`.
    """

    def __init__(
        self,
        live: Live,
        run_id: int,
        plan: Plan,
        *,
        patient: bool = False,
        tell: Callable[[Filling], object] = lambda filling: None,
        then: Callable[[], object] = lambda: None,
        filled: Filled | None = None,
    ) -> None:
        self.filled = filled or Filled()
        self.stage = ""
        self._live = live
        self._run_id = run_id
        self._tell = tell
        self._then = then
        self._then_s = 0.0  # how long it took the last time
        self._quotes: defaultdict[Quoted, _Quote] = defaultdict(_Quote)
        self._record: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)  # calls not in a manifest yet
        self._kept_at = time.monotonic()
        self._plan = plan

        async def start(http: HttpClient) -> Walk:
            return Walk(live.sources, http, patient=patient)

        self._walk = live.upstream.run(start)

    def __enter__(self) -> Self:
        self._live.asset_ids()
        for unpriced in self._plan.unpriced:
            series, bars = unpriced.series, unpriced.bars
            self._quotes[bars.quote, series.interval].waiting.append((series, bars))
            self._record[series.interval].append(unpriced.record)
        for rank, stage in enumerate(self._plan.stages):
            for key, start_us, end_us in stage.times:
                fillers = quote_fillers(key[:1], self._live.sources)
                self._quotes[key].spans.append((start_us, end_us, list(fillers)))
            for piece in stage.rates:
                self._quote_of(piece.series).asked.append(piece)
            for piece in stage.all:
                piece.rank = 2 * rank + (piece.series.role is not Role.RATE)
            self._add(stage.all)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Stopped):  # nothing may go on asking, whatever ended this
            self._live.upstream.run(lambda _: self._walk.stop())
        self._keep()

    def run(self, stage: Stage) -> None:
        """Write what comes, until each piece of a stage came or failed."""
        self.stage = stage.name
        self._go_on(lambda: not self._ask_walk(lambda walk: walk.unsettled(stage.all)))
        self.step(0.0)
        self._call_then()

    def wait(self, seconds: float) -> None:
        """Go on with what rests, for so long at most."""
        self.stage = ""
        until = time.monotonic() + seconds
        self._go_on(lambda: self._ask_walk(lambda walk: walk.over) or time.monotonic() >= until)

    def _go_on(self, ended: Callable[[], bool]) -> None:
        """Take and write until `ended`; call `then` for what came now and then, seldom enough to hold nothing up."""
        called, bars = time.monotonic(), self.filled.bars
        while not ended():
            self.step()
            if self.filled.bars > bars and time.monotonic() - called > max(SOON_S, self._then_s / SHARE):
                self._call_then()
                called, bars = time.monotonic(), self.filled.bars

    def _call_then(self) -> None:
        began = time.monotonic()
        self._then()
        self._then_s = time.monotonic() - began

    def step(self, within_s: float = LOOK_S) -> None:
        """Take what came, and write it."""
        outcomes = self._live.upstream.run(lambda _: self._walk.take(within_s))
        parts: list[tuple[Series, Bars]] = []
        for outcome in outcomes:
            self._count(outcome)
            parts += self._dollars_or_wait(outcome)
        for key in self._quotes:
            parts += self._priced(key)
        self._write(parts)
        if time.monotonic() - self._kept_at >= KEEP_S:
            self._keep()
        self._tell(self)

    def finish(self) -> Filled:
        """What came, and what is owed."""
        lost = self._ask_walk(lambda walk: walk.owed())
        for piece in lost:
            if piece.series.role is not Role.RATE:
                self.filled.owes(piece.series, piece.call.ask.start_us)
        for (currency, interval), quote in self._quotes.items():
            unpriced = [*quote.waiting, *quote.without]
            count = sum(len(bars) for _, bars in unpriced)
            self.filled.unpriced[currency] = self.filled.unpriced.get(currency, 0) + count
            if any(piece in quote.asked for piece in lost):  # else nobody has the rate, and asking again is idle
                for series, bars in unpriced:
                    self.filled.owes(series, int(bars.time_us[0]) - INTERVAL_US[interval])
        return self.filled

    def _quote_of(self, series: Series) -> _Quote:
        return self._quotes[series.row.asset, series.interval]

    def _add(self, pieces: Sequence[Piece], *, first: bool = False) -> None:
        self._ask_walk(lambda walk: walk.add(pieces, first=first))

    def _ask_walk(self, question: Callable[[Walk], T]) -> T:
        """What the walk says, asked on its own loop."""

        async def ask(http: HttpClient) -> T:
            return question(self._walk)

        return self._live.upstream.run(ask)

    def _count(self, outcome: Outcome) -> None:
        """Count a call, archive its answer, enter its refused rows."""
        piece, filled = outcome.piece, self.filled
        if outcome.answer is None or outcome.parsed is None:
            if isinstance(outcome.error, SourceRefused) and outcome.error.outright:
                filled.refusing = sorted({*filled.refusing, piece.call.source})
            if outcome.error is not None:
                filled.failures.setdefault(piece.call.source, reason_of(outcome.error))
            filled.failed += piece.done and outcome.error is not None
            filled.unlisted += piece.done and outcome.error is None
            return
        filled.calls += 1
        filled.refusing = [name for name in filled.refusing if name != piece.call.source]
        filled.sources[piece.call.source] = filled.sources.get(piece.call.source, 0) + 1
        filled.rejects += bool(outcome.parsed.rejects)
        subject = self._question(piece).subject
        (exchange,) = keep_answers(self._live, self._run_id, [(subject, piece.call, outcome.answer, outcome.parsed)])
        late = self._quote_of(piece.series).late if piece.series.role is Role.RATE else {}
        about = "" if piece.series.role is Role.SUPPLY else piece.series.interval
        self._record[about].append({**exchange, "before_us": late[piece]} if piece in late else exchange)

    @staticmethod
    def _question(piece: Piece) -> Question:
        """The piece as a question, under the name that its answer has in the audit trail."""
        row, role = piece.series.row, piece.series.role
        return Question(f"{row.asset}@{row.source}" if role is Role.BARS else row.asset, row.source, piece.call.ask)

    def _keep(self) -> None:
        """Write the manifests of the calls noted since the last ones: of an interval's bars, or ('') of supplies."""
        for interval, calls in self._record.items():
            about: dict[str, Any] = {"kind": ANSWERS}
            if interval:
                about = {"kind": HISTORY, "interval": interval, **self._plan.span(interval)}
            keep_manifest(self._live, self._run_id, {**about, "exchanges": calls})
        self._record.clear()
        self._kept_at = time.monotonic()

    def _dollars_or_wait(self, outcome: Outcome) -> list[tuple[Series, Bars]]:
        """Bars in dollars as they are; others wait for their currency's rate. Rates and supplies are kept apart."""
        series, parsed = outcome.piece.series, outcome.parsed
        if parsed is None or outcome.answer is None or parsed.bars is None or not len(parsed.bars):
            return []
        if series.role is Role.SUPPLY:
            reply = Reply(self._question(outcome.piece), ((outcome.piece.call, outcome.answer, parsed),))
            live = self._live
            write_reported(live.store, self._run_id, [reply], registry=live.registry, due=live.clock())
            return []
        if series.role is Role.RATE:
            quote = self._quote_of(series)
            before_us = quote.late.get(outcome.piece, NOTHING)
            bars = parsed.bars.take(parsed.bars.time_us < before_us)
            quote.markets.setdefault(series.row.source, []).append(bars)
            quote.waiting, quote.without = [*quote.waiting, *quote.without], []
            return []
        if parsed.bars.quote == DOLLAR:
            return [(series, parsed.bars)]
        self._quotes[parsed.bars.quote, series.interval].waiting.append((series, parsed.bars))
        return []

    def _priced(self, key: Quoted) -> list[tuple[Series, Bars]]:
        """The waiting bars in dollars, once the currency's markets of their time have answered; then the next source
        for the rest."""
        quote = self._quotes[key]
        if not quote.waiting:
            return []
        asks = [piece.call.ask for piece in self._ask_walk(lambda walk: walk.unsettled(quote.asked))]
        pending = join_near([(ask.start_us, ask.end_us + RATE_AGE_US) for ask in asks], key[1], bars=1)
        waits = [any(_overlap(*span, bars) for span in pending) for _, bars in quote.waiting]
        ready = [part for part, wait in zip(quote.waiting, waits, strict=True) if not wait]
        quote.waiting = [part for part, wait in zip(quote.waiting, waits, strict=True) if wait]
        priced: list[tuple[Series, Bars]] = []
        left: list[tuple[Series, Bars]] = []
        rate = _rate_of(key, quote, [bars for _, bars in ready])
        for series, bars in ready:
            usd = in_usd(bars, rate)
            if len(usd):
                priced.append((series, usd))
                for piece in quote.asked:  # of what comes later only what changes no price of now
                    if _of_time(piece, usd):
                        before_us = int(usd.time_us[0]) - RATE_AGE_US
                        quote.late[piece] = min(before_us, quote.late.get(piece, NOTHING))
            rest = bars.take(~np.isin(bars.time_us, usd.time_us))
            if len(rest):
                left.append((series, rest))
        (quote.waiting if self._ask_next(key, quote, left) else quote.without).extend(left)
        return priced

    def _ask_next(self, key: Quoted, quote: _Quote, left: Sequence[tuple[Series, Bars]]) -> bool:
        """Ask the next aggregator for the parts of the plan's time in which bars have no rate; whether there is one."""
        pieces: list[Piece] = []
        for start_us, end_us, fillers in quote.spans:
            if fillers and any(_overlap(start_us, end_us, bars) for _, bars in left):
                row = fillers.pop(0)
                pieces += missing_series(self._live, row, key[1], start_us, end_us, role=Role.RATE).pieces()
        quote.asked += pieces
        self._add(pieces, first=True)
        return bool(pieces)

    def _write(self, parts: Sequence[tuple[Series, Bars]]) -> None:
        """Write bars in dollars, only at instants that are not stored."""
        for interval in {series.interval for series, _ in parts}:
            own = [(series.row, bars) for series, bars in parts if series.interval == interval]
            store, sources = self._live.store, self._live.sources
            self.filled.bars += write_missing(store, self._run_id, own, sources, interval=interval)


def _rate_of(key: Quoted, quote: _Quote, parts: Sequence[Bars]) -> Bars:
    """The currency's dollar rate in the time of these bars, as far as its markets gave any."""
    if not parts:
        return no_bars()
    first, last = min(int(bars.time_us[0]) for bars in parts), max(int(bars.time_us[-1]) for bars in parts)
    return hourly_rate(key[0], quote.markets, key[1], start_us=first, end_us=last)


def _overlap(start_us: int, end_us: int, bars: Bars) -> bool:
    return start_us <= int(bars.time_us[-1]) and int(bars.time_us[0]) <= end_us


def _of_time(piece: Piece, bars: Bars) -> bool:
    """Whether a rate's piece may hold what prices these bars: of their time, or a little older."""
    return _overlap(piece.call.ask.start_us, piece.call.ask.end_us + RATE_AGE_US, bars)
