"""The HTTP client over real sockets: limits, Retry-After, retries, breaker with probes, detectors, redaction."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
import pytest_asyncio

from indexer.errors import SourceCorrupt, SourceError, SourceRefused, SourceUnavailable
from indexer.sources.http import (
    LIMITS,
    Answer,
    Breaker,
    BreakerState,
    CircuitOpen,
    Expects,
    HostLimit,
    HostQueue,
    HttpClient,
    Timeouts,
    reason_of,
    redact,
)
from indexer.sources.http.answer import error_of, redact_headers
from onchain.rpc.limits import retry_after_s

NOW = datetime(2025, 1, 27, 12, 0, tzinfo=UTC)
FAST = Timeouts(connect=1.0, read=1.0, total=1.0, patience=0.05, attempts=3, first_wait=0.001)
PATIENT = replace(FAST, patience=20.0)
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Loopback:
    """A server that answers with a script, one entry a request; the last entry repeats."""

    script: list[bytes | Behaviour] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    url: str = ""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        try:
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if callable(entry):
                    await entry(reader, writer)
                    return
                writer.write(entry)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def raw(status: int = 200, body: bytes = b"[1]", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest_asyncio.fixture
async def loopback() -> AsyncIterator[Loopback]:
    box = Loopback()
    server = await asyncio.start_server(box.serve, "127.0.0.1", 0)
    box.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    yield box
    server.close()
    left = list(box.tasks)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@dataclass
class Time:
    """A monotonic clock that only moves when somebody waits or the test says so."""

    now: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def read(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def client(
    time: Time | None = None,
    *,
    limit: HostLimit = HostLimit(1e6, 1e6, "test"),
    timeouts: Timeouts = FAST,
    **more: object,
) -> HttpClient:
    clock = time or Time()
    return HttpClient(
        timeouts=timeouts,
        limits={"x": limit},
        clock=lambda: NOW,
        monotonic=clock.read,
        sleep=clock.sleep,
        **more,  # type: ignore[arg-type]
    )


async def test_an_answer_holds_everything_of_the_exchange(loopback: Loopback) -> None:
    loopback.script = [raw(body=b'{"a":1}', X_Used="7")]
    async with client() as http:
        got = await http.get(loopback.url, name="x", params={"symbol": "TAOUSDT"})
    assert (got.status, got.body, got.fetched_at, got.attempts) == (200, b'{"a":1}', NOW, 1)
    assert got.url == f"{loopback.url}?symbol=TAOUSDT"
    assert got.headers["x-used"] == "7"
    assert got.sha256 == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert "user-agent: deai-index" in loopback.heads[0].lower()


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (raw(429, b"{}"), SourceUnavailable, "x asks us to slow down (HTTP 429)"),
        (raw(418, b"{}", Retry_After="120"), SourceUnavailable, "x has banned this address for a while for 120 s"),
        (raw(451, b"{}"), SourceRefused, "x does not serve this region; another venue takes its place"),
        (raw(401, b'{"error":"no"}'), SourceRefused, 'x wants a key or a higher plan (HTTP 401): {"error":"no"}'),
        (raw(403, b"no"), SourceRefused, "x refuses this address or plan (HTTP 403)"),
        (raw(404, b"nothing"), SourceRefused, "x refused the request (HTTP 404): nothing"),
        (raw(302, b"", Location="http://elsewhere/"), SourceRefused, "x refused the request (HTTP 302)"),
        (raw(500, b"oops"), SourceUnavailable, "x is failing (HTTP 500): oops"),
        (raw(200, b""), SourceCorrupt, "x answered 200 with an empty body"),
        (raw(200, b" <html>maintenance"), SourceCorrupt, "x answered 200 with a web page instead of json"),
        (raw(200, b'[{"a":1},{"b"'), SourceCorrupt, "x answered 200 with JSON that breaks off or is none (13 bytes"),
        (raw(200, b"Exceeded the daily hits limit"), SourceUnavailable, "x answered 200 with a limit notice"),
    ],
)
async def test_each_bad_answer_is_named(loopback: Loopback, script: bytes, kind: type[SourceError], words: str) -> None:
    loopback.script = [script]
    async with client(timeouts=PATIENT) as http:
        with pytest.raises(kind) as caught:
            await http.get(loopback.url, name="x")
    assert words in str(caught.value)
    retried = kind is SourceUnavailable and b"Retry-After" not in script
    limited = isinstance(caught.value, CircuitOpen)  # a host that never answered is left alone soon
    assert len(loopback.heads) == (2 if retried and limited else FAST.attempts if retried else 1)


async def test_csv_is_checked_for_being_csv(loopback: Loopback) -> None:
    loopback.script = [raw(body=b"observation_date,SP500\n"), raw(body=b"Get your apikey at ..."), raw(body=b"sorry")]
    async with client(timeouts=PATIENT) as http:
        assert (await http.get(loopback.url, name="x", expects=Expects.CSV)).status == 200
        with pytest.raises(SourceCorrupt, match="something that is not CSV: sorry"):
            await http.get(loopback.url, name="x", expects=Expects.CSV)


async def test_what_fails_once_is_retried_and_the_attempts_are_counted(loopback: Loopback) -> None:
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return None

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n[1,2")
        await writer.drain()

    loopback.script = [drop, cut, raw()]
    async with client() as http:
        got = await http.get(loopback.url, name="x")
    assert (got.attempts, got.body) == (3, b"[1]")


async def test_silence_and_dripping_end_by_the_total_time(loopback: Loopback) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n")
        gone = asyncio.ensure_future(asyncio.wait_for(reader.read(1), 5))
        gone.add_done_callback(lambda task: task.cancelled() or task.exception())
        while not gone.done():
            writer.write(b" ")
            await writer.drain()
            await asyncio.wait({gone}, timeout=0.02)

    loopback.script = [drip]
    hurry = Timeouts(connect=1, read=0.5, total=0.2, patience=0, attempts=1, first_wait=0)
    async with HttpClient(timeouts=hurry, limits={"x": HostLimit(100, 100, "")}) as http:
        with pytest.raises(SourceUnavailable, match="x did not answer in time"):
            await http.get(loopback.url, name="x")


async def test_nobody_listening_is_unavailable() -> None:
    async with client() as http:
        with pytest.raises(SourceUnavailable, match="x could not be reached or broke off"):
            await http.get("http://127.0.0.1:9/", name="x")


async def test_a_long_retry_after_is_obeyed_by_not_asking(loopback: Loopback) -> None:
    time = Time()
    loopback.script = [raw(429, b"{}", Retry_After="3600"), raw()]
    async with client(time) as http:
        with pytest.raises(SourceUnavailable) as first:
            await http.get(loopback.url, name="x")
        assert first.value.retry_after_s == 3600
        with pytest.raises(SourceUnavailable, match="x asked us to stay away for another 3600 s; it was not asked"):
            await http.get(loopback.url, name="x")
        assert len(loopback.heads) == 1
        assert http.health("x").paused_s == 3600
        time.now += 3600
        assert (await http.get(loopback.url, name="x")).status == 200


async def test_a_burst_that_is_refused_slows_down_and_leaves_the_breaker_closed(loopback: Loopback) -> None:
    """Five calls refused at once are one lesson: half the pace, a short pause, and then the answers."""
    time = Time()
    loopback.script = [raw(429, b"{}")] * 5 + [raw()] * 200
    limit = HostLimit(10.0, 5, "test")
    async with client(time, limit=limit, timeouts=PATIENT) as http:
        got = await asyncio.gather(*(http.get(loopback.url, name="x") for _ in range(5)))
        assert [answer.status for answer in got] == [200] * 5
        assert http.health("x").state is BreakerState.CLOSED
        began = time.now
        for _ in range(4):
            await http.get(loopback.url, name="x")
        assert 4 / 7 < time.now - began < 4 / 5, "a little over half of ten a second"
        for _ in range(60):
            await http.get(loopback.url, name="x")
        began = time.now
        for _ in range(10):
            await http.get(loopback.url, name="x")
        assert time.now - began <= 1.0, "the old pace again"


async def test_a_host_that_only_ever_refuses_is_left_alone(loopback: Loopback) -> None:
    time = Time()
    loopback.script = [raw(), *[raw(429, b"{}")] * 9]
    async with client(time, timeouts=PATIENT) as http:
        await http.get(loopback.url, name="x")
        for _ in range(2):
            with pytest.raises(SourceUnavailable):
                await http.get(loopback.url, name="x")
        assert http.health("x").state is BreakerState.OPEN
    assert sum(time.waits) == 1 + 2 + 4 + 8, "ever longer between one try and the next"


async def test_a_host_that_never_answered_and_refuses_twice_is_left_alone_at_once(loopback: Loopback) -> None:
    time = Time()
    loopback.script = [raw(429, b"{}")]
    async with client(time, timeouts=PATIENT) as http:
        with pytest.raises(SourceUnavailable):
            await http.get(loopback.url, name="x")
        assert http.health("x").state is BreakerState.OPEN
    assert len(loopback.heads) == 2


async def test_a_short_retry_after_is_waited_for(loopback: Loopback) -> None:
    loopback.script = [raw(429, b"{}", Retry_After="0"), raw(503, b"", Retry_After="0"), raw()]
    async with client() as http:
        assert (await http.get(loopback.url, name="x")).attempts == 3


def test_retry_after_as_a_date_or_nonsense() -> None:
    later = datetime(2025, 1, 27, 12, 1, 30, tzinfo=UTC)
    given = {format_datetime(later, usegmt=True): 90.0, "soon": None, "": None, "7": 7.0}
    for text, expected in given.items():
        assert retry_after_s(text, NOW.timestamp()) == expected


async def test_the_breaker_opens_probes_once_and_closes(loopback: Loopback) -> None:
    time = Time()
    loopback.script = [raw(500, b"")] * 6 + [raw()]
    async with client(time, breaker=lambda: Breaker(failures=5, rest_s=30)) as http:
        for _ in range(2):
            with pytest.raises(SourceUnavailable):
                await http.get(loopback.url, name="x")
        assert http.health("x").state is BreakerState.OPEN
        seen = len(loopback.heads)
        assert seen == 5  # the sixth attempt was already refused by the breaker
        with pytest.raises(
            CircuitOpen, match="x failed 5 times in a row and is left alone for 30 s; another source"
        ) as left:
            await http.get(loopback.url, name="x")
        assert reason_of(left.value) == "source_unavailable: x is failing (HTTP 500): "
        assert len(loopback.heads) == seen
        time.now += 30
        assert http.health("x").state is BreakerState.HALF_OPEN
        with pytest.raises(SourceUnavailable):  # the probe fails, and is not retried: the breaker is open again
            await http.get(loopback.url, name="x")
        assert len(loopback.heads) == seen + 1
        time.now += 59
        with pytest.raises(CircuitOpen):  # the rest has doubled
            await http.get(loopback.url, name="x")
        time.now += 1
        assert (await http.get(loopback.url, name="x")).status == 200
        assert http.health("x").state is BreakerState.CLOSED


async def test_a_flaky_host_is_asked_on_until_it_gave_nothing_proper_for_a_while(loopback: Loopback) -> None:
    time = Time()
    loopback.script = [raw(), *[raw(500, b"")] * 11, raw()]
    async with client(time) as http:
        await http.get(loopback.url, name="x")
        for state in (BreakerState.CLOSED, BreakerState.OPEN):
            for _ in range(2):
                with pytest.raises(SourceUnavailable):
                    await http.get(loopback.url, name="x")
            assert http.health("x").state is state
            time.now += 30
        assert len(loopback.heads) == 1 + 6 + 5


async def test_while_one_probes_the_others_wait_for_its_outcome(loopback: Loopback) -> None:
    time = Time()
    loopback.script = [raw(500, b"")] * 5 + [raw()]
    async with client(time, breaker=lambda: Breaker(failures=5, rest_s=30)) as http:
        for _ in range(2):
            with pytest.raises(SourceUnavailable):
                await http.get(loopback.url, name="x")
        time.now += 30
        got = await asyncio.gather(*(http.get(loopback.url, name="x") for _ in range(5)))
    assert [answer.status for answer in got] == [200] * 5


async def test_a_refusal_says_nothing_against_the_host(loopback: Loopback) -> None:
    loopback.script = [raw(404, b"{}")]
    async with client(breaker=lambda: Breaker(failures=2)) as http:
        for _ in range(4):
            with pytest.raises(SourceRefused):
                await http.get(loopback.url, name="x")
        assert http.health("x").state is BreakerState.CLOSED
        assert http.health("x").latency_s is not None


async def test_the_bucket_spaces_requests_and_serves_in_order() -> None:
    time = Time()
    bucket = HostQueue(HostLimit(2.0, 3, "test"), now=time.read, sleep=time.sleep)
    waited = [await bucket.take() for _ in range(7)]
    assert waited == [0, 0, 0, 0.5, 0.5, 0.5, 0.5]
    assert await bucket.take(cost=100) == 1.5  # a cost above the burst takes the whole bucket
    order: list[int] = []

    async def take(number: int) -> None:
        await bucket.take()
        order.append(number)

    await asyncio.gather(*(take(n) for n in range(5)))
    assert order == [0, 1, 2, 3, 4]


def test_every_limit_has_its_reason() -> None:
    for name, limit in LIMITS.items():
        assert limit.per_second > 0, name
        assert limit.burst >= 1, name
        assert len(limit.why) > 15, name


async def test_keys_never_leave_the_client(loopback: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "CG-abc/123+x"
    loopback.script = [raw(401, f"bad key {secret}".encode()), raw(body=b"[2]", X_Echo=secret)]
    async with client(secrets=(secret,)) as http:
        with pytest.raises(SourceRefused) as caught:
            await http.get(loopback.url, name="x", params={"x_cg_demo_api_key": secret}, headers={"x-api-key": secret})
        got = await http.get(loopback.url, name="x", params={"id": "a", "token": secret})
    assert secret in loopback.heads[0]  # it was sent,
    shown = f"{caught.value} {got.url} {dict(got.headers)} {got!r}"
    assert secret not in shown  # and is shown nowhere
    assert "CG-abc" not in shown
    assert "<redacted>" in shown
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("httpx2")]
    assert logged
    assert not [text for text in logged if "CG-abc" in text]


def test_redaction_knows_keys_by_name_and_by_value() -> None:
    assert redact("https://u:p@host/a?api_key=1&x=2&token=3") == (
        "https://<redacted>@host/a?api_key=<redacted>&x=2&token=<redacted>"
    )
    assert redact("see s3cr3t%2F%21 and s3cr3t/!", ["s3cr3t/!"]) == "see <redacted> and <redacted>"
    assert redact("nothing secret", ["", "zzz"]) == "nothing secret"
    assert redact_headers({"Set-Cookie": "a", "X-Key": "b", "Date": "c"}) == {
        "set-cookie": "<redacted>",
        "x-key": "<redacted>",
        "date": "c",
    }


def test_a_good_answer_has_no_error() -> None:
    assert error_of(Answer("u", 200, {}, b"[]", NOW), "x", expects=Expects.JSON) is None


async def test_a_body_beyond_reason_is_refused(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.sources.http.client.MAX_BODY", 100)
    loopback.script = [raw(body=b"[" + b"1," * 200 + b"1]")]
    async with client() as http:
        with pytest.raises(SourceCorrupt, match="x sends more than 100 bytes"):
            await http.get(loopback.url, name="x")


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html><head><title>Just a moment...</title></head>",
        b"<html><body><script>const pow = crypto.subtle.digest('SHA-256', data)</script></body></html>",
        b"<html><p>Please enable JavaScript and verify you are human</p></html>",
    ],
)
def test_a_check_for_browsers_is_told_apart_from_any_other_page(page: bytes) -> None:
    answer = Answer("http://x/", 200, {}, page, datetime(2026, 11, 30, tzinfo=UTC))
    error = error_of(answer, "stooq", expects=Expects.CSV)
    assert isinstance(error, SourceRefused) and error.outright
    assert "a check for browsers instead of csv" in str(error)
    other = error_of(replace(answer, body=b"<html>Maintenance</html>"), "stooq", expects=Expects.CSV)
    assert isinstance(other, SourceCorrupt)


async def test_a_host_that_turns_programs_away_is_asked_as_a_browser_does(loopback: Loopback) -> None:
    """Another one is told who we are, or what the setting says."""
    body = gzip.compress(b'{"a": 1}')
    loopback.script = [raw(503), raw(body=body, Content_Encoding="gzip")]
    async with client(browsers=("127.0.0.1",)) as http:
        answer = await http.get(loopback.url, name="x")
    assert (answer.status, answer.body, answer.attempts) == (200, b'{"a": 1}', 2)
    assert "Chrome/" in loopback.heads[0] and "deai" not in loopback.heads[0].lower()
    async with client(agent="Mozilla/5.0 (mine)") as http:
        await http.get(loopback.url, name="x")
    assert "user-agent: Mozilla/5.0 (mine)" in loopback.heads[-1].replace("User-Agent", "user-agent")
