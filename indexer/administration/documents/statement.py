"""The benchmark statement of an index: what it measures, where judgement enters, when it may become unreliable.

The headings follow what a benchmark statement has to say (Regulation (EU) 2016/1011, Article 27); whether a given
use makes it one is for its administrator and their counsel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from indexer.levels.lifecycle import IndexStatus
from indexer.methodology.policy import Policy
from indexer.methodology.spec import Methodology
from indexer.store.rows import AnnouncementRow, OverrideRow
from indexer.studies.report.blocks import Block, Bullets, Document, Heading, Text


def statement_document(
    methodology: Methodology,
    *,
    status: IndexStatus,
    policy: Policy,
    quality: Mapping[str, int],
    overrides: Sequence[OverrideRow],
    announcements: Sequence[AnnouncementRow],
    now: datetime,
) -> Document:
    """The statement as of `now`. `quality` counts published levels by status."""
    restated = [row for row in announcements if row.kind == "restatement"]
    deferred = [row for row in announcements if row.kind == "deferred"]
    total = sum(quality.values())
    shares = (
        ", ".join(f"{name} {count / total:.1%}" for name, count in quality.items() if count) if total else "none yet"
    )
    blocks: list[Block] = [
        Text(f"As of {now:%Y-%m-%d %H:%M} UTC. Made from the index's rules, levels and ledgers; nothing is typed in."),
        Heading("What it measures"),
        Text(methodology.description or methodology.name),
        Text(
            f"Base {methodology.base_level:g} at {methodology.base_date:%Y-%m-%d}. State: {status.state}. "
            f"{status.constituents} constituents, {status.minimum} required."
        ),
        Heading("Input data"),
        Bullets(
            (
                "Prices of public venues, gathered as bars, each kept with its source and revision. No contributor "
                "submits anything.",
                "Order of use: direct venue prices; providers that aggregate only to check and to fill in; imported "
                "files as they say. A rate says how many venues made it.",
                f"Status of the published levels so far: {shares}.",
            )
        ),
        Heading("When it may become unreliable"),
        Bullets(
            (
                "Fewer than three venues quote a constituent: the level is indicative or degraded and says so.",
                f"A constituent has no price: it is carried up to {methodology.missing.max_carry_hours} hours and "
                "flagged, then leaves at its last price; with no price at all the index is suspended.",
                f"Fewer than {status.minimum} constituents are held: {status.note or 'not the case now'}.",
                "Supply of a token is not known from a chain: reported or imported supply is used and named.",
                "Thin tokens can be moved by one trade; medians across venues limit that and do not exclude it.",
            )
        ),
        Heading("Judgement"),
        Bullets(_judgement(overrides)),
        Heading("Changes, corrections and end"),
        Bullets(
            (
                f"Corrections above {policy.threshold:.2%} are applied, others logged: {len(restated)} restatements "
                f"and {len(deferred)} corrections not applied so far.",
                "A new version of the rules counts from the next review on, never for what is published.",
                "An index ends with notice of at least 15 days; its levels stay readable.",
            )
        ),
        Heading("How to check it"),
        Text(
            "`deai verify` recomputes every level by two calculators; `deai export --proof FILE` gives a file that "
            "anyone can check with `deai verify --from FILE`; `deai explain` shows what one level was computed from."
        ),
    ]
    return Document(f"{methodology.name}: benchmark statement", f"Index {methodology.id}", tuple(blocks))


def _judgement(overrides: Sequence[OverrideRow]) -> tuple[str, ...]:
    approved = [row for row in overrides if row.approved_at is not None]
    sentences = ["Levels follow from the rules. People decide only by override: with a reason, a name and an end."]
    sentences += [
        f"{row.kind} of {row.asset}, {row.starts_at:%Y-%m-%d} to {row.expires_at:%Y-%m-%d}: {row.reason} "
        f"({row.approved_by})"
        for row in approved
    ]
    return tuple(sentences) if approved else (*sentences, "No override has been made so far.")
