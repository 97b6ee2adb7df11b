"""Provisional results of a first fill: they are replaced as if they had never been, so that no order of arrival stays.

They are neither sealed nor under the restatement policy. What an index was is removed only when what it is is ready.
"""

from __future__ import annotations

import json

from sqlalchemy import ColumnElement, delete, select
from sqlmodel import col

from indexer.store.db import Store
from indexer.store.runs import COMPUTING
from indexer.store.tables import Announcement, Level, Membership, Rate, Rebalancing, RebalancingItem, Run

MARK = {"provisional": True}  # in the detail of a run whose results are


def is_provisional() -> ColumnElement[bool]:
    """Of a run: that its results are provisional."""
    return (col(Run.kind) == COMPUTING) & col(Run.detail).like(f"%{json.dumps(MARK)[1:-1]}%")


def mark_provisional(store: Store, run_id: int) -> None:
    """Says at the start of a run that its results are provisional, so that they are even if it is killed."""
    with store.writing_session() as session:
        run = session.get(Run, run_id)
        if run is not None:
            run.detail = json.dumps(MARK)


def forget_provisional_rates(store: Store) -> bool:
    """Removes the official rates of provisional runs; whether anything that such runs gave was still out."""
    runs = select(col(Run.id)).where(is_provisional())
    with store.writing() as connection:
        if connection.execute(runs.limit(1)).first() is None:
            return False
        rates = connection.execute(delete(Rate).where(col(Rate.run_id).in_(runs))).rowcount
        levels = connection.execute(select(col(Level.index_id)).where(col(Level.run_id).in_(runs)).limit(1)).first()
        return rates > 0 or levels is not None


def forget_provisional_index(store: Store, index_id: str) -> None:
    """Removes what provisional runs published of an index."""
    runs = select(col(Run.id)).where(is_provisional())
    changes = select(col(Rebalancing.id)).where(
        col(Rebalancing.index_id) == index_id, col(Rebalancing.run_id).in_(runs)
    )
    with store.writing() as connection:
        connection.execute(delete(RebalancingItem).where(col(RebalancingItem.rebalancing_id).in_(changes)))
        for table in (Rebalancing, Membership, Level, Announcement):
            connection.execute(delete(table).where(col(table.index_id) == index_id, col(table.run_id).in_(runs)))
