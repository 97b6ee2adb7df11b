"""Streams by the client: the newest at once, each new one, replay after a break, from a server and a local store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import httpx2
import pytest
from live_server import serve
from seeded import HOURS, NOW, START, publish
from test_client_asking import telling

from api.app import create_app
from api.local import LocalTransport
from indexer import AsyncClient, Client
from indexer.client.asking import Patience
from indexer.config import Settings
from indexer.errors import InputError, NotFoundError, SourceCorrupt, SourceUnavailable
from indexer.store.db import Store
from indexer.times import HOUR_US

NEWEST = f"{START + HOURS * HOUR_US}.1"
EVENTS = {"content-type": "text/event-stream"}
DATA = (
    '{"index":"deai","simulated":false,"time":"2025-01-01T00:00:00Z","level":%s,"status":"final",'
    '"carried_weight":0.0,"revision":1,"published_at":"2025-01-01T00:01:00Z"}'
)


@pytest.fixture(params=["server", "store"])
def client(request: pytest.FixtureRequest, own: Store, quick: Patience) -> Iterator[Client]:
    if request.param == "store":
        with Client(own, patience=quick) as near:
            yield near
        return
    app = create_app(own, settings=Settings(), clock=lambda: NOW)
    with serve(app) as running, Client(running.url, patience=quick) as far:
        yield far


def test_the_newest_comes_at_once_and_then_each_new_one(client: Client, own: Store) -> None:
    levels = client.stream("deai")
    first = next(levels)
    assert (first.id, first.index, first.status) == (NEWEST, "deai", "final")
    for number in range(3):
        publish(own, 700.0 + number, number=number)
        assert next(levels).level == 700.0 + number
    levels.close()
    assert client.latest("deai").level == 702.0
    publish(own, 800.0, number=3)
    assert next(client.stream("deai", after=first.id)).level == 700.0


def test_a_stream_that_is_left_ends_with_the_client(own: Store, quick: Patience) -> None:
    with Client(own, patience=quick) as near:
        left = near.stream("deai")
        assert next(left).id == NEWEST
    left.close()


def test_refusals_are_raised(client: Client) -> None:
    with pytest.raises(NotFoundError, match="Did you mean"):
        next(client.stream("deia"))
    with pytest.raises(InputError, match="is not one of ours"):
        next(client.stream("deai", after="yesterday"))


async def test_the_same_with_await(own: Store) -> None:
    async with AsyncClient(own) as client:
        seen = []
        async for level in client.stream("deai"):
            seen.append(level.level)
            if len(seen) == 2:
                break
            publish(own, 900.0)
        assert seen[-1] == 900.0


def test_a_broken_stream_goes_on_where_it_was(quick: Patience) -> None:
    def events(*levels: float) -> tuple[int, dict[str, str], bytes]:
        lines = [f"event: level\nid: {level}.1\ndata: {DATA % level}\n\n: ping\n\n" for level in levels]
        return 200, EVENTS, ("retry: 5000\n\n" + "".join(lines)).encode()

    with telling(events(1, 2), (503, {}, b""), events(3), events(4)) as told:
        with Client(told.url, patience=quick) as client:
            levels = client.stream("deai")
            assert [next(levels).level for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]
            levels.close()
        assert [path.partition("?")[2] for path, _ in told.asked] == ["", "after=2.1", "after=2.1", "after=3.1"]


def test_a_server_that_is_gone_is_told_after_some_tries(quick: Patience) -> None:
    with telling((503, {}, b"")) as told:
        with Client(told.url, patience=quick) as client, pytest.raises(SourceUnavailable, match="answered 503"):
            next(client.stream("deai"))
        assert len(told.asked) == quick.attempts


@pytest.mark.parametrize("data", ["", "id: 1.1\ndata: {nothing\n", 'id: 1.1\ndata: {"level": 1}\n'])
def test_an_event_that_is_none_is_said(data: str, quick: Patience) -> None:
    answer = (200, EVENTS, f"event: level\n{data}\n".encode())
    with (
        telling(answer) as told,
        Client(told.url, patience=quick) as client,
        pytest.raises(SourceCorrupt, match="/v1/indices/deai/stream"),
    ):
        next(client.stream("deai"))


async def test_a_local_answer_that_breaks_off_is_no_whole_one() -> None:
    async def broken(scope: object, receive: object, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"time,level\n", "more_body": True})
        raise RuntimeError("the disk is gone")

    async with httpx2.AsyncClient(transport=LocalTransport(broken)) as client:
        with pytest.raises(httpx2.ReadError, match="broke off"):
            await client.get("http://local/levels.csv")
