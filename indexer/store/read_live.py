"""Reads what live sources add: quantities, links to raw answers, open ledger entries, instants with a fixing."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

import numpy as np
from sqlalchemy import select, text
from sqlmodel import SQLModel

from indexer.arrays import F64, I64
from indexer.store.columnar import columns
from indexer.store.db import Store
from indexer.store.read_ledger import RunRow
from indexer.store.records import MetricSeries, PayloadRow, QualityRow, RateSeries
from indexer.times import from_us

RECENT_ANSWERS = 5_000  # payload rows looked at for the last answer of each source: some days of them


def read_metrics(
    store: Store,
    *,
    subject: str | None = None,
    name: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
) -> list[MetricSeries]:
    """Every series of a subject or name (or all), since <= time < until, the latest revision of each value."""
    wanted = {"subject": subject, "name": name, "since": since_us, "until": until_us}
    signs = {"subject": "subject =", "name": "name =", "since": "time >=", "until": "time <"}
    given = {key: value for key, value in wanted.items() if value is not None}
    where = " AND ".join(f"{signs[key]} :{key}" for key in given) or "1 = 1"
    order = "subject, name, source, time, revision"
    sql = text(f"SELECT subject, name, source, time, value FROM metric WHERE {where} ORDER BY {order}")
    with store.reading() as connection:
        found = connection.execute(sql, given).all()
    made = []
    for (one, quantity, source), rows in groupby(found, key=itemgetter(0, 1, 2)):
        latest = {row[3]: row[4] for row in rows}
        times = np.array(list(latest), dtype=np.int64)
        made.append(MetricSeries(one, quantity, source, times, np.array(list(latest.values()), dtype=np.float64)))
    return made


def read_payloads(store: Store, run_id: int) -> list[PayloadRow]:
    """The raw answers that a run was fed with, in the order they were kept."""
    table = SQLModel.metadata.tables["payload"]
    query = select(*(table.c[name] for name in PayloadRow.__dataclass_fields__)).where(table.c.run_id == run_id)
    with store.reading() as connection:
        return [PayloadRow(**row) for row in connection.execute(query.order_by(table.c.id)).mappings()]


@dataclass(frozen=True, slots=True)
class PayloadLink:
    """The link of archived bytes to the run they fed."""

    sha256: str
    run_id: int
    source: str
    bytes: int


def read_payload_links(store: Store, *, since_us: int | None = None) -> list[PayloadLink]:
    """Every link to archived bytes, or those that came since an instant, in the order they were kept."""
    where = "" if since_us is None else "WHERE fetched_at >= :since "
    sql = text(f"SELECT sha256, run_id, source, bytes FROM payload {where}ORDER BY id")
    with store.reading() as connection:
        found = connection.execute(sql, {} if since_us is None else {"since": since_us})
        return [PayloadLink(str(name), int(run), str(source), int(size)) for name, run, source, size in found]


def kept_for_good(store: Store) -> set[str]:
    """The hashes of imported files and their records, which no retention removes."""
    sql = text("SELECT p.sha256 FROM payload p JOIN run r ON r.id = p.run_id WHERE r.kind = 'import'")
    with store.reading() as connection:
        return {str(row[0]) for row in connection.execute(sql)}


def forgotten_before(store: Store) -> datetime | None:
    """Before which instant raw answers may be gone, by the sweeps that were done; None before any."""
    sql = text("SELECT detail FROM run WHERE kind = 'retention' AND outcome = 'done'")
    with store.reading() as connection:
        said = [json.loads(row[0]).get("before") for row in connection.execute(sql)]
    return max((datetime.fromisoformat(one) for one in said if one), default=None)


def read_last_answers(store: Store) -> dict[str, datetime]:
    """When each source last gave an answer that was used; sources silent for long are absent."""
    recent = f"id > (SELECT coalesce(max(id), 0) FROM payload) - {RECENT_ANSWERS}"
    with store.reading() as connection:
        found = connection.execute(text(f"SELECT source, max(fetched_at) FROM payload WHERE {recent} GROUP BY source"))
        return {source: from_us(at) for source, at in found}


def read_open_quality(store: Store, kinds: Collection[str] = ()) -> list[QualityRow]:
    """Ledger entries still open, oldest first; of some kinds when given."""
    table = SQLModel.metadata.tables["quality_entry"]
    names = (table.c[name] for name in QualityRow.__dataclass_fields__)
    query = select(*names).where(table.c.closed_at.is_(None)).order_by(table.c.opened_at, table.c.id)
    if kinds:
        query = query.where(table.c.kind.in_(sorted(kinds)))
    with store.reading() as connection:
        return [QualityRow(**row) for row in connection.execute(query).mappings()]


def read_rates_by_method(store: Store, methods: Collection[str]) -> RateSeries:
    """The rates that were made by one of the methods, by asset and time, the latest such revision of each."""
    names = {f"m{n}": method for n, method in enumerate(sorted(methods))}
    kinds = {"asset_id": "int64", "time": "int64", "rate": "float64", "status": "int8", "verdicts": "object"}
    found = columns(
        store,
        kinds,
        source=f"rate WHERE method IN ({', '.join(f':{name}' for name in names)})",
        params=names,
        order="asset_id, time, revision",
    )
    last = np.ones(len(found["time"]), dtype=np.bool_)
    last[:-1] = (np.diff(found["asset_id"]) != 0) | (np.diff(found["time"]) != 0)
    kept = {name: column[last] for name, column in found.items()}
    return RateSeries(kept["asset_id"], kept["time"], kept["rate"], kept["status"], verdicts=kept["verdicts"].tolist())


def read_benchmark_closes(store: Store, symbol: str, *, interval: str) -> tuple[I64, F64, F64]:
    """Times, closes and adjusted closes (NaN where not given) of a benchmark's stored bars, the latest revisions."""
    sql = text(
        "SELECT b.time, b.close, b.adjusted_close FROM benchmark_bar b JOIN benchmark k ON k.id = b.benchmark_id "
        "WHERE k.symbol = :symbol AND b.interval = :interval ORDER BY b.time, b.revision"
    )
    with store.reading() as connection:
        found = connection.execute(sql, {"symbol": symbol, "interval": interval}).all()
    latest = {time: (close, math.nan if adjusted is None else adjusted) for time, close, adjusted in found}
    values = np.array(list(latest.values()), dtype=np.float64).reshape(len(latest), 2)
    return np.array(list(latest), dtype=np.int64), values[:, 0], values[:, 1]


def last_run_before(store: Store, kind: str, before: datetime) -> RunRow | None:
    """The newest finished run of a kind due before an instant that did work of its own; None when there is none."""
    table = SQLModel.metadata.tables["run"]
    query = (
        select(table)
        .where(table.c.kind == kind, table.c.outcome == "done", table.c.due_at < before)
        .where(table.c.detail.not_like('%"caught_up_by"%'))
        .order_by(table.c.due_at.desc())
        .limit(1)
    )
    with store.reading() as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else RunRow(**{**row, "detail": json.loads(row["detail"])})
