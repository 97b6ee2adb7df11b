"""The stream over a real socket: state at once, replay, new levels of any process, slow clients, both protocols."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import quote

import pytest
from anyio.to_thread import run_sync
from fastapi.testclient import TestClient
from live_server import Live, serve
from seeded import HOURS, NOW, START, publish
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from api.app import create_app
from api.middleware.cache import Key
from api.middleware.limits import Limits
from api.stream import Hub, Mailbox, is_set, message_of, parse_id, watch
from indexer.errors import InputError
from indexer.store.db import Store
from indexer.times import HOUR_US

STREAM = "/v1/indices/deai/stream"
NEWEST_ID = f"{START + HOURS * HOUR_US}.1"


@contextmanager
def listening(running: Live, path: str = STREAM, **headers: str) -> Iterator[Iterator[dict[str, str]]]:
    """The events of a stream as dicts of their fields; comments come as {"": text}."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"

    def events() -> Iterator[dict[str, str]]:
        fields: dict[str, str] = {}
        while True:
            line = answer.readline().decode().rstrip("\n")
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
            elif fields:
                yield fields
                fields = {}

    try:
        yield events()
    finally:
        connection.close()


@pytest.fixture
def running(own: Store) -> Iterator[Live]:
    with serve(create_app(own, clock=lambda: NOW)) as live:
        yield live


def test_the_newest_level_comes_at_once(live: Live) -> None:
    with listening(live) as events:
        assert next(events) == {"retry": "5000"}
        first = next(events)
    assert (first["event"], first["id"]) == ("level", NEWEST_ID)
    data = json.loads(first["data"])
    assert (data["index"], data["simulated"], data["status"]) == ("deai", False, "final")


def test_new_levels_arrive_in_order_and_once(running: Live, own: Store) -> None:
    with listening(running) as events:
        next(events)
        next(events)
        for number, level in enumerate((701.0, 702.0, 703.0)):
            publish(own, level, number=number)
            data = json.loads(next(events)["data"])
            assert data["level"] == level


def test_many_listen_to_the_same_address(running: Live, own: Store) -> None:
    with listening(running) as one, listening(running) as two, listening(running) as three:
        for events in (one, two, three):
            next(events)
            next(events)
        publish(own, 720.0)
        assert [json.loads(next(events)["data"])["level"] for events in (one, two, three)] == [720.0] * 3


def test_what_was_missed_is_replayed(running: Live, own: Store) -> None:
    for number in range(3):
        publish(own, 700.0 + number, number=number)
    with listening(running, **{"Last-Event-ID": NEWEST_ID}) as events:
        next(events)
        assert [json.loads(next(events)["data"])["level"] for _ in range(3)] == [700.0, 701.0, 702.0]
    with listening(running, f"{STREAM}?after={START + (HOURS + 2) * HOUR_US}.1") as events:
        next(events)
        assert json.loads(next(events)["data"])["level"] == 702.0


def test_replay_is_bounded(live: Live) -> None:
    with listening(live, f"{STREAM}?after={START}.1") as events:
        next(events)
        first = next(events)
    assert first["id"] == f"{START + (HOURS - 999) * HOUR_US}.1"


def test_a_closed_connection_stops_listening(running: Live, own: Store) -> None:
    hub: Hub = running.app.state.services.hub
    with listening(running) as events:
        next(events)
        next(events)
        assert hub.listeners == 1
    publish(own, 700.0)

    async def gone() -> None:
        while hub.listeners:
            running.app.state.services.hub.ping()
            await asyncio.sleep(0.01)

    asyncio.run_coroutine_threadsafe(asyncio.wait_for(gone(), 10), running.loop).result(15)


def test_a_stopping_server_ends_its_streams(own: Store) -> None:
    """Without this the server would wait for every open page; here it must stop with a listener connected."""
    with serve(create_app(own, clock=lambda: NOW)) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        connection.request("GET", STREAM)
        answer = connection.getresponse()
        assert answer.readline() == b"retry: 5000\n"
    rest = answer.read()
    assert rest.count(b"event: level") == 1
    connection.close()


def test_web_sockets_carry_the_same(running: Live, own: Store) -> None:
    with connect(f"ws://127.0.0.1:{running.port}/v1/indices/deai/ws") as socket:
        first = json.loads(socket.recv(timeout=10))
        assert (first["event"], first["id"]) == ("level", NEWEST_ID)
        socket.send("anything")
        publish(own, 710.0)
        assert json.loads(socket.recv(timeout=10))["data"]["level"] == 710.0


def test_a_web_socket_to_nothing_says_why(running: Live) -> None:
    address = f"ws://127.0.0.1:{running.port}/v1/indices/deia/ws"
    with connect(address) as socket, pytest.raises(ConnectionClosedError, match="Did you mean"):
        socket.recv(timeout=10)


def test_the_reason_of_a_close_fits_a_frame_in_any_script(running: Live) -> None:
    for address in (f"{quote('ü' * 100)}/ws", f"deai/ws?after={quote('ü' * 40)}"):
        with connect(f"ws://127.0.0.1:{running.port}/v1/indices/{address}") as socket:
            with pytest.raises(ConnectionClosedError) as closed:
                socket.recv(timeout=10)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, "ü" in closed.value.rcvd.reason) == (1008, True)


