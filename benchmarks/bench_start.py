"""How soon a fresh process answers: `deai --help`, and `deai serve` until /healthz says 200. Warm disk."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

REPEATS = 5


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Rows of the table; the peer is an empty Python process, so the ratio is what we add. `quick` starts each once."""
    repeats = 1 if quick else REPEATS
    bare = _median(lambda: _finish([sys.executable, "-c", "pass"]), repeats)
    helped = _median(lambda: _finish([*_deai(), "--help"]), repeats)
    served = _median(_serve, repeats)
    return [
        _row("deai --help", helped, bare, "<= 110 ms"),
        _row("deai serve, until /healthz answers", served, bare, "<= 700 ms"),
    ]


def _row(name: str, ours: float, bare: float, goal: str) -> dict[str, Any]:
    return {
        "name": name,
        "ours_ms": ours,
        "peer": "python -c pass",
        "peer_ms": bare,
        "ratio": ours / bare,
        "goal": goal,
    }


def _median(measure: Any, repeats: int) -> float:
    measure()
    return statistics.median(measure() for _ in range(repeats))


def _deai() -> list[str]:
    return [sys.executable, "-c", "from indexer.cli import main; main()"]


def _finish(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - began) * 1e3


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until_healthy(port: int, *, began: float) -> float:
    """Milliseconds from `began` on until a server's /healthz says 200. Raises RuntimeError after 30 s."""
    while time.perf_counter() - began < 30:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
                if answer.status == 200:
                    return (time.perf_counter() - began) * 1e3
        except OSError:
            time.sleep(0.005)
    raise RuntimeError("deai serve did not answer within 30 s")


def _serve() -> float:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*_deai(), "serve", "--port", str(port)],
            env={"DEAI_DATA_DIR": folder, "PATH": str(Path(sys.executable).parent)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return until_healthy(port, began=began)
        finally:
            process.terminate()
            process.wait()
