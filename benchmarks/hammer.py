"""One client cannot stop the others: 50 connections on one address, and meanwhile `/healthz` from another process.

    python -m benchmarks.hammer STORE [PATH …]      (STORE: a data directory with the real history)

Each GET of the OpenAPI in turn, on `deai serve`, its dates and numbers others in every request, so that few answers are
kept ones. A line a path: milliseconds of `/healthz`, 99th percentile and most, what was answered, and the memory of the
server's processes. The goal is 250 ms; what else the machine does is in the numbers too.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from indexer.times import HOUR_US, iso, parse_instant

CLIENTS, SECONDS = 50, 4.0
NAMED = {"index_id": "deai", "symbol": "NEAR", "event": "deepseek", "paper": "methodology", "url": "/indices/deai"}
FIRST_US = parse_instant("2024-06-01")
PROBE = """
import http.client, sys, time
port, seconds = int(sys.argv[1]), float(sys.argv[2])
connection, ends = http.client.HTTPConnection("127.0.0.1", port, timeout=60), time.perf_counter() + seconds
while time.perf_counter() < ends:
    began = time.perf_counter()
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    print(time.perf_counter() - began)
    time.sleep(0.02)
"""


def main() -> None:
    """Hammer the paths asked for, or all, and print a line for each."""
    store, *wanted = sys.argv[1:]
    with server(Path(store)) as (port, pid):
        print(f"{'p99 ms':>8} {'most':>6} {'MB':>5}  path: answers")
        for path, parameters in read_paths(port).items():
            if not wanted or path in wanted:
                asyncio.run(hammer(port, pid, path, parameters))


@contextmanager
def server(place: Path) -> Iterator[tuple[int, int]]:
    """The port and process id of `deai serve` on a store, stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", "from indexer.cli import main; main()", "serve", "--port", str(port)],
        env={**os.environ, "DEAI_DATA_DIR": str(place)},
        stdout=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            time.sleep(0.1)
            with suppress(OSError):
                _get(port, "/healthz")
                break
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def read_paths(port: int) -> dict[str, list[dict[str, Any]]]:
    """The parameters of every path that is read."""
    paths = json.loads(_get(port, "/openapi.json"))["paths"]
    return {path: methods["get"].get("parameters", []) for path, methods in paths.items() if "get" in methods}


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        body: bytes = answer.read()
        return body


async def hammer(port: int, pid: int, path: str, parameters: list[dict[str, Any]]) -> None:
    """One path by all clients for some seconds; prints what `/healthz` took meanwhile."""
    probe = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROBE, str(port), str(SECONDS), stdout=asyncio.subprocess.PIPE
    )
    numbers, answers, memory = itertools.count(), Counter[int](), 0
    ends = time.perf_counter() + SECONDS

    async def client(session: aiohttp.ClientSession) -> None:
        while time.perf_counter() < ends:
            address = f"http://127.0.0.1:{port}{_path(path)}"
            with suppress(TimeoutError):  # of a stream, and of what is not answered in time
                async with asyncio.timeout(max(ends - time.perf_counter(), 0.01)):
                    async with session.get(address, params=_query(parameters, next(numbers))) as answer:
                        answers[answer.status] += 1
                        await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CLIENTS)) as session:
        clients = [asyncio.create_task(client(session)) for _ in range(CLIENTS)]
        while time.perf_counter() < ends:
            await asyncio.sleep(0.1)
            memory = max(memory, _memory(pid))
        await asyncio.gather(*clients)
    printed, _ = await probe.communicate()
    ms = np.array(printed.split(), dtype=np.float64) * 1e3
    counts = ", ".join(f"{count} x {status}" for status, count in sorted(answers.items())) or "none in time"
    print(f"{np.percentile(ms, 99):8.1f} {ms.max():6.0f} {memory:5}  {path}: {counts}", flush=True)


def _path(path: str) -> str:
    names = NAMED | ({"symbol": "QQQ"} if "/benchmarks/" in path else {})
    return path.format(**names)


def _query(parameters: list[dict[str, Any]], number: int) -> dict[str, str]:
    """What is required, and the dates and numbers that make an answer another one."""
    names = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    start, end = iso(FIRST_US + number * HOUR_US), iso(FIRST_US + (9000 + number) * HOUR_US)
    values = {"url": NAMED["url"], "start": start, "end": end, "label": str(number), "title": str(number)}
    if "interval" not in names:  # beside one it is the word for a close
        values["at"] = start
    values |= dict.fromkeys(("width", "height", "limit", "last", "notional_usd"), str(100 + number % 900))
    return {name: value for name, value in values.items() if name in names}


def _memory(pid: int) -> int:
    """Resident megabytes of a process and of those that it started."""
    total = 0
    for process in (pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())):
        with suppress(OSError):
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096
    return total >> 20


if __name__ == "__main__":
    main()
