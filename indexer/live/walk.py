"""Series walked: sources side by side, each call its own piece of work with its own retry, answers as they come.

A call that fails is asked again after a rest that grows, while the others go on; a host that wants to be left alone is
waited for. Nothing is lost when it stops: what did not come is still missing in the store, and planned again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from typing import Final

import structlog
from anyio import move_on_after

from indexer.errors import SourceCorrupt, SourceError, SourceRefused
from indexer.sources.base import Call, Mapped, Parsed, Source, ask_once, limit_of
from indexer.sources.http import Answer, HttpClient
from indexer.times import DAY_US

log = structlog.get_logger(__name__)
LANES: Final = 4  # calls under way at a source: few, so that a fixing never waits long for its turn
AHEAD: Final = 64  # answers that may wait for being written
FIRST_REST_S: Final = 5.0
LONGEST_REST_S: Final = 600.0
LATELY_S: Final = 600.0  # a source that answered properly within this time is in a mood, which passes
SHORT_REST_S: Final = 30.0  # the longest of such a source and of its pieces; one younger than this is asked on
REFUSALS: Final = 2  # of one question in a row: then it is answered
TURNED_AWAY: Final = 5  # times in a row that a source which did not answer refuses this address: left for the next run
NOTHING: Final = 2**63 - 1
UNLISTED_US: Final = 30 * DAY_US  # nothing for so long before the first bar: not listed then


class Role(StrEnum):
    """What the answers of a series are for."""

    BARS = "bars"
    RATE = "rate"  # bars of a quote currency in dollars
    SUPPLY = "supply"  # supplies implied by an aggregator's chart


@dataclass(slots=True, eq=False)
class Series:
    """What is missing of one asset at one source: its calls, newest first, and the stretches it does not reach back to.

    `first_us` is the earliest bar stored or come so far, and `empty_us` adds up the time before it for which the source
    answered that there is nothing. `refusals` are in a row; once `answered`, a refused call is owed, else it is the
    answer that there is no such series.
    """

    row: Mapped
    interval: str
    calls: tuple[Call, ...] = ()
    role: Role = Role.BARS
    unreached: tuple[tuple[int, int], ...] = ()
    first_us: int = NOTHING
    empty_us: int = 0
    refusals: int = 0
    answered: bool = False

    @property
    def key(self) -> str:
        """The series' name in the run log: `near@binance` of hours, `near@binance/1d` of days."""
        days = "" if self.interval == "1h" else f"/{self.interval}"
        return f"{self.row.asset}@{self.row.source}{days}"

    def pieces(self) -> list[Piece]:
        """A piece for each call."""
        return [Piece(self, call) for call in self.calls]

    def begins_after(self, call: Call) -> bool:
        """Whether a call lies before the series' beginning, as far as the answers to newer calls say."""
        return self.empty_us >= UNLISTED_US and call.ask.end_us <= self.first_us

    def learn(self, call: Call, parsed: Parsed) -> None:
        """Note what an answer says of where the series begins."""
        if parsed.bars is None:
            return
        self.first_us = min(self.first_us, *parsed.bars.time_us[:1].tolist(), NOTHING)
        if not (len(parsed.bars) or parsed.rejects) and call.ask.end_us <= self.first_us < NOTHING:
            self.empty_us += call.ask.end_us - call.ask.start_us


@dataclass(slots=True, eq=False)
class Piece:
    """One call of a series, and how it went so far: `done` when nothing more comes of it in this walk.

    A source is asked for what has a lower `rank` first: that of a stage's rates is even, of its other pieces odd.
    """

    series: Series
    call: Call
    rank: int = 0
    done: bool = False
    failures: int = 0
    rests_until: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of a call: answered, or not this time and why. Neither: not sent, the series begins later."""

    piece: Piece
    answer: Answer | None = None
    parsed: Parsed | None = None
    error: SourceError | None = None


@dataclass(slots=True)
class _Host:
    """One source's pieces: those that wait for their turn, those that rest, and how many are under way."""

    waiting: list[tuple[int, int, Piece]] = field(default_factory=list)  # a heap: rank, then place in the line
    resting: list[Piece] = field(default_factory=list)
    front: int = 0
    back: int = 0
    under_way: int = 0
    rests_until: float = 0.0
    refusals: int = 0  # of this address, in a row
    refused: SourceError | None = None  # what it said when it was given up
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, piece: Piece, *, first: bool = False) -> None:
        """Let a piece wait behind all others of its rank, or before them."""
        self.front, self.back = self.front - first, self.back + (not first)
        heappush(self.waiting, (piece.rank, self.front if first else self.back, piece))

    def due(self, now: float) -> float | None:
        """When the next piece may be asked, None when there is none.

        What has rested waits in front again; what was refused or failed repeatedly, with the next stage, and a rate,
        for which others wait, behind the rates that were not asked yet.
        """
        rested = [piece for piece in self.resting if piece.rests_until <= now]
        if rested:
            self.resting = [piece for piece in self.resting if piece.rests_until > now]
        for piece in reversed(rested):
            again = piece.failures > 1 or piece.series.refusals > 0
            piece.rank += 2 * (again and piece.series.role is not Role.RATE)
            self.put(piece, first=not again)
        times = [now] if self.waiting else [piece.rests_until for piece in self.resting]
        return max(min(times), self.rests_until) if times else None


