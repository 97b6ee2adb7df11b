"""Sessions over the tables, as docs/client.md shows them: typed models, one state, nothing kept of what failed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from seeds import START, START_US, bars, begin, seed
from sqlmodel import col, select

from indexer.errors import StoreError
from indexer.store.bars import write_bars
from indexer.store.db import Store
from indexer.store.tables import Asset, Bar, Lease, Listing, Run
from indexer.times import HOUR_US


def test_models_are_read_by_a_session(store: Store) -> None:
    made = seed(store)
    write_bars(store, made.run_id, bars(made.listings[0], [1.0, 2.0]))
    write_bars(store, begin(store, "fix", days=1), bars(made.listings[0], [3.0]))
    with store.session() as session:
        rows = session.exec(select(Bar).order_by(col(Bar.time), col(Bar.revision))).all()
        query = select(Asset.slug, Run.key).join(Listing, col(Listing.asset_id) == col(Asset.id))
        query = query.join(Bar, col(Bar.listing_id) == col(Listing.id)).join(Run, col(Run.id) == col(Bar.run_id))
        authors = session.exec(query.where(Bar.revision == 2)).all()
    assert [(row.time - START_US, row.revision, row.close) for row in rows] == [
        (0, 1, 1.0),
        (0, 2, 3.0),
        (HOUR_US, 1, 2.0),
    ]
    assert [row.open for row in rows] == [None, None, None], "a missing price is missing, not a number"
    assert authors == [("fet", "fix")]


def test_a_session_sees_one_state_while_others_write(store: Store) -> None:
    made = seed(store)
    with store.session() as session:
        before = len(session.exec(select(Bar)).all())
        write_bars(store, made.run_id, bars(made.listings[0], [1.0]))
        assert len(session.exec(select(Bar)).all()) == before
    with store.session() as session:
        assert len(session.exec(select(Bar)).all()) == before + 1


def test_what_a_reading_session_adds_is_not_kept(store: Store) -> None:
    with store.session() as session:
        session.add(Lease(name="reader", holder="x", expires_at=START))
        session.flush()
    with store.session() as session:
        assert session.get(Lease, "reader") is None


def test_of_a_writing_session_that_fails_nothing_is_kept(store: Store) -> None:
    lease = Lease(name="one", holder="x", expires_at=START)
    with pytest.raises(StoreError, match="Nothing of this step was kept"), store.writing_session() as session:
        session.add(lease)
        session.flush()
        session.add(Listing(asset_id=99, venue="v", source="s", symbol="X", interval="1h", stamp="instant"))
    with store.session() as session:
        assert session.get(Lease, "one") is None
    with store.writing_session() as session:
        session.add(Lease(name="one", holder="y", expires_at=START + timedelta(hours=1)))
    with store.session() as session:
        kept = session.get(Lease, "one")
    assert kept is not None
    assert (kept.holder, kept.expires_at) == ("y", START + timedelta(hours=1))
