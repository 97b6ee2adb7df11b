"""Any document of any index, from the store and the settings, as text, HTML or PDF; and the benchmark statement.

Its headings follow what a benchmark statement has to say (Regulation (EU) 2016/1011, Article 27); whether a given use
makes it one is for its administrator and their counsel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from indexer.administration.documents.factsheet import constituent_factsheet, index_factsheet
from indexer.administration.documents.methodology_page import methodology_document
from indexer.administration.explain import explain
from indexer.config import Settings
from indexer.engine.market import Status
from indexer.errors import InputError
from indexer.levels.lifecycle import IndexStatus, status_of
from indexer.levels.published import methodology_of, registry_for
from indexer.methodology.actions import load_event_log, of_assets
from indexer.methodology.policy import Policy, load_policy
from indexer.methodology.spec import Methodology, universe_lines
from indexer.store.administration import read_announcements, read_overrides
from indexer.store.db import Store
from indexer.store.drafts import draft
from indexer.store.indices import read_methodologies
from indexer.store.levels import read_levels
from indexer.store.rows import AnnouncementRow, OverrideRow
from indexer.studies.report.blocks import Block, Bullets, Document, Heading, Text, as_html, as_text

KINDS = ("methodology", "statement", "factsheet")
FOREVER_US = 2**55


def make_document(store: Store, settings: Settings, *, index_id: str, kind: str, now: datetime) -> Document:
    """One document of an index. Raises InputError for an unknown kind, NotFoundError for the index or its levels."""
    registry = registry_for(store, settings)
    policy = load_policy(settings.methodology_dir)
    if kind == "factsheet":
        return make_factsheet(store, settings, index_id=index_id)
    methodology = methodology_of(store, settings, index_id=index_id)
    if kind == "methodology":
        lines = universe_lines(methodology.universe, registry)
        log = load_event_log(registry, folder=settings.methodology_dir)
        slugs = [asset.slug for asset in registry.assets if asset.line in lines]
        return methodology_document(
            methodology,
            registry=registry,
            policy=policy,
            events=of_assets(log, slugs),
            versions=read_methodologies(store, index_id),
        )
    if kind != "statement":
        raise InputError(f'"{kind}" is no document; there are {", ".join(KINDS)}')
    counts = Counter(Status(int(code)).name.lower() for code in read_levels(store, index_id).status.tolist())
    return statement_document(
        methodology,
        status=status_of(store, index_id, now=now),
        policy=policy,
        quality=counts,
        overrides=[row for row in read_overrides(store) if row.index_id in (None, index_id)],
        announcements=read_announcements(store, index_id=index_id),
        now=now,
    )


def make_factsheet(
    store: Store, settings: Settings, *, index_id: str, token: str = "", at_us: int = FOREVER_US
) -> Document:
    """The factsheet of an index, or of one of its constituents, as of its last level at or before an instant.

    Raises as `make_document`.
    """
    registry = registry_for(store, settings)
    newest = explain(store, registry, index_id=index_id, at_us=at_us)
    if not token:
        return index_factsheet(store, newest)
    actions = load_event_log(registry, folder=settings.methodology_dir)
    return constituent_factsheet(store, registry, newest=newest, token=token, log=actions)


def write_document(
    store: Store, settings: Settings, *, index_id: str, kind: str, path: Path, now: datetime,
    token: str = "", at_us: int = FOREVER_US,
) -> int:  # fmt: skip
    """Writes a document as .html, .txt or (a factsheet) .pdf, whole or not at all; its size in bytes.

    `token` and `at_us` are for factsheets.
    """
    ending, factsheet = path.suffix.lower(), kind == "factsheet"
    if token and not factsheet:
        raise InputError(f"a token has a factsheet only, no {kind}; leave --token out, or give --kind factsheet")
    if at_us != FOREVER_US and not factsheet:
        raise InputError(f"only a factsheet is of an instant, a {kind} is as things are now; leave --at out")
    if ending not in (".html", ".txt") and not (ending == ".pdf" and factsheet):
        raise InputError(f'"{path.name}" must end in .html or .txt, or in .pdf for a factsheet (print the others)')
    if factsheet:
        document = make_factsheet(store, settings, index_id=index_id, token=token, at_us=at_us)
    else:
        document = make_document(store, settings, index_id=index_id, kind=kind, now=now)
    body = _written(document, ending)
    with draft(path) as part:
        part.write_bytes(body)
    return len(body)


def _written(document: Document, ending: str) -> bytes:
    if ending == ".pdf":
        from indexer.studies.report.pdf import as_pdf

        return as_pdf(document)
    return (as_html if ending == ".html" else as_text)(document).encode()


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
        Text(f"As of {now:%Y-%m-%d %H:%M} UTC. Made from the index's rules, levels and logs; nothing is typed in."),
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
