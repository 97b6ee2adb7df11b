"""Stored measures of stress beside an index: sources joined as they may be, and what is unknown stays so."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from indexer.demo import build_demo
from indexer.store.bars import write_metrics
from indexer.store.db import open_store
from indexer.store.rows import MetricSeries
from indexer.store.runs import finish_run, start_run
from indexer.studies.catalogue import Claim, event_at
from indexer.studies.claims import check_claims
from indexer.studies.stress import stored_stress
from indexer.times import HOUR_US, parse_instant

pytestmark = pytest.mark.slow
NOON = parse_instant("2025-06-02T12:00:00Z")
UNTIL = datetime(2025, 6, 3, tzinfo=UTC)


def series(name, source, *values, subject="btc", at=NOON):
    times = at + HOUR_US * np.arange(len(values), dtype=np.int64)
    return MetricSeries(subject, name, source, times, np.array(values, dtype=float))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = open_store(f"sqlite:///{tmp_path_factory.mktemp('stress')}/deai.sqlite")
    made.migrate()
    build_demo(made, clock=lambda: UNTIL)
    run = start_run(made, kind="stress", key="stress:test", now=UNTIL)
    write_metrics(
        made,
        run,
        [
            series("funding_rate", "a", 0.0001, 0.0002),
            series("funding_rate", "b", 0.0003),
            series("open_interest_usd", "a", 100.0, 110.0),
            series("open_interest_usd", "b", 50.0),
            series("liquidations_long_usd", "okx", 9_000.0),
            series("liquidations_short_usd", "okx", 1_000.0),
            series("fear_greed_0_100", "feargreed", 71.0, subject="market"),
        ],
    )
    finish_run(made, run, now=UNTIL)
    yield made
    made.close()


def test_sources_are_joined_as_each_measure_allows(store):
    readings = stored_stress(store, "btc", since_us=NOON, until_us=NOON + 24 * HOUR_US)
    found = {
        name: [((at - NOON) // HOUR_US, value) for at, value in zip(times.tolist(), values.tolist(), strict=True)]
        for name, (times, values) in readings.items()
    }
    assert found["funding_rate"] == [(0, pytest.approx(0.0002)), (1, pytest.approx(0.0002))]
    assert found["open_interest_usd"] == [(0, 150.0)], "an hour that one venue did not tell has no total"
    assert found["fear_greed"] == [(0, 71.0)]


def test_over_rest_each_bar_has_its_long_share_and_the_rest_is_null(store):
    client = TestClient(create_app(store, clock=lambda: UNTIL))
    asked = {"start": "2025-06-02T10:00:00Z", "end": "2025-06-02T13:00:00Z", "bar": "hourly"}
    body = client.get("/v1/indices/demo/stress", params=asked).json()
    noon = next(row for row in body["rows"] if row["time"].startswith("2025-06-02T12"))
    assert noon["long_share"] == pytest.approx(0.9)
    assert noon["fear_greed"] == 71.0
    assert body["rows"][0]["long_usd"] is None
    assert body["absent"] == []


def test_without_any_measure_everything_is_absent_and_nothing_zero(store):
    client = TestClient(create_app(store, clock=lambda: UNTIL))
    asked = {"start": "2025-05-01", "end": "2025-05-04", "subject": "near"}
    body = client.get("/v1/indices/demo/stress", params=asked).json()
    assert set(body["absent"]) == {
        "liquidation_long_usd", "liquidation_short_usd", "funding_rate", "open_interest_usd", "fear_greed",
    }  # fmt: skip
    assert body["liquidations"] is None


def test_a_claim_that_cannot_be_measured_says_why(store):
    told = [Claim("x", 0.5, measure) for measure in ("luck btc", "return", "return NOPE", "long_share btc")]
    event = replace(event_at(NOON, until_us=NOON + HOUR_US), claims=tuple(told))
    unknown, short, missing, share = check_claims(store, event)
    assert unknown.measured is short.measured is missing.measured is None
    assert '"luck btc" is no measure; use "return NQ=F"' in unknown.basis and "is no measure" in short.basis
    assert missing.basis.startswith("not measured: ") and share.measured == pytest.approx(0.9)
