"""Backfills, planned before they are done, and resumable: plan (pure) → run (asks the sources) → notes."""

from indexer.live.filling.notes import disagreement_notes, gap_notes, reject_notes, source_note
from indexer.live.filling.plan import Plan, Step, Want, join_near, missing_ranges, plan_backfill
from indexer.live.filling.run import Done, run_backfill

__all__ = [
    "Done",
    "Plan",
    "Step",
    "Want",
    "disagreement_notes",
    "gap_notes",
    "join_near",
    "missing_ranges",
    "plan_backfill",
    "reject_notes",
    "run_backfill",
    "source_note",
]
