"""Any document of any index, from the store and the settings, as text, HTML or PDF."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

from indexer.administration.documents.factsheet import constituent_factsheet, index_factsheet
from indexer.administration.documents.methodology_page import methodology_document
from indexer.administration.documents.statement import statement_document
from indexer.administration.explain import explain
from indexer.config import Settings
from indexer.engine.market import Status
from indexer.errors import InputError
from indexer.levels.lifecycle import status_of
from indexer.levels.versions import methodology_of, registry_for
from indexer.methodology.actions import load_event_log, of_assets
from indexer.methodology.policy import load_policy
from indexer.methodology.spec import universe_lines
from indexer.store.administration import read_announcements, read_overrides
from indexer.store.db import Store
from indexer.store.indices import read_methodologies
from indexer.store.levels import read_levels
from indexer.studies.report.blocks import Document, as_html, as_text

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
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(body)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    return len(body)


def _written(document: Document, ending: str) -> bytes:
    if ending == ".pdf":
        from indexer.studies.report.pdf import as_pdf

        return as_pdf(document)
    return (as_html if ending == ".html" else as_text)(document).encode()
