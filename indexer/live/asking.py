"""Several small questions to several sources, side by side; who failed and why, and nothing raised."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from indexer.errors import ConfigError, SourceError, SourceRefused, SourceUnavailable
from indexer.live.audit import ANSWERS, keep_answers, keep_manifest
from indexer.live.context import Live
from indexer.live.quality_log import reject_notes, settle, write_rejects_noted
from indexer.sources.base import Ask, Call, Parsed, Source, ask_once
from indexer.sources.http import Answer, HttpClient, reason_of
from indexer.store.rows import MetricSeries


@dataclass(frozen=True, slots=True)
class Question:
    """One ask of one source, for a subject of ours (an asset's slug, a benchmark's symbol, `market`)."""

    subject: str
    source: str
    ask: Ask


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What a question brought: a record for each call that was answered, and the error of the last that was not."""

    question: Question
    parsed: tuple[tuple[Call, Answer, Parsed], ...]
    error: SourceError | None


def ask_all(live: Live, questions: Sequence[Question]) -> list[Reply]:
    """The replies in the order of the questions. Sources work side by side, each at its own pace."""
    known = [question for question in questions if question.source in live.sources]

    async def work(http: HttpClient) -> list[Reply]:
        return list(await asyncio.gather(*(_one(question, live.sources[question.source], http) for question in known)))

    return live.upstream.run(work)


async def _one(question: Question, source: Source, http: HttpClient) -> Reply:
    parsed: list[tuple[Call, Answer, Parsed]] = []
    error: SourceError | None = None
    for call in source.calls(question.ask):
        try:
            parsed.append((call, *await ask_once(source, call, http)))
        except SourceError as cause:
            error = cause
        except ConfigError as cause:  # a named source whose library is not installed
            error = SourceRefused(str(cause))
    return Reply(question, tuple(parsed), error)


def series_of(replies: Sequence[Reply]) -> list[MetricSeries]:
    """The series that replies brought, under the subjects that were asked for."""
    return [
        MetricSeries(reply.question.subject, values.name, call.source, values.time_us, values.value)
        for reply in replies
        for call, _, parsed in reply.parsed
        for values in parsed.series
        if len(values)
    ]


def keep_replies(live: Live, run_id: int, replies: Sequence[Reply], *, what: str) -> dict[str, str]:
    """Archive what was answered with its calls, note refusals and failing sources; the failed sources, with why.

    Raises SourceUnavailable when questions were asked and none was answered; `what` names what is then missing.
    """
    answered = [(reply.question.subject, call, answer) for reply in replies for call, answer, _ in reply.parsed]
    if answered:
        calls = keep_answers(live, run_id, answered)
        keep_manifest(live, run_id, {"kind": ANSWERS, "exchanges": calls})
    for reply in replies:
        for call, answer, parsed in reply.parsed:
            notes = reject_notes(reply.question.subject, call, parsed, at_us=answer.fetched_us)
            write_rejects_noted(live.store, run_id, notes)
    alive = {call.source for _, call, _ in answered}
    failed = _failures(replies)
    down = {source: text for source, text in failed.items() if source not in alive}
    asked = {reply.question.source for reply in replies}
    settle(live.store, run_id, kind="source_down", now=down, at=live.clock(), concerns=lambda subject: subject in asked)
    if replies and not answered:
        reasons = "; ".join(f"{source}: {text}" for source, text in sorted(failed.items()))
        raise SourceUnavailable(f"no source gave {what}. {reasons}")
    return down


def _failures(replies: Sequence[Reply]) -> Mapping[str, str]:
    reasons: dict[str, str] = {}
    for reply in replies:
        if reply.error is not None:
            reasons.setdefault(reply.question.source, reason_of(reply.error))
    return reasons
