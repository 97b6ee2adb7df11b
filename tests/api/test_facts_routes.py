"""The facts behind the levels as CSV: whole, and the same as the store's."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from seeded import HOURS, NOW, SLUGS, latent

from indexer.registry import load_registry
from indexer.store.assets import ensure_listings, write_assets
from indexer.store.bars import write_bars
from indexer.store.db import Store
from indexer.store.rows import AssetRow, BarColumns, ListingRow, SupplyRow
from indexer.store.runs import start_run
from indexer.store.supplies import write_supplies
from indexer.times import DAY_US, HOUR_US, parse_instant


def table(client: TestClient, address: str) -> pd.DataFrame:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    frame = pd.read_csv(StringIO(answer.text))
    assert int(answer.headers["x-count"]) == len(frame)
    return frame


def test_rates_are_whole_and_exact(client: TestClient) -> None:
    _, prices = latent()
    for column, slug in enumerate(SLUGS):
        rates = table(client, f"/v1/assets/{slug}/rates.csv")
        assert (len(rates), set(rates["status"])) == (HOURS + 1, {"final"})
        np.testing.assert_array_equal(rates["rate"], prices[:, column])
    part = table(client, "/v1/assets/ALP/rates.csv?start=2024-02-01&end=2024-02-02")
    assert (len(part), part["time"].iloc[0]) == (24, "2024-02-01T00:00:00Z")
    assert client.get("/v1/assets/alpa/rates.csv").status_code == 404


@pytest.fixture
def traded(blank: TestClient) -> TestClient:
    """NEAR on two venues: a daily bar with a volume on one, all hours of one day and 23 of the next on the other."""
    own: Store = blank.app.state.services.store  # type: ignore[attr-defined]
    asset = load_registry(None).by_slug["near"]
    write_assets(own, [row_of("near")])
    run = start_run(own, kind="test", key="facts", now=NOW)
    assert run is not None
    ids = ensure_listings(
        own,
        [
            ListingRow("near", "kraken", "file", "NEARUSD", "1d", "end"),
            ListingRow("near", "okx", "file", "NEAR-USD", "1h", "end"),
        ],
    )
    start = parse_instant("2024-03-01")
    hours = start + HOUR_US * np.arange(1, 48)
    times = np.r_[[start + DAY_US, start + 2 * DAY_US, start + 3 * DAY_US], hours]
    volume = np.r_[[1000.0, np.nan, 500.0], np.full(len(hours), 10.0)]
    write_bars(own, run, bars_of(np.r_[[ids[0]] * 3, [ids[1]] * len(hours)], times, volume))
    at = [datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2)]
    readings = [
        SupplyRow("near", "circulating", "reported", "coingecko", at[1], 3 * 10**asset.decimals // 2),
        SupplyRow("near", "circulating", "imported", "file", at[0], 10**asset.decimals),
    ]
    write_supplies(own, run, readings)
    return blank


def row_of(slug: str) -> AssetRow:
    asset = load_registry(None).by_slug[slug]
    who = (asset.name, asset.symbol, asset.chain, asset.contract, asset.decimals)
    return AssetRow(slug, *who, asset.sub_sector, asset.status, asset.line, asset.line_ratio)


def bars_of(listing: np.ndarray, times: np.ndarray, volume: np.ndarray) -> BarColumns:
    price = np.ones(len(times))
    return BarColumns(listing.astype(np.int64), times, price, price, price, price, volume, volume)


def test_traded_value_is_the_days_bar_or_all_its_hours(traded: TestClient) -> None:
    days = table(traded, "/v1/assets/NEAR/traded-value.csv")
    assert days["date"].tolist() == ["2024-03-01", "2024-03-02", "2024-03-03"]
    assert days["end"].tolist() == ["2024-03-02T00:00:00Z", "2024-03-03T00:00:00Z", "2024-03-04T00:00:00Z"]
    np.testing.assert_array_equal(days["traded_value_usd"], [1240.0, np.nan, 500.0])
    assert days["venues"].tolist() == [2, 2, 1]
    assert not days["perpetual_venues"].any()


def test_supplies_are_in_tokens_oldest_first(traded: TestClient) -> None:
    readings = table(traded, "/v1/assets/near/supplies.csv")
    assert readings["tokens"].tolist() == [1.0, 1.5]
    assert readings["origin"].tolist() == ["imported", "reported"]
    assert readings["counts"].all()
    assert readings["observed_at"].tolist() == ["2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"]


def test_assets_say_when_they_stand_for_their_line(blank: TestClient) -> None:
    write_assets(blank.app.state.services.store, [row_of(slug) for slug in ("near", "rndr", "render")])  # type: ignore[attr-defined]
    assets = table(blank, "/v1/assets.csv").set_index("asset")
    assert assets["line"].to_dict() == {"near": "near", "rndr": "render", "render": "render"}
    moved = "2024-07-26T00:00:00Z"
    assert (assets["line_until"]["rndr"], assets["line_from"]["render"]) == (moved, moved)
    assert assets.loc["near", ["line_from", "line_until"]].isna().all()


def test_actions_are_those_of_the_log(client: TestClient) -> None:
    served = client.get("/v1/actions").json()["data"]
    actions = table(client, "/v1/actions.csv")
    assert actions["id"].tolist() == [one["id"] for one in served]


def test_the_methodology_is_the_file_itself(client: TestClient) -> None:
    answer = client.get("/v1/indices/deai/methodology.toml")
    assert answer.headers["content-type"].startswith("application/toml")
    assert answer.text == client.get("/v1/indices/deai/methodology").json()["text"]
