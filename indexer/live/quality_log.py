"""The quality log kept true: what is wrong now is open, what is right again is closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

import structlog

from indexer.errors import SourceError
from indexer.sources.base import Call, Parsed
from indexer.sources.http import reason_of
from indexer.sources.records import QualityNote
from indexer.store.db import Store
from indexer.store.quality import read_open_quality, write_quality
from indexer.store.rows import QualityRow
from indexer.times import from_us

SOURCE_DOWN: Final = "source_down"
log = structlog.get_logger(__name__)


def settle(
    store: Store,
    run_id: int,
    *,
    kind: str,
    now: Mapping[str, str],
    at: datetime,
    concerns: Callable[[str], bool],
    since: Mapping[str, datetime] | None = None,
) -> None:
    """Open an entry for each subject in `now` (subject → what is wrong) that has none; close those that recovered.

    Only open entries whose subject `concerns` us are closed: others belong to another job. `since` says when it
    began where that is not `at`. Doing it twice changes nothing. Sources that go down or come back are logged.
    """
    still_open: dict[str, QualityRow] = {row.subject: row for row in read_open_quality(store, (kind,))}
    rows = [
        QualityRow(kind, subject, (since or {}).get(subject, at), None, said(text))
        for subject, text in now.items()
        if subject not in still_open
    ]
    rows += [
        QualityRow(kind, subject, row.opened_at, max(at, row.opened_at), row.detail)
        for subject, row in still_open.items()
        if subject not in now and concerns(subject)
    ]
    if rows:
        write_quality(store, run_id, rows)
    if kind == SOURCE_DOWN:
        _log_sources(rows)


def _log_sources(rows: Iterable[QualityRow]) -> None:
    """One line when a source goes down, one when it answers again; single symbols are in the quality log only."""
    for row in rows:
        if "/" in row.subject:
            continue
        if row.closed_at is None:
            log.warning("source down", source=row.subject, said=json.loads(row.detail)["text"])
        else:
            log.info("source answers again", source=row.subject, down_since=row.opened_at.isoformat())


def log_still_down(store: Store, *, before: datetime) -> None:
    """One line for all sources that went down before an instant and have not answered since: the hour's summary."""
    down = [row for row in read_open_quality(store, (SOURCE_DOWN,)) if "/" not in row.subject]
    since = {row.subject: row.opened_at.isoformat() for row in down if row.opened_at < before}
    if since:
        log.warning("sources still down", since=since)


def write_rejects_noted(store: Store, run_id: int, notes: Iterable[QualityNote]) -> int:
    """Enter refused rows, closed at once; notes of one subject and instant share an entry. How many notes."""
    merged: dict[tuple[str, int], list[str]] = {}
    for note in notes:
        if note.kind == "reject":
            merged.setdefault((note.subject, note.opened_us), []).append(note.detail)
    rows = [
        QualityRow("reject", subject, from_us(at), from_us(at), said("; ".join(texts)))
        for (subject, at), texts in merged.items()
    ]
    if rows:
        write_quality(store, run_id, rows)
    return len(rows)


def settle_ranges(store: Store, run_id: int, notes: Iterable[QualityNote], *, at: datetime, since: datetime) -> None:
    """Gaps with a beginning each: open those that are there, close those that began after `since` and are filled."""
    there = {(note.kind, note.subject, from_us(note.opened_us)): note.detail for note in notes}
    still_open = {(row.kind, row.subject, row.opened_at): row for row in read_open_quality(store, ("gap",))}
    rows = [
        QualityRow(kind, subject, opened, None, said(text))
        for (kind, subject, opened), text in there.items()
        if (kind, subject, opened) not in still_open
    ]
    rows += [
        QualityRow(row.kind, row.subject, row.opened_at, at, row.detail)
        for key, row in still_open.items()
        if key not in there and row.opened_at >= since
    ]
    if rows:
        write_quality(store, run_id, rows)


def said(text: str) -> str:
    """The detail of an entry, as JSON."""
    return json.dumps({"text": text}, ensure_ascii=False)


def source_note(call: Call, error: SourceError) -> QualityNote:
    """The entry for a source that could not give a range."""
    return QualityNote("source_down", call.source, call.ask.start_us, call.ask.end_us, reason_of(error))


def reject_notes(asset: str, call: Call, parsed: Parsed, *, at_us: int) -> list[QualityNote]:
    """One entry for each reason for which rows of an answer were refused, with how many and an example."""
    reasons: dict[str, list[str]] = {}
    for reject in parsed.rejects:
        reasons.setdefault(reject.reason, []).append(reject.row)
    return [
        QualityNote("reject", f"{call.source}/{asset}", at_us, at_us, f"{reason}: {len(rows)} rows, e.g. {rows[0]}")
        for reason, rows in reasons.items()
    ]
