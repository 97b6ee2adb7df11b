"""The administration over REST: explanations within their form, feeds that parse, documents, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.routes import administration as forms
from indexer.config import Settings
from indexer.demo import START_US, build_demo
from indexer.levels.lifecycle import change_state
from indexer.levels.rules import decide
from indexer.registry.read import simulated_registry
from indexer.store.db import Store, open_store
from indexer.store.rows import OverrideRow
from indexer.times import DAY_US, from_us

NOW = from_us(START_US + 250 * DAY_US) + timedelta(minutes=5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("administration")
    store = open_store(f"sqlite:///{folder / 'demo.sqlite'}")
    store.migrate()
    build_demo(store, clock=lambda: NOW)
    row = OverrideRow(
        "membership", "sim03", NOW, NOW + timedelta(days=9), "its venue froze withdrawals", "Ada", NOW, index_id="demo"
    )
    decide(store, row, registry=simulated_registry(), now=NOW)
    change_state(
        store, "demo", state="terminated", reason="the trial is over", by="Ada", now=NOW,
        effective_at=NOW + timedelta(days=30),
    )  # fmt: skip
    yield store
    store.close()


@pytest.fixture(scope="module")
def http(made: Store) -> TestClient:
    return TestClient(create_app(made, settings=Settings(), clock=lambda: NOW))


def test_an_explanation_has_its_form_and_adds_up(http: TestClient) -> None:
    said = http.get("/v1/indices/demo/explain").json()
    forms.ExplanationAnswer.model_validate(said)
    assert said["simulated"] is True
    assert said["inputs_hold"] is True
    value = sum(one["units"] * one["price"] for one in said["constituents"])
    assert value / said["divisor"] == pytest.approx(said["level"], abs=1e-6)
    moved = sum(one["contribution"] for one in said["constituents"])
    assert moved == pytest.approx(said["return_since_previous"], abs=1e-12)
    latest = http.get("/v1/indices/demo/latest").json()
    assert (said["level"], said["time"]) == (latest["level"], latest["time"])
    earlier = http.get("/v1/indices/demo/explain", params={"at": from_us(START_US + 200 * DAY_US).isoformat()}).json()
    assert earlier["time"] < said["time"]


def test_what_cannot_be_explained_is_a_problem(http: TestClient) -> None:
    answer = http.get("/v1/indices/demo/explain", params={"at": "1999-01-01"})
    assert answer.status_code == 404
    assert "no level at or before 1999-01-01" in answer.json()["detail"]
    assert http.get("/v1/indices/dem/explain").json()["code"] == "not_found"


def test_the_status_says_what_is_planned(http: TestClient) -> None:
    said = http.get("/v1/indices/demo/status").json()
    forms.StatusAnswer.model_validate(said)
    assert (said["state"], said["planned_state"], said["below_minimum"]) == ("active", "terminated", False)


def test_calendar_as_json_and_ical(http: TestClient) -> None:
    said = http.get("/v1/indices/demo/calendar").json()
    forms.CalendarAnswer.model_validate(said)
    assert said["count"] == len(said["data"]) >= 36
    answer = http.get("/v1/indices/demo/calendar.ics")
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.text.count("BEGIN:VEVENT") == said["count"]
    assert http.get("/v1/indices/demo/calendar.ics").headers["etag"] == answer.headers["etag"]


def test_a_pro_forma_waits_for_its_reference_date(http: TestClient) -> None:
    answer = http.get("/v1/indices/demo/proforma")
    assert answer.status_code == 409
    assert "is decided by what is known at 2025-09-26T00:00:00Z" in answer.json()["detail"]
    services = http.app.state.services  # type: ignore[attr-defined]
    services.refresh()
    first = http.get("/v1/indices/demo/proforma").json()["detail"]
    refusal = services.cache.reads["pro-forma", "demo", None]  # kept: it costs as much to find out as an answer
    again = http.get("/v1/indices/demo/proforma").json()["detail"]
    assert first == again == str(refusal) == answer.json()["detail"]
    assert services.cache.reads["pro-forma", "demo", None] is refusal
    services.cache.publish(None)


def test_after_its_reference_date_a_pro_forma_has_its_form(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'demo.sqlite'}")
    store.migrate()
    now = NOW + timedelta(days=20)
    build_demo(store, clock=lambda: now)
    http = TestClient(create_app(store, settings=Settings(), clock=lambda: now))
    said = http.get("/v1/indices/demo/proforma", params={"notional_usd": 1e6}).json()
    forms.ProFormaAnswer.model_validate(said)
    assert said["effective_at"] == "2025-10-01T00:00:00Z"
    assert sum(one["weight_target"] for one in said["items"]) == pytest.approx(1.0, abs=1e-12)
    told = http.get("/v1/announcements", params={"kind": "proforma"}).json()
    assert told["count"] == 1
    store.close()


def test_announcements_as_json_and_rss(http: TestClient) -> None:
    said = http.get("/v1/announcements", params={"index": "demo"}).json()
    forms.AnnouncementList.model_validate(said)
    assert [one["kind"] for one in said["data"]][:2] == ["state", "override"]
    newest = said["data"][0]["id"]
    assert http.get("/v1/announcements", params={"after": newest}).json()["count"] == 0
    assert http.get("/v1/announcements", params={"kind": "state"}).json()["count"] == 1
    feed = http.get("/v1/announcements.rss")
    assert feed.headers["content-type"].startswith("application/rss+xml")
    assert len(ElementTree.fromstring(feed.text).findall("channel/item")) == said["count"]
    assert http.get("/v1/announcements", params={"index": "nope"}).status_code == 404


def test_decisions_and_actions_are_public(http: TestClient) -> None:
    overrides = http.get("/v1/overrides").json()
    forms.OverrideList.model_validate(overrides)
    [one] = overrides["data"]
    assert (one["proposed_by"], one["approved_by"], one["reason"]) == ("Ada", "Ada", "its venue froze withdrawals")
    forms.ActionList.model_validate(http.get("/v1/actions").json())


def test_what_was_cut_is_gone_and_says_why(http: TestClient) -> None:
    gone = http.get("/v1/challenges")
    assert (gone.status_code, gone.json()["code"]) == (410, "gone")
    assert "/explain" in gone.json()["detail"]


@pytest.mark.parametrize("paper", ["methodology", "statement", "factsheet"])
def test_documents_in_html_and_text(http: TestClient, paper: str) -> None:
    page = http.get(f"/v1/indices/demo/documents/{paper}")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    text = http.get(f"/v1/indices/demo/documents/{paper}", params={"format": "text"})
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert "demo" in text.text


def test_a_factsheet_in_pdf(http: TestClient) -> None:
    answer = http.get("/v1/indices/demo/factsheet.pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    token = http.get("/v1/indices/demo/constituents").json()["data"][0]["symbol"]
    where = f"/v1/indices/demo/constituents/{token.lower()}/factsheet"
    assert http.get(f"{where}.pdf").content.startswith(b"%PDF-")
    said = http.get(where, params={"format": "text"})
    assert said.headers["content-type"] == "text/plain; charset=utf-8"
    assert f"({token})" in said.text
    assert "SIMULATED" in said.text
    assert http.get(where).text.startswith("<!doctype html>")
    gone = http.get("/v1/indices/demo/constituents/btc/factsheet")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert '"btc" is no constituent of demo at ' in gone.json()["detail"]
    assert http.get("/v1/indices/demo/documents/poster").status_code == 422
    assert http.get("/v1/indices/demo/documents/statement", params={"format": "pdf"}).status_code == 422


def test_a_constituent_outside_the_registry_has_no_factsheet_and_says_why(client: TestClient) -> None:
    answer = client.get("/v1/indices/deai/constituents/BET/factsheet.pdf")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("deai holds BET, which this registry does not have; set DEAI_REGISTRY")
