"""Plain questions for levels and streams are answered without the routes; all others are left to them."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from seeded import NOW

from api.answers.deps import Services
from api.app import create_app, end_streams
from indexer.store.db import Store

LEVELS = "/v1/indices/deai/levels"
PLAIN = ("", "?last=3", "?start=2025-01-01&end=2025-01-05", "?interval=1h&limit=10&shape=columns", "?start=1735689600")
LEFT = (
    "?format=csv",
    "?decimals=string&last=2",
    "?last=2&last=3",
    "?limit=0",
    "?limit=10001",
    "?limit=١",
    "?interval=2h",
    "?start=yesterday",
    "?start=",
    "?start=2025-02-01&end=2025-01-01",
    "?cursor=no",
    "?unknown=1",
    "?%ff",
)


@pytest.fixture(scope="module")
def without_routes(store: Store) -> TestClient:
    """The API with nothing behind its edge: only what is answered directly is answered."""
    app = create_app(store, clock=lambda: NOW)
    services: Services = app.state.services
    services.refresh()
    app.router.routes.clear()
    return TestClient(app)


@pytest.mark.parametrize("query", PLAIN)
def test_plain_questions_need_no_route(without_routes: TestClient, client: TestClient, query: str) -> None:
    direct, routed = without_routes.get(LEVELS + query), client.get(LEVELS + query)
    assert direct.status_code == 200
    assert direct.content == routed.content
    assert {k: v for k, v in direct.headers.items() if k != "x-request-id"} == {
        k: v for k, v in routed.headers.items() if k != "x-request-id"
    }


def test_a_plain_stream_needs_no_route(store: Store) -> None:
    app = create_app(store, clock=lambda: NOW)
    app.state.services.refresh()
    end_streams(app)  # each begins, tells the newest level, and ends
    stream, app.router.routes = f"{LEVELS.removesuffix('levels')}stream", []
    told = TestClient(app).get(stream)
    assert told.headers["content-type"].startswith("text/event-stream")
    assert "event: level" in told.text
    newest = told.text.partition("id: ")[2].split()[0]
    assert "event: level" not in TestClient(app).get(stream, headers={"last-event-id": newest}).text
    for odd in ({"headers": {"last-event-id": "yesterday"}}, {"params": {"after": newest}}):
        assert TestClient(app).get(stream, **odd).status_code == 404  # type: ignore[arg-type]  # left to the routes


@pytest.mark.parametrize("query", LEFT)
def test_what_is_not_plain_is_left_to_the_routes(without_routes: TestClient, query: str) -> None:
    assert without_routes.get(LEVELS + query).status_code == 404


def test_an_unknown_index_and_csv_by_accept_are_left_to_the_routes(without_routes: TestClient) -> None:
    assert without_routes.get("/v1/indices/none/levels").status_code == 404
    assert without_routes.get(LEVELS + "?last=1", headers={"accept": "text/csv"}).status_code == 404


@pytest.mark.parametrize("query", LEFT)
def test_the_routes_say_the_same_whether_answers_are_kept(store: Store, client: TestClient, query: str) -> None:
    app = create_app(store, clock=lambda: NOW)
    app.state.services.refresh()
    kept, plain = TestClient(app).get(LEVELS + query), client.get(LEVELS + query)
    assert kept.status_code == plain.status_code
    if kept.status_code != 200:
        assert kept.json()["detail"] == plain.json()["detail"]
