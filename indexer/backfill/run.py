"""A plan walked: every answer is handed to the caller, who keeps the bytes and stores the records.

Running again plans again from what is then there, so nothing is fetched twice and nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace

from indexer.backfill.notes import reject_notes, source_note
from indexer.backfill.plan import Plan, Step, Want, cover
from indexer.errors import SourceError, SourceRefused
from indexer.http import Answer, HttpClient
from indexer.records import QualityNote
from indexer.sources.base import Call, Parsed, Source, part


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """The outcome of one step: the answer and its records, or the error that ended the last candidate.

    `call` is the call that was answered (a later candidate's, after falling through); `notes` are entries for
    the quality ledger: sources that failed, rows refused.
    """

    asset: str
    call: Call
    answer: Answer | None
    parsed: Parsed | None
    error: SourceError | None
    notes: tuple[QualityNote, ...]


Results = asyncio.Queue[list[Done] | Exception | None]


@dataclass(frozen=True, slots=True)
class _Walk:
    """What all lanes share. A source in `refused` refuses this address outright: it is not asked again."""

    sources: Mapping[str, Source]
    http: HttpClient
    refused: dict[str, SourceRefused]


async def run_backfill(
    plan: Plan, sources: Mapping[str, Source], http: HttpClient, *, lanes: int = 4
) -> AsyncIterator[Done]:
    """Each call's outcome as it comes. Sources work side by side, each with a few calls under way.

    A source that fails gives way to the next candidate for that range; one that refuses this address outright is
    not asked further. Stop iterating at any time: what was
    handed out is complete in itself, and calls under way are cancelled.
    """
    results: Results = asyncio.Queue(maxsize=4 * lanes)
    walk = _Walk(sources, http, {})
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
    if call.source in walk.refused:
        return await _by_next(step, walk.refused[call.source], walk=walk)
    try:
        answer = await source.fetch(call, walk.http)
        parsed = source.parse(call, answer)
    except SourceError as cause:
        if isinstance(cause, SourceRefused) and cause.outright:
            walk.refused[call.source] = cause
        return await _by_next(step, cause, walk=walk)
    notes = reject_notes(step.asset, call, parsed, at_us=answer.fetched_us)
    return [Done(step.asset, call, answer, parsed, None, tuple(notes))]


async def _by_next(step: Step, cause: SourceError, *, walk: _Walk) -> list[Done]:
    """The step's range by the candidates after the one that failed; what none reaches keeps the failure."""
    ask = step.call.ask
    want = Want(step.asset, ask.interval, ask.start_us, ask.end_us, step.others, ask.dataset)
    steps, left = cover(want, (ask.start_us, ask.end_us), walk.sources, now_us=ask.now_us)
    found: list[Done] = []
    for following in steps:
        found += await _run_step(following, walk)
    for begin, end in left:
        call = replace(step.call, ask=part(ask, begin, end))
        found.append(Done(step.asset, call, None, None, cause, ()))
    notes = (source_note(step.call, cause), *found[0].notes)
    return [replace(found[0], notes=notes), *found[1:]]
