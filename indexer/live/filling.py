"""A plan carried out: every answer archived, converted to dollars and written as it comes; what is owed at the end.

The walk asks on the event loop; this writes, on the thread of its caller, so that neither waits for the other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import numpy as np

from indexer.arrays import I64
from indexer.errors import SourceRefused, Stopped
from indexer.live.asking import Question, Reply
from indexer.live.audit import ANSWERS, keep_answers, keep_manifest
from indexer.live.bars import listing_ids, write_missing
from indexer.live.collect import AGGREGATORS
from indexer.live.context import Live
from indexer.live.mapping import quote_fillers
from indexer.live.plan import Plan, Stage, pieces_of, rate_series, stored_instants, times_by_quote
from indexer.live.quality_log import reject_notes, write_rejects_noted
from indexer.live.series import Role, Series
from indexer.live.supply import write_reported
from indexer.live.walk import Outcome, Piece, Walk
from indexer.reference.bars import conversion_rate
from indexer.registry.records import AT_PAR
from indexer.sources.base import Mapped
from indexer.sources.http import HttpClient, reason_of
from indexer.sources.records import Bars, in_usd, join_bars
from indexer.times import DAY_US, HOUR_US, INTERVAL_US, iso, to_us

T = TypeVar("T")
RATE_AGE_US: Final = 24 * HOUR_US  # a dollar coin's hourly rate may serve this long where its market was silent
MANIFEST_CALLS: Final = 500  # calls a manifest: a killed process loses the record of fewer than that
LOOK_S: Final = 2.0  # how long to wait for answers before looking at the time again
SOON_S: Final = 30.0  # how often levels are made of what came at most
SHARE: Final = 0.1  # of the time at most that making them may take
LATE_US: Final = 2 * DAY_US  # fixings write such recent hours too, meanwhile


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
    def settled(self) -> int:
        """Calls that are behind us."""
        return self.calls + self.failed + self.unlisted

    @property
    def still_to_come(self) -> list[str]:
        """The series that are owed by sources that serve this address."""
        return [key for key in self.owed if key.partition("@")[2].partition("/")[0] not in self.refusing]

    def __add__(self, other: Filled) -> Filled:
        """Both together: sums, and of each source's failure and each series' beginning the first."""
        return Filled(
            calls=self.calls + other.calls,
            failed=self.failed + other.failed,
            unlisted=self.unlisted + other.unlisted,
            bars=self.bars + other.bars,
            rejects=self.rejects + other.rejects,
            unpriced=dict(Counter(self.unpriced) + Counter(other.unpriced)),
            sources=dict(Counter(self.sources) + Counter(other.sources)),
            failures=other.failures | self.failures,
            owed=other.owed | self.owed,
            refusing=sorted({*self.refusing, *other.refusing}),
        )

    def owes(self, series: Series, begin_us: int) -> None:
        """Note that bars of a series after an instant are still to be had."""
        begin = iso(begin_us)
        self.owed[series.key] = min(begin, self.owed.get(series.key, begin))


@dataclass(slots=True)
class _Quote:
    """A quote currency's dollar markets in one interval, and bars that wait for its rate.

    `fillers` may still be asked, each for the time of the stage under way.
    """

    asked: list[Piece] = field(default_factory=list)
    markets: dict[str, list[Bars]] = field(default_factory=dict)
    fillers: list[Mapped] = field(default_factory=list)
    time: tuple[int, int] = (0, 0)
    waiting: list[tuple[Series, Bars]] = field(default_factory=list)
    changed: bool = False  # since bars were last priced
    late: set[Piece] = field(default_factory=set)  # of a time in which bars were priced without them: not used any more


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
    """A plan under way. Use as a context manager; `run` its stages one after the other, then `finish`.

    A `patient` one asks again what failed until it comes or its time is over; another asks each call once.
    `tell` hears of every batch of answers; `then` is called when a stage is over, and for what came meanwhile. `stage`
    is what is asked for now, empty when only what failed is.
    """

    def __init__(
        self,
        live: Live,
        run_id: int,
        plan: Plan,
        *,
        patient: bool,
        tell: Callable[[Filling], object] = lambda filling: None,
        then: Callable[[], object] | None = None,
    ) -> None:
        self.filled = Filled()
        self.stage = ""
        self._live = live
        self._run_id = run_id
        self._patient = patient
        self._tell = tell
        self._then = then
        self._then_s = 0.0
        self._walk: Walk | None = None
        self._quotes: dict[tuple[str, str], _Quote] = {}
        self._record: dict[str, list[dict[str, Any]]] = {}
        self._spans = plan.spans
        self._listings: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._live.asset_ids()

        async def start(http: HttpClient) -> Walk:
            return Walk(self._live.sources, http, patient=self._patient)

        self._walk = self._live.upstream.run(start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        walk = self.walk
        with suppress(Stopped):  # nothing may go on asking, whatever ended this
            self._live.upstream.run(lambda _: walk.stop())
        for interval in list(self._record):
            self._keep(interval)

    @property
    def walk(self) -> Walk:
        """The walk, while this is under way."""
        assert self._walk is not None, "enter the filling before it is used"
        return self._walk

    def run(self, stage: Stage) -> None:
        """Ask the pieces of a stage and write what comes, until each came or failed."""
        self.stage = stage.name
        for key, time_us in times_by_quote(stage.pieces).items():
            self._quote(*key).time = time_us
            self._quote(*key).fillers = list(quote_fillers(key[:1], self._live.sources))
        for piece in stage.rates:
            row = piece.series.row
            self._quote(row.asset, piece.series.interval).asked.append(piece)
        self._add(stage.all)
        self._go_on(lambda: self._settled(stage.all))
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
        if self._then is not None:
            began = time.monotonic()
            self._then()
            self._then_s = time.monotonic() - began

    def step(self, within_s: float = LOOK_S) -> None:
        """Take what came, and write it."""
        walk = self.walk
        outcomes = self._live.upstream.run(lambda _: walk.take(within_s))
        parts: list[tuple[Series, Bars]] = []
        for outcome in outcomes:
            self._count(outcome)
            parts += self._dollars_or_wait(outcome)
        for key in self._quotes:
            parts += self._priced(key)
        self._write(parts)
        self._tell(self)

    def finish(self) -> Filled:
        """What came, and what is owed."""
        lost = self._ask_walk(lambda walk: walk.owed())
        for piece in lost:
            if piece.series.role is not Role.RATE:
                self.filled.owes(piece.series, piece.call.ask.start_us)
        for (currency, interval), quote in self._quotes.items():
            left = sum(len(bars) for _, bars in quote.waiting)
            self.filled.unpriced[currency] = self.filled.unpriced.get(currency, 0) + left
            if any(piece in quote.asked for piece in lost):  # else nobody has the rate, and asking again is idle
                for series, bars in quote.waiting:
                    self.filled.owes(series, int(bars.time_us[0]) - INTERVAL_US[interval])
        return self.filled

    def _quote(self, currency: str, interval: str) -> _Quote:
        """What is known of a currency's rate, begun when it is first asked for."""
        key = (currency, interval)
        if key not in self._quotes:
            self._quotes[key] = _Quote()
        return self._quotes[key]

    def _quote_of(self, series: Series) -> _Quote:
        return self._quote(series.row.asset, series.interval)

    def _add(self, pieces: Sequence[Piece], *, first: bool = False) -> None:
        self._ask_walk(lambda walk: walk.add(pieces, first=first))

    def _settled(self, pieces: Iterable[Piece]) -> bool:
        return self._ask_walk(lambda walk: walk.settled(pieces))

    def _ask_walk(self, question: Callable[[Walk], T]) -> T:
        """What the walk says, asked on its own loop."""
        walk = self.walk

        async def ask(http: HttpClient) -> T:
            return question(walk)

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
        if piece.series.role is Role.RATE and piece in self._quote_of(piece.series).late:
            return
        filled.calls += 1
        filled.refusing = [name for name in filled.refusing if name != piece.call.source]
        filled.sources[piece.call.source] = filled.sources.get(piece.call.source, 0) + 1
        subject = self._question(piece).subject
        notes = reject_notes(subject, piece.call, outcome.parsed, at_us=outcome.answer.fetched_us)
        filled.rejects += write_rejects_noted(self._live.store, self._run_id, notes)
        about = "" if piece.series.role is Role.SUPPLY else piece.series.interval
        record = self._record.setdefault(about, [])
        record += keep_answers(self._live, self._run_id, [(subject, piece.call, outcome.answer)])
        if len(record) >= MANIFEST_CALLS:
            self._keep(about)

    @staticmethod
    def _question(piece: Piece) -> Question:
        """The piece as a question, under the name that its answer has in the audit trail."""
        row, role = piece.series.row, piece.series.role
        return Question(f"{row.asset}@{row.source}" if role is Role.BARS else row.asset, row.source, piece.call.ask)

    def _keep(self, interval: str) -> None:
        """Write the manifest of the calls noted since the last one: of an interval's bars, or ('') of supplies."""
        calls = self._record.pop(interval, [])
        if not calls:
            return
        about: dict[str, Any] = {"kind": ANSWERS}
        if interval:
            start_us, end_us = self._spans[interval]
            about = {"kind": "history", "interval": interval, "start_us": start_us, "end_us": end_us}
        keep_manifest(self._live, self._run_id, {**about, "exchanges": calls})

    def _dollars_or_wait(self, outcome: Outcome) -> list[tuple[Series, Bars]]:
        """Bars in dollars as they are; others wait for their currency's rate. Rates and supplies are kept apart."""
        series, parsed = outcome.piece.series, outcome.parsed
        if parsed is None or outcome.answer is None or parsed.bars is None or not len(parsed.bars):
            return []
        if series.role is Role.SUPPLY:
            reply = Reply(self._question(outcome.piece), ((outcome.piece.call, outcome.answer, parsed),), None)
            write_reported(
                self._live.store, self._run_id, [reply], registry=self._live.registry, due=self._live.clock()
            )
            return []
        if series.role is Role.RATE:
            quote = self._quote_of(series)
            if outcome.piece in quote.late:
                return []
            quote.markets.setdefault(series.row.source, []).append(parsed.bars)
            quote.changed = True
            return []
        if parsed.bars.quote == "USD":
            return [(series, parsed.bars)]
        quote = self._quote(parsed.bars.quote, series.interval)
        quote.waiting.append((series, parsed.bars))
        quote.changed = True
        return []

    def _priced(self, key: tuple[str, str]) -> list[tuple[Series, Bars]]:
        """The waiting bars in dollars, once the currency's markets have answered; the next source for the rest."""
        quote = self._quotes[key]
        if not quote.waiting or not self._settled(quote.asked):
            return []
        priced: list[tuple[Series, Bars]] = []
        left: list[tuple[Series, Bars]] = []
        if quote.markets and quote.changed:
            first = min(int(bars.time_us[0]) for _, bars in quote.waiting)
            last = max(int(bars.time_us[-1]) for _, bars in quote.waiting)
            rate = hourly_rate(key[0], quote.markets, key[1], start_us=first, end_us=last)
            for series, bars in quote.waiting:
                usd = in_usd(bars, rate)
                if len(usd):
                    priced.append((series, usd))
                rest = bars.take(~np.isin(bars.time_us, usd.time_us))
                if len(rest):
                    left.append((series, rest))
        else:
            left = quote.waiting
        quote.waiting, quote.changed = left, False
        quote.late.update(_passed_over(quote.asked, [bars for _, bars in priced]))
        if left and quote.fillers:
            self._ask_next(key, quote)
        return priced

    def _ask_next(self, key: tuple[str, str], quote: _Quote) -> None:
        """Ask the next aggregator for the time of the stage, of which other bars will wait too."""
        start_us, end_us = quote.time
        row = quote.fillers.pop(0)
        pieces = pieces_of(rate_series(self._live, row, key[1], start_us=start_us, end_us=end_us))
        quote.asked += pieces
        self._add(pieces, first=True)

    def _write(self, parts: Sequence[tuple[Series, Bars]]) -> None:
        """Write bars in dollars, only at instants that are not stored."""
        if not parts:
            return
        new = [series for series, _ in parts if series.key not in self._listings]
        for series in new:
            ids = listing_ids(self._live.store, [series.row], self._live.sources, interval=series.interval)
            self._listings[series.key] = ids[series.row.asset, series.row.source]
        have: dict[int, I64] = {self._listings[series.key]: series.have for series, _ in parts}
        now_us = to_us(self._live.clock())
        if any(int(bars.time_us[-1]) > now_us - LATE_US for _, bars in parts):
            for interval in {series.interval for series, _ in parts}:
                late = stored_instants(self._live, interval=interval, start_us=now_us - LATE_US, end_us=now_us)
                for series, _ in parts:
                    fresh = late.get((series.row.asset, series.row.source))
                    if fresh is not None and series.interval == interval:
                        have[self._listings[series.key]] = np.union1d(series.have, fresh)
        listed = [(self._listings[series.key], bars) for series, bars in parts]
        self.filled.bars += write_missing(self._live.store, self._run_id, listed, have).new


def _passed_over(asked: Iterable[Piece], priced: Sequence[Bars]) -> Iterator[Piece]:
    """The pieces that had not come when bars of their time were priced: the same rate must be found again later."""
    if not priced:
        return
    first, last = min(int(bars.time_us[0]) for bars in priced), max(int(bars.time_us[-1]) for bars in priced)
    for piece in asked:
        if not piece.done and piece.call.ask.start_us < last and first <= piece.call.ask.end_us:
            yield piece
