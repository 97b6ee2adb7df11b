"""An index at the closes of an exchange, and the pairs of returns behind a beta: what a join by date needs."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np

from indexer.analytics.calendar import Sessions, sessions
from indexer.store.db import Store
from indexer.store.indices import read_index
from indexer.store.levels import LevelPage, page_of, published_span, read_levels
from indexer.times import HOUR_US, from_us

DAY = timedelta(days=1)


def read_level_closes(store: Store, index_id: str, *, exchange: str, as_of_us: int | None = None) -> LevelPage:
    """One row for each session that closes within the index's life, NaN where there is no level at that instant.

    Nothing is filled from the hours before: a return to or from such a session does not exist. Raises NotFoundError
    for the index, InputError for an exchange that no calendar knows.
    """
    read_index(store, index_id)
    first, last, _ = published_span(store, index_id) or (0, 0, 0)
    closes = _between(first, last, exchange=exchange).closes_us if last else np.zeros(0, np.int64)
    rows = read_levels(store, index_id, step_us=math.gcd(HOUR_US, *closes.tolist()), as_of_us=as_of_us)
    if not len(rows):
        return page_of(rows)
    closes = closes[(closes >= first) & (closes <= rows.times_us[-1])]
    place = np.minimum(np.searchsorted(rows.times_us, closes), len(rows) - 1)
    there = rows.times_us[place] == closes
    columns = (rows.levels, rows.carried_weight, rows.perpetual_weight)
    levels, carried, perpetual = (np.where(there, column[place], np.nan) for column in columns)
    count = np.where(there, rows.constituents[place], 0)
    return LevelPage(closes, levels, rows.status[place], carried, perpetual, count, None)


def session_dates(closes_us: np.ndarray, *, exchange: str) -> list[str]:
    """The sessions' own dates of these closes, `2025-01-27`."""
    if not len(closes_us):
        return []
    around = _between(int(closes_us[0]), int(closes_us[-1]), exchange=exchange)
    place = np.searchsorted(around.closes_us, closes_us)
    return [around.dates[row].isoformat() for row in place.tolist()]


def _between(first_us: int, last_us: int, *, exchange: str) -> Sessions:
    """The sessions from a day before to a day after: a close's date in UTC may be its neighbour's."""
    return sessions(from_us(first_us).date() - DAY, from_us(last_us).date() + DAY, exchange=exchange)
