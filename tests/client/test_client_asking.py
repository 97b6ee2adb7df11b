"""How the client asks: again when that may help and not otherwise, nothing twice that has not changed, page by page.

Against a real server of the test's own that answers as it is told.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from live_server import Live, serve
from seeded import NOW, publish

from api.answers.problems import CATALOGUE
from api.app import create_app
from indexer import AsyncClient, Client
from indexer.client.asking import Patience
from indexer.config import Settings
from indexer.errors import (
    BusyError,
    DeaiError,
    InputError,
    NotEnoughDataError,
    NotFoundError,
    SourceCorrupt,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    StoreError,
    VerificationError,
)
from indexer.store.db import Store

PROBLEM = {"content-type": "application/problem+json"}


@dataclass
class Told:
    """A server that gives these answers in order, the last one for ever, and what it was asked."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def next(self) -> tuple[int, dict[str, str], bytes]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def telling(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[Told]:
    told = Told(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, headers, body = told.next()
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def problem(code: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    body = {"code": code, "detail": f"what happened with {code}", "trace_id": "abc123"}
    return CATALOGUE[code].status, {**PROBLEM, **headers}, json.dumps(body).encode()


GOOD = (200, {"content-type": "application/json", "etag": '"one"'}, b'{"count": 0, "data": []}')


OURS = """bad_request body_too_large invalid_input invalid_request method_not_allowed not_acceptable
range_not_satisfiable uri_too_long"""
KINDS = {
    **dict.fromkeys(OURS.split(), InputError),
    **dict.fromkeys(("unauthorized", "forbidden"), SourceRefused),
    **dict.fromkeys(("not_found", "gone"), NotFoundError),
    **dict.fromkeys(("internal", "not_implemented", "source_error"), SourceError),
    **{"not_enough_data": NotEnoughDataError, "too_many_requests": SourceUnavailable, "store_error": StoreError},
    **{"busy": BusyError, "verification_failed": VerificationError},
}


def test_every_code_of_the_api_is_an_error_of_ours() -> None:
    assert set(KINDS) == set(CATALOGUE)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_a_problem_is_raised_as_its_code_says(code: str, quick: Patience) -> None:
    with telling(problem(code)) as told, Client(told.url, patience=quick) as client:
        with pytest.raises(KINDS[code], match=f"what happened with {code}") as caught:
            client.latest()
        assert type(caught.value) is KINDS[code]
        passing = CATALOGUE[code].status in (429, 502, 503)
        assert caught.value.retryable is passing
        assert len(told.asked) == (quick.attempts if passing else 1)


def test_a_trace_id_is_there_when_it_is_the_servers_fault(quick: Patience) -> None:
    for code, kind in (("internal", SourceError), ("store_error", StoreError)):
        with (
            telling(problem(code)) as told,
            Client(told.url, patience=quick) as client,
            pytest.raises(kind, match=r"\(trace id abc123\)"),
        ):
            client.latest()


@pytest.mark.parametrize(
    "first", [problem("busy"), problem("too_many_requests", **{"retry-after": "0"}), (502, {}, b"x")]
)
def test_what_passes_is_asked_again(first: tuple[int, dict[str, str], bytes], quick: Patience) -> None:
    with telling(first, first, GOOD) as told, Client(told.url, patience=quick) as client:
        assert len(client.indices()) == 0
        assert len(told.asked) == 3


def test_a_long_wait_is_told_and_not_waited_for(quick: Patience) -> None:
    with telling(problem("too_many_requests", **{"retry-after": "3600"})) as told:
        with Client(told.url, patience=quick) as client, pytest.raises(SourceUnavailable) as caught:
            client.latest()
        assert caught.value.retry_after_s == 3600
        assert len(told.asked) == 1


def test_nobody_there(quick: Patience) -> None:
    with telling(GOOD) as told:
        pass
    with Client(told.url, patience=quick) as client, pytest.raises(SourceUnavailable, match="could not be reached"):
        client.latest()


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            (404, {"content-type": "text/html"}, b"<html>"),
            SourceCorrupt,
            "answered 404 with text/html, not like this API",
        ),
        ((200, {"content-type": "text/html"}, b"<html>"), SourceCorrupt, "answered with something that is no JSON"),
        ((200, {}, b'{"count": 1}'), SourceCorrupt, 'has no "data"; is it an API of this index'),
        ((200, {}, b'{"data": [{"id": 1}]}'), SourceCorrupt, "is not what this program reads: id: "),
        ((401, {}, b""), SourceRefused, "something before the API wants to know who you are"),
        ((301, {"location": "https://there/"}, b""), InputError, 'sends on to "https://there/"; give that address'),
        ((503, {"content-type": "text/html"}, b"<html>"), SourceUnavailable, "answered 503; it may be starting"),
        ((200, {"content-encoding": "gzip"}, b"no gzip"), SourceCorrupt, "cannot be decompressed"),
        ((500, PROBLEM, b"broken"), SourceCorrupt, "answered 500"),
    ],
)
def test_what_is_not_this_api_is_said(
    answer: tuple[int, dict[str, str], bytes], kind: type[DeaiError], said: str, quick: Patience
) -> None:
    with telling(answer) as told, Client(told.url, patience=quick) as client, pytest.raises(kind, match=said):
        client.indices()


