"""A plan walked: every answer is handed to the caller, who keeps the bytes and stores the records.

Running again plans again from what is then there, so nothing is fetched twice and nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from indexer.errors import SourceError, SourceRefused
from indexer.live.history_plan import NOTHING, Plan, Step, Want, cover
from indexer.live.quality_log import reject_notes, source_note
from indexer.sources.base import Call, Parsed, Source, part
from indexer.sources.http import Answer, HttpClient
from indexer.sources.records import QualityNote
from indexer.times import DAY_US


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """The outcome of one step: the answer and its records, or the error that ended the last candidate.

    `call` is the call that was answered (a later candidate's, after falling through); `notes` are entries for
    the quality log: sources that failed, rows refused. Without answer and error the call was not sent, because
    the series begins later.
    """

    asset: str
    call: Call
    answer: Answer | None
    parsed: Parsed | None
    error: SourceError | None
    notes: tuple[QualityNote, ...]


UNLISTED_US: Final = 30 * DAY_US  # nothing for so long before the first bar: not listed then
Results = asyncio.Queue[list[Done] | Exception | None]


@dataclass(frozen=True, slots=True)
class _Walk:
    """What all lanes share. A source in `refused` refuses this address outright: it is not asked again.

    By asset and source, `first` is the earliest bar that came, and `empty` adds up the time before it for which the
    source answered that there is nothing.
    """

    sources: Mapping[str, Source]
    http: HttpClient
    refused: dict[str, SourceRefused] = field(default_factory=dict)
    first: dict[tuple[str, str], int] = field(default_factory=dict)
    empty: dict[tuple[str, str], int] = field(default_factory=dict)

    def unlisted(self, step: Step) -> bool:
        """Whether the step lies before the series' beginning, as far as the answers to newer calls say."""
        empty = self.empty.get((step.asset, step.call.source), 0)
        return step.oldest_us is not None and empty >= UNLISTED_US

    def learn(self, step: Step, parsed: Parsed) -> None:
        """Note what an answer says of where the series begins."""
        if step.oldest_us is None or parsed.bars is None:
            return
        series, ask = (step.asset, step.call.source), step.call.ask
        first = min(self.first.get(series, NOTHING), step.oldest_us, *parsed.bars.time_us[:1].tolist())
        self.first[series] = first
        if not (len(parsed.bars) or parsed.rejects) and ask.end_us <= first < NOTHING:
            self.empty[series] = self.empty.get(series, 0) + ask.end_us - ask.start_us


async def run_backfill(
    plan: Plan, sources: Mapping[str, Source], http: HttpClient, *, lanes: int = 4
) -> AsyncIterator[Done]:
    """Each call's outcome as it comes. Sources work side by side, each with a few calls under way.

    A source that fails gives way to the next candidate for that range; one that refuses this address outright is
    not asked further, and one that had nothing for a month before the first bar is not asked for what is older.
    Stop iterating at any time: what was handed out is complete in itself, and calls under way are cancelled.
    """
    results: Results = asyncio.Queue(maxsize=4 * lanes)
    walk = _Walk(sources, http)
    waiting: dict[str, Iterator[Step]] = {}
    for name in dict.fromkeys(step.call.source for step in plan.steps):
        waiting[name] = iter([step for step in plan.steps if step.call.source == name])
    tasks = [
        asyncio.create_task(_lane(steps, walk, results=results)) for steps in waiting.values() for _ in range(lanes)
    ]
    try:
        for _ in range(len(plan.steps) + len(tasks)):
            got = await results.get()
            if isinstance(got, Exception):
                raise got
            for done in got or ():
                yield done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _lane(steps: Iterator[Step], walk: _Walk, *, results: Results) -> None:
    """Take steps from the shared iterator until it is empty; say None at the end, or the failure that ended it."""
    try:
        for step in steps:
            await results.put(await _run_step(step, walk))
    except Exception as cause:  # a defect of ours, not of a source: it must reach the caller, not hang the queue
        await results.put(cause)
    await results.put(None)


async def _run_step(step: Step, walk: _Walk) -> list[Done]:
    """The outcome of a step: one, or several when the next candidate needs more calls for the same range."""
    call, source = step.call, walk.sources[step.call.source]
    if walk.unlisted(step):
        return [Done(step.asset, call, None, None, None, ())]
    if call.source in walk.refused:
        return await _by_next(step, walk.refused[call.source], walk=walk)
    try:
        answer = await source.fetch(call, walk.http)
        parsed = source.parse(call, answer)
    except SourceError as cause:
        if isinstance(cause, SourceRefused) and cause.outright:
            walk.refused[call.source] = cause
        return await _by_next(step, cause, walk=walk)
    walk.learn(step, parsed)
    notes = reject_notes(step.asset, call, parsed, at_us=answer.fetched_us)
    return [Done(step.asset, call, answer, parsed, None, tuple(notes))]


async def _by_next(step: Step, cause: SourceError, *, walk: _Walk) -> list[Done]:
    """The step's range by the candidates after the one that failed; what none reaches keeps the failure."""
    ask = step.call.ask
    want = Want(step.asset, ask.interval, ask.start_us, ask.end_us, step.others, ask.dataset)
    steps, left = cover(want, (ask.start_us, ask.end_us), walk.sources, now_us=ask.now_us)
    outcomes: list[Done] = []
    for following in steps:
        outcomes += await _run_step(following, walk)
    for begin, end in left:
        call = replace(step.call, ask=part(ask, begin, end))
        outcomes.append(Done(step.asset, call, None, None, cause, ()))
    notes = (source_note(step.call, cause), *outcomes[0].notes)
    return [replace(outcomes[0], notes=notes), *outcomes[1:]]
