"""The quality log kept true: what is wrong now is open, what is right again is closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import structlog

from indexer.live.context import Live
from indexer.sources.base import Call, Parsed
from indexer.sources.http import Answer
from indexer.store.db import Store
from indexer.store.quality import read_open_quality, write_quality
from indexer.store.rows import QualityRow

SOURCE_DOWN: Final = "source_down"
log = structlog.get_logger(__name__)
Exchange = tuple[str, Call, Answer, Parsed]
"""What a call was about (an asset, a benchmark), the call, its answer, and the records in it."""


def settle(
    live: Live,
    run_id: int,
    kind: str,
    wrong: Mapping[str, str],
    *,
    concerns: Callable[[str], bool],
    at: datetime | None = None,
) -> None:
    """Open an entry for each subject in `wrong` (subject → what it is) that has none; close those that recovered.

    Only open entries whose subject `concerns` us are closed: others belong to another job. `at` is now if not given.
    Doing it twice changes nothing. Sources that go down or come back are logged.
    """
    at = at or live.clock()
    open_rows = {row.subject: row for row in read_open_quality(live.store, (kind,))}
    begun = [QualityRow(kind, subject, at, None, detail(text)) for subject, text in wrong.items()]
    over = [row for subject, row in open_rows.items() if subject not in wrong and concerns(subject)]
    rows = [row for row in begun if row.subject not in open_rows] + [_closed(row, at) for row in over]
    _write(live, run_id, rows)
    if kind == SOURCE_DOWN:
        _log_sources(rows)


def settle_gaps(live: Live, run_id: int, gaps: Mapping[tuple[str, datetime], str], *, since: datetime) -> None:
    """Open the gaps (subject and beginning → text) that have no entry; close what began after `since` and is filled."""
    open_rows = {(row.subject, row.opened_at): row for row in read_open_quality(live.store, ("gap",))}
    rows = [QualityRow("gap", *key, None, detail(text)) for key, text in gaps.items() if key not in open_rows]
    over = [row for key, row in open_rows.items() if key not in gaps and row.opened_at >= since]
    _write(live, run_id, rows + [_closed(row, live.clock()) for row in over])


def _write(live: Live, run_id: int, rows: Sequence[QualityRow]) -> None:
    if rows:
        write_quality(live.store, run_id, rows)


def _closed(row: QualityRow, at: datetime) -> QualityRow:
    return QualityRow(row.kind, row.subject, row.opened_at, max(at, row.opened_at), row.detail)


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


def note_rejects(live: Live, run_id: int, exchanges: Iterable[Exchange]) -> None:
    """Enter refused rows by reason, closed at once; those of one subject and instant share an entry."""
    texts: dict[tuple[str, datetime], list[str]] = {}
    for subject, call, answer, parsed in exchanges:
        reasons: dict[str, list[str]] = {}
        for reject in parsed.rejects:
            reasons.setdefault(reject.reason, []).append(reject.row)
        for reason, rows in reasons.items():
            entry = texts.setdefault((f"{call.source}/{subject}", answer.fetched_at), [])
            entry.append(f"{reason}: {len(rows)} rows, e.g. {rows[0]}")
    entries = [
        QualityRow("reject", subject, at, at, detail("; ".join(parts))) for (subject, at), parts in texts.items()
    ]
    _write(live, run_id, entries)


def detail(text: str) -> str:
    """The detail of an entry, as JSON."""
    return json.dumps({"text": text}, ensure_ascii=False)
