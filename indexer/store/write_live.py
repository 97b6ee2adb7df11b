"""Writes what live sources add: values of named quantities, links to raw answers, and their removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import numpy as np
from sqlalchemy import text

from indexer.errors import InputError
from indexer.store.bulk import Batch, BulkTable, append, upsert
from indexer.store.db import Store
from indexer.store.records import MetricSeries, PayloadRow, Written
from indexer.times import to_us

METRICS = BulkTable(
    name="metric", series=None, fixed=("subject", "name", "source"), compared=("value",), refers={"run_id": "run"}
)


def write_metrics(store: Store, run_id: int, series: Sequence[MetricSeries]) -> Written:
    """How many values were new, revised, unchanged. Values must be finite (InputError); a missing one is no row."""
    written = Written()
    for one in series:
        if not np.isfinite(one.value).all():
            raise InputError(f"metric {one.subject} {one.name} of {one.source}: values must be finite; leave gaps out")
        fixed = {"subject": one.subject, "name": one.name, "source": one.source}
        written += append(store, METRICS, Batch(None, fixed, one.time_us, {"value": one.value}, {"run_id": run_id}))
    return written


def write_payloads(store: Store, run_id: int, payloads: Sequence[PayloadRow]) -> None:
    """Links raw answers in the archive to the run they fed; once per answer and run."""
    with store.writing() as connection:
        rows = list({row.sha256: {**asdict(row), "run_id": run_id} for row in payloads}.values())
        upsert(connection, "payload", rows, key=["sha256", "run_id"])


def forget_payloads(store: Store, *, before: datetime) -> int:
    """Removes links to answers that came before an instant (their retention is over); how many.

    Those of imported files stay, as the files do.
    """
    sql = text("DELETE FROM payload WHERE fetched_at < :at AND run_id NOT IN (SELECT id FROM run WHERE kind = :kind)")
    with store.writing() as connection:
        return connection.execute(sql, {"at": to_us(before), "kind": "import"}).rowcount
