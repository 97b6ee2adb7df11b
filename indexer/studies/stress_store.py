"""Stored measures of stress → the readings that `study_stress` takes: one value an instant, whatever the sources.

Funding is the mean of the venues that state it at an instant; open interest and forced closures are sums over the
sources, open interest only at instants at which every source of the subject has one (a part is not the whole).
"""

from __future__ import annotations

import numpy as np

from indexer.arrays import F64, I64
from indexer.store.db import Store
from indexer.store.read import read_metrics
from indexer.store.records import MetricSeries
from indexer.studies.stress import StressRows

MARKET = "market"
# The name in the store, and what it is called in the study.
NAMES = {
    "liquidations_long_usd": "liquidation_long_usd",
    "liquidations_short_usd": "liquidation_short_usd",
    "funding_rate": "funding_rate",
    "open_interest_usd": "open_interest_usd",
    "fear_greed_0_100": "fear_greed",
}


def stored_stress(store: Store, subject: str, *, since_us: int, until_us: int) -> StressRows:
    """The readings of a token (slug), and of the market where the token has none, in [since, until)."""
    times: list[I64] = []
    values: list[F64] = []
    metrics: list[str] = []
    subjects: list[str] = []
    for name, called in NAMES.items():
        for one in (subject, MARKET):
            found = read_metrics(store, subject=one, name=name, since_us=since_us, until_us=until_us)
            if found:
                at, value = _joined(found, name)
                times.append(at)
                values.append(value)
                metrics += [called] * len(at)
                subjects += [one] * len(at)
                break
    at = np.concatenate(times) if times else np.empty(0, dtype=np.int64)
    order = np.argsort(at, kind="stable")
    return StressRows(
        at[order],
        tuple(metrics[n] for n in order),
        tuple(subjects[n] for n in order),
        (np.concatenate(values) if values else np.empty(0))[order],
    )


def _joined(series: list[MetricSeries], name: str) -> tuple[I64, F64]:
    """Several sources as one series."""
    at = np.unique(np.concatenate([one.time_us for one in series]))
    table = np.full((len(series), len(at)), np.nan)
    for row, one in zip(table, series, strict=True):
        row[np.searchsorted(at, one.time_us)] = one.value
    known = np.isfinite(table)
    total = np.where(known, table, 0.0).sum(axis=0)
    if name == "open_interest_usd":
        whole = known.all(axis=0)
        return at[whole], total[whole]
    if name in ("funding_rate", "fear_greed_0_100"):
        return at, total / known.sum(axis=0)
    return at, total
