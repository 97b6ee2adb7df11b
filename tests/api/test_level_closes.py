"""Levels at an exchange's closes and the pairs behind a beta: a plain join by date gives the beta that is served."""

from __future__ import annotations

from datetime import date
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from seeded import HOURS, NOW, START
from sqlalchemy import delete
from sqlmodel import col

from api.app import create_app
from indexer.analytics.align import sessions
from indexer.store.db import Store
from indexer.store.tables import Level
from indexer.times import HOUR_US, iso

BASE = "/v1/indices/deai"


def table(client: TestClient, address: str, **query: Any) -> pd.DataFrame:
    answer = client.get(address, params=query)
    assert answer.status_code == 200, answer.text
    return pd.read_csv(StringIO(answer.text), index_col="date", parse_dates=["date"])


def slope(returns: pd.DataFrame) -> float:
    return float(returns.cov().iloc[0, 1] / returns.iloc[:, 1].var())


@pytest.fixture
def gaps(own: Store) -> TestClient:
    """The API over a store in which three sessions have no level at their close."""
    lost = [session.closes_us[0] for session in (sessions(day, day) for day in (date(2024, 7, 3), date(2024, 12, 24)))]
    lost += sessions(date(2025, 1, 10), date(2025, 1, 10)).closes_us.tolist()
    with own.writing_session() as session:
        session.execute(delete(Level).where(col(Level.time).in_([int(at) for at in lost])))
    return TestClient(create_app(own, clock=lambda: NOW))


def test_each_session_has_the_level_of_its_close(client: TestClient) -> None:
    levels = table(client, f"{BASE}/levels.csv", at="close", calendar="XNYS")
    around = sessions(date(2024, 1, 1), date(2025, 2, 3))
    assert levels.index.date.tolist() == [
        day
        for day, close in zip(around.dates, around.closes_us.tolist(), strict=True)
        if close <= START + HOURS * HOUR_US
    ]
    assert levels["time"]["2024-07-03"] == "2024-07-03T17:00:00Z", "a half day closes at 13:00 in New York"
    assert levels["time"]["2025-01-27"] == "2025-01-27T21:00:00Z"
    hourly = client.get(f"{BASE}/levels?interval=1h&start=2025-01-27T21:00:00Z&limit=1").json()["data"][0]
    assert (levels["level"]["2025-01-27"], levels["status"]["2025-01-27"]) == (hourly["level"], hourly["status"])


def test_the_rows_are_those_of_json_by_pages_and_range(client: TestClient) -> None:
    whole = client.get(f"{BASE}/levels?at=close").json()
    assert whole["interval"] == "close"
    assert list(whole["data"][0])[:4] == ["date", "time", "level", "status"]
    rows, address = [], f"{BASE}/levels?at=close&limit=100"
    while address:
        page = client.get(address).json()
        rows += page["data"]
        address = page["next_url"]
    assert rows == whole["data"]
    january = client.get(f"{BASE}/levels?at=close&start=2025-01-01&end=2025-02-01").json()["data"]
    assert january == [row for row in rows if row["date"].startswith("2025-01")]
    assert client.get(f"{BASE}/levels?at=close&last=5").json()["data"] == rows[-5:]
    assert client.get("/v1/indices/empty/levels?at=close").json()["data"] == []


def test_a_session_without_a_level_is_an_empty_cell(gaps: TestClient) -> None:
    levels = table(gaps, f"{BASE}/levels.csv", at="close")
    assert levels.index[levels["level"].isna()].strftime("%F").tolist() == ["2024-07-03", "2024-12-24", "2025-01-10"]
    row = next(row for row in gaps.get(f"{BASE}/levels?at=close").json()["data"] if row["date"] == "2025-01-10")
    assert (row["level"], row["status"], row["carried_weight"]) == (None, None, None)


@pytest.mark.parametrize("served", ["client", "gaps"])
@pytest.mark.parametrize("benchmark", ["QQQ", "NVDA"])
def test_a_join_by_date_gives_the_beta_that_is_served(
    request: pytest.FixtureRequest, served: str, benchmark: str
) -> None:
    client: TestClient = request.getfixturevalue(served)
    beta = client.get(f"{BASE}/beta?benchmark={benchmark}&sessions=90").json()
    pairs = table(client, f"{BASE}/beta/pairs.csv", benchmark=benchmark, sessions=90)
    assert slope(pairs[["log_return", "benchmark_log_return"]]) == pytest.approx(beta["beta"], rel=1e-9)
    assert (len(pairs), pairs["start"].iloc[0], pairs["end"].iloc[-1]) == (90, beta["first_time"], beta["last_time"])
    levels = table(client, f"{BASE}/levels.csv", at="close", calendar="XNYS")
    closes = table(client, f"/v1/benchmarks/{benchmark}/closes.csv")
    both = levels[["level"]].join(closes[["close"]], how="inner")
    returns = np.log(both / both.shift(1)).dropna().iloc[-90:]
    assert slope(returns) == pytest.approx(beta["beta"], rel=1e-9)
    own = np.log(levels["level"] / levels["level"].shift(1)).to_frame()
    assert slope(own.join(pairs["benchmark_log_return"]).dropna()) == pytest.approx(beta["beta"], rel=1e-9)


def test_pairs_follow_the_parameters_of_beta(client: TestClient) -> None:
    every = table(client, f"{BASE}/beta/pairs.csv", sessions=0)
    until = table(client, f"{BASE}/beta/pairs.csv", sessions=30, end="2024-12-31")
    assert until.equals(every[:"2024-12-31"].iloc[-30:])
    naive = client.get(f"{BASE}/beta?clock=date_join&sessions=60").json()
    pairs = table(client, f"{BASE}/beta/pairs.csv", clock="date_join", sessions=60)
    assert slope(pairs[["log_return", "benchmark_log_return"]]) == pytest.approx(naive["beta"], rel=1e-9)
    assert client.get(f"{BASE}/beta/pairs.csv?sessions=2000").status_code == 409


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("at=close&interval=1h", "at=close has one level for each session; give it without interval"),
        ("at=close&calendar=XXXX", "XNYS"),
        ("at=open", "close"),
    ],
)
def test_what_makes_no_sense_is_refused(client: TestClient, query: str, says: str) -> None:
    answer = client.get(f"{BASE}/levels?{query}")
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_knowledge_of_the_past_has_no_later_close(client: TestClient) -> None:
    known = client.get(f"{BASE}/levels?at=close&as_of=2024-06-01").json()["data"]
    assert known[-1]["time"] == iso(sessions(date(2024, 5, 31), date(2024, 5, 31)).closes_us[0])
