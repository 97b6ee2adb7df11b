"""Hostile traffic over real sockets: no 500, no leak, and honest clients are still answered."""

from __future__ import annotations

import http.client
import json
import random
import resource
import socket
import string
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from live_server import Live, serve
from seeded import NOW

from api.app import create_app
from api.middleware.limits import Limits
from indexer.store.db import Store

REQUESTS = 4_000
CONNECTIONS = 1_000
PATHS = ["/v1/indices/deai/levels", "/v1/indices/deai/constituents", "/v1/indices/deai/beta", "/v1/indices/{}"]
PATHS += ["/v1/indices/{}/levels.csv", "/v1/benchmarks/{}/closes", "/badge/{}.svg", "/embed/{}", "/oembed", "/{}"]
NAMES = ["start", "end", "limit", "interval", "cursor", "last", "shape", "format", "at", "as_of", "sessions", "%00"]
VALUES = ["-1", "0", "1e309", "NaN", "null", "9" * 30, "2025-13-45", "2025-01-27T25:61:00Z", "0001-01-01", "1_000"]
VALUES += ["%00", "../../etc/passwd", "'; DROP TABLE level;--", "{{7*7}}", "%ff%fe", "a" * 2000, "", "1,2", "[]"]
VALUES += ["%F0%9F%92%A9", "２０２５-01-01"]
HEADERS = ["Range: bytes=0-" + "9" * 30, "Range: bytes=-1,-2", "If-None-Match: " + '"x",' * 200, "Accept: */*;q=x"]
HEADERS += ["Accept-Encoding: gzip;q=nonsense", "X-Request-ID: \x01\x02", "Last-Event-ID: -5", "If-Range: x", "X: y"]
NOT_HTTP = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"\r\n" * 50 + b"x" * 100 + b"\r\n\r\n"]


def nonsense(source: random.Random) -> bytes:
    """One request that is wrong in some way, but framed so that a connection may carry the next."""
    word = "".join(source.choices(string.ascii_letters + "%/.-_~", k=source.randint(0, 60)))
    path = source.choice(PATHS).format(word.replace(" ", ""))
    query = "&".join(f"{source.choice(NAMES)}={source.choice(VALUES)}" for _ in range(source.randint(0, 5)))
    method = source.choice(["GET"] * 8 + ["HEAD", "OPTIONS", "POST", "DELETE", "PATCH", "TRACE"])
    header = source.choice(HEADERS)
    address = f"{path}?{query}".replace(" ", "%20").replace("'", "%27")
    return f"{method} {address} HTTP/1.1\r\nHost: x\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode()


def statuses(port: int, requests: list[bytes]) -> Counter[int]:
    """The statuses of requests sent one after another; reconnects when the server closes."""
    found: Counter[int] = Counter()
    left = list(reversed(requests))
    while left:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            closing = False
            while left and not closing:
                request = left.pop()
                connection.sendall(request)
                with http.client.HTTPResponse(connection, method=request.split(b" ")[0].decode()) as answer:
                    answer.begin()
                    answer.read()
                    found[answer.status] += 1
                    closing = answer.will_close
    return found


def test_nonsense_is_refused_and_never_breaks_anything(live: Live) -> None:
    source = random.Random(20250127)
    found = statuses(live.port, [nonsense(source) for _ in range(REQUESTS)])
    assert sum(found.values()) == REQUESTS
    assert not {status for status in found if status >= 500}, found
    assert set(found) <= {200, 204, 206, 304, 400, 404, 405, 409, 414, 416, 422}, found
    assert found[404] > 400
    assert found[422] > 200
    assert live.app.state.services.hub.listeners == 0
    assert live.app.state.services.cache.bytes <= live.app.state.services.cache.max_bytes


