"""Several questions to several sources, side by side; who failed and why, and nothing raised."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from indexer.errors import ConfigError, SourceError, SourceRefused, SourceUnavailable
from indexer.live.audit import ANSWERS, keep_answers, keep_manifest
from indexer.live.context import Live
from indexer.live.quality_log import SOURCE_DOWN, Exchange, settle
from indexer.sources.base import Answering, Ask, Call, Parsed, ask_once
from indexer.sources.http import Answer, HttpClient, reason_of
from indexer.store.rows import MetricSeries


@dataclass(frozen=True, slots=True)
class Question:
    """One ask of one source, for a subject of ours (an asset's slug, a benchmark's symbol, `market`)."""

    subject: str
    source: str
    ask: Ask


Answered = tuple[Call, Answer, Parsed]


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What a question brought: a record for each call that was answered, and the error of the last that was not."""

    question: Question
    parsed: tuple[Answered, ...]
    error: SourceError | None = None


def ask_all(live: Live, questions: Sequence[Question]) -> list[Reply]:
    """The replies in the order of the questions. Sources work side by side, each at its own pace."""
    return live.upstream.run(lambda http: ask_each(questions, live.sources, http))


async def ask_each(questions: Sequence[Question], sources: Mapping[str, Answering], http: HttpClient) -> list[Reply]:
    """The replies of the sources that there are, in the order of the questions."""
    known = [question for question in questions if question.source in sources]
    return await asyncio.gather(*(_reply(question, sources[question.source], http) for question in known))


async def _reply(question: Question, source: Answering, http: HttpClient) -> Reply:
    parsed: list[Answered] = []
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
        MetricSeries(subject, values.name, call.source, values.time_us, values.value)
        for subject, call, _, parsed in exchanges_of(replies)
        for values in parsed.series
        if len(values)
    ]


def exchanges_of(replies: Sequence[Reply]) -> list[Exchange]:
    """Every call that was answered."""
    return [(reply.question.subject, *exchange) for reply in replies for exchange in reply.parsed]


def failing_sources(replies: Sequence[Reply]) -> dict[str, str]:
    """The sources that answered no call and what each said first."""
    answered = {reply.question.source for reply in replies if reply.parsed}
    failed = [reply for reply in replies if reply.error is not None and reply.question.source not in answered]
    return {reply.question.source: reason_of(reply.error) for reply in reversed(failed) if reply.error}


def keep_replies(live: Live, run_id: int, replies: Sequence[Reply], *, what: str) -> dict[str, str]:
    """Archive what was answered with its calls, note refused rows and failing sources; these, with why.

    Raises SourceUnavailable when questions were asked and none was answered; `what` names what is then missing.
    """
    exchanges = exchanges_of(replies)
    if exchanges:
        keep_manifest(live, run_id, {"kind": ANSWERS, "exchanges": keep_answers(live, run_id, exchanges)})
    down, asked = failing_sources(replies), {reply.question.source for reply in replies}
    settle(live, run_id, SOURCE_DOWN, down, concerns=asked.__contains__)
    if replies and not exchanges:
        raise SourceUnavailable(f"no source gave {what}. {reasons_of(down)}")
    return down


def reasons_of(down: Mapping[str, str]) -> str:
    """What each failing source said, in one line."""
    return "; ".join(f"{source}: {text}" for source, text in sorted(down.items()))
