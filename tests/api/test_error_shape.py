"""Every way out that is not an answer has the one shape, and no answer ever holds a NaN."""

from __future__ import annotations

import html
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from seeded import NOW

from api.answers.problems import CATALOGUE, Problem, code_of
from api.app import create_app
from api.middleware.limits import Limits
from indexer.errors import BusyError, DeaiError, ImportFileError, StoreError
from indexer.store.db import Store, open_store


def assert_problem(answer: httpx.Response, status: int, code: str) -> Problem:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    found = Problem.model_validate(answer.json())
    assert (found.status, found.code) == (status, code)
    assert found.title == CATALOGUE[code].title
    assert found.trace_id == answer.headers["x-request-id"]
    return found


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/indices/none", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/nothing/at/all", 404, "not_found"),
        ("GET", "/static/nothing.js", 404, "not_found"),
        ("GET", "/indices/none", 404, "not_found"),
        ("GET", "/problems/none", 404, "not_found"),
        ("POST", "/v1/indices", 405, "method_not_allowed"),
        ("DELETE", "/v1/indices/deai/levels", 405, "method_not_allowed"),
        ("PUT", "/", 405, "method_not_allowed"),
        ("POST", "/static/page.css", 405, "method_not_allowed"),
        ("GET", "/v1/indices/deai/levels?start=x", 422, "invalid_request"),
        ("GET", "/v1/indices/deai/levels?interval=2h", 422, "invalid_request"),
        ("GET", "/v1/indices/deai/levels?limit=10001", 422, "invalid_request"),
        ("GET", "/v1/indices/deai/levels?start=2025-01-02&end=2025-01-01", 422, "invalid_input"),
        ("GET", "/v1/indices/deai/levels?cursor=abc", 404, "not_found"),
        ("GET", "/oembed?url=/indices/deai&format=yaml", 422, "invalid_input"),
        ("GET", "/v1/indices/empty/latest", 409, "not_enough_data"),
        ("GET", "/v1/indices/" + "x" * 65, 422, "invalid_request"),
        ("GET", "/v1/indices/" + "x" * 5000, 414, "uri_too_long"),
        ("GET", "/v1/indices/deai/levels?limit=1&limit=2", 422, "invalid_input"),
        ("GET", "/v1/indices?q=" + "x" * 20_000, 414, "uri_too_long"),
    ],
)
def test_errors_have_one_shape(client: TestClient, method: str, path: str, status: int, code: str) -> None:
    found = assert_problem(client.request(method, path), status, code)
    assert found.instance == path.split("?", maxsplit=1)[0]


def test_the_message_names_what_is_wrong(client: TestClient) -> None:
    backwards = client.get("/v1/indices/deai/levels?start=2025-01-02&end=2025-01-01").json()
    said = "end 2025-01-01T00:00:00Z is before start 2025-01-02T00:00:00Z; the range is [start, end)"
    assert backwards["detail"] == said
    cursor = client.get("/v1/indices/deai/levels?cursor=abc").json()
    assert cursor["detail"] == 'No page "abc": take `next` of the page before, unchanged'
    two = client.get("/v1/indices/deai/levels?limit=0&interval=2h").json()
    assert [one["pointer"] for one in two["errors"]] == ["query/interval", "query/limit"]


def test_a_parameter_that_is_not_there_is_refused_by_name(client: TestClient) -> None:
    misspelt = assert_problem(client.get("/v1/indices/deai/levels?intervall=1d"), 422, "invalid_input")
    assert misspelt.detail is not None
    assert 'there is no parameter "intervall": there are' in misspelt.detail
    assert misspelt.detail.endswith('Did you mean "interval"?')
    none = assert_problem(client.get("/v1/indices/deai/methodology?colour=red"), 422, "invalid_input")
    assert none.detail is not None
    assert "colour" in none.detail
    assert_problem(client.get("/v1/indices/deai/levels?last=1&last=2"), 422, "invalid_input")
    assert client.get("/v1/indices/deai/levels?interval=1d&api_key=deai_none").status_code != 422
    assert client.get("/indices/deai?utm_source=mail").status_code == 200, "pages forgive what links bring"


@pytest.mark.parametrize(
    "address", ["/charts/deai.svg", "/charts/deai.vl.json", "/badge/deai.svg", "/badge/deai.json", "/embed/deai"]
)
def test_pictures_refuse_what_they_do_not_know_too(client: TestClient, address: str) -> None:
    refused = assert_problem(client.get(f"{address}?lable=x"), 422, "invalid_input")
    assert refused.detail is not None
    assert 'there is no parameter "lable"' in refused.detail


