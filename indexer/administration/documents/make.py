"""Any document of any index, from the store and the settings, as text, HTML or PDF."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

from indexer.administration.decide import methodology_of, registry_for
from indexer.administration.documents.blocks import Document, as_html, as_text
from indexer.administration.documents.factsheet import factsheet_document, factsheet_pdf, gather_facts
from indexer.administration.documents.methodology_page import methodology_document
from indexer.administration.documents.statement import statement_document
from indexer.administration.event_log import load_event_log, of_assets
from indexer.administration.explain import explain
from indexer.administration.lifecycle import status_of
from indexer.administration.policy import load_policy
from indexer.config import Settings
from indexer.engine.market import Status
from indexer.errors import InputError
from indexer.methodology.universe import universe_lines
from indexer.store.db import Store
from indexer.store.read import read_index, read_levels, read_methodologies
from indexer.store.read_administration import read_announcements, read_overrides

KINDS = ("methodology", "statement", "factsheet")
FOREVER_US = 2**55


def make_document(store: Store, settings: Settings, *, index_id: str, kind: str, now: datetime) -> Document:
    """One document of an index. Raises InputError for an unknown kind, NotFoundError for the index or its levels."""
    registry = registry_for(store, settings)
    policy = load_policy(settings.methodology_dir)
    if kind == "factsheet":
        facts = gather_facts(store, explain(store, registry, index_id=index_id, at_us=FOREVER_US))
        return factsheet_document(facts, name=read_index(store, index_id).name)
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


def write_document(store: Store, settings: Settings, *, index_id: str, kind: str, path: Path, now: datetime) -> int:
    """Writes a document as .html, .txt or (the factsheet) .pdf, whole or not at all; its size in bytes."""
    ending = path.suffix.lower()
    if ending == ".pdf" and kind == "factsheet":
        registry = registry_for(store, settings)
        facts = gather_facts(store, explain(store, registry, index_id=index_id, at_us=FOREVER_US))
        body = factsheet_pdf(facts, name=read_index(store, index_id).name, now=now)
    elif ending in (".html", ".txt"):
        made = make_document(store, settings, index_id=index_id, kind=kind, now=now)
        body = (as_html(made) if ending == ".html" else as_text(made)).encode()
    else:
        raise InputError(f'"{path.name}" must end in .html or .txt, or in .pdf for a factsheet (print the others)')
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(body)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    return len(body)
