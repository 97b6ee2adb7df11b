"""Beta over HTTP is the beta that Python gets, with everything that belongs to it."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict

import pytest
from fastapi.testclient import TestClient

from api.answers.schemas import of_index
from api.routes import benchmarks, operation, statistics
from indexer.analytics.linear import t_quantile
from indexer.store.db import Store
from indexer.studies.beta import beta_history, index_beta
from indexer.studies.scenario import Hedge, Scenario, ScenarioRecord
from indexer.times import parse_instant


def test_beta_is_the_same_as_from_python(client: TestClient, store: Store) -> None:
    answer = client.get("/v1/indices/deai/beta?benchmark=QQQ&sessions=120&end=2025-01-10").json()
    statistics.Beta.model_validate(answer)
    mine = index_beta(store, "deai", "QQQ", sessions=120, end_us=parse_instant("2025-01-10"))
    expected = asdict(mine.result)
    expected["warnings"] = list(expected["warnings"])
    assert {name: answer[name] for name in expected} == expected
    assert answer["n"] == 120
    assert answer["ci_low"] < 1.5 < answer["ci_high"]
    assert answer["alignment"]["price_basis"] == "test"


def test_beta_history_has_an_interval_and_nulls_before_the_window_is_full(client: TestClient, store: Store) -> None:
    answer = client.get("/v1/indices/deai/beta/history?benchmark=nvda&sessions=60").json()
    statistics.BetaHistory.model_validate(answer)
    mine = beta_history(store, "deai", "NVDA", sessions=60)
    last, first = answer["data"][-1], answer["data"][0]
    assert first["beta"] is None
    assert first["low"] is None
    assert last["beta"] == pytest.approx(mine.rolling.beta[-1], rel=1e-12)
    assert last["high"] - last["beta"] == pytest.approx(t_quantile(58, 0.975) * mine.rolling.se[-1])


def test_a_scenario_comes_with_the_record_it_is_scored_by(client: TestClient) -> None:
    asked = "benchmark=QQQ&sessions=60"
    scenario = client.get(f"/v1/indices/deai/scenario?move=-0.03&{asked}").json()
    of_index(Scenario).model_validate(scenario)
    # the seeded index moves by 1.5 times QQQ and a known noise
    assert scenario["expected"] == pytest.approx(-0.045, abs=0.01)
    assert scenario["low"] < scenario["expected"] < scenario["high"]
    record = client.get(f"/v1/indices/deai/scenario/record?{asked}").json()
    of_index(ScenarioRecord).model_validate(record)
    assert record["realised"] == scenario["realised"] and record["realised"]["n"] == len(record["rows"]) > 200
    assert 0.85 < record["realised"]["coverage"] < 0.95
    text = client.get(f"/v1/indices/deai/scenario/record?{asked}&format=csv").text
    table = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["actual"]) for row in table] == [row["actual"] for row in record["rows"]]
    hedge = client.get(f"/v1/indices/deai/hedge?notional=1000&instrument=qqq&{asked.partition('&')[2]}").json()
    of_index(Hedge).model_validate(hedge)
    assert (hedge["verdict"], hedge["instrument"]) == ("usable", "QQQ")
    assert hedge["units"] * hedge["unit_value"] == pytest.approx(-1500.0, rel=0.1) and hedge["removed"] > 0.5
    refused = client.get("/v1/indices/deai/scenario?move=-1")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert client.get("/v1/indices/deai/hedge?notional=1&sessions=250").json()["code"] == "not_enough_data"


def test_beta_history_in_columns_and_csv(client: TestClient) -> None:
    address = "/v1/indices/demo/beta/history?sessions=30&start=2025-01-01"
    rows = client.get(address).json()["data"]
    columns = client.get(address + "&shape=columns").json()["data"]
    assert columns["beta"] == [row["beta"] for row in rows]
    table = list(csv.DictReader(io.StringIO(client.get(address + "&format=csv").text)))
    assert [float(row["beta"]) for row in table] == columns["beta"]
    assert {row["simulated"] for row in table} == {"true"}


def test_missing_beta_is_an_empty_cell(client: TestClient) -> None:
    text = client.get("/v1/indices/deai/beta/history?sessions=60&format=csv").text
    assert text.splitlines()[1].endswith("Z,,,,,,")
    assert "nan" not in text.lower()


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("benchmark=QQX", 404, 'No benchmark "QQX". Did you mean "QQQ"? Known: NVDA, QQQ, TSM.'),
        ("sessions=2000", 409, "deai and QQQ have 272 session returns in common; 2000 are needed"),
        ("benchmark=TSM", 409, "deai and TSM have 0 session returns in common; 90 are needed"),
        ("sessions=5", 422, "query/sessions: Input should be greater than or equal to 20"),
        ("end=yesterday", 422, 'query/end: "yesterday" is not a time: give 2025-01-27'),
        (
            "end=1950-01-01",
            409,
            "deai and QQQ have 0 session returns in common up to 1970-01-01T00:00:00Z; 90 are needed",
        ),
    ],
)
def test_what_cannot_be_answered_says_why(client: TestClient, query: str, status: int, said: str) -> None:
    answer = client.get(f"/v1/indices/deai/beta?{query}")
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_benchmarks_say_how_much_history_there_is(client: TestClient) -> None:
    answer = client.get("/v1/benchmarks").json()
    benchmarks.BenchmarkList.model_validate(answer)
    sessions = {one["symbol"]: one["sessions"] for one in answer["data"]}
    assert sessions == {"NVDA": 273, "QQQ": 273, "TSM": 0}
    closes = client.get("/v1/benchmarks/qqq/closes?start=2025-01-30&end=2025-02-01").json()
    benchmarks.Closes.model_validate(closes)
    assert [row["time"] for row in closes["data"]] == ["2025-01-30T21:00:00Z", "2025-01-31T21:00:00Z"]


def test_events_and_quality_are_listed(client: TestClient) -> None:
    events = client.get("/v1/events?start=2025-01-01").json()
    benchmarks.EventList.model_validate(events)
    slugs = [one["slug"] for one in events["data"]]
    assert {"deepseek", "deepseek-2025"} <= set(slugs)
    assert events["data"] == sorted(events["data"], key=lambda one: one["time"])
    assert all(one["time"] < "2025-01-01" for one in client.get("/v1/events?end=2025-01-01").json()["data"])
    quality = client.get("/v1/quality?open_only=true").json()
    operation.QualityList.model_validate(quality)
    assert quality["open"] == 1
