"""A provider that fails in every way: real sockets on 127.0.0.1, all providers behind one port, faults by script.

`http://127.0.0.1:<port>/<provider>` is a base URL for the source of that name. Time is the world's: `now_us` is
given, so a day passes as fast as the test asks. A fault holds for a provider, from an instant to another, perhaps
for one asset and a number of requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np
import orjson
from fault_providers import Providers
from fault_reply import Reply, reply
from fault_world import World, hour_world, minute_world

from indexer.times import HOUR_US, MINUTE_US, parse_instant

ANSWERS = {
    "429": (429, {"Retry-After": "3600"}, b'{"code":-1003,"msg":"Too many requests"}'),
    "429-silent": (429, {}, b"{}"),
    "418": (418, {"Retry-After": "120"}, b'{"code":-1003,"msg":"Way too many requests; IP banned"}'),
    "451": (451, {}, b'{"code":0,"msg":"Service unavailable from a restricted location"}'),
    "401": (401, {}, b'{"error":"unauthorized"}'),
    "403": (403, {}, b"<html>blocked</html>"),
    "500": (500, {}, b"Internal Server Error"),
    "503": (503, {"Retry-After": "0"}, b"busy"),
    "html": (200, {}, b"<!doctype html><html><body>maintenance</body></html>"),
    "empty": (200, {}, b""),
    "limit-text": (200, {}, b"Exceeded the daily hits limit"),
}
TRANSPORT = {"timeout", "drip", "cut", "drop", *ANSWERS}


@dataclass
class Fault:
    """One failure: `kind` for `provider` between two instants, for one asset or all, at most `times` requests."""

    provider: str
    kind: str
    from_us: int = 0
    to_us: int = 2**62
    asset: str | None = None
    times: int = 10**9
    factor: float = 1.0
    hits: int = 0

    def holds(self, provider: str, now_us: int) -> bool:
        return self.provider == provider and self.from_us <= now_us < self.to_us and self.hits < self.times


@dataclass
class FaultServer:
    """The server. `requests` counts what came in by provider; `faults` may be changed at any time."""

    world: World
    now_us: Callable[[], int]
    faults: list[Fault] = field(default_factory=list)
    requests: dict[str, int] = field(default_factory=dict)
    root: str = ""

    def __post_init__(self) -> None:
        self._providers = Providers(self.world, self.now_us, self._change)

    def url(self, provider: str) -> str:
        return f"{self.root}/{provider}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FaultServer]:
        """Serve until the block ends; connections still open then are closed."""
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            try:
                await self._converse(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()  # else the loop may end before the socket is closed

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for _ in range(5):  # turns in which one that was just accepted becomes a task
                await asyncio.sleep(0)
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            target = head.split(b" ", 2)[1].decode()
            provider, path, query = _split(target)
            self.requests[provider] = self.requests.get(provider, 0) + 1
            fault = next((f for f in self.faults if f.kind in TRANSPORT and f.holds(provider, self.now_us())), None)
            if fault is None:
                await _write(writer, self._reply(provider, path, query), {})
                continue
            fault.hits += 1
            if fault.kind in ANSWERS:
                status, headers, body = ANSWERS[fault.kind]
                await _write(writer, Reply(status, body), headers)
                continue
            whole = self._reply(provider, path, query).body
            await _misbehave(fault.kind, whole, reader, writer)
            return

    def _reply(self, provider: str, path: str, query: dict[str, str]) -> Reply:
        got = self._providers.answer(provider, path, query)
        for fault in self.faults:
            if fault.holds(provider, self.now_us()) and fault.kind in _BODY:
                fault.hits += 1
                got = _BODY[fault.kind](got, self.now_us())
        return got

    def _change(self, rows: np.ndarray, venue: str, asset: str) -> np.ndarray:
        for fault in self.faults:
            mine = fault.provider == venue and fault.asset in (None, asset) and asset != "USDT"
            if mine and fault.kind in _ROWS:
                rows = _ROWS[fault.kind](rows, fault)
        return rows


def _split(target: str) -> tuple[str, str, dict[str, str]]:
    parts = urlsplit(target)
    provider, _, path = unquote(parts.path).lstrip("/").partition("/")
    return provider, f"/{path}", dict(parse_qsl(parts.query))


async def _write(writer: asyncio.StreamWriter, got: Reply, headers: dict[str, str]) -> None:
    lines = [f"HTTP/1.1 {got.status} X", f"Content-Type: {got.kind}", f"Content-Length: {len(got.body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + got.body)
    await writer.drain()


async def _client_left(reader: asyncio.StreamReader) -> None:
    """Until the client closes or resets the connection."""
    with contextlib.suppress(ConnectionError):
        await reader.read(1)


async def _misbehave(kind: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Faults of the connection itself; each ends when the client gives up."""
    head = f"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    if kind == "drop":
        return
    if kind == "cut":
        writer.write(head + body[: len(body) // 2])
        await writer.drain()
        return
    gone = asyncio.ensure_future(_client_left(reader))
    if kind == "drip":
        writer.write(head)
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            done, _ = await asyncio.wait({gone}, timeout=0.02)
            if done:
                return
    await gone  # a time-out: say nothing until the client leaves


def _in_time(rows: np.ndarray, fault: Fault) -> np.ndarray:
    close = rows[:, 0] + MINUTE_US
    return (close > fault.from_us) & (close <= fault.to_us)


def _scaled(rows: np.ndarray, fault: Fault) -> np.ndarray:
    """Prices times a factor, from an instant to another: +30 %, +6 %, or 100× when the stretch is one minute."""
    rows[np.ix_(_in_time(rows, fault), [1, 2, 3, 4])] *= fault.factor
    return rows


def _frozen(rows: np.ndarray, fault: Fault) -> np.ndarray:
    """The same candle again and again with new stamps."""
    inside = np.flatnonzero(_in_time(rows, fault))
    if len(inside):
        rows[inside, 1:] = rows[max(inside[0] - 1, 0), 1:]
    return rows


def _nan(rows: np.ndarray, fault: Fault) -> np.ndarray:
    """Every seventh close is NaN, as text."""
    inside = np.flatnonzero(_in_time(rows, fault))
    rows[inside[::7], 4] = np.nan
    return rows


def _twice_and_shuffled(rows: np.ndarray, fault: Fault) -> np.ndarray:
    inside = np.flatnonzero(_in_time(rows, fault))
    both = np.concatenate([rows, rows[inside]])
    return both[np.random.default_rng(3).permutation(len(both))]


_ROWS = {"scale": _scaled, "frozen": _frozen, "nan": _nan, "shuffled": _twice_and_shuffled}


def _list_of(value: object) -> list[list[object]]:
    """The rows inside any provider's envelope."""
    if isinstance(value, list):
        return value
    assert isinstance(value, dict)
    if "data" in value:
        return value["data"]
    inner = value["result"]
    return inner["list"] if "list" in inner else next(rows for key, rows in inner.items() if key != "last")


def _other_unit(got: Reply, now_us: int) -> Reply:
    """Stamps in seconds where milliseconds are promised, and the reverse."""
    value = orjson.loads(got.body)
    for row in _list_of(value):
        stamp = int(str(row[0]))
        other = stamp // 1000 if stamp > 10**11 else stamp * 1000
        row[0] = str(other) if isinstance(row[0], str) else other
    return reply(value)


def _future(got: Reply, now_us: int) -> Reply:
    """One more bar, an hour ahead, at double the price."""
    value = orjson.loads(got.body)
    rows = _list_of(value)
    if rows:
        row = list(rows[0])
        stamp = int(str(row[0]))
        ahead = (now_us + HOUR_US) // MINUTE_US * MINUTE_US // (1000 if stamp > 10**11 else 1_000_000)
        row[0] = str(ahead) if isinstance(row[0], str) else ahead
        rows.append(row)
    return reply(value)


def _nothing(got: Reply, now_us: int) -> Reply:
    value = orjson.loads(got.body)
    _list_of(value).clear()
    return reply(value)


def _stranger(got: Reply, now_us: int) -> Reply:
    """The answer is for another symbol, in providers that say for which."""
    return Reply(got.status, got.body.replace(b'"symbol":"', b'"symbol":"X').replace(b'"result":{"', b'"result":{"Q'))


_BODY = {"other-unit": _other_unit, "future": _future, "empty-list": _nothing, "stranger": _stranger}


async def serve_by_stdin(world: World, now_us: int) -> None:
    """Serve in a process of its own: prints the root URL, then obeys lines on stdin until it closes.

    `now <us>` sets the world's time; `fault <json of Fault>` adds a fault; `clear` removes all faults.
    Each line is answered with `ok`.
    """
    state = {"now": now_us}
    server = FaultServer(world, lambda: state["now"])
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with server.running():
        print(server.root, flush=True)
        while line := (await reader.readline()).decode().strip():
            word, _, rest = line.partition(" ")
            if word == "now":
                state["now"] = int(rest)
            elif word == "fault":
                server.faults.append(Fault(**orjson.loads(rest)))
            elif word == "clear":
                server.faults.clear()
            print("ok", flush=True)


if __name__ == "__main__":
    # python tests/sources/fault_server.py hours|minutes <now as ISO instant> FET NEAR …
    kind, now, *assets = sys.argv[1:]
    make = hour_world if kind == "hours" else minute_world
    asyncio.run(serve_by_stdin(make(tuple(assets)), parse_instant(now)))