def test_refusals_are_problems(store: Store) -> None:
    client = TestClient(create_app(store, clock=lambda: NOW, limits=Limits(max_streams=0)))
    assert client.get("/v1/indices/none/stream").json()["code"] == "not_found"
    wrong = client.get(STREAM, headers={"last-event-id": "yesterday"})
    assert wrong.json()["detail"] == (
        'Last-Event-ID "yesterday" is not one of ours; leave it out to begin with the newest level'
    )
    app = create_app(store, clock=lambda: NOW, limits=Limits(streams_each=0))
    each = TestClient(app, client=("198.51.100.7", 1)).get(STREAM)
    assert (each.status_code, "of your address" in each.json()["detail"]) == (429, True)
    full = client.get(STREAM)
    assert full.status_code == 429
    assert full.headers["retry-after"] == "30"
    assert "0 clients listen already" in full.json()["detail"]


async def test_a_slow_listener_gets_the_newest() -> None:
    hub = Hub(most=10)
    with hub.listening("deai") as slow, hub.listening("deai") as quick:
        for level in range(1, 4):
            hub.publish("deai", message_of((level, 1), {"level": level}))
            assert (await quick.take()) == message_of((level, 1), {"level": level})
        hub.ping()
        taken = await slow.take()
        assert taken is not None
        assert taken.key == (3, 1)
        assert slow.message is None
    assert hub.listeners == 0


async def test_an_old_message_is_not_sent_again() -> None:
    hub = Hub(most=10)
    with hub.listening("deai") as box:
        hub.publish("deai", message_of((5, 1), {}))
        await box.take()
        hub.publish("deai", message_of((5, 1), {}))
        hub.publish("deai", message_of((4, 9), {}))
        assert not box.filled.is_set()
        hub.publish("deai", message_of((5, 2), {}))
        assert await box.take() == message_of((5, 2), {})


async def test_a_ping_wakes_without_a_message() -> None:
    box = Mailbox()
    box.put(None)
    assert await box.take() is None


@pytest.mark.parametrize("text", ["", "x", "1", "1.", ".1", "1.2.3", "-1.1", "9" * 40 + ".1", "１.1"])
def test_ids_we_did_not_send_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not one of ours"):
        parse_id(text)


def test_five_hundred_listeners_each_get_every_level_once(own: Store) -> None:
    """Many clients of one process, one of them never reading: the others get each level, in order, and then go."""
    with serve(create_app(own, clock=lambda: NOW)) as live, ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", live.port))) for _ in range(500)]
        for one in crowd:
            one.settimeout(30)
            one.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        idle, *readers = crowd
        heard = {one: _until(one, NEWEST_ID) for one in readers}
        for number in range(3):
            publish(own, 700.0 + number, number=number)
            newest = f"{START + (HOURS + 1 + number) * HOUR_US}.1"
            for one in readers:
                heard[one] += _until(one, newest)
        for text in heard.values():
            levels = re.findall(rb'"level":([\d.]+)', text)
            assert levels[1:] == [b"700.0", b"701.0", b"702.0"]
        assert idle not in heard
        hub = live.app.state.services.hub
        assert hub.listeners == 500
        stack.close()
        for _ in range(500):
            if hub.listeners == 0:
                break
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), live.loop).result(5)
        assert hub.listeners == 0


def _until(connection: socket.socket, event_id: str) -> bytes:
    """What a connection sent up to the end of the event with this id."""
    text = b""
    while f"id: {event_id}".encode() not in text or not text.endswith(b"\n\n\r\n"):
        more = connection.recv(65536)
        assert more, text
        text += more
    return text


def test_what_is_told_first_is_what_is_served(own: Store) -> None:
    """Before the watcher has looked: a page that hears of a level asks for it at once."""
    app = create_app(own, clock=lambda: NOW)
    services = app.state.services
    services.refresh()
    client = TestClient(app)
    assert client.get("/v1/indices/deai/latest").json()["level"] != 1234.5
    publish(own, 1234.5)
    with client.websocket_connect("/v1/indices/deai/ws") as socket:
        assert socket.receive_json()["data"]["level"] == 1234.5
    assert client.get("/v1/indices/deai/latest").json()["level"] == 1234.5


@pytest.mark.parametrize("turns", range(5))
def test_a_wait_that_is_cancelled_as_its_event_comes_ends(turns: int) -> None:
    """A server that stops while the store is written to would wait for its watcher for ever."""

    async def ends() -> bool:
        event = asyncio.Event()
        wait = asyncio.create_task(is_set(event, within_s=60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        event.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        heeded = wait.cancel()
        await asyncio.wait([wait])
        return wait.cancelled() if heeded else wait.result()

    assert asyncio.run(ends())


async def test_a_watcher_ends_after_the_threads_that_make_answers_anew(own: Store) -> None:
    """Else a store could be closed under them, and the connection that one of them holds is never given back."""
    begun, go_on, steps = asyncio.Event(), threading.Event(), list[str]()

    async def renew(dropped: dict[Key, int]) -> None:
        await run_sync(work)

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        steps.append("thread ended")

    loop = asyncio.get_running_loop()
    services = create_app(own, clock=lambda: NOW).state.services
    watcher = asyncio.create_task(watch(services, renew))
    await begun.wait()
    watcher.cancel()
    loop.call_later(0.05, go_on.set)
    await asyncio.wait([watcher])
    assert steps == ["thread ended"]
    assert watcher.cancelled()
