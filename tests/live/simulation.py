"""The simulation of all providers, started as a process for a test; it stands beside the checkout."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SIMULATOR = Path(__file__).parents[2] / ".." / "shared" / "providers" / "simulator.py"


@contextmanager
def providers(profile: str, *, now: str) -> Iterator[str]:
    """The address of all providers in a situation, with their time standing still; skips loudly without them."""
    if not SIMULATOR.exists():
        pytest.skip(f"the simulation of the providers is not here: {SIMULATOR}")
    command = [sys.executable, str(SIMULATOR), "--port", "0", "--profile", profile, "--now", now, "--frozen"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield next(word for word in line.split() if word.startswith("http")).rstrip("/.,")
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def control(root: str, what: str, text: str) -> None:
    """Change the profile, or the time (`now?frozen`), of providers that run."""
    with urllib.request.urlopen(f"{root}/_control/{what}", data=text.encode(), timeout=10) as answer:
        answer.read()
