"""Metrics of an asset over HTTP, in the client and on the command line: every value with its source, CSV whole."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from seeded import NOW
from typer.testing import CliRunner

from api.app import create_app
from api.web.token_view import market_of
from indexer import Client
from indexer.cli.main import app
from indexer.store.bars import write_metrics
from indexer.store.db import Store
from indexer.store.rows import MetricSeries, SupplyRow
from indexer.store.runs import start_run
from indexer.store.supplies import write_supplies
from indexer.times import DAY_US, parse_instant

DAYS = parse_instant("2023-06-01T00:00:00Z") + DAY_US * np.arange(500)


@pytest.fixture
def measured(own: Store) -> Store:
    run = start_run(own, kind="usage", key="usage:1", now=NOW)
    assert run is not None
    fees = MetricSeries("alpha", "fees_usd", "defillama-usage", DAYS, 1000.0 + np.arange(500))
    write_metrics(own, run, [fees, MetricSeries("alpha", "fees_usd", "=other", DAYS[:2], np.array([1.0, 2.5]))])
    return own


def test_each_value_has_its_source_and_what_is_cut_is_said(measured: Store) -> None:
    http = TestClient(create_app(measured, clock=lambda: NOW))
    whole = http.get("/v1/assets/ALP/metrics").json()
    assert (whole["asset"], whole["last"], whole["count"]) == ("alpha", 366, 368)
    assert whole["data"][-1] == {
        "time": "2024-10-12T00:00:00Z", "metric": "fees_usd", "source": "defillama-usage", "value": 1499.0,
    }  # fmt: skip
    assert http.get("/v1/assets/ALP/metrics", params={"source": "=other"}).json()["count"] == 2
    assert [(one["source"], one["unit"], one["grade"], one["value"], one["count"]) for one in whole["series"]] == [
        ("=other", "USD", "imported", 2.5, 2),
        ("defillama-usage", "USD", "estimated", 1499.0, 500),
    ]
    days = {"start": "2023-06-02", "end": "2023-06-04", "metric": "fees_usd"}
    assert [row["value"] for row in http.get("/v1/assets/ALP/metrics", params=days).json()["data"]] == [2.5, 1001, 1002]
    assert http.get("/v1/assets/ALP/metrics", params={"metric": "none"}).json()["data"] == []
    unknown = http.get("/v1/assets/ALPP/metrics")
    assert unknown.status_code == 404 and 'Did you mean "ALP"?' in unknown.json()["detail"]


def test_csv_has_all_and_no_cell_is_a_formula(measured: Store) -> None:
    http = TestClient(create_app(measured, clock=lambda: NOW))
    answer = http.get("/v1/assets/alpha/metrics", params={"format": "csv"})
    table = pd.read_csv(io.StringIO(answer.text), parse_dates=["time"])
    assert len(table) == int(answer.headers["X-Count"]) == 502 and table["value"].sum() == 624_753.5
    file = pd.read_parquet(io.BytesIO(http.get("/v1/assets/alpha/metrics.parquet").content))
    assert str(file["time"].dt.tz) == "UTC" and file["value"].tolist() == table["value"].tolist()
    assert "'=other" in set(table["source"]) and "=other" not in set(table["source"])


def test_the_client_and_the_command_say_the_same(measured: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(measured) as client:
        frame = client.metrics("ALP", metric="fees_usd", last=3)
    assert frame["value"].tolist() == [1.0, 2.5, 1497.0, 1498.0, 1499.0] and str(frame.index.tz) == "UTC"
    monkeypatch.setenv("DEAI_DATABASE_URL", measured.url)
    shown = CliRunner().invoke(app, ["metrics", "alp", "--metric", "fees_usd", "--last", "2", "--json"])
    assert [row["value"] for row in json.loads(shown.stdout)["data"]] == [1.0, 2.5, 1498.0, 1499.0]
    nothing = CliRunner().invoke(app, ["metrics", "gamma"])
    assert nothing.exit_code == 0 and "Nothing is measured of GAM yet." in nothing.stdout


def test_fundamentals_are_what_one_computes_by_hand(measured: Store) -> None:
    """Alpha issues 2 of 1,002 tokens a day net of burns and stakes half; only its fees are known."""
    run = start_run(measured, kind="supply", key="supply:1", now=NOW)
    assert run is not None
    row = SupplyRow("alpha", "total", "on_chain", "onchain", NOW, 0)
    for day, kind, tokens in (
        (-30, "total", 1000),
        (-30, "burnt", 0),
        (0, "total", 1072),
        (0, "burnt", 12),
        (0, "staked", 530),
        (-30, "vesting", 400),
        (0, "vesting", 370),
    ):
        at = datetime(2024, 10, 12, tzinfo=UTC) + timedelta(days=day)
        write_supplies(measured, run, [replace(row, kind=kind, observed_at=at, amount=tokens * 10**18)])
    http = TestClient(create_app(measured, clock=lambda: NOW))
    answer = http.get("/v1/indices/deai/fundamentals", params={"at": "2024-10-12", "days": 2}).json()
    alpha = next(token for token in answer["tokens"] if token["asset"] == "alpha")
    assert alpha["issued_tokens_day"] == pytest.approx(2.0) and alpha["dilution"] == pytest.approx(2 * 365 / 1000)
    assert (alpha["burnt_tokens_day"], alpha["unlocked_tokens_day"]) == (pytest.approx(0.4), pytest.approx(1.0))
    assert alpha["staking_share"] == pytest.approx(530 / 1060)
    assert alpha["fees_usd"] == pytest.approx(sum(range(1470, 1500)))
    assert alpha["price_to_fees"] == pytest.approx(alpha["market_cap_usd"] / (alpha["fees_usd"] * 365 / 30))
    assert alpha["realised_turnover"] is None and "DEAI_ONCHAIN_ACTIVITY" in alpha["missing"]["realised_turnover"]
    of_index = {row["figure"]: row for row in answer["aggregates"]}
    assert of_index["dilution"]["value"] == alpha["dilution"] and of_index["dilution"]["members"] == 1
    assert of_index["price_to_fees"]["coverage"] == alpha["weight"] < 1.0 and of_index["tvl_usd"]["value"] is None
    assert sum(token["weight"] for token in answer["tokens"]) == pytest.approx(1.0)
    table = pd.read_csv(io.StringIO(http.get("/v1/indices/deai/fundamentals.csv?at=2024-10-12&days=2").text))
    assert len(table) == len(answer["history"]) == 12 and table["figure"].nunique() == 6
    with Client(measured) as client:
        assert client.fundamentals("deai", at="2024-10-12", days=2)["aggregates"] == answer["aggregates"]


def test_two_sources_of_a_float_that_differ_by_more_than_a_tenth_are_a_finding(measured: Store) -> None:
    run = start_run(measured, kind="supply", key="supply:2", now=NOW)
    assert run is not None
    float_ = SupplyRow("alpha", "circulating", "reported", "coingecko", NOW, 1000 * 10**18)
    others = (("supply-facts", 1099, 0), ("vendor", 1101, 0), ("old", 3000, 40))
    told = [
        replace(float_, source=who, amount=n * 10**18, observed_at=NOW - timedelta(days=ago)) for who, n, ago in others
    ]
    write_supplies(measured, run, [*told, replace(float_, observed_at=NOW + timedelta(seconds=1))])
    http = TestClient(create_app(measured, clock=lambda: NOW))
    (finding,) = http.get("/v1/assets/alpha/onchain").json()["findings"]
    assert (finding["kind"], finding["subject"]) == ("supply_disagreement", "alpha")
    assert finding["text"] == (
        "vendor (reported, 2025-02-04) says 1,101 tokens, +10.1% from the 1,000 of coingecko that are used"
    )


def test_a_token_without_a_price_of_now_has_no_changes_to_now() -> None:
    rates = 100.0 + np.arange(40)
    assert market_of(DAYS[:40], rates, at_us=int(DAYS[39]))["d7"] == pytest.approx(139 / 132 - 1, abs=1e-6)
    late = market_of(DAYS[:40], rates, at_us=int(DAYS[41]))
    assert (late["h24"], late["d7"], late["d30"]) == (None, None, None)
