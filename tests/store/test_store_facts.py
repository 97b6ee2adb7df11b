"""Supplies, rejects, events, quality entries, payloads: kept once, corrected by revision where they are facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from seeds import START, begin, seed
from sqlmodel import col, select

from indexer.store.administration import read_events
from indexer.store.archive import write_payloads
from indexer.store.assets import read_assets, read_listings
from indexer.store.db import Store
from indexer.store.quality import read_quality, write_quality, write_rejects
from indexer.store.rows import PayloadRow, QualityRow, RejectRow, SupplyRow, Written, as_row
from indexer.store.supplies import read_supplies, write_supplies
from indexer.store.tables import Event, Reject
from indexer.times import to_us


def test_supplies_are_exact_and_revised_and_remembered(store: Store) -> None:
    made = seed(store)
    reading = SupplyRow("fet", "circulating", "imported", "file", START, 2_602_201_123_456_789_012_345_678_901)
    assert write_supplies(store, made.run_id, [reading]) == Written(new=1)
    assert write_supplies(store, made.run_id, [reading]) == Written(unchanged=1)
    corrected = replace(reading, amount=reading.amount + 1)
    assert write_supplies(store, begin(store, "fix", days=1), [corrected]) == Written(revised=1)
    assert [one.amount for one in read_supplies(store)] == [reading.amount + 1]
    assert [one.amount for one in read_supplies(store, as_of_us=to_us(START))] == [reading.amount]


def test_a_reject_is_kept_once(store: Store) -> None:
    made = seed(store)
    bad = RejectRow("prices.csv", "ab" * 32, 12, "close is NaN", "2025-01-01,FET,nan")
    write_rejects(store, made.run_id, [bad])
    write_rejects(store, made.run_id, [bad, replace(bad, line=13)])
    with store.session() as session:
        kept = session.exec(select(Reject).order_by(col(Reject.line))).all()
        assert [as_row(RejectRow, reject) for reject in kept] == [bad, replace(bad, line=13)]


def test_events_are_read_by_time(store: Store) -> None:
    with store.writing_session() as session:
        session.add(Event(slug="deepseek", kind="shock", time=START, title="DeepSeek R1", source="METHODOLOGY"))
    assert [event.title for event in read_events(store)] == ["DeepSeek R1"]


def test_a_quality_entry_is_opened_and_closed(store: Store) -> None:
    made = seed(store)
    gap = QualityRow("gap", "fet", START)
    write_quality(store, made.run_id, [gap])
    assert read_quality(store, open_only=True) == [gap]
    closed = replace(gap, closed_at=START + timedelta(hours=2))
    write_quality(store, made.run_id, [closed])
    assert read_quality(store, open_only=True) == []
    assert read_quality(store, kind="gap") == [closed]


def test_a_payload_is_linked_once_a_run(store: Store) -> None:
    made = seed(store)
    for _ in range(2):
        write_payloads(store, made.run_id, [PayloadRow("ab" * 32, "binance", "https://x/k", START, 10)])
    with store.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM payload").scalar_one() == 1


def test_assets_and_listings_are_known_by_name(store: Store) -> None:
    made = seed(store)
    assert {asset.slug: asset.id for asset in read_assets(store)} == made.assets
    assert [one.id for one in read_listings(store, interval="1h")] == made.listings
    assert read_listings(store, interval="1d") == []
