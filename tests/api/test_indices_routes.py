"""Indices, levels, constituents, rebalances, methodology: the numbers over HTTP are the numbers in the store."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import numpy as np
import pytest
from fastapi.testclient import TestClient
from seeded import HOURS, NOW, SLUGS, START, UNITS, latent
from seeded import rebalance as seeded_rebalance

from api.app import create_app
from api.routes import indices
from api.routes import levels as level_routes
from indexer.store.db import Store
from indexer.store.rows import SupplyRow
from indexer.store.runs import finish_run, start_run
from indexer.store.supplies import write_supplies
from indexer.times import FIXING_LAG_US, HOUR_US, iso, parse_instant


def levels() -> np.ndarray:
    return 1000.0 * (latent()[1] @ UNITS) / UNITS.sum()


def test_every_index_is_listed_with_where_it_stands(client: TestClient) -> None:
    answer = indices.IndexList.model_validate(client.get("/v1/indices").json())
    assert [one.id for one in answer.data] == ["deai", "demo", "empty"]
    assert [one.simulated for one in answer.data] == [False, True, False]
    assert answer.data[0].latest is not None
    assert answer.data[0].latest.level == pytest.approx(levels()[-1], rel=1e-12)
    assert answer.data[2].latest is None
    assert answer.data[2].first_time is None


def test_one_index_links_to_everything_about_it(client: TestClient) -> None:
    answer = client.get("/v1/indices/deai").json()
    indices.IndexDetail.model_validate(answer)
    for name, address in answer["links"].items():
        if name not in ("stream", "self"):
            assert client.get(address).status_code == 200, name


def test_latest_is_flat_and_has_changes_over_exact_spans(client: TestClient) -> None:
    answer = client.get("/v1/indices/deai/latest").json()
    indices.Latest.model_validate(answer)
    all_levels = levels()
    assert answer["time"] == iso(START + HOURS * HOUR_US)
    assert answer["change"]["h1"] == pytest.approx(all_levels[-1] / all_levels[-2] - 1)
    assert answer["change"]["d30"] == pytest.approx(all_levels[-1] / all_levels[-1 - 30 * 24] - 1)
    assert answer["fresh_until"] == iso(START + (HOURS + 2) * HOUR_US + FIXING_LAG_US)


def test_levels_are_half_open_and_on_the_grid(client: TestClient) -> None:
    asked = {"start": "2024-03-01", "end": "2024-03-03T00:00:00Z", "interval": "1h"}
    answer = client.get("/v1/indices/deai/levels", params=asked).json()
    assert answer["count"] == 48
    assert answer["data"][0]["time"] == "2024-03-01T00:00:00Z"
    assert answer["data"][-1]["time"] == "2024-03-02T23:00:00Z"
    daily = client.get("/v1/indices/deai/levels", params={**asked, "interval": "1d"}).json()
    assert [row["time"] for row in daily["data"]] == ["2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z"]


@pytest.mark.parametrize(
    "start", ["2024-03-01", "2024-03-01T00:00:00Z", "2024-03-01T01:00:00+01:00", "1709251200", "1709251200000"]
)
def test_a_start_is_read_as_iso_seconds_or_milliseconds(client: TestClient, start: str) -> None:
    answer = client.get("/v1/indices/deai/levels", params={"start": start, "limit": 1}).json()
    assert answer["data"][0]["time"] == "2024-03-01T00:00:00Z"


def test_rows_columns_and_csv_say_the_same(client: TestClient) -> None:
    address = "/v1/indices/deai/levels?interval=1h&start=2024-02-10&end=2024-02-13"
    rows = client.get(address).json()
    columns = client.get(address + "&shape=columns").json()
    level_routes.Levels.model_validate(rows)
    level_routes.Levels.model_validate(columns)
    assert columns["data"] == {name: [row[name] for row in rows["data"]] for name in columns["data"]}
    assert {row["status"] for row in rows["data"]} == {"final", "carried"}
    text = client.get(address + "&format=csv")
    assert text.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    table = list(csv.DictReader(io.StringIO(text.text)))
    assert [float(row["level"]) for row in table] == columns["data"]["level"]
    assert [row["time"] for row in table] == columns["data"]["time"]
    assert text.headers["x-count"] == "72"
    assert client.get(address, headers={"accept": "text/csv"}).text == text.text
    assert client.get(address.replace("levels?", "levels.csv?")).text == text.text


def test_pages_follow_each_other_without_gap_or_overlap(client: TestClient) -> None:
    whole = client.get("/v1/indices/deai/levels?interval=1h&end=2024-01-12").json()["data"]
    address, pages = "/v1/indices/deai/levels?interval=1h&end=2024-01-12&limit=100", []
    while address:
        response = client.get(address)
        answer = response.json()
        pages += answer["data"]
        link = f'<{answer["next_url"]}>; rel="next"' if answer["next"] else None
        assert response.headers.get("link") == link
        address = answer["next_url"]
    assert pages == whole
    assert len(whole) == 11 * 24


def test_csv_pages_go_on_by_link(client: TestClient) -> None:
    response = client.get("/v1/indices/deai/levels.csv?limit=3")
    following = client.get(response.headers["link"].split(">")[0][1:])
    assert following.text.splitlines()[1].startswith("2024-01-04T00:00:00Z,")


def test_last_gives_the_newest_oldest_first(client: TestClient) -> None:
    answer = client.get("/v1/indices/deai/levels?last=3&interval=1h").json()
    assert [row["level"] for row in answer["data"]] == pytest.approx(levels()[-3:])


def test_as_of_shows_what_was_known_then(client: TestClient) -> None:
    asked = {"interval": "1h", "start": "2024-06-01", "as_of": "2024-06-01T03:30:00Z"}
    answer = client.get("/v1/indices/deai/levels", params=asked).json()
    assert answer["count"] == 4


def test_constituents_have_weights_drift_and_contributions_that_add_up(client: TestClient) -> None:
    at = "2024-09-01T05:00:00Z"
    answer = client.get("/v1/indices/deai/constituents", params={"at": at}).json()
    indices.Constituents.model_validate(answer)
    prices = latent()[1]
    now = prices[(parse_instant(at) - START) // HOUR_US] * UNITS
    base = prices[200 * 24] * UNITS
    found = {one["asset"]: one for one in answer["data"]}
    for place, slug in enumerate(SLUGS):
        assert found[slug]["weight"] == pytest.approx(now[place] / now.sum())
        assert found[slug]["contribution"] == pytest.approx((now - base)[place] / base.sum())
        assert found[slug]["supply_source"] == "imported"
    weights = [one["weight"] for one in answer["data"]]
    assert weights == sorted(weights, reverse=True)
    assert answer["rebalanced_at"] == iso(seeded_rebalance(2, prices=prices).effective_us)
    assert answer["effective_number"] == pytest.approx(now.sum() ** 2 / (now**2).sum())


def test_a_constituent_names_the_block_its_supply_was_read_at(own: Store) -> None:
    run = start_run(own, kind="test", key="supplies", now=NOW)
    assert run is not None
    before, after = datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 8, 1, tzinfo=UTC)
    seen = {"alpha": [(before, 19_000_000), (after, 20_000_000)], "beta": [(before, None)], "gamma": [(after, 1)]}
    write_supplies(
        own,
        run,
        [
            SupplyRow(slug, "circulating", "imported", "test", at, 10**24, chain and "ethereum", chain)
            for slug, readings in seen.items()
            for at, chain in readings
        ],
    )
    finish_run(own, run, now=NOW)
    client = TestClient(create_app(own, clock=lambda: NOW))
    at = {"at": "2024-09-01T05:00:00Z"}  # reviewed on 2024-07-14
    answer = client.get("/v1/indices/deai/constituents", params=at).json()
    indices.Constituents.model_validate(answer)
    found = {
        one["asset"]: (one["supply_observed_at"], one["supply_block"], one["supply_link"]) for one in answer["data"]
    }
    link = "https://etherscan.io/block/19000000"
    assert found["alpha"] == ("2024-07-01T00:00:00Z", 19_000_000, link)
    assert found["beta"] == ("2024-07-01T00:00:00Z", None, None)
    assert found["gamma"] == found["delta"] == (None, None, None)


def test_constituents_and_rebalances_can_be_asked_as_they_were_known(client: TestClient) -> None:
    now = client.get("/v1/indices/deai/rebalances?items=false").json()["count"]
    assert now > 0
    before = client.get("/v1/indices/deai/rebalances", params={"items": False, "as_of": "2020-01-01"}).json()
    assert before["count"] == 0
    at = {"at": "2024-09-01T05:00:00Z", "as_of": "2020-01-01"}
    answer = client.get("/v1/indices/deai/constituents", params=at)
    assert answer.status_code == 404


def test_constituents_before_the_base_are_not_found(client: TestClient) -> None:
    answer = client.get("/v1/indices/deai/constituents?at=2020-01-01")
    assert answer.status_code == 404
    assert "history starts later" in answer.json()["detail"]


def test_rebalances_carry_the_evidence_unless_not_wanted(client: TestClient) -> None:
    answer = client.get("/v1/indices/deai/rebalances").json()
    indices.Rebalances.model_validate(answer)
    assert [one["kind"] for one in answer["data"]] == ["base", "rebalance", "rebalance"]
    assert answer["data"][0]["entered"] == SLUGS
    assert answer["data"][1]["items"][0]["reason"] == "eligible"
    light = client.get("/v1/indices/deai/rebalances?items=false").json()
    assert all(one["items"] == [] for one in light["data"])
    assert client.get("/v1/indices/deai/rebalances?start=2024-04-10&end=2024-04-11").json()["count"] == 1


def test_methodology_is_given_as_file_and_as_data(client: TestClient) -> None:
    answer = client.get("/v1/indices/deai/methodology").json()
    indices.MethodologyAnswer.model_validate(answer)
    assert answer["rules"]["selection"]["target"] == 4
    assert answer["rules"]["base_date"] == "2024-01-01T00:00:00Z"
    assert 'id = "deai"' in answer["text"]


def test_every_answer_of_a_simulated_index_says_so(client: TestClient) -> None:
    links = client.get("/v1/indices/demo").json()["links"]
    for name, address in links.items():
        if name != "stream":
            assert client.get(address).json()["simulated"] is True, name
    text = client.get("/v1/indices/demo/levels.csv?limit=1")
    assert text.headers["x-simulated"] == "true"
    assert text.text.splitlines()[0].endswith(",simulated")
    assert "simulated" not in client.get("/v1/indices/deai/levels.csv?limit=1").text


def test_an_index_without_levels_says_what_to_do(client: TestClient) -> None:
    answer = client.get("/v1/indices/empty/latest")
    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        'Index "empty" has no levels yet: bring prices with `deai import FILE` or `deai update`, '
        "or look at a simulated market with `deai demo`"
    )
    empty = client.get("/v1/indices/empty/levels")
    assert empty.json()["data"] == []
    assert client.get("/v1/indices/empty/levels?shape=columns").json()["data"]["level"] == []
    header = "time,level,status,carried_weight,perpetual_weight,constituents\r\n"
    assert client.get("/v1/indices/empty/levels.csv").text == header
    assert client.get("/v1/indices/empty/constituents").status_code == 409


def test_a_store_with_nothing_in_it_answers(blank: TestClient) -> None:
    assert blank.get("/v1/indices").json() == {"count": 0, "data": []}
    assert blank.get("/v1/benchmarks").json() == {"count": 0, "data": []}
    assert blank.get("/readyz").json()["indices"] == []
    assert "none yet" in blank.get("/v1/indices/deai").json()["detail"]
    assert "No levels yet" in blank.get("/").text
