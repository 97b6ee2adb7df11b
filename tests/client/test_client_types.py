"""The types a user's checker sees: exact for both faces, although one is made of the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
from collections.abc import AsyncGenerator, Generator
from typing import assert_type

import pandas as pd
from indexer import AsyncClient, Client, compute_levels
from indexer.client.models import Benchmark, Beta, Constituents
from indexer.client.models import Index, Latest, LevelEvent, LevelPoint, Levels, Table


def blocking(client: Client) -> None:
    assert_type(client.latest("deai"), Latest)
    assert_type(client.levels("deai", start="2025-01-01", interval="1h"), pd.DataFrame)
    assert_type(client.constituents(at="2025-01-01"), pd.DataFrame)
    assert_type(client.beta("deai", "QQQ", sessions=60), pd.DataFrame)
    assert_type(client.index(), Index)
    assert_type(client.stream("deai", after=None), Generator[LevelEvent, None, None])
    assert_type(compute_levels([[1.0]], "deai-ew"), Levels)
    client.levels("deai", intervall="1h")  # type: ignore[call-arg]
    client.beta(sessions="60")  # type: ignore[arg-type]


async def awaiting(client: AsyncClient) -> None:
    assert_type(await client.latest("deai"), Latest)
    assert_type(await client.levels("deai", start="2025-01-01", interval="1h"), Levels)
    assert_type((await client.levels())[0], LevelPoint)
    assert_type(await client.constituents(at="2025-01-01"), Constituents)
    assert_type(await client.benchmarks(), Table[Benchmark])
    assert_type(await client.beta("deai", "QQQ", sessions=60), Beta)
    assert_type(client.stream("deai"), AsyncGenerator[LevelEvent, None])
"""


def test_a_users_program_is_checked_exactly(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    cache = ROOT / ".cache" / "mypy-client"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            "--config-file=",
            f"--cache-dir={cache}",
            tmp_path / "program.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
