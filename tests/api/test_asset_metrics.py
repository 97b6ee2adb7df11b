"""Metrics of an asset over HTTP, in the client and on the command line: every value with its source, CSV whole."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from seeded import NOW
from typer.testing import CliRunner

from api.app import create_app
from indexer import Client
from indexer.cli.main import app
from indexer.store.db import Store
from indexer.store.metrics import write_metrics
from indexer.store.rows import MetricSeries
from indexer.store.write import start_run
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
