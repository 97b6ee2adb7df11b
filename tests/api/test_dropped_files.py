"""The drop zone: the same report as `deai import --explain`, for the owner's own browser only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from seeded import NOW

from api.app import create_app
from api.middleware.keys import KeyRing
from indexer.config import Settings
from indexer.files.explain import explain_files, explanation_text
from indexer.registry import load_registry
from indexer.store.bars import read_bars
from indexer.store.db import Store, open_store
from indexer.store.runs import read_runs

SAMPLE = Path(__file__).parents[1] / "files" / "samples" / "binance_klines" / "NEARUSDT-1h-2025-01.csv"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with nothing in it."""
    opened = open_store(f"sqlite:///{tmp_path / 'blank.sqlite'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def browser(store: Store, tmp_path: Path) -> TestClient:
    return owners(store, Settings(data_dir=tmp_path))


def owners(store: Store, settings: Settings) -> TestClient:
    """The owner's browser: it has opened the link."""
    client = TestClient(create_app(store, settings=settings, clock=lambda: NOW))
    client.get(f"/owner?link={KeyRing(settings.data_dir / 'keys.json').new_link()}")
    return client


def test_a_dropped_file_has_the_report_of_explain_and_nothing_is_written(browser: TestClient, store: Store) -> None:
    before = len(read_runs(store))
    answer = browser.post(f"/files/explain?name={SAMPLE.name}", content=SAMPLE.read_bytes())
    [expected] = explain_files([SAMPLE], registry=load_registry(), clock=lambda: NOW, options={})
    [report] = answer.json()["reports"]
    assert report == {
        "name": SAMPLE.name,
        "text": explanation_text(expected),
        "manifest": expected.manifest,
        "readable": True,
        "sheet": "",
        "asked": {},
    }
    assert len(read_runs(store)) == before


def test_what_a_file_does_not_say_is_asked_for_and_can_be_said(browser: TestClient) -> None:
    body = b"time,open,high,low,close\n2025-01-27T00:00Z,5,6,4,5\n2025-01-27T01:00Z,5,6,4,5\n"
    [asked] = browser.post("/files/explain?name=../x.csv", content=body).json()["reports"]
    assert (asked["readable"], list(asked["asked"])) == (False, ["symbol", "quote", "venue"])
    assert "deai import x.csv --symbol SYMBOL --quote QUOTE --venue VENUE" in asked["text"]
    query = "name=x.csv&symbol=NEAR&venue=binance&quote=USDT"
    [report] = browser.post(f"/files/explain?{query}", content=body).json()["reports"]
    assert report["readable"]
    assert "2, of which 2 would be taken" in report["text"]


def test_a_file_beyond_the_usual_size_of_a_body_is_read_here_and_nowhere_else(browser: TestClient) -> None:
    body = b"x" * 100_000
    assert browser.post("/files/explain?name=x.csv", content=body).status_code == 200
    assert browser.post("/sign-in", content=body).status_code == 413


@pytest.mark.parametrize("name", ["..", "a%00b", "n" * 300])
def test_a_name_that_no_file_can_have_is_said(browser: TestClient, name: str) -> None:
    answer = browser.post(f"/files/explain?name={name}", content=b"time,close")
    assert (answer.status_code, "rename it" in answer.json()["detail"]) == (422, True)


def test_others_may_not_drop_files(store: Store, browser: TestClient) -> None:
    app = create_app(store, clock=lambda: NOW)
    other = TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 1))
    elsewhere = {"origin": "https://elsewhere.example"}
    for client, headers in ((other, {}), (browser, elsewhere)):
        assert client.post("/files/explain?name=x.csv", content=b"a,b\n", headers=headers).status_code == 403
        assert client.get("/files", headers=headers).status_code == 403


def test_the_page_loads_its_script(browser: TestClient) -> None:
    page = browser.get("/files")
    assert page.status_code == 200
    assert 'src="static/files.js"' in page.text
    assert browser.get("/static/files.js").status_code == 200


def test_a_dropped_file_is_imported_by_a_process_of_its_own(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    store = open_store(settings.store_url)
    store.migrate()
    browser = owners(store, settings)
    [first] = browser.post(f"/files/import?name={SAMPLE.name}", content=SAMPLE.read_bytes()).json()["files"]
    assert first["new"] == len(read_bars(store).time_us) > 0 and not first["problem"]
    [again] = browser.post(f"/files/import?name={SAMPLE.name}", content=SAMPLE.read_bytes()).json()["files"]
    assert (again["new"], again["note"] != "" or again["unchanged"] > 0) == (0, True)
    refused = browser.post("/files/import?name=x.csv", content=b"nothing\nof use\n")
    assert refused.status_code == 422 and "x.csv" in refused.json()["detail"]
    assert TestClient(browser.app).post("/files/import?name=x.csv", content=b"a,b\n").status_code == 403
    store.close()
