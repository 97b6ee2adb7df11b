"""Validators, caching, CORS, HEAD and OPTIONS, request ids, sub-paths: what clients and proxies rely on."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from seeded import NOW
from starlette.types import Message, Receive, Scope, Send

from api.answers.answer import CLOSED, OPEN, PINNED, Answer, takes_gzip
from api.app import create_app
from api.middleware.limits import Limits, Turns
from indexer.config import Settings
from indexer.store.db import Store, open_store

LEVELS = "/v1/indices/deai/levels"


def test_an_unchanged_answer_is_304_without_a_body(client: TestClient) -> None:
    first = client.get(LEVELS)
    again = client.get(LEVELS, headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == first.headers["cache-control"]
    assert "content-type" not in again.headers
    listed = client.get(LEVELS, headers={"if-none-match": f'"other", {first.headers["etag"]}'})
    assert listed.status_code == 304
    assert client.get(LEVELS, headers={"if-none-match": "*"}).status_code == 304
    assert client.get(LEVELS, headers={"if-none-match": '"other"'}).status_code == 200


def test_each_encoding_has_its_own_strong_tag(client: TestClient) -> None:
    packed = client.get(LEVELS, headers={"accept-encoding": "gzip"})
    bare = client.get(LEVELS, headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in bare.headers
    assert packed.headers["etag"] != bare.headers["etag"]
    assert not packed.headers["etag"].startswith("W/")
    assert packed.content == bare.content
    assert int(packed.headers["content-length"]) < int(bare.headers["content-length"]) / 2
    assert "Accept-Encoding" in bare.headers["vary"]
    refused = client.get(LEVELS, headers={"accept-encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers


@pytest.mark.parametrize(
    ("value", "takes"),
    [(b"gzip", True), (b"br, gzip;q=0.5", True), (b"gzip;q=0", False), (b"gzip; q=0.0, br", False), (b"br", False)],
)
def test_accept_encoding_is_read(value: bytes, takes: bool) -> None:
    assert takes_gzip(value) is takes


async def sent(answer: Answer, headers: list[tuple[bytes, bytes]]) -> list[Message]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await answer.respond({"headers": headers}, send)
    return messages


@pytest.mark.parametrize("size", [5_000, 50_000])
async def test_gzip_is_made_when_asked_for_and_reproducible(size: int) -> None:
    one, two = Answer(b"x" * size), Answer(b"x" * size)
    assert one.gzip is None
    asked = [(b"accept-encoding", b"gzip")]
    start, message = await sent(one, asked)
    assert start["status"] == 200
    assert (await sent(two, asked))[1] == message
    assert gzip.decompress(message["body"]) == b"x" * size
    assert (await sent(one, []))[1]["body"] is one.body


def test_different_queries_have_different_tags(client: TestClient) -> None:
    tags = {client.get(f"{LEVELS}?limit={n}").headers["etag"] for n in (1, 2, 3)}
    assert len(tags) == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", OPEN),
        ("?start=2024-01-01&end=2024-02-01", CLOSED),
        ("?start=2024-01-01&end=2025-02-03", OPEN),
        ("?as_of=2025-01-01", PINNED),
        ("?as_of=2025-02-04", OPEN),
        ("?last=3&end=2024-02-01", OPEN),
    ],
)
def test_how_long_it_may_be_kept_follows_finality(client: TestClient, query: str, expected: str) -> None:
    assert client.get(LEVELS + query).headers["cache-control"] == expected


@pytest.mark.parametrize("path", [LEVELS, "/v1/indices", "/healthz", "/", "/static/page.css", "/v1/indices/none"])
def test_head_is_a_get_without_its_body(client: TestClient, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    for name in ("content-type", "etag", "content-length", "cache-control"):
        if name == "content-length" and got.status_code == 404:
            continue
        assert head.headers.get(name) == got.headers.get(name), name


def test_options_lists_the_methods(client: TestClient) -> None:
    answer = client.options(LEVELS)
    assert answer.status_code == 204
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    nothing = client.options("/v1/nothing")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")


def test_a_browser_may_read_from_any_page(client: TestClient) -> None:
    asked = {"origin": "https://pro.openbb.co", "access-control-request-method": "GET"}
    asked |= {"access-control-request-headers": "x-api-key", "access-control-request-private-network": "true"}
    preflight = client.options(LEVELS, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-private-network"] == "true"
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]
    assert "GET" in preflight.headers["access-control-allow-methods"]
    for path in (LEVELS, "/v1/indices/none", "/v1/indices?x=" + "y" * 20_000):
        answer = client.get(path, headers={"origin": "https://example.org"})
        assert answer.headers["access-control-allow-origin"] == "*"
        for name in ("Link", "ETag", "RateLimit", "Retry-After", "X-Request-ID"):
            assert name in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers


def test_a_request_id_is_kept_when_it_is_sane(client: TestClient) -> None:
    assert client.get("/healthz", headers={"x-request-id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    made = client.get("/healthz", headers={"x-request-id": "bad id <script>"}).headers["x-request-id"]
    assert len(made) == 16
    assert made != client.get("/healthz").headers["x-request-id"]


def test_security_headers_are_on_every_answer(client: TestClient) -> None:
    for path in ("/", LEVELS, "/v1/none", "/static/page.js", "/docs"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path


def under_deai(store: Store) -> FastAPI:
    return create_app(store, settings=Settings(root_path="/deai/"), clock=lambda: NOW)


@pytest.mark.parametrize("prefix", ["", "/deai"])
def test_it_works_below_a_path(store: Store, prefix: str) -> None:
    """A proxy may strip the prefix or pass it on; addresses in answers carry it either way."""
    client = TestClient(under_deai(store))
    answer = client.get(f"{prefix}{LEVELS}?limit=2")
    assert answer.json()["next_url"].startswith("/deai/v1/indices/deai/levels?limit=2&cursor=")
    assert client.get(answer.json()["next_url"]).json()["data"][0]["time"] == "2024-01-03T00:00:00Z"
    assert client.get(f"{prefix}/v1/indices/deai").json()["links"]["latest"] == "/deai/v1/indices/deai/latest"
    assert '<base href="/deai/">' in client.get(f"{prefix}/").text
    assert client.get(f"{prefix}/static/page.js").status_code == 200
    assert client.get(f"{prefix}/v1/none").json()["type"] == "/deai/problems/not_found"
    assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/deai"}]


def test_an_application_mounted_in_another_answers_as_itself(store: Store) -> None:
    outer = create_app(store, clock=lambda: NOW)
    outer.mount("/demo", create_app(store, clock=lambda: NOW))
    with TestClient(outer) as client:
        assert '<base href="/demo/">' in client.get("/demo/").text
        answer = client.get("/demo/v1/indices/deai/levels?limit=1")
        assert answer.json()["next_url"].startswith("/demo/v1/indices/deai/levels?")
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert len(answer.headers.get_list("x-request-id")) == 1
        assert client.get("/demo/v1/none").json()["code"] == "not_found"


def test_an_application_mounted_later_is_watched_too(store: Store, tmp_path: Path) -> None:
    outer_store = open_store(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    outer_store.migrate()
    outer, inner = create_app(outer_store, clock=lambda: NOW), create_app(store, clock=lambda: NOW)
    with TestClient(outer) as client:
        assert "A simulated market runs beside it" not in client.get("/").text
        outer.mount("/demo", inner)
        assert '<a href="demo/">' in client.get("/").text
        for _ in range(5000):
            client.get("/demo/healthz")
            if inner.state.services.cache.version is not None:
                break
        else:
            pytest.fail("the mounted application was never watched")
    outer_store.close()


@pytest.mark.parametrize("prefix", ["", "/deai"])
def test_a_mounted_application_below_a_path(store: Store, prefix: str) -> None:
    settings = Settings(root_path="/deai")
    outer = create_app(store, settings=settings, clock=lambda: NOW)
    outer.mount("/demo", create_app(store, settings=settings, clock=lambda: NOW))
    client = TestClient(outer)
    answer = client.get(f"{prefix}/demo/v1/indices/deai/levels?limit=1").json()
    assert answer["next_url"].startswith("/deai/demo/v1/indices/deai/levels?")
    assert '<base href="/deai/demo/">' in client.get(f"{prefix}/demo/").text


async def test_a_get_in_two_parts_waits_for_its_turn_like_any_other() -> None:
    """The turn is taken when it comes; its body arrives meanwhile, whole, and is no sign that the client left."""
    free, served = asyncio.Event(), []

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        await free.wait()
        served.append(body)

    async def ask(*messages: Message) -> None:
        coming = iter(messages)

        async def receive() -> Message:
            message = next(coming, None)
            return await asyncio.Future() if message is None else message

        scope = {"type": "http", "method": "GET", "path": "/v1", "headers": [], "client": ("1.2.3.4", 1)}
        await turns(scope, receive, _nobody_reads)

    turns = Turns(route, limits=Limits(at_once=1))
    parts = [{"type": "http.request", "body": letter, "more_body": letter != b"z"} for letter in (b"x", b"y", b"z")]
    first = asyncio.create_task(ask(parts[2]))
    await asyncio.sleep(0)
    second = asyncio.create_task(ask(*parts))
    await asyncio.wait_for(ask(parts[0], {"type": "http.disconnect"}), 5)  # who leaves loses its place
    free.set()
    await asyncio.wait_for(asyncio.gather(first, second), 5)
    assert served == [b"z", b"xyz"]


async def _nobody_reads(message: Message) -> None:
    """Takes what is sent."""
