"""Links from runs to the raw answers and files in the archive that they were fed with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy import delete, func
from sqlmodel import col, select

from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.rows import PayloadRow, as_row, as_values
from indexer.store.tables import Payload, Run
from indexer.times import from_us

RECENT_ANSWERS = 5_000  # links looked at for the last answer of each source: some days of them


@dataclass(frozen=True, slots=True)
class PayloadLink:
    """The link of archived bytes to the run they fed."""

    sha256: str
    run_id: int
    source: str
    bytes: int


def write_payloads(store: Store, run_id: int, payloads: Sequence[PayloadRow]) -> None:
    """Links raw answers in the archive to the run they fed; once per answer and run."""
    rows = list({row.sha256: as_values(row, run_id=run_id) for row in payloads}.values())
    with store.writing_session(log=True) as session:
        upsert(session, Payload, rows, key=["sha256", "run_id"])


def read_payloads(store: Store, run_id: int) -> list[PayloadRow]:
    """The raw answers that a run was fed with, in the order they were kept."""
    query = select(Payload).where(Payload.run_id == run_id).order_by(col(Payload.id))
    with store.session() as session:
        return [as_row(PayloadRow, payload) for payload in session.exec(query)]


def read_payload_links(store: Store, *, since_us: int | None = None) -> list[PayloadLink]:
    """Every link to archived bytes, or those that came since an instant, in the order they were kept."""
    query = select(Payload.sha256, Payload.run_id, Payload.source, Payload.bytes).order_by(col(Payload.id))
    if since_us is not None:
        query = query.where(Payload.fetched_at >= from_us(since_us))
    with store.session() as session:
        return [PayloadLink(*row) for row in session.exec(query)]


def read_last_answers(store: Store) -> dict[str, datetime]:
    """When each source last gave an answer that was used; sources silent for long are absent."""
    newest = select(func.coalesce(func.max(Payload.id), 0) - RECENT_ANSWERS).scalar_subquery()
    query = select(Payload.source, func.max(Payload.fetched_at)).where(col(Payload.id) > newest)
    with store.session() as session:
        return dict(session.exec(query.group_by(col(Payload.source))).all())


def read_answers_by_day(
    store: Store, *, before: datetime, since: datetime | None = None
) -> Iterator[tuple[str, str, list[str]]]:
    """Day (ISO date), source and hashes of the answers that came before the day of an instant, oldest first.

    Imported files are not among them. A day and source may come in more than one part.
    """
    query = select(Payload.sha256, Payload.source, Payload.fetched_at).join(Run).where(Run.kind != "import")
    query = query.where(col(Payload.fetched_at) < before.replace(hour=0, minute=0, second=0, microsecond=0))
    if since is not None:
        query = query.where(col(Payload.fetched_at) >= since)
    with store.reading() as connection:
        rows = connection.execution_options(yield_per=10_000).execute(query.order_by(col(Payload.id)))
        for day, answers in groupby(rows, key=lambda row: row.fetched_at.date().isoformat()):
            by_source: dict[str, list[str]] = {}
            for row in answers:
                by_source.setdefault(row.source, []).append(row.sha256)
            yield from ((day, source, hashes) for source, hashes in by_source.items())


def kept_for_good(store: Store) -> set[str]:
    """The hashes of imported files and their records, which no retention removes."""
    with store.session() as session:
        return set(session.exec(select(Payload.sha256).join(Run).where(Run.kind == "import")))


def forget_payloads(store: Store, *, before: datetime) -> int:
    """Removes links to answers that came before an instant (their retention is over); how many.

    Those of imported files stay, as the files do.
    """
    imports = select(Run.id).where(Run.kind == "import")
    old = delete(Payload).where(col(Payload.fetched_at) < before, col(Payload.run_id).not_in(imports))
    with store.writing_session(log=True) as session:
        return session.exec(old).rowcount
