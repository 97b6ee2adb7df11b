"""Tools from npm and pip for the tests of generated clients, kept in .cache/ between runs, each within bounds."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "generated"
TEMPLATES = Path(__file__).parent / "generated"


def run(words: Sequence[str | Path], *, folder: Path, seconds: float = 120) -> str:
    """What a program wrote; fails the test with its complaints when it does not end well."""
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def node_tools() -> Path:
    """A folder with the npm packages of tests/api/generated/package.json; skips loudly where they cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no node or npm on this machine, so no TypeScript client was generated")
    wanted = (TEMPLATES / "package.json").read_bytes()
    folder = CACHE / f"npm-{hashlib.sha256(wanted).hexdigest()[:12]}"
    if not (folder / "done").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=CACHE))
        (part / "package.json").write_bytes(wanted)
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--fetch-retries=1"]
        fetch([npm, "install", *quiet, "--cache", str(part / "npm")], folder=part, what="the npm packages")
        (part / "done").touch()
        with suppress(OSError):  # another process was first
            part.rename(folder)
    return folder


def python_tools(*requirements: str) -> Path:
    """The bin folder of a venv with these packages and no others; skips loudly where they cannot be had."""
    folder = CACHE / f"python-{hashlib.sha256(''.join((*requirements, sys.version)).encode()).hexdigest()[:12]}"
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", folder], folder=CACHE.parent.parent)
        pip = [programs / "python", "-m", "pip", "install", "--quiet", "--retries", "1", *requirements]
        fetch(list(map(str, pip)), folder=folder, what=", ".join(requirements))
        (folder / "done").touch()
    return programs


def fetch(words: list[str], *, folder: Path, what: str) -> None:
    """Runs what fetches a tool; skips loudly, with the last thing it said, when it does not come."""
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{what} could not be fetched within 240 s, so no client was generated")
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
        pytest.skip(f"{what} could not be fetched ({last[0][:200]}), so no client was generated")
