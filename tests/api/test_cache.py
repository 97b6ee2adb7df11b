"""Kept answers: served without the routes, dropped as a whole when data changes, never from before a change."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from seeded import NOW, publish
from sqlalchemy import update

from api.answers.answer import Answer
from api.answers.services import Services
from api.app import create_app
from api.middleware.cache import EACH_BYTES, Cache, ask
from api.stream import look, writes_to
from api.web.first_view import renew
from indexer.config import Settings
from indexer.errors import InputError
from indexer.store.db import Store
from indexer.store.quality import write_quality
from indexer.store.rows import QualityRow
from indexer.store.runs import finish_run, read_version, start_run
from indexer.store.seals import seal_runs
from indexer.store.tables import Run

LATEST = "/v1/indices/deai/latest"


def services(app: FastAPI) -> Services:
    found: Services = app.state.services
    return found


def test_the_second_request_does_not_reach_the_routes(own: Store) -> None:
    app = create_app(own, clock=lambda: NOW)
    services(app).refresh()
    client = TestClient(app)
    first = client.get(LATEST)
    assert list(services(app).cache.answers) == [(LATEST.encode(), b"", b"")]
    own.engine.dispose()
    app.router.routes.clear()
    again = client.get(LATEST)
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert client.head(LATEST).headers["content-length"] == first.headers["content-length"]
    assert client.get(LATEST, headers={"if-none-match": first.headers["etag"]}).status_code == 304
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert dict(again.headers).keys() == dict(first.headers).keys()


def test_a_new_level_drops_what_was_kept(own: Store) -> None:
    app = create_app(own, clock=lambda: NOW)
    services(app).refresh()
    client = TestClient(app)
    before = client.get(LATEST)
    publish(own, 777.0)
    services(app).refresh()
    after = client.get(LATEST)
    assert after.json()["level"] == 777.0
    assert after.headers["etag"] != before.headers["etag"]


def test_the_watcher_sees_a_write_of_any_process(own: Store) -> None:
    app = create_app(own, clock=lambda: NOW)
    with TestClient(app) as client:
        client.get(LATEST)
        publish(own, 778.0)
        for _ in range(2000):
            if client.get(LATEST).json()["level"] == 778.0:
                break
        else:
            pytest.fail("the new level was never served")


def test_errors_and_health_are_not_kept(own: Store) -> None:
    app = create_app(own, clock=lambda: NOW)
    services(app).refresh()
    client = TestClient(app)
    for path in ("/v1/indices/none", "/healthz", "/readyz", "/", "/v1/nothing"):
        client.get(path)
    assert services(app).cache.answers == {}


def test_an_answer_read_before_a_change_is_not_kept() -> None:
    cache = Cache()
    cache.publish("1")
    cache.publish("2")
    cache.keep((b"/", b"", b""), Answer(b"old"), version="1")
    assert cache.answers == {}
    cache.publish("1")
    former = cache.reads
    assert cache.read_once("index", lambda: cache.publish("2") or "old") == "old"  # type: ignore[func-returns-value]
    assert (former, cache.reads) == ({"index": "old"}, {})
    assert [cache.read_once("index", read) for read in (lambda: 1, lambda: 2)] == [1, 1]


def test_what_closed_long_ago_stays_for_an_hour_when_only_new_levels_come(own: Store) -> None:
    """A restated level of long ago drops it too, and so does an hour; what was asked for again is said of the rest."""
    app = create_app(own, clock=lambda: NOW)
    cache, client, passed = services(app).cache, TestClient(app), [0.0]
    cache.monotonic = lambda: passed[0]
    with own.writing_session() as session:
        session.execute(update(Run).values(finished_at=NOW - timedelta(days=1)))

    def dropped_by(change: Callable[[], object]) -> dict[str, int]:
        change()
        dropped = asyncio.run(look(services(app)))
        assert dropped is not None
        return {f"{path.decode()}?{query.decode()}": asked for (path, query, _), asked in dropped.items()}

    def ask() -> None:
        for query in ("end=2025-01-01", "limit=5", "limit=5", "limit=5"):
            assert client.get(f"/v1/indices/deai/levels?{query}").status_code == 200

    assert dropped_by(lambda: publish(own, 779.0)) == {}
    ask()
    closed, growing = "/v1/indices/deai/levels?end=2025-01-01", "/v1/indices/deai/levels?limit=5"
    assert dropped_by(lambda: publish(own, 780.0, number=1)) == {growing: 2}
    ask()
    passed[0] += 3601.0
    assert dropped_by(lambda: publish(own, 781.0, number=2)) == {growing: 2, closed: 1}
    ask()
    assert dropped_by(lambda: publish(own, 782.0, number=-200)) == {growing: 2, closed: 0}


@pytest.mark.parametrize("root", ["", "/index"])
async def test_what_is_made_again_is_what_was_dropped(own: Store, tmp_path: Path, root: str) -> None:
    """Its form and the prefix of its ways on, whether the proxy strips the prefix or not."""
    app = create_app(own, settings=Settings(data_dir=tmp_path, root_path=root), clock=lambda: NOW)
    services(app).refresh()
    transport = httpx.ASGITransport(app)
    asked = [("/v1/indices/deai/levels?limit=2", "text/csv"), (f"{root}/v1/indices/deai/levels?limit=2", "*/*")]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

        async def seen() -> list[tuple[str, str, str]]:
            answers = [await client.get(address, headers={"accept": word}) for address, word in asked for _ in "ab"]
            return [(one.headers["content-type"], one.headers["link"], one.text) for one in answers]

        before = await seen()
        dropped = services(app).cache.publish("another")
        await renew(app, dropped)
        assert dropped.keys() <= services(app).cache.answers.keys()
        app.router.routes.clear()
        assert await seen() == before
    assert before[0][0].startswith("text/csv")
    assert f"<{root}/v1/indices/deai/levels?" in before[0][1]


@pytest.mark.parametrize(
    "address",
    [
        "/page-data/event?index=deai/stream&slug=deepseek",
        "/page-data/event/study?index=deai/stream%3Fapi_key%3D&slug=deepseek",
        "/page-data/more?index=deai/stream%3F",
        "/openbb/constituents?index=deai/stream%3F",
    ],
)
async def test_an_id_leads_to_no_other_address(own: Store, address: str) -> None:
    app = create_app(own, clock=lambda: NOW)
    assert TestClient(app).get(address).status_code == 422
    with pytest.raises(InputError, match="is a stream"):
        await ask(app, "/v1/indices/deai/stream")


def test_the_cache_stays_within_its_bytes() -> None:
    cache = Cache(max_bytes=100_000)
    cache.publish("1")
    for n in range(100):  # of addresses as long as any, and of answers as small: both count
        cache.keep((b"/%d" % n, b"x" * (n % 2) * 16_000, b""), Answer(b"%d" % n), version="1")
        taken = sum(answer.size + len(key[0] + key[1]) + EACH_BYTES for key, answer in cache.answers.items())
        assert cache.bytes == taken <= 100_000
    assert (b"/99", b"x" * 16_000, b"") in cache.answers and len(cache.answers) < 10
    cache.keep((b"/large", b"", b""), Answer(b"x" * 50_000), version="1")
    assert (b"/large", b"", b"") not in cache.answers


async def test_those_who_ask_at_once_cost_one_answer(own: Store) -> None:
    app, calls = create_app(own, clock=lambda: NOW), []

    @app.get("/v1/slow")
    async def slow() -> Answer:
        calls.append(1)
        await asyncio.sleep(0)
        return Answer(b"{}")

    @app.get("/v1/failing")
    async def failing() -> Answer:
        calls.append(2)
        await asyncio.sleep(0)
        raise InputError("no")

    services(app).refresh()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answers = await asyncio.gather(*(client.get("/v1/slow") for _ in range(50)))
        assert [answer.status_code for answer in answers] == [200] * 50
        assert calls == [1]
        refused = await asyncio.gather(*(client.get("/v1/failing") for _ in range(5)))
        assert [answer.status_code for answer in refused] == [422] * 5
    assert services(app).cache.making == {}


def test_a_run_that_changed_data_is_a_new_version_when_it_ends_and_no_other_run_is(own: Store) -> None:
    entry = QualityRow("gap", "TAO", NOW, None, "{}")
    seen = []
    for number, entries in enumerate(([], [entry], [entry], [replace(entry, closed_at=NOW)])):
        before = read_version(own)
        run = start_run(own, kind="cross-check", key=f"same:{number}", now=NOW)
        assert run is not None
        write_quality(own, run, entries)
        assert read_version(own) == before, "what a run writes counts when it ends"
        finish_run(own, run, now=NOW)
        seal_runs(own)
        seen.append(read_version(own) != before)
    assert seen == [False, True, False, True], "nothing, a row, the same row again, another one"


async def test_the_system_tells_of_a_write_by_any_process(own: Store) -> None:
    assert own.path is not None
    with writes_to(own) as written:
        assert written is not None
        (own.path.parent / "else.txt").write_text("not the store")
        assert not written.is_set()
        script = (
            "import sys; from seeded import publish; from indexer.store.db import open_store;"
            "publish(open_store(sys.argv[1]), 779.0)"
        )
        await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", script, f"sqlite:///{own.path}"],
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        await asyncio.wait_for(written.wait(), 5)


def test_nothing_tells_of_writes_to_a_server_elsewhere() -> None:
    with writes_to(SimpleNamespace(path=None)) as written:  # type: ignore[arg-type]  # a store that is no file
        assert written is None
