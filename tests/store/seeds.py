"""Small things to put into a store: two assets, their listings, a run, and bars of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from indexer.store.assets import ensure_listings, write_assets
from indexer.store.db import Store
from indexer.store.rows import AssetRow, BarColumns, ListingRow
from indexer.store.runs import start_run
from indexer.times import HOUR_US, to_us

START = datetime(2025, 1, 1, tzinfo=UTC)
START_US = to_us(START)


@dataclass(frozen=True)
class Seeds:
    """Ids of what was put in."""

    run_id: int
    assets: dict[str, int]
    listings: list[int]


def seed(store: Store) -> Seeds:
    """Two assets with an hourly listing each, and one open run."""
    made = write_assets(
        store,
        [
            AssetRow("fet", "Fetch", "FET", "ethereum", "0x1", 18, "agents", "core", "fet"),
            AssetRow("tao", "Bittensor", "TAO", "bittensor", "native", 9, "network", "core", "tao"),
        ],
    )
    listings = ensure_listings(
        store,
        [
            ListingRow("fet", "binance", "file", "FET", "1h", "bar_open"),
            ListingRow("tao", "binance", "file", "TAO", "1h", "bar_open"),
        ],
    )
    return Seeds(begin(store, "seed"), made, listings)


def begin(store: Store, key: str, *, days: int = 0) -> int:
    """A run that starts so many days after START."""
    run_id = start_run(store, kind="import", key=key, now=START + timedelta(days=days))
    assert run_id is not None
    return run_id


def bars(listing_id: int, closes: list[float], *, first: int = 0, volume: float = np.nan) -> BarColumns:
    """Hourly bars of one listing with the given closes and otherwise nothing known."""
    count = len(closes)
    unknown = np.full(count, np.nan)
    return BarColumns(
        listing_id=np.full(count, listing_id, dtype=np.int64),
        time_us=START_US + (first + np.arange(count, dtype=np.int64)) * HOUR_US,
        open=unknown,
        high=unknown,
        low=unknown,
        close=np.array(closes, dtype=np.float64),
        volume_base=np.full(count, volume),
        volume_usd=unknown,
    )
