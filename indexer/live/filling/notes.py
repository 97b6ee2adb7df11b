"""Entries for the quality ledger, as records; the caller stores them. Pure."""

from __future__ import annotations

import numpy as np

from indexer.arrays import I64
from indexer.errors import SourceError
from indexer.live.filling.plan import missing_ranges
from indexer.sources.base import Call, Parsed
from indexer.sources.http import reason_of
from indexer.sources.records import Bars, QualityNote
from indexer.times import iso


def source_note(call: Call, error: SourceError) -> QualityNote:
    """The ledger entry for a source that could not give a range."""
    return QualityNote("source_down", call.source, call.ask.start_us, call.ask.end_us, reason_of(error))


def reject_notes(asset: str, call: Call, parsed: Parsed, *, at_us: int) -> list[QualityNote]:
    """One ledger entry for each reason for which rows of an answer were refused, with how many and an example."""
    reasons: dict[str, list[str]] = {}
    for reject in parsed.rejects:
        reasons.setdefault(reject.reason, []).append(reject.row)
    return [
        QualityNote("reject", f"{call.source}/{asset}", at_us, at_us, f"{reason}: {len(rows)} rows, e.g. {rows[0]}")
        for reason, rows in reasons.items()
    ]


def gap_notes(asset: str, have_us: I64, interval: str, *, start_us: int, end_us: int) -> list[QualityNote]:
    """One open ledger entry for each stretch without bars: opened where it begins, closed when it is filled."""
    return [
        QualityNote("gap", f"{asset}/{interval}", begin, None, f"no bars close in ({iso(begin)}, {iso(end)}]")
        for begin, end in missing_ranges(have_us, interval, start_us=start_us, end_us=end_us)
    ]


def disagreement_notes(
    asset: str, ours: Bars, theirs: Bars, source: str, *, threshold: float = 0.02, interval: str = "1h"
) -> list[QualityNote]:
    """One entry for each stretch in which an aggregator's closes differ from our rates by more than a fraction.

    Bars are compared at the same instants; a stretch ends with the first bar that agrees, and one that reaches
    the last common bar stays open.
    """
    at, here, there = np.intersect1d(ours.time_us, theirs.time_us, assume_unique=True, return_indices=True)
    with np.errstate(invalid="ignore"):
        gap = theirs.close[there] / ours.close[here] - 1.0
    apart = np.abs(gap) > threshold
    edges = np.flatnonzero(np.diff(np.concatenate([[False], apart, [False]]).astype(np.int8)))
    notes = []
    for first, past in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        worst = float(gap[first:past][np.argmax(np.abs(gap[first:past]))])
        closed = int(at[past]) if past < len(at) else None
        detail = f"{source} differs from our rate by up to {worst:+.2%} over {past - first} bars of {interval}"
        notes.append(QualityNote("disagreement", f"{source}/{asset}", int(at[first]), closed, detail))
    return notes