@contextmanager
def many_files(wanted: int) -> Iterator[None]:
    """Lets this process hold so many sockets, or skips."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"at most {hard} open files on this machine; {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_connections_at_once_are_all_answered(live: Live) -> None:
    request = b"GET /v1/indices/deai/latest HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with many_files(2 * CONNECTIONS + 500), ExitStack() as open_ones:
        sockets = [
            open_ones.enter_context(socket.create_connection(("127.0.0.1", live.port), timeout=30))
            for _ in range(CONNECTIONS)
        ]
        for connection in sockets:
            connection.sendall(request)
        for connection in sockets:
            with http.client.HTTPResponse(connection) as answer:
                answer.begin()
                assert answer.status == 200
                assert json.loads(answer.read())["index"] == "deai"


def test_slow_clients_do_not_hold_up_others(live: Live) -> None:
    """200 clients that never finish their request, and one that sends a byte at a time, beside an honest one."""
    with many_files(1000), ExitStack() as open_ones:
        for _ in range(200):
            connection = socket.create_connection(("127.0.0.1", live.port), timeout=20)
            open_ones.enter_context(connection).sendall(b"GET /v1/indices HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        body = open_ones.enter_context(socket.create_connection(("127.0.0.1", live.port), timeout=20))
        body.sendall(b"POST /v1/indices HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"x" * 10)
        for byte in b"x" * 50:
            body.sendall(bytes([byte]))
        found = statuses(live.port, [b"GET /v1/indices/deai/latest HTTP/1.1\r\nHost: x\r\n\r\n"] * 50)
    assert found == {200: 50}


def test_one_address_takes_four_turns_and_others_are_answered(store: Store) -> None:
    inside, gate = threading.Semaphore(0), threading.Event()

    def hold(number: int) -> str:
        inside.release()
        gate.wait(30)
        return f"done {number}"

    app = create_app(store, clock=lambda: NOW)
    app.add_api_route("/hold/{number}", hold)
    with serve(app) as running, ExitStack() as open_ones:

        def ask(path: str, *, by: str = "127.0.0.1") -> http.client.HTTPResponse:
            connection = socket.create_connection(("127.0.0.1", running.port), timeout=20, source_address=(by, 0))
            open_ones.enter_context(connection).sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return open_ones.enter_context(http.client.HTTPResponse(connection))

        held = [ask(f"/hold/{number}") for number in range(20)]
        try:
            assert all(inside.acquire(timeout=20) for _ in range(4))
            for number in range(20, 25):
                with socket.create_connection(("127.0.0.1", running.port), timeout=20) as left:
                    left.sendall(f"GET /hold/{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            for path, address in (("/healthz", "127.0.0.1"), ("/v1/indices/deai/latest", "127.0.0.2")):
                answer = ask(path, by=address)
                answer.begin()
                assert answer.status == 200
            assert not inside.acquire(blocking=False), "the others wait for a turn"
        finally:
            gate.set()
        for answer in held:
            answer.begin()
            assert answer.status == 200
    assert sum(inside.acquire(blocking=False) for _ in range(25)) == 16, "who leaves loses its place"


def test_what_is_not_http_is_refused(live: Live) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"\r\n" * 50 + b"x" * 100 + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
        assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0]


def test_a_body_without_end_is_cut_off(live: Live) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        connection.sendall(b"POST /v1/indices HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            for _ in range(2000):
                connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                sent += 4096
        except OSError:
            pass
        connection.settimeout(5)
        answer = connection.recv(4096) if sent >= 2000 * 4096 else b"HTTP/1.1 405 "
    assert answer.startswith((b"HTTP/1.1 405", b"HTTP/1.1 413"))


def told(port: int, *parts: bytes) -> bytes:
    """What a server says to bytes that are no whole request."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        with suppress(OSError):
            for part in parts:
                connection.sendall(part)
        answer = b""
        with suppress(OSError):
            while part := connection.recv(4096):
                answer += part
        return answer


def test_a_head_has_bounds_in_bytes_and_seconds(store: Store) -> None:
    limits = Limits(head_s=0.3, body_s=0.3)
    beginning = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: "
    with serve(create_app(store, clock=lambda: NOW, limits=limits), limits=limits) as running:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(20):
            assert told(running.port, beginning, *([b"x" * 65_536] * 64)).startswith((b"HTTP/1.1 431", b""))
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000, "80 MB were sent, kB were kept"
        assert told(running.port, beginning).startswith(b"HTTP/1.1 408")
        assert told(running.port, b"").startswith(b"HTTP/1.1 408")
        body = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nConnection: close\r\n\r\nkey="
        assert told(running.port, body).startswith(b"HTTP/1.1 408")
        assert told(running.port, beginning + b"x" * 60_000 + b"\r\nConnection: close\r\n\r\n").startswith(
            b"HTTP/1.1 200"
        )


def test_a_chunked_body_that_is_too_large_is_413_where_it_is_read(live: Live) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        connection.sendall(b"POST /sign-in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall((b"1000\r\n" + b"x" * 4096 + b"\r\n") * 17)
        with http.client.HTTPResponse(connection) as answer:
            answer.begin()
            body = json.loads(answer.read())
    assert (answer.status, body["code"]) == (413, "body_too_large")


def test_a_client_that_leaves_amid_its_body_is_one_line(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="deai.api"):
        with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
            connection.sendall(b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nkey=")
        statuses(live.port, [b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"] * 20)
    [line] = caplog.records
    assert line.exc_info is None
    assert line.getMessage().endswith("the client left before its body was here: /sign-in")


def test_threads_and_listeners_are_given_back(live: Live) -> None:
    threads = threading.active_count()
    statuses(live.port, [b"GET /v1/indices/deai/levels?last=5 HTTP/1.1\r\nHost: x\r\n\r\n"] * 200)
    assert threading.active_count() <= threads + 40