def test_levels_that_are_not_levels_are_said(quick: Patience) -> None:
    body = {"index": "x", "simulated": False, "interval": "1d", "next": None, "data": {"time": ["yesterday"]}}
    answer = (200, {}, json.dumps(body).encode())
    with telling(answer) as told, Client(told.url, patience=quick) as client:
        with pytest.raises(SourceCorrupt, match="/v1/indices/deai/levels is not what this program reads"):
            client.levels()
        with pytest.raises(SourceCorrupt, match="/v1/indices/deai/beta/history is not what this program reads"):
            client.beta_history()


def test_unknown_keys_are_ignored(served: Live) -> None:
    with Client(served.url) as client:
        now = client.get("/v1/indices/deai/latest")
    answer = (200, {}, json.dumps({**now, "invented_later": {"x": 1}}).encode())
    with telling(answer) as told, Client(told.url) as client:
        assert client.latest().index == "deai"


def test_the_key_is_sent_as_a_bearer_and_to_nobody_else(quick: Patience) -> None:
    with telling(GOOD) as told, telling((302, {"location": told.url}, b"")) as away:
        with Client(told.url, key="deai_x", patience=quick) as client:
            client.indices()
        with Client(away.url, key="deai_x", patience=quick) as client, pytest.raises(InputError):
            client.indices()
        assert [headers["authorization"] for _, headers in told.asked] == ["Bearer deai_x"]


def test_what_has_not_changed_is_not_sent_again() -> None:
    with telling(GOOD, (304, {"etag": '"one"'}, b""), (304, {}, b""), GOOD) as told, Client(told.url) as client:
        assert [client.get("/v1/indices") for _ in range(4)] == [client.get("/v1/indices")] * 4
        assert [headers.get("if-none-match") for _, headers in told.asked[:3]] == [None, '"one"', '"one"']


def test_after_new_data_the_new_answer_is_given(own: Store) -> None:
    with serve(create_app(own, settings=Settings(), clock=lambda: NOW)) as running, Client(running.url) as client:
        before = client.latest("deai")
        assert client.latest("deai") == before
        publish(own, 777.0)
        wait_until(lambda: client.latest("deai").level == 777.0)
    with Client(own) as near:
        assert near.latest("deai").level == 777.0
        publish(own, 778.0, number=1)
        assert near.latest("deai").level == 778.0


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(2000):
        if true():
            return
    raise AssertionError("it did not become true")


def test_pages_are_walked_to_the_end(quick: Patience) -> None:
    def page(times: list[str], following: str | None) -> tuple[int, dict[str, str], bytes]:
        count = len(times)
        data = {"time": times, "level": [1.0] * count, "status": ["final"] * count, "carried_weight": [0.0] * count}
        head = {"index": "deai", "simulated": True, "interval": "1d", "next": following}
        return 200, {}, json.dumps({**head, "data": data}).encode()

    pages = (page(["2025-01-01T00:00:00Z"], "c1"), page(["2025-01-02T00:00:00Z"], "c2"), page([], None))
    with telling(*pages) as told, Client(told.url, patience=quick) as client:
        levels = client.levels(start="2025-01-01")
    assert levels.index.day.tolist() == [1, 2]
    assert levels.attrs["simulated"]
    assert ["cursor=c1" in path for path, _ in told.asked] == [False, True, False]
    assert all("start=2025-01-01" in path and "shape=columns" in path for path, _ in told.asked)


def test_below_a_path_it_is_asked_below_that_path() -> None:
    with telling(GOOD) as told, Client(f"{told.url}/deai/") as client:
        client.indices()
        assert told.asked[0][0] == "/deai/v1/indices"


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(monkeypatch: pytest.MonkeyPatch, quick: Patience) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with telling(GOOD) as told, Client(told.url, patience=quick) as client:
        assert len(client.indices()) == 0


async def test_remembered_answers_are_bounded() -> None:
    async with AsyncClient("http://127.0.0.1:1") as client:
        asker = client._asker
        from indexer.client.asking import KEPT_ANSWERS, KEPT_BYTES, Reply

        for n in range(KEPT_ANSWERS + 5):
            asker._keep(Reply(f"u{n}", "e", b"x"))
        assert len(asker.replies) == KEPT_ANSWERS
        assert "u0" not in asker.replies
        for n in range(6):
            asker._keep(Reply(f"big{n}", "e", bytes(KEPT_BYTES // 4)))
        assert sum(len(one.body) for one in asker.replies.values()) <= KEPT_BYTES
        asker._keep(Reply("huge", "e", bytes(KEPT_BYTES)))
        asker._keep(Reply("bare", "", b"x"))
        assert not {"huge", "bare"} & set(asker.replies)


@pytest.mark.parametrize("kind", [NotFoundError, BusyError])
def test_errors_stay_catchable_as_ours(kind: type[DeaiError], quick: Patience) -> None:
    code = kind.code
    with telling(problem(code)) as told, Client(told.url, patience=quick) as client, pytest.raises(DeaiError):
        client.latest()
