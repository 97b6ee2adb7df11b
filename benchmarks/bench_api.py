"""Serving speed: kept answers against a constant response of the same bytes and the usual response model.

Each server is a process of its own; one client sends pipelined requests over one connection and counts bytes, so
that the server is what is measured. Times are for one answer. 3,650 daily levels as JSON rows.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from api.answers.encode import json_bytes
from api.routes.levels import level_columns
from benchmarks.api_server import ADDRESS, as_model, page
from indexer.store.db import open_store
from indexer.store.indices import write_index, write_methodology
from indexer.store.levels import write_levels
from indexer.store.runs import finish_run, start_run
from indexer.times import DAY_US, parse_instant

DEPTH = 16
ROUNDS = 8
FRESH = count(200_000_000)  # instants before the first level, each asked for once
PLAIN = {"Accept-Encoding": "identity"}
GZIP = {"Accept-Encoding": "gzip"}


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Rows: name, ours_ms, peer, peer_ms, ratio (peer time / our time), goal; `quick` asks a hundredth as often."""
    part, rounds = (100, 1) if quick else (1, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.sqlite"
        fill(path)
        with (
            server("ours", path) as (ours, _),
            server("static", path) as (fixed, _),
            server("model", path) as (usual, _),
        ):
            _warm(ours)
            tag = _head(ours, PLAIN)["etag"]
            # Each takes about a quarter of a second, so that all have the same chance of a calm moment.
            measures: list[Callable[[], float]] = [
                lambda: _pipelined(fixed, _request(PLAIN), times=2000 // part),
                lambda: _pipelined(usual, _request(PLAIN), times=-(-10 // part)),
                lambda: _pipelined(ours, _request(PLAIN), times=2000 // part),
                lambda: _pipelined(ours, _request(GZIP), times=4000 // part),
                lambda: _pipelined(ours, _request({**PLAIN, "If-None-Match": tag}), times=6000 // part),
                lambda: _cold(ours, times=-(-250 // part)),
            ]
            # In turn, so that what else the machine does strikes all alike.
            taken = [[measure() for measure in measures] for _ in range(rounds)]
            constant, objects, warm, packed, unchanged, cold = map(min, zip(*taken, strict=True))
        build, objects_build = _builds(path)
    return [
        _row("kept answer, 200", warm, "Starlette constant", constant, ">= 0.85x"),
        _row("kept answer, 200", warm, "FastAPI response_model", objects, ">= 150x"),
        _row("kept answer, gzip", packed, "FastAPI response_model", objects, ">= 300x"),
        _row("not modified, 304", unchanged, "Starlette constant", constant, ">= 2x"),
        _row("not modified, 304", unchanged, "FastAPI response_model", objects, ">= 450x"),
        _row("columns from numpy to bytes", build, "objects to bytes by model", objects_build, ">= 25x"),
        _row("cold miss, whole way", cold, "FastAPI response_model", objects, ">= 10x"),
    ]


def _row(name: str, ours: float, peer: str, theirs: float, goal: str) -> dict[str, Any]:
    return {
        "name": name,
        "ours_ms": ours * 1e3,
        "peer": peer,
        "peer_ms": theirs * 1e3,
        "ratio": theirs / ours,
        "goal": goal,
    }


def fill(path: Path) -> None:
    """A store with 3,650 daily levels of one index."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    store = open_store(f"sqlite:///{path}")
    store.migrate()
    run_id = start_run(store, kind="bench", key="bench", now=now)
    assert run_id is not None
    methodology = write_methodology(store, index_id="deai", version="1", hash="0" * 64, text_="", loaded_at=now)
    write_index(store, index_id="deai", name="deai", description="", methodology_id=methodology)
    days = 3650
    moves = np.random.default_rng(1).standard_normal(days) * 0.03
    blank = [bytes(32)] * days
    write_levels(
        store,
        run_id,
        index_id="deai",
        methodology_id=methodology,
        times_us=parse_instant("2016-01-01") + DAY_US * np.arange(days, dtype=np.int64),
        levels=np.round(1000 * np.exp(np.cumsum(moves)), 2),
        status=np.zeros(days, np.int8),
        carried_weight=np.zeros(days),
        constituents=np.full(days, 4),
        inputs_hash=blank,
        prev_hash=blank,
        hash=blank,
        published_at_us=parse_instant("2026-01-01"),
    )
    finish_run(store, run_id, now=now)
    store.close()


@contextmanager
def server(kind: str, path: Path) -> Iterator[tuple[int, int]]:
    """The port and process id of a server of its own process, stopped at the end."""
    port_file = path.with_name(f"{kind}.port")
    command = [sys.executable, "-m", "benchmarks.api_server", kind, str(path), str(port_file)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    try:
        ends = time.monotonic() + 300  # on a busy machine the imports alone take long
        while process.poll() is None and not port_file.exists() and time.monotonic() < ends:
            time.sleep(0.005)
        if not port_file.exists():
            raise RuntimeError(f"the {kind} server did not start")
        yield int(port_file.read_text()), process.pid
    finally:
        process.terminate()
        process.wait(timeout=10)


def _request(headers: dict[str, str], address: str = ADDRESS) -> bytes:
    lines = [f"GET {address} HTTP/1.1", "Host: bench", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _read_one(connection: socket.socket) -> tuple[dict[str, str], int]:
    """The headers and the whole length in bytes of one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[1:]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    left = int(headers.get("content-length", 0)) - len(body)
    while left > 0:
        left -= len(connection.recv(1 << 20))
    return headers, len(head) + 4 + int(headers.get("content-length", 0))


def _head(port: int, headers: dict[str, str]) -> dict[str, str]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(_request(headers))
        return _read_one(connection)[0]


def _warm(port: int) -> None:
    """Asks until the application has seen its data version and keeps answers."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        _head(port, PLAIN)
        time.sleep(0.05)
        if time.monotonic() > deadline - 4:
            return


def _pipelined(port: int, request: bytes, *, times: int) -> float:
    """Seconds for one answer, `DEPTH` requests on their way at a time. Answers must be of equal length."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        size = _read_one(connection)[1]
        buffer = memoryview(bytearray(1 << 20))
        sent, expected, got = 0, times * size, 0
        start = time.perf_counter()
        while got < expected:
            while sent < times and sent - got // size < DEPTH:
                connection.sendall(request)
                sent += 1
            read = connection.recv_into(buffer)
            if not read:
                raise ConnectionError(f"the server closed after {got} of {expected} bytes")
            got += read
        return (time.perf_counter() - start) / times


def _builds(path: Path) -> tuple[float, float]:
    """Seconds to make the body of the page: ours in columns, and by objects through a pydantic model."""
    store = open_store(f"sqlite:///{path}")
    found = page(store)
    store.close()
    ours = min(_timed(lambda: json_bytes({"index": "deai", "data": level_columns(found)})) for _ in range(30))
    return ours, min(_timed(lambda: as_model(found).model_dump_json().encode()) for _ in range(10))


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _cold(port: int, *, times: int) -> float:
    """Median seconds for an answer in columns that nobody asked for before: cut, serialise, hash, send."""
    taken = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(times):
            request = _request(PLAIN, f"{ADDRESS}&shape=columns&start={next(FRESH)}")
            start = time.perf_counter()
            connection.sendall(request)
            _read_one(connection)
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    for row in run():
        print(row)
