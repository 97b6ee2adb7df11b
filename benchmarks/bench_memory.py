"""What memory and CPU the commands take: import, verify and serve as processes of their own, at one and four times the
rows. Peaks are what the system counted of the process, so nothing that was given back in between is hidden."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.bench_start import free_port, until_healthy
from benchmarks.bench_store import made_up

ROWS = 671_497  # as many as the hourly file of the shared data has


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Rows of the table: MB where the name says so, else CPU milliseconds; the peer is the same at 1 x the rows."""
    with tempfile.TemporaryDirectory() as name:
        rows = 2_000 if quick else ROWS
        folder = Path(name) / "once"
        read, checked = _imported(folder, rows=rows), _finished(folder, "verify")
        table = [
            _row(f"import of {rows:,} rows, peak (MB)", read[1], None, "<= 400"),
            _row("verify, CPU", checked[0], None, "<= 10 s"),
            _row("verify, peak (MB)", checked[1], None, "<= 400"),
            _row("serve, ready (MB)", _served(folder), None, "<= 200"),
        ]
        if not quick:
            folder = Path(name) / "much"
            more, again = _imported(folder, rows=4 * rows), _finished(folder, "verify")
            table += [
                _row(f"import of {4 * rows:,} rows, peak (MB)", more[1], read[1], "<= 400"),
                _row(f"import of {4 * rows:,} rows, CPU", more[0], read[0], "ratio >= 0.23"),
                _row("verify, 4 x the rows, peak (MB)", again[1], checked[1], "<= 400"),
            ]
    return table


def _imported(folder: Path, *, rows: int) -> tuple[float, float]:
    folder.mkdir()
    return _finished(folder, "import", str(made_up(folder, rows=rows)))


def _finished(folder: Path, *command: str) -> tuple[float, float]:
    """CPU milliseconds and peak MB of a command that ran to its end."""
    process = _started(folder, *command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 7):  # 7: verify has found something, which costs as much
        raise RuntimeError(f"deai {' '.join(command)} ended with {process.returncode}")
    unit = 1.0 if sys.platform == "darwin" else 1024.0  # bytes there, KiB elsewhere
    return (used.ru_utime + used.ru_stime) * 1e3, used.ru_maxrss * unit / 1e6


def _served(folder: Path) -> float:
    """The peak MB of a server by the time it has answered once and was ended."""
    port = free_port()
    process = _started(folder, "serve", "--port", str(port))
    try:
        until_healthy(port, began=time.perf_counter())
    finally:
        process.terminate()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    return used.ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0) / 1e6


def _started(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    deai = [sys.executable, "-c", "from indexer.cli import main; main()"]
    environment = {**os.environ, "DEAI_DATA_DIR": str(folder / "data"), "DEAI_SOURCES": "none"}
    return subprocess.Popen([*deai, *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _row(name: str, ours: float, once: float | None, goal: str) -> dict[str, Any]:
    ratio = None if once is None else once / ours
    return {
        "name": name,
        "ours_ms": ours,
        "peer": None if once is None else "1 x the rows",
        "peer_ms": once,
        "ratio": ratio,
        "goal": goal,
    }