class Walk:
    """Pieces under way on the event loop: `add` some, `take` what came, `stop` at the end.

    A `patient` walk asks again what failed, until it comes; another asks each call once.
    """

    def __init__(self, sources: Mapping[str, Source], http: HttpClient, *, patient: bool) -> None:
        self._sources = sources
        self._http = http
        self._patient = patient
        self._hosts: dict[str, _Host] = {}
        self._lost: list[Piece] = []  # given up in this walk, but may come in another
        self._ready: deque[Outcome] = deque()
        self._came = asyncio.Event()
        self._space = asyncio.Semaphore(AHEAD)
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, pieces: Sequence[Piece], *, first: bool = False) -> None:
        """Take up more pieces, behind those of their source that are there, or before them."""
        for piece in reversed(pieces) if first else pieces:
            host = self._host(piece.call.source)
            host.put(piece, first=first)
            host.more.set()

    def unsettled(self, pieces: Iterable[Piece]) -> list[Piece]:
        """Which of these are neither done, nor failed once or more, nor of a source that rests, or are to be taken.

        What failed is asked again, but nobody waits for it.
        """
        now, untaken = self._now(), {outcome.piece for outcome in self._ready}
        return [
            piece
            for piece in pieces
            if piece in untaken
            or not (piece.done or piece.failures or self._hosts[piece.call.source].rests_until > now)
        ]

    def owed(self) -> list[Piece]:
        """The pieces that did not come and may come another time."""
        waiting = [piece for host in self._hosts.values() for _, _, piece in host.waiting]
        return [*self._lost, *waiting, *(piece for host in self._hosts.values() for piece in host.resting)]

    @property
    def over(self) -> bool:
        """Whether nothing is left to come."""
        return not self._ready and not any(
            host.under_way or host.waiting or host.resting for host in self._hosts.values()
        )

    async def take(self, within_s: float) -> list[Outcome]:
        """What came since the last time; empty when nothing came in time, or nothing is left to come."""
        deadline = self._now() + within_s
        while not self._ready and (now := self._now()) < deadline and not self.over:
            self._came.clear()
            with move_on_after(deadline - now):
                await self._came.wait()
        outcomes = list(self._ready)
        self._ready.clear()
        for _ in outcomes:
            self._space.release()
        return outcomes

    async def stop(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _host(self, name: str) -> _Host:
        if name not in self._hosts:
            host = self._hosts[name] = _Host()
            self._tasks += [asyncio.create_task(self._lane(host)) for _ in range(LANES)]
        return self._hosts[name]

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _lane(self, host: _Host) -> None:
        """Ask one piece after the other, as long as the walk lasts."""
        while True:
            while (due := host.due(now := self._now())) is None or due > now:
                host.more.clear()
                with move_on_after(None if due is None else due - now):
                    await host.more.wait()
            _, _, piece = heappop(host.waiting)
            host.under_way += 1
            await self._space.acquire()
            outcome = await self._ask(piece, host)
            host.under_way -= 1
            self._ready.append(outcome)
            self._came.set()

    async def _ask(self, piece: Piece, host: _Host) -> Outcome:
        if piece.series.begins_after(piece.call):
            piece.done = True
            return Outcome(piece)
        if host.refused is not None:
            self._give_up(piece)
            return Outcome(piece, error=host.refused)
        if piece.series.refusals >= REFUSALS:
            self._refused(piece)
            return Outcome(piece)
        try:
            answer, parsed = await ask_once(self._sources[piece.call.source], piece.call, self._http)
        except SourceError as error:
            self._failed(piece, error, host)
            return Outcome(piece, error=error)
        except Exception as defect:  # a defect of ours in reading one answer: the others go on
            log.exception("defect", source=piece.call.source, path=piece.call.path)
            self._give_up(piece)
            return Outcome(piece, error=SourceCorrupt(f"{piece.call.source}: its answer cannot be read ({defect!r})"))
        host.refusals = piece.series.refusals = 0
        piece.series.answered = True
        piece.done = True
        piece.series.learn(piece.call, parsed)
        return Outcome(piece, answer, parsed)

    def _failed(self, piece: Piece, error: SourceError, host: _Host) -> None:
        """Decide whether a call that failed is given up, rests, or its whole source does."""
        now = self._now()
        outright = isinstance(error, SourceRefused) and error.outright
        wait_s = getattr(error, "retry_after_s", None)
        silent_s = self._http.silent_s(limit_of(self._sources[piece.call.source], piece.call.source))
        longest_s = LONGEST_REST_S if silent_s > LATELY_S else SHORT_REST_S
        if outright and silent_s > SHORT_REST_S:
            host.refusals += now >= host.rests_until  # calls under way together are turned away once
            if not self._patient or (silent_s > LATELY_S and host.refusals >= TURNED_AWAY):
                host.refused = error
                self._give_up(piece)
                return
            wait_s = min(_rest_s(host.refusals - 1), longest_s)
        elif isinstance(error, SourceRefused) and not outright:
            piece.series.refusals += 1
            if not self._patient or piece.series.refusals >= REFUSALS:
                self._refused(piece)
                return
        elif not self._patient:
            self._give_up(piece)
            return
        if wait_s:
            host.rests_until = max(host.rests_until, now + wait_s)
            host.put(piece, first=True)
            return
        piece.failures += 1
        piece.rests_until = now + min(_rest_s(piece.failures - 1), longest_s)
        host.resting.append(piece)

    def _refused(self, piece: Piece) -> None:
        """A question that is refused again and again is answered, unless others of its series were."""
        if piece.series.answered:
            self._give_up(piece)
        piece.done = True

    def _give_up(self, piece: Piece) -> None:
        piece.done = True
        self._lost.append(piece)


def _rest_s(times: int) -> float:
    """The rest after so many failures: ever longer, ten minutes at most."""
    return min(FIRST_REST_S * 2.0 ** min(times, 10), LONGEST_REST_S)