@pytest.mark.parametrize("buster", ["_=1", "t=1", "ts=17", "refresh=1", "nocache=1", "utm_source=x&utm_id=y", "1764"])
@pytest.mark.parametrize(
    "address",
    [
        "/v1/indices/deai/latest",
        "/v1/indices/deai/levels?last=3",
        "/v1/indices/deai/methodology",
        "/charts/deai.svg?range=1m",
        "/badge/deai.svg",
        "/embed/deai?theme=dark",
    ],
)
def test_cache_busters_change_nothing(client: TestClient, address: str, buster: str) -> None:
    busted = client.get(f"{address}{'&' if '?' in address else '?'}{buster}")
    assert (busted.status_code, busted.content) == (200, client.get(address).content)
    assert client.get("/v1/indices/deai/levels?last=3&tt=1").status_code == 422


def test_a_cache_buster_costs_no_place_in_the_cache(own: Store) -> None:
    app = create_app(own, clock=lambda: NOW)
    app.state.services.refresh()
    client = TestClient(app)
    for number in range(5):
        client.get(f"/v1/indices/deai/latest?_={number}")
    assert len(app.state.services.cache.answers) == 1


def test_405_says_what_is_allowed(client: TestClient) -> None:
    assert client.post("/v1/indices").headers["allow"] == "GET, HEAD, OPTIONS"


def test_a_body_beyond_the_limit_is_refused_declared_or_not(client: TestClient) -> None:
    assert_problem(client.post("/v1/indices", content=b"x" * 70_000), 413, "body_too_large")
    assert_problem(client.post("/v1/indices", content=b"x", headers={"content-length": "abc"}), 413, "body_too_large")


def test_a_failure_of_ours_shows_no_trace(store: Store) -> None:
    app = create_app(store, clock=lambda: NOW)

    @app.get("/v1/broken")
    def broken() -> None:
        raise RuntimeError("secret of the inside")

    answer = TestClient(app).get("/v1/broken")
    assert_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("error", "status", "code"), [(StoreError("full"), 503, "store_error"), (BusyError("held"), 503, "busy")]
)
def test_errors_of_the_index_keep_their_code(store: Store, error: DeaiError, status: int, code: str) -> None:
    app: FastAPI = create_app(store, clock=lambda: NOW)

    @app.get("/v1/broken")
    def broken() -> None:
        raise error

    assert_problem(TestClient(app).get("/v1/broken"), status, code)


def test_a_store_without_tables_is_503_not_500(tmp_path: Path) -> None:
    opened = open_store(f"sqlite:///{tmp_path / 'raw.sqlite'}")
    client = TestClient(create_app(opened, clock=lambda: NOW))
    for path in ("/v1/indices", "/readyz", "/"):
        assert_problem(client.get(path), 503, "store_error")
    assert client.get("/healthz").status_code == 200
    opened.close()


def test_every_error_of_the_index_has_a_kind() -> None:
    for kind in DeaiError.__subclasses__():
        assert code_of(kind("other")) == kind.code in CATALOGUE, kind
    assert code_of(ImportFileError("a file")) == "invalid_input"
    assert code_of(DeaiError("other")) == "internal"


def test_each_type_resolves_to_a_page(client: TestClient) -> None:
    for code in CATALOGUE:
        page = client.get(f"/problems/{code}")
        assert page.status_code == 200
        assert CATALOGUE[code].advice.split("<")[0][:20] in page.text


def test_too_many_requests_say_how_long_to_wait(store: Store) -> None:
    limits = Limits(requests=3, window_s=60, count_loopback=True)
    client = TestClient(create_app(store, clock=lambda: NOW, limits=limits))
    for left in (2, 1, 0):
        answer = client.get("/healthz")
        assert answer.headers["ratelimit"].startswith(f'"default";r={left};t=')
        assert answer.headers["ratelimit-policy"] == '"default";q=3;w=60'
        assert answer.headers["x-ratelimit-remaining"] == str(left)
    refused = client.get("/healthz")
    assert_problem(refused, 429, "too_many_requests")
    wait = refused.headers["retry-after"]
    assert 0 < int(wait) <= 20, "a token comes back every 20 s"
    assert refused.headers["ratelimit"] == f'"default";r=0;t={wait}'


def test_a_slash_too_many_is_pointed_out(client: TestClient) -> None:
    said = client.get("/v1/indices/deai/").json()["detail"]
    assert said.endswith("Addresses here do not end with a slash")


def test_a_browser_finds_an_icon(client: TestClient) -> None:
    assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_a_browser_on_its_way_to_a_page_reads_a_page(client: TestClient) -> None:
    for path in ("/nope", "/indices/nope", "/events/nope", "/assets/nope"):
        shown = client.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
        assert (shown.status_code, shown.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "<h1>No such thing</h1>" in shown.text
        told = client.get(path)
        assert told.headers["content-type"] == "application/problem+json"
        assert told.json()["detail"] in html.unescape(shown.text)
    for path in ("/v1/nope", "/udf/nope", "/openbb/nope?index=deai"):
        kind = client.get(path, headers={"Accept": "text/html"}).headers["content-type"]
        assert kind.startswith("application/"), "what only programs ask for is answered to them"
